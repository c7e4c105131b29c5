/** How a filesystem is, in a word. */
import type { Filesystem, FilesystemState } from '../../model/filesystem.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { errorsOf } from './btrfs.ts';
import type { KernelFault } from './kernel-errors.ts';

/** How it is, from all that is known of it. */
export function judge(
  mounted: MountedFilesystem,
  filesystem: Filesystem,
  kernel: readonly KernelFault[],
  space: Filesystem['space'] | string,
): { state: FilesystemState; reason?: string } {
  const { superOptions, options } = mounted;
  if (superOptions.includes('shutdown')) return { state: 'shut-down', reason: 'the mount table says so' };
  if (space === 'EIO') return { state: 'shut-down', reason: 'nothing can be read from it (EIO)' };
  if (typeof space === 'string') return { state: 'errors', reason: `it cannot be looked at (${space})` };
  const turned = kernel.findLast(({ kind }) => kind === 'read-only');
  // A mount that somebody made read-only says so of itself; only the kernel does it to the filesystem alone.
  const alone = superOptions.includes('ro') && options.includes('rw');
  if (superOptions.includes('emergency_ro') || alone || (turned !== undefined && mounted.readOnly))
    return { state: 'read-only', reason: turned?.text ?? 'the mount table says so' };
  const { ext4, deviceStats: stats, errors, bootCheck } = filesystem;
  if ((ext4?.errors ?? 0) > 0 || ext4?.state?.includes('errors') === true)
    return { state: 'errors', reason: 'the superblock records errors' };
  if (stats?.some((one) => errorsOf(one) > 0) === true)
    return { state: 'errors', reason: 'the device statistics count errors' };
  if (errors.length > 0) return { state: 'errors', reason: 'the kernel met errors' };
  if (bootCheck?.outcome === 'errors-left')
    return { state: 'errors', reason: "this boot's check left errors" };
  return known(mounted, filesystem)
    ? { state: 'sound' }
    : { state: 'unknown', reason: filesystem.unread[0] ?? 'nothing tells' };
}

/** Whether the source was read by which each type tells of its errors. XFS and FAT have no lasting one. */
function known({ type }: MountedFilesystem, { ext4, deviceStats: stats }: Filesystem): boolean {
  if (/^ext[234]$/.test(type)) return ext4?.errors !== undefined;
  return type === 'btrfs' ? stats !== undefined : true;
}
