/** Where a repair of a filesystem puts what it finds without a name (e2fsck(8), xfs_repair(8)). */
import { lstatSync } from 'node:fs';
import { type Bytes, compareBytes, fsPath } from '../system/bytes.ts';
import { readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';

const NAME = 'lost+found';

/** The lost+found directories of a root: at its top, and at the top of each filesystem mounted below it. */
export function lostDirectories(root: Root): Bytes[] {
  const tops = new Set<Bytes>(['']);
  for (const { mountPoint } of readMounts())
    if (mountPoint.startsWith(`${root.prefix}/`) && mountPoint !== '/')
      tops.add(mountPoint.slice(root.prefix.length));
  return [...tops]
    .map((top) => `${top}/${NAME}`)
    .filter((path) => isDirectory(root.hostPath(path)))
    .sort(compareBytes);
}

/** A bind mount's top may be a file, and nothing lies below it. */
function isDirectory(host: Bytes): boolean {
  try {
    return lstatSync(fsPath(host), { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false;
  }
}
