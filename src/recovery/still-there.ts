/** Files of a package that is gone by dpkg's records, and that stand where a snapshot saw them. */
import { lstatSync, readlinkSync } from 'node:fs';
import { Kind } from '../scan/work.ts';
import type { Entry } from '../snapshot/entries.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';

export interface StillThere {
  readonly root: Root;
  /** Whether a package owns a path by the present lists. */
  readonly isOwned: (path: Bytes) => boolean;
  /** What the snapshot knows of a path. */
  readonly find: (inside: Bytes) => Entry | undefined;
}

/** @param paths those of the package's list of then @returns as they are called inside the root, resolved */
export function* stillThere({ root, isOwned, find }: StillThere, paths: Iterable<Bytes>): Iterable<Bytes> {
  for (const path of paths) {
    const found = root.resolve(path);
    if (found.kind !== 'found' || isOwned(path) || isOwned(found.inside)) continue;
    const was = find(found.inside);
    if (was !== undefined && isStill(was, found.host)) yield found.inside;
  }
}

/** By its time and size: a rescued copy of a disk has other inodes. */
function isStill({ kind, size, mtime, target }: Entry, host: Bytes): boolean {
  const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
  if (kind === Kind.link)
    return (
      stat?.isSymbolicLink() === true &&
      bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' })) === target
    );
  return kind === Kind.file && stat?.isFile() === true && stat.size === size && stat.mtimeMs === mtime;
}
