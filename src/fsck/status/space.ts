/** What is left on a filesystem (statfs(2)). */
import { lstatSync, type StatsFs, statfsSync } from 'node:fs';
import type { Filesystem } from '../../model/filesystem.ts';
import { fsPath } from '../../system/bytes.ts';
import { errnoOf } from '../../system/errors.ts';
import type { MountedFilesystem } from '../filesystems.ts';

/** The space that is left, or the errno of asking for it. */
export function readSpace({ hostMountPoints }: MountedFilesystem): Filesystem['space'] | string {
  const [point] = hostMountPoints;
  if (point === undefined) return 'ENOENT';
  let stat: StatsFs;
  try {
    stat = statfsSync(fsPath(point));
    lstatSync(fsPath(point)); // XFS answers the one from memory, after it was shut down, and not the other
  } catch (error) {
    return errnoOf(error) ?? 'EIO';
  }
  const { bsize, blocks, bfree, bavail, files, ffree } = stat;
  return {
    size: blocks * bsize,
    free: bfree * bsize,
    available: bavail * bsize,
    ...(files === 0 ? {} : { inodes: files, inodesFree: ffree }),
  };
}
