/**
 * What ext4 itself counted of the damage that it met (Linux, Documentation/ABI/testing/sysfs-fs-ext4;
 * fs/ext4/sysfs.c). The counts stand in the superblock and last over reboots, but every fsck wipes them: who wants to
 * know what happened has to look while the filesystem is mounted.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { deviceNumber } from '../system/locks.ts';
import type { Mount } from '../system/mounts.ts';
import { readUuid } from './uuid.ts';

const SYSFS = '/sys/fs/ext4';

/** One error as the superblock keeps it; a field that the kernel left at nothing is absent. */
export interface Ext4Error {
  readonly at?: Date;
  /** The kernel's function that met it, and the line there. */
  readonly func?: string;
  readonly line?: number;
  readonly inode?: number;
  readonly block?: number;
  /** An errno by the superblock's own numbers (fs/ext4/ext4.h, EXT4_ERR_*), as text: `EFSCORRUPTED`. */
  readonly errcode?: string;
}

export interface Ext4Counters {
  /** The kernel's name of the device: `vda1`, `dm-0`. */
  readonly device: string;
  /** The filesystem's UUID, which stays when the device is called otherwise; undefined where it cannot be read. */
  readonly uuid: string | undefined;
  /** Where it is mounted, as paths of this host. */
  readonly mountPoints: readonly Bytes[];
  /** Errors since the last fsck. */
  readonly errors: number;
  /** Warnings since it was mounted. */
  readonly warnings: number;
  readonly first: Ext4Error | undefined;
  readonly last: Ext4Error | undefined;
}

/** fs/ext4/ext4.h, EXT4_ERR_UNKNOWN and what follows it. */
export const EXT4_ERRCODES = [
  undefined,
  'UNKNOWN',
  'EIO',
  'ENOMEM',
  'EFSBADCRC',
  'EFSCORRUPTED',
  'ENOSPC',
  'ENOKEY',
  'EROFS',
  'EFBIG',
  'EEXIST',
  'ERANGE',
  'EOVERFLOW',
  'EBUSY',
  'ENOTDIR',
  'ENOTEMPTY',
  'ESHUTDOWN',
  'EFAULT',
] as const;

/**
 * The counters of every ext4 filesystem that is mounted where this process sees it. Never throws: a filesystem that is
 * unmounted meanwhile, and a kernel without these files, are left out.
 */
export function readExt4Counters(mounts: readonly Mount[], sysfs = SYSFS): Ext4Counters[] {
  const points = new Map<string, Bytes[]>();
  const sources = new Map<string, Bytes>();
  for (const mount of mounts) {
    if (!/^ext[234]$/.test(mount.type)) continue; // one driver, and one place in /sys, for all three
    const device = deviceName(mount);
    if (device === undefined) continue;
    points.set(device, [...(points.get(device) ?? []), mount.mountPoint]);
    sources.set(device, mount.source);
  }
  return names(sysfs).flatMap((device) => {
    const mountPoints = points.get(device);
    const directory = join(sysfs, device);
    const errors = number(directory, 'errors_count');
    if (mountPoints === undefined || errors === undefined) return [];
    return [
      {
        device,
        uuid: readUuid(sources.get(device) ?? '', 'ext4'),
        mountPoints: [...new Set(mountPoints)],
        errors,
        warnings: number(directory, 'warning_count') ?? 0,
        // e2fsck takes the count away, and leaves the code of the last error (1.47).
        first: errors === 0 ? undefined : readError(directory, 'first'),
        last: errors === 0 ? undefined : readError(directory, 'last'),
      },
    ];
  });
}

function names(sysfs: string): string[] {
  try {
    return readdirSync(sysfs).sort();
  } catch {
    return [];
  }
}

/** The name under which the kernel has a mount's device: that of its source, or else that of where it is mounted. */
function deviceName({ source, mountPoint }: Mount): string | undefined {
  try {
    // /dev/mapper/… and /dev/disk/by-…/… are links to the kernel's own name.
    return basename(realpathSync(fsPath(source)).toString());
  } catch {
    // /dev/root, or a /dev of a container that lacks the device.
  }
  try {
    const { major, minor } = deviceNumber(lstatSync(fsPath(mountPoint), { bigint: true }).dev);
    return basename(readlinkSync(`/sys/dev/block/${major}:${minor}`));
  } catch {
    return undefined;
  }
}

function readError(directory: string, which: 'first' | 'last'): Ext4Error | undefined {
  const field = (name: string) => number(directory, `${which}_error_${name}`) || undefined;
  const time = field('time');
  const func = text(directory, `${which}_error_func`)?.trim();
  const [line, inode, block] = [field('line'), field('ino'), field('block')];
  const errcode = field('errcode');
  const error: Ext4Error = {
    ...(time === undefined ? {} : { at: new Date(time * 1000) }),
    ...(func === undefined || func === '' ? {} : { func }),
    ...(line === undefined ? {} : { line }),
    ...(inode === undefined ? {} : { inode }),
    ...(block === undefined ? {} : { block }),
    ...(errcode === undefined ? {} : { errcode: EXT4_ERRCODES[errcode] ?? String(errcode) }),
  };
  return Object.keys(error).length === 0 ? undefined : error;
}

function number(directory: string, name: string): number | undefined {
  const value = text(directory, name)?.trim();
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
}

function text(directory: string, name: string): string | undefined {
  try {
    return bytesOf(readFileSync(join(directory, name)));
  } catch {
    return undefined;
  }
}
