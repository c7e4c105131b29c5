/** The statoverrides, which are the only owners and modes that dpkg's database knows (dpkg-statoverride(1)). */
import { lstatSync, type Stats } from 'node:fs';
import { readAccounts } from '../dpkg/accounts.ts';
import type { Database } from '../dpkg/database.ts';
import type { Finding } from '../model/finding.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { finding } from './finding.ts';

export async function judgeOverrides(
  root: Root,
  database: Database,
  accepts: (path: Bytes) => boolean,
): Promise<Finding[]> {
  const { overrides } = database;
  if (overrides.length === 0) return [];
  const accounts = await readAccounts(
    root,
    overrides.map((override) => override.user),
    overrides.map((override) => override.group),
  );
  const findings: Finding[] = [];
  for (const override of overrides) {
    if (!accepts(override.path)) continue;
    const uid = accounts.uid(override.user);
    const gid = accounts.gid(override.group);
    const unknown =
      uid === undefined
        ? `system user '${override.user}'`
        : gid === undefined
          ? `system group '${override.group}'`
          : '';
    if (unknown !== '') {
      findings.push(
        finding({
          code: 'database-statoverride-unknown-owner',
          severity: 'critical',
          path: `${database.admindir.inside}/statoverride`,
          message: `the override for ${override.path} names an unknown ${unknown}`,
          knownBy: 'statoverride',
          likelyOutage: false,
          reason: 'the account was removed before its override',
          dpkgMessage: `unknown ${unknown} in statoverride file`,
        }),
      );
    }
    const stat = look(
      root,
      database.diversions.find((diversion) => diversion.from === override.path)?.to ?? override.path,
    );
    if (stat === undefined || stat.isSymbolicLink()) continue; // an override may be there before its file
    const base = {
      path: override.path,
      severity: 'warning' as const,
      knownBy: 'statoverride' as const,
      likelyOutage: false,
      reason: 'dpkg applies an override when it unpacks the file; a hand changed it since',
    };
    const mode = stat.mode & 0o7777;
    if (mode !== override.mode) {
      findings.push(
        finding({
          ...base,
          code: 'file-wrong-mode',
          message: 'its mode is not the one that a statoverride sets',
          expected: octal(override.mode),
          found: octal(mode),
        }),
      );
    }
    if ((uid !== undefined && uid !== stat.uid) || (gid !== undefined && gid !== stat.gid)) {
      findings.push(
        finding({
          ...base,
          code: 'file-wrong-owner',
          message: 'its owner is not the one that a statoverride sets',
          expected: `${override.user}:${override.group}`,
          found: `#${stat.uid}:#${stat.gid}`,
        }),
      );
    }
  }
  return findings;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function look(root: Root, path: Bytes): Stats | undefined {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return undefined;
  try {
    return lstatSync(fsPath(found.host), { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
