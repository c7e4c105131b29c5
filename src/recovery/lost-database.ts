/**
 * dpkg's whole database in lost+found, where a repair of the filesystem put it: without it there is nothing that could be
 * audited, and nobody's dpkg can run. It returns when the snapshots know it, by inode numbers and content like everything
 * there. What only looks like one may be a chroot's, and with that every package of the root would be mended wrong.
 */

import { lstatSync } from 'node:fs';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { lostDirectories } from '../fsck/lost-directories.ts';
import { bytesToText } from '../model/path-text.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { namesIn } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import type { Run } from './actions.ts';
import { returnLostWithin } from './lost-found.ts';

/** Names that every database has. */
const OF_EVERY_DATABASE = ['info', 'status', 'triggers', 'updates'];

/** Directories in lost+found that look like dpkg's database, where the root has none; inside the root. */
export function lostDatabases(root: Root): Bytes[] {
  root.forget();
  const found = root.resolveDirectory(DEFAULT_ADMINDIR);
  if (found.kind === 'found' || found.errno !== 'ENOENT') return [];
  return lostDirectories(root).flatMap((directory) => databasesIn(root, directory));
}

/**
 * Returns it, with all else that belongs out of lost+found. There are no locks to hold meanwhile, and no dpkg could run.
 *
 * @returns what went wrong with other things, for people
 * @throws DebmendError `no-dpkg-database` when the snapshots do not know it; of the actions
 */
export async function returnDatabase(run: Run, root: Root, store: Store): Promise<string[]> {
  const problems = await returnLostWithin(run, { root, store });
  const left = lostDatabases(root);
  if (left.length > 0)
    throw gone(
      root,
      left,
      `no snapshot knows it: if it is this system's, move it to ${DEFAULT_ADMINDIR} first`,
    );
  return problems;
}

/** @throws DebmendError `no-dpkg-database` when it may have to be returned first */
export function requireNoneLost(root: Root): void {
  const lost = lostDatabases(root);
  if (lost.length > 0)
    throw gone(
      root,
      lost,
      "'debmend recover --apply' returns it where a snapshot knows it, and mends the rest",
    );
}

function gone(root: Root, lost: readonly Bytes[], hint: string): DebmendError {
  const where = lost.map(bytesToText).join(' and ');
  return new DebmendError(
    'no-dpkg-database',
    `reading dpkg's database ${root.hostPath(DEFAULT_ADMINDIR)}: it is gone, and ${where} looks like one`,
    hint,
  );
}

function databasesIn(root: Root, directory: Bytes): Bytes[] {
  return namesIn(root.hostPath(directory))
    .map((name) => `${directory}/${name}`)
    .filter((path) => {
      const host = root.hostPath(path);
      if (lstatSync(fsPath(host), { throwIfNoEntry: false })?.isDirectory() !== true) return false;
      const names = new Set(namesIn(host));
      return OF_EVERY_DATABASE.every((name) => names.has(name));
    });
}
