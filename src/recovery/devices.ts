/**
 * The few devices and links in /dev that every program counts on, where no devtmpfs covers them: in the root of a
 * container or a chroot. No manifest and no snapshot knows them; the kernel's list fixes what they are
 * (Documentation/admin-guide/devices.txt).
 */
import type { LeftAlone } from '../model/recovery.ts';
import { readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { namesIn } from './redo/effect.ts';

/** By name: the command that makes one in the directory. */
const STANDARD: Readonly<Record<string, string>> = {
  console: 'mknod -m 600 console c 5 1',
  fd: 'ln -s /proc/self/fd fd',
  full: 'mknod -m 666 full c 1 7',
  null: 'mknod -m 666 null c 1 3',
  ptmx: 'mknod -m 666 ptmx c 5 2',
  random: 'mknod -m 666 random c 1 8',
  stderr: 'ln -s /proc/self/fd/2 stderr',
  stdin: 'ln -s /proc/self/fd/0 stdin',
  stdout: 'ln -s /proc/self/fd/1 stdout',
  tty: 'mknod -m 666 tty c 5 0',
  urandom: 'mknod -m 666 urandom c 1 9',
  zero: 'mknod -m 666 zero c 1 5',
};

/** Those that a repair of the filesystem may have taken: most of the others are there. */
export function devicesGone(root: Root): LeftAlone[] {
  const found = root.resolveDirectory('/dev');
  if (found.kind !== 'found' || readMounts().some(({ mountPoint }) => mountPoint === found.host)) return [];
  const there = new Set(namesIn(found.host));
  const standard = Object.entries(STANDARD);
  const gone = standard.filter(([name]) => !there.has(name));
  // An image whose /dev is going to be covered has none of them.
  if (gone.length * 2 > standard.length) return [];
  return gone.map(([name, command]) => ({
    finding: 'filesystem-lost-found',
    path: `/dev/${name}`,
    harmless: false,
    reason: `it is gone, a repair of the filesystem may be why, and '${command}' in /dev makes it again`,
  }));
}
