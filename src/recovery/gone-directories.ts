/**
 * Directories that packages had and that are gone. dpkg leaves those of a removed package in which something lies, and
 * lists them (src/main/remove.c, removal_bulk_remove_files): where that was lost, nobody can tell whether they were to go.
 */
import { dirname } from 'node:path';
import type { Database } from '../dpkg/database.ts';
import { pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Kind } from '../scan/work.ts';
import { type Bytes, bytesFromText } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { Before } from './redo/before.ts';
import type { RedoPackage } from './redo/decide.ts';
import { isThere } from './redo/effect.ts';
import { isPurge } from './redo/marks.ts';
import type { Redo } from './redo/redo.ts';

/**
 * By their paths, the uppermost only, and the lists that would have them: why that is said.
 *
 * @param isSuspect whether one that is gone is to be told
 */
export function directoriesGone(
  root: Root,
  database: Database,
  before: Before,
  packages: readonly Pick<RedoPackage, 'record' | 'run'>[],
  isSuspect: (path: Bytes) => boolean,
): Map<Bytes, string> {
  const gone = new Map<Bytes, string>();
  const { admindir, info } = database;
  for (const { record, run } of packages) {
    const name = bytesFromText(record.name);
    const then = before.listedPaths(`${admindir.inside}/info`, name, run);
    const directories = new Set(then.map(dirname));
    const isDirectory = (path: Bytes): boolean =>
      directories.has(path) || before.find(path, run)?.kind === Kind.directory;
    const missing = new Set(
      then.filter((path) => isDirectory(path) && isSuspect(path) && !isThere(root, path)),
    );
    const uppermost = [...missing].filter((path) => !missing.has(dirname(path)));
    for (const path of uppermost)
      gone.set(path, `it was ${record.name}'s, and stays when it holds something of somebody's own`);
    const left = database.packages.find((pkg) => pkg.name === name && pkg.state === 'config-files');
    if (uppermost.length > 0 && left !== undefined)
      gone.set(
        `${admindir.inside}/info/${info.stemOf(left)}.list`,
        `directories of ${record.name} are gone that it would list if they hold something of somebody's own`,
      );
  }
  return gone;
}

/**
 * Those of removals that were done once more because the disk forgot a part of them, outside /usr, where scripts keep
 * state: what lay in one until its postrm took it away, dpkg did not find.
 */
export function takenBySecondRemoval(
  root: Root,
  database: Database,
  redo: Redo,
  isOwned: (path: Bytes) => boolean,
): LeftAlone[] {
  const again = redo.decision.packages.filter(({ record, run, forgotten }) => {
    const its = redo.before.runs[run];
    return record.action === 'remove' && forgotten && its !== undefined && !isPurge(its);
  });
  const isState = (path: Bytes): boolean => !path.startsWith('/usr/') && !isOwned(path);
  return [...directoriesGone(root, database, redo.before, again, isState)].map(([path, reason]) => ({
    finding: 'transaction-interrupted',
    path: pathToText(path),
    harmless: false,
    reason: `${reason}: the disk forgot a part of its removal, which was done once more`,
  }));
}
