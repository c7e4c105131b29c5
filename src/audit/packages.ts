/** Package states that dpkg itself calls unfinished (dpkg(1), Package states and flags). */
import type { Database } from '../dpkg/database.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding } from '../model/finding.ts';
import type { Severity } from '../model/severity.ts';
import { finding } from './finding.ts';

interface StateFinding {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly message: string;
  readonly reason: string;
}

/** What a state means; nothing for the settled ones. */
function stateFinding(pkg: Package): StateFinding | undefined {
  switch (pkg.state) {
    case 'half-installed':
      return {
        code: 'package-half-installed',
        severity: 'error',
        message: 'unpacking it was interrupted: old and new files are mixed',
        reason: 'dpkg leaves this state only when it was stopped while unpacking or removing',
      };
    case 'unpacked':
      return {
        code: 'package-unpacked',
        severity: 'error',
        message: 'it is unpacked and was never configured',
        reason: 'dpkg leaves this state only when it was stopped before configuring',
      };
    case 'half-configured':
      return {
        code: 'package-half-configured',
        severity: 'error',
        message: 'configuring it was interrupted or failed',
        reason:
          'dpkg leaves this state when it was stopped while configuring, or when a maintainer script failed',
      };
    case 'triggers-awaited':
      return {
        code: 'package-triggers-awaited',
        severity: 'warning',
        message: `it waits for the triggers of ${pkg.triggersAwaited.join(', ')}`,
        reason: 'dpkg processes triggers at the end of a run',
      };
    case 'triggers-pending':
      return {
        code: 'package-triggers-pending',
        severity: 'warning',
        message: `it has triggers to process: ${pkg.triggersPending.join(', ')}`,
        reason: 'dpkg processes triggers at the end of a run',
      };
    case 'not-installed':
    case 'config-files':
    case 'installed':
    case 'unknown':
      return undefined;
  }
}

/** One finding a package that is not settled, and one more where dpkg demands a reinstallation. */
export function judgePackages(database: Database, accepts: (pkg: Package) => boolean): Finding[] {
  const findings: Finding[] = [];
  for (const pkg of database.packages) {
    if (!accepts(pkg)) continue;
    const base = {
      package: displayName(pkg, database.native),
      version: pkg.version,
      knownBy: pkg.source === 'status' ? ('status' as const) : ('updates' as const),
      likelyOutage: true,
    };
    const state = stateFinding(pkg);
    if (state !== undefined) findings.push(finding({ ...base, ...state }));
    if (pkg.flag === 'reinstreq') {
      findings.push(
        finding({
          ...base,
          code: 'package-reinst-required',
          severity: 'error',
          message: 'dpkg demands that it is reinstalled; configuring alone does not mend it',
          reason: 'dpkg sets this flag while it unpacks and takes it away when that is done',
        }),
      );
    }
  }
  return findings;
}
