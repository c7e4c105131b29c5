/**
 * Names that dpkg and its tools leave behind when they are stopped, judged by what they mean and not by the name
 * alone: some are the only good copy.
 */
import { lstatSync } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import { type TemporaryName, temporaryName } from '../dpkg/temporary-names.ts';
import type { Finding } from '../model/finding.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { type Draft, finding } from './finding.ts';

/** Who names a path; built only when there is a leftover to explain. */
export interface Owners {
  /** Packages whose manifest names this very path (inside the root, parents resolved). */
  ownersOf(inside: Bytes): readonly Package[];
}

/** States in which a package's new conffiles wait beside the old ones. */
const AWAITS_CONFIGURATION: ReadonlySet<string> = new Set(['unpacked', 'half-configured', 'half-installed']);

/**
 * Judges names that hold one of dpkg's markers.
 *
 * @param names paths inside the root, parents resolved
 */
export function judgeLeftovers(
  root: Root,
  database: Database,
  owners: Owners,
  names: readonly Bytes[],
): Finding[] {
  const findings: Finding[] = [];
  for (const path of [...new Set(names)].sort()) {
    const name = temporaryName(path);
    // A package may own such a name itself: then it is a file like any other.
    if (name === undefined || owners.ownersOf(path).length > 0) continue;
    const owner = owners.ownersOf(name.original)[0];
    findings.push(finding(judge(root, database, path, name, owner)));
  }
  return findings;
}

function judge(
  root: Root,
  database: Database,
  path: Bytes,
  name: TemporaryName,
  owner: Package | undefined,
): Draft {
  const base = {
    path,
    package: owner === undefined ? undefined : displayName(owner, database.native),
    version: owner?.version,
    knownBy: 'file-name' as const,
  };
  const interrupted = { likelyOutage: true, reason: 'dpkg takes this name away before it ends' };
  switch (name.kind) {
    case 'new': {
      const conffile = owner?.conffiles.some((entry) => resolvesTo(root, entry.path, name.original)) ?? false;
      if (owner !== undefined && conffile && AWAITS_CONFIGURATION.has(owner.state)) {
        return {
          ...base,
          ...interrupted,
          code: 'leftover-pending-conffile',
          severity: 'warning',
          message: 'the new conffile waits for its package to be configured, and must stay until then',
        };
      }
      return {
        ...base,
        ...interrupted,
        code: 'leftover-partial',
        severity: 'warning',
        message: `a new version of ${name.original} that was not put in place; it may be incomplete`,
      };
    }
    case 'backup':
      return exists(root, name.original)
        ? {
            ...base,
            ...interrupted,
            code: 'leftover-backup',
            severity: 'warning',
            message: `the old version of ${name.original}, which stands in its place`,
          }
        : {
            ...base,
            ...interrupted,
            code: 'leftover-backup',
            severity: 'error',
            message: `the only copy of ${name.original}, which is missing`,
          };
    case 'staged':
      return {
        ...base,
        code: 'leftover-backup',
        severity: 'warning',
        message: `a maintainer script moved ${name.original} here and did not finish with it`,
        likelyOutage: true,
        reason: 'maintainer scripts take this name away when the package is configured',
      };
    case 'administrator':
      return {
        ...base,
        code: 'leftover-administrator',
        severity: 'info',
        message: `a version of ${name.original} that was kept for the administrator`,
        likelyOutage: false,
        reason: 'dpkg and ucf leave these names for a person to look at',
      };
  }
}

function resolvesTo(root: Root, path: Bytes, inside: Bytes): boolean {
  const found = root.resolve(path);
  return found.kind === 'found' && found.inside === inside;
}

function exists(root: Root, inside: Bytes): boolean {
  return lstatSync(fsPath(root.hostPath(inside)), { throwIfNoEntry: false }) !== undefined;
}
