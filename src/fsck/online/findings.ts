/** Findings of checks of mounted filesystems: one a damaged file where the kernel named it, and one of the filesystem. */
import type { Finding } from '../../model/finding.ts';
import type { OnlineCheck } from '../../model/requested-check.ts';

export function scrubFindings(check: OnlineCheck): Finding[] {
  const { outcome, said, corrected = 0, uncorrectable = 0, paths, mountPoint } = check;
  switch (outcome) {
    case 'sound':
    case 'cancelled':
      return [];
    case 'corrected':
      return [finding(check, 'scrub-corrected', 'warning', mountPoint, `${corrected} errors were corrected`)];
    case 'uncorrectable':
      return [
        finding(
          check,
          'scrub-uncorrectable',
          'critical',
          mountPoint,
          uncorrectable > 0
            ? `${uncorrectable} errors cannot be corrected`
            : 'there are errors that only an unmounted filesystem can be mended of',
        ),
        ...paths.map((path) =>
          finding(check, 'scrub-uncorrectable', 'critical', path, 'the content of this file is damaged'),
        ),
      ];
    case 'failed':
      return [
        finding(
          check,
          'scrub-failed',
          'error',
          mountPoint,
          `the check failed: ${said.at(-1) ?? 'it said nothing'}`,
        ),
      ];
  }
}

function finding(
  { device, program }: OnlineCheck,
  code: Finding['code'],
  severity: Finding['severity'],
  path: string,
  message: string,
): Finding {
  return {
    code,
    severity,
    path,
    message,
    knownBy: 'fsck',
    likelyOutage: false,
    reason: `${program} compared the content with its checksums; when it was damaged, nothing tells`,
    device,
  };
}
