/** The device or the image that a check is about. */
import { realpathSync, statSync } from 'node:fs';
import { type Bytes, bytesFromText } from '../../system/bytes.ts';
import { DebmendError, errnoOf } from '../../system/errors.ts';
import { deviceNumber } from '../../system/locks.ts';
import { type Detected, detectFilesystem, type FilesystemType, familyOf } from './detect.ts';

export interface Target extends Detected {
  readonly kind: 'device' | 'image';
  /** As a path of this host without symbolic links. */
  readonly node: Bytes;
  /** The same as text, for programs. */
  readonly file: string;
  /** `major:minor` in decimal: of a device its own, of an image that of the filesystem it lies on. */
  readonly number: string;
  readonly inode: bigint;
}

/**
 * Looks at what a person named; nothing is written.
 *
 * @param assumed the type, where no superblock can tell it any more
 * @throws DebmendError `filesystem-unreadable` when it is not there, or is neither a block device nor a file;
 * `filesystem-unknown` when no superblock is recognised; `usage` when the superblock says that it is something else
 */
export function openTarget(path: string, assumed?: FilesystemType): Target {
  const { file, stat } = look(path);
  if (!stat.isFile() && !stat.isBlockDevice()) {
    throw new DebmendError(
      'filesystem-unreadable',
      `checking ${path}: it is ${stat.isDirectory() ? 'a directory' : 'no block device and no file'}`,
      stat.isDirectory()
        ? `name the device: findmnt --target ${path} tells which one is mounted there`
        : 'name the device of the filesystem, or a file with its image',
    );
  }
  const node = bytesFromText(file);
  const detected = detectFilesystem(node);
  if (detected === undefined && assumed === undefined) {
    throw new DebmendError(
      'filesystem-unknown',
      `checking ${path}: it has no superblock of ext4, xfs, btrfs or vfat`,
      'a whole disk has partitions, which are checked one by one (lsblk); LUKS and LVM have to be opened first; if you know what was there, --type says it',
    );
  }
  if (
    assumed !== undefined &&
    detected?.superblock === 'primary' &&
    familyOf(assumed) !== familyOf(detected.type)
  ) {
    // Another filesystem's repair would destroy a sound one.
    throw new DebmendError(
      'usage',
      `checking ${path} as ${assumed}: by its superblock it is ${detected.type}`,
      'leave --type out: it is for what no superblock tells any more',
    );
  }
  const { major, minor } = deviceNumber(stat.isBlockDevice() ? stat.rdev : stat.dev);
  const nothing = { superblock: 'backup', uuid: undefined, label: undefined, needsRecovery: false } as const;
  return {
    ...(detected ?? nothing),
    type: assumed ?? detected?.type ?? 'ext4',
    kind: stat.isFile() ? 'image' : 'device',
    node,
    file,
    number: `${major}:${minor}`,
    inode: stat.ino,
  };
}

function look(path: string) {
  try {
    const file = realpathSync(path);
    return { file, stat: statSync(file, { bigint: true }) };
  } catch (error) {
    throw new DebmendError(
      'filesystem-unreadable',
      `checking ${path}: ${errnoOf(error) ?? 'failed'}`,
      'check the path: it has to be a block device or a file with an image',
      error,
    );
  }
}
