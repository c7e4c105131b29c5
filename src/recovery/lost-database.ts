/**
 * dpkg's whole database in lost+found, where a repair of the filesystem put it: without it there is nothing that could be
 * audited, and nobody's dpkg can run. The snapshots know it by its inode number; without them its names tell.
 */
import { lstatSync } from 'node:fs';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { lostDirectories } from '../fsck/lost-directories.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { ActionRecord, Run } from './actions.ts';
import { returnLostWithin } from './lost-found.ts';
import { namesIn } from './redo/effect.ts';

/** Names that every database has. */
const OF_EVERY_DATABASE = ['info', 'status', 'triggers', 'updates'];

export function isDatabaseGone(root: Root): boolean {
  root.forget();
  const found = root.resolveDirectory(DEFAULT_ADMINDIR);
  return found.kind === 'unreachable' && found.errno === 'ENOENT';
}

/** Whether it is gone, and lies in lost+found. */
export function hasLostDatabase(root: Root): boolean {
  return isDatabaseGone(root) && lostDatabases(root).length > 0;
}

/** @param begin begins the run, when there is something to do @returns what was done */
export async function returnDatabase(root: Root, store: Store, begin: () => Run): Promise<ActionRecord[]> {
  const candidates = lostDatabases(root);
  if (candidates.length === 0) return [];
  const run = begin();
  await returnLostWithin(run, { root, store });
  if (!isDatabaseGone(root)) return [];
  // Of two nobody knows which is the one.
  const [from, ...others] = candidates;
  if (from === undefined || others.length > 0) return [];
  const reason = 'dpkg’s database, which a repair of the filesystem moved to lost+found';
  const action = run.perform({ kind: 'rename', from, to: DEFAULT_ADMINDIR }, { reason });
  root.forget();
  return [action];
}

const lostDatabases = (root: Root): Bytes[] =>
  lostDirectories(root).flatMap((directory) => databasesIn(root, directory));

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
