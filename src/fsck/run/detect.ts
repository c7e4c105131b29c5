/**
 * Which filesystem a device or an image holds, by its superblock's own magic numbers. blkid is not asked: it answers
 * from a cache, and from what else is written on the disk.
 *
 * Sources: fs/ext4/ext4.h (s_magic, s_feature_*), fs/xfs/libxfs/xfs_format.h (sb_magicnum), fs/btrfs (btrfs_sb_offset),
 * fs/fat and Microsoft's FAT specification (BS_FilSysType, BPB_BkBootSec).
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { type Bytes, bytesOf, fsPath } from '../../system/bytes.ts';
import { DebmendError, errnoOf } from '../../system/errors.ts';
import { deviceNumber } from '../../system/locks.ts';
import { serialText, uuidText } from '../uuid.ts';

export const FILESYSTEM_TYPES = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'vfat'] as const;
export type FilesystemType = (typeof FILESYSTEM_TYPES)[number];
/** What one checker is for. */
export type Family = 'ext' | 'xfs' | 'btrfs' | 'vfat';

export interface Detected {
  readonly type: FilesystemType;
  /** `backup`: the first superblock is not one any more, and a copy of it told. */
  readonly superblock: 'primary' | 'backup';
  readonly uuid: string | undefined;
  /** As it stands there; undefined for none. */
  readonly label: Bytes | undefined;
  /** The journal holds changes that are not in their places (ext); of XFS only its own tools can tell. */
  readonly needsRecovery: boolean;
}

type ReadAt = (offset: number, length: number) => Buffer;

const KIB = 1024;
const MIB = 1024 * KIB;
const EXT_MAGIC = 0xef53;
/** The first backup of an ext superblock by the size of its blocks: block 8193, 16384, 32768 (mke2fs(8)). */
const EXT_BACKUPS = [
  { at: 8193 * KIB, blockSize: 1 * KIB },
  { at: 16384 * 2 * KIB, blockSize: 2 * KIB },
  { at: 32768 * 4 * KIB, blockSize: 4 * KIB },
] as const;
/** Allocation groups of a new XFS (mkfs.xfs, calc_default_ag_geometry). */
const XFS_GROUPS = [4, 16, 32] as const;
const BTRFS_MAGIC = '_BHRfS_M';
/** The superblock and its first mirror; each begins with a checksum and has the magic at 0x40. */
const BTRFS_PLACES = [64 * KIB, 64 * MIB] as const;

export function familyOf(type: FilesystemType): Family {
  switch (type) {
    case 'ext2':
    case 'ext3':
    case 'ext4':
      return 'ext';
    case 'xfs':
    case 'btrfs':
    case 'vfat':
      return type;
  }
}

/**
 * Reads the magic numbers; undefined when none is there, neither in the first superblock nor in a backup whose place
 * is known.
 *
 * @param node a block device or an image, as a path of this host
 * @throws DebmendError `filesystem-unreadable` when it cannot be opened, or the device does not answer
 */
export function detectFilesystem(node: Bytes): Detected | undefined {
  const fd = open(node);
  try {
    const readAt: ReadAt = (offset, length) => {
      const buffer = Buffer.alloc(length);
      const count = readSync(fd, buffer, 0, length, offset);
      return buffer.subarray(0, count);
    };
    return (
      extAt(readAt, KIB, 'primary') ??
      xfsAt(readAt, 0, 'primary') ??
      btrfsAt(readAt, BTRFS_PLACES[0], 'primary') ??
      fatAt(readAt, 0, 'primary') ??
      EXT_BACKUPS.map(({ at, blockSize }) => extAt(readAt, at, 'backup', blockSize)).find(Boolean) ??
      btrfsAt(readAt, BTRFS_PLACES[1], 'backup') ??
      xfsBackup(readAt, sizeOf(fd)) ??
      // The backup of FAT32's boot sector is sector 6 in all that mkfs.fat and Windows make.
      fatAt(readAt, 6 * 512, 'backup')
    );
  } catch (error) {
    throw unreadable(node, error);
  } finally {
    closeSync(fd);
  }
}

function open(node: Bytes): number {
  try {
    return openSync(fsPath(node), 'r');
  } catch (error) {
    throw unreadable(node, error);
  }
}

function unreadable(node: Bytes, error: unknown): DebmendError {
  const errno = errnoOf(error) ?? 'failed';
  return new DebmendError(
    'filesystem-unreadable',
    `reading the superblock of ${node}: ${errno}`,
    errno === 'EIO'
      ? 'the device does not answer: see smartctl -a and the kernel log, and copy what can be read (ddrescue) first'
      : 'run it as root, and check the path',
    error,
  );
}

function extAt(
  readAt: ReadAt,
  offset: number,
  superblock: Detected['superblock'],
  blockSize?: number,
): Detected | undefined {
  const sb = readAt(offset, 0x100);
  if (sb.length < 0x100 || sb.readUInt16LE(0x38) !== EXT_MAGIC) return undefined;
  // A backup says of which group it is and how large blocks are: content that looks alike is not taken for one.
  if (blockSize !== undefined && KIB << sb.readUInt32LE(0x18) !== blockSize) return undefined;
  const [compat, incompat, roCompat] = [sb.readUInt32LE(0x5c), sb.readUInt32LE(0x60), sb.readUInt32LE(0x64)];
  // As libblkid tells them apart: what ext3 does not know (all but these bits) makes ext4.
  const isExt4 = (incompat & ~0x16) !== 0 || (roCompat & ~0x7) !== 0;
  const hasJournal = (compat & 0x4) !== 0;
  return {
    type: isExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2',
    superblock,
    uuid: uuidText(sb.subarray(0x68, 0x78)),
    label: labelText(sb.subarray(0x78, 0x88)),
    needsRecovery: (incompat & 0x4) !== 0,
  };
}

/**
 * Each allocation group begins with a copy of the superblock. Where the second group begins only the first copy tells;
 * of what mkfs.xfs makes by itself the number of groups is known: four, and more of large disks.
 */
function xfsBackup(readAt: ReadAt, size: number): Detected | undefined {
  const block = 4 * KIB;
  return XFS_GROUPS.map((groups) => {
    const at = Math.ceil(Math.floor(size / block) / groups) * block;
    return at === 0 ? undefined : xfsAt(readAt, at, 'backup');
  }).find(Boolean);
}

/** Bytes; 0 where it is not known. */
function sizeOf(fd: number): number {
  const stat = fstatSync(fd, { bigint: true });
  if (stat.isFile()) return Number(stat.size);
  const { major, minor } = deviceNumber(stat.rdev);
  try {
    return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'latin1')) * 512;
  } catch {
    return 0;
  }
}

function xfsAt(readAt: ReadAt, offset: number, superblock: Detected['superblock']): Detected | undefined {
  const sb = readAt(offset, 0x80);
  if (sb.length < 0x80 || bytesOf(sb.subarray(0, 4)) !== 'XFSB') return undefined;
  return {
    type: 'xfs',
    superblock,
    uuid: uuidText(sb.subarray(32, 48)),
    label: labelText(sb.subarray(108, 120)),
    needsRecovery: false,
  };
}

function btrfsAt(readAt: ReadAt, offset: number, superblock: Detected['superblock']): Detected | undefined {
  const sb = readAt(offset, 0x230);
  if (sb.length < 0x230 || bytesOf(sb.subarray(0x40, 0x48)) !== BTRFS_MAGIC) return undefined;
  return {
    type: 'btrfs',
    superblock,
    uuid: uuidText(sb.subarray(0x20, 0x30)),
    label: labelText(sb.subarray(0x12b, 0x22b)),
    needsRecovery: false,
  };
}

function fatAt(readAt: ReadAt, offset: number, superblock: Detected['superblock']): Detected | undefined {
  const sector = readAt(offset, 512);
  if (sector.length < 512 || sector.readUInt16LE(510) !== 0xaa55) return undefined;
  const isFat32 = bytesOf(sector.subarray(0x52, 0x5a)) === 'FAT32   ';
  if (!isFat32 && !/^FAT(?:12|16)?\s+$/.test(bytesOf(sector.subarray(0x36, 0x3e)))) return undefined;
  const label = labelText(sector.subarray(isFat32 ? 0x47 : 0x2b, isFat32 ? 0x52 : 0x36));
  return {
    type: 'vfat',
    superblock,
    uuid: serialText(sector.readUInt32LE(isFat32 ? 0x43 : 0x27)),
    label: label === 'NO NAME' ? undefined : label,
    needsRecovery: false,
  };
}

function labelText(bytes: Buffer): Bytes | undefined {
  const text = bytesOf(bytes).replace(/\0.*$/s, '').trimEnd();
  return text === '' ? undefined : text;
}
