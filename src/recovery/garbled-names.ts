/**
 * Names that nobody gives a file: a directory's block that a disk replaced still has entries, and a repair of the
 * filesystem keeps those that lead to an inode.
 */
import { isUtf8 } from 'node:buffer';
import { type Dirent, readdirSync } from 'node:fs';
import { pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { mountOf, readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { TREES } from './unverified.ts';

/** Of the root's own top, and below it where installations write, on this filesystem alone. */
export function garbledNames(root: Root, store: Store, isOwned: (path: Bytes) => boolean): LeftAlone[] {
  const mounts = readMounts();
  const pointOf = (path: Bytes): Bytes | undefined => mountOf(mounts, root.hostPath(path))?.mountPoint;
  const found: Bytes[] = [];
  const pending: Bytes[] = [''];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const own = pointOf(directory || '/');
    for (const entry of entriesOf(root.hostPath(directory || '/'))) {
      const name = bytesOf(entry.name);
      const path = `${directory}/${name}`;
      if (isGarbled(name)) found.push(path);
      else if (entry.isDirectory() && (directory !== '' || isTree(path)) && pointOf(path) === own)
        pending.push(path);
    }
  }
  if (found.length === 0) return [];
  const snapshot = newestSealed(store);
  const entries = new Entries(store);
  return found
    .filter((path) => !isOwned(path))
    .filter((path) => snapshot === undefined || entries.findAt(snapshot.id, path) === undefined)
    .sort()
    .map((path) => ({
      finding: 'filesystem-lost-found',
      path: pathToText(path),
      harmless: false,
      reason: 'nobody gives a file such a name, and no package has it: a disk may have made it of other data',
    }));
}

const isTree = (path: Bytes): boolean => (TREES as readonly Bytes[]).includes(path);

/** Control characters, or bytes that are no text. */
function isGarbled(name: Bytes): boolean {
  if (/^[\x20-\x7e]*$/.test(name)) return false;
  return /[\x00-\x1f\x7f]/.test(name) || !isUtf8(Buffer.from(name, 'latin1'));
}

function entriesOf(host: Bytes): Dirent<Buffer>[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer', withFileTypes: true });
  } catch {
    return [];
  }
}
