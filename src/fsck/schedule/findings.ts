/** Findings of the checks that were asked for. A check that did not happen is one: somebody relied on it. */
import type { Finding } from '../../model/finding.ts';
import type { RequestedCheck } from '../../model/requested-check.ts';

/** @param news what this boot brought (settle.ts) */
export function checkFindings(news: readonly RequestedCheck[]): Finding[] {
  return news.flatMap(findingsOf);
}

function findingsOf(check: RequestedCheck): Finding[] {
  switch (check.stage) {
    case 'missed':
      return [
        finding(
          check,
          'fsck-check-missed',
          'warning',
          'the check that was asked for was not made',
          check.problem,
        ),
      ];
    case 'checked':
      return [...resultFindings(check), ...leftFindings(check)];
    case 'intended':
    case 'asked':
    case 'withdrawn':
      return leftFindings(check);
  }
}

function resultFindings(check: RequestedCheck): Finding[] {
  const { result } = check;
  if (result === undefined) return [];
  switch (result.outcome) {
    case 'clean':
    case 'recovered':
      return [];
    case 'corrected':
      return [
        finding(
          check,
          'filesystem-check-corrected',
          'warning',
          'the check at boot changed the filesystem: files may be gone, or lie in lost+found',
          result.text,
        ),
      ];
    case 'errors-left':
      return [
        finding(check, 'filesystem-check-failed', 'critical', 'the check at boot left errors', result.text),
      ];
    case 'failed':
    case 'unknown':
      return [
        finding(
          check,
          'filesystem-check-failed',
          'error',
          'the check at boot did not come to its end',
          result.text,
        ),
      ];
  }
}

function leftFindings(check: RequestedCheck): Finding[] {
  if (check.restored || check.problem === undefined) return [];
  return [
    finding(
      check,
      'fsck-settings-left',
      'warning',
      'what was changed to ask for a check is not as it was before',
      check.problem,
    ),
  ];
}

function finding(
  { mountPoint, device, reasons }: RequestedCheck,
  code: Finding['code'],
  severity: Finding['severity'],
  message: string,
  found: string | undefined,
): Finding {
  return {
    code,
    severity,
    path: mountPoint,
    message,
    knownBy: 'fsck',
    likelyOutage: false,
    reason: reasons.length === 0 ? 'a check was asked for' : `it was asked for because ${reasons.join('; ')}`,
    ...(found === undefined ? {} : { found }),
    device,
  };
}
