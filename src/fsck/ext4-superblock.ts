/**
 * The superblock of ext2, ext3 and ext4 as it is at this moment, mounted or not: the kernel and tune2fs(8) work on the
 * same page of the device's cache, and so does this reading (fs/ext4/ext4.h, struct ext4_super_block; ext4(5)).
 */
import type { Bytes } from '../system/bytes.ts';
import { EXT4_ERRCODES, type Ext4Error } from './ext4-errors.ts';
import { readDevice, uuidText } from './uuid.ts';

export type Ext4Behaviour = 'continue' | 'remount-ro' | 'panic';

export interface Ext4Superblock {
  readonly uuid: string;
  /** Empty without one. e2fsck calls a filesystem by its label where it has one. */
  readonly label: string;
  /** EXT4_VALID_FS: cleanly unmounted, or mounted and without a journal to replay. */
  readonly valid: boolean;
  /** EXT4_ERROR_FS: the next e2fsck checks all of it. */
  readonly hasErrors: boolean;
  /** EXT4_ORPHAN_FS: orphans are being removed. */
  readonly orphans: boolean;
  readonly hasJournal: boolean;
  /** What the kernel does when it meets an error, unless a mount option says otherwise. */
  readonly behaviour: Ext4Behaviour | undefined;
  /** Default mount options that stand in the superblock (tune2fs -o): EXT4_DEFM_NOBARRIER and others. */
  readonly defaultOptions: readonly string[];
  readonly blockSize: number;
  /** Seconds since 1970; 0: never. */
  readonly lastCheck: number;
  readonly lastMount: number;
  /** Mounts since the last check. */
  readonly mountCount: number;
  /** A check is due after so many; 0 or less: never for that. */
  readonly maxMountCount: number;
  /** Seconds after which a check is due; 0: never for that. */
  readonly checkInterval: number;
  /** Errors since the last check. */
  readonly errors: number;
  readonly first: Ext4Error | undefined;
  readonly last: Ext4Error | undefined;
}

/** Bytes from the device's beginning, and its length. */
const AT = 1024;
const LENGTH = 1024;
const MAGIC = 0xef53;
const [VALID_FS, ERROR_FS, ORPHAN_FS] = [1, 2, 4];
/** s_feature_compat, EXT4_FEATURE_COMPAT_HAS_JOURNAL. */
const HAS_JOURNAL = 4;
const BEHAVIOURS: readonly (Ext4Behaviour | undefined)[] = [undefined, 'continue', 'remount-ro', 'panic'];
/** s_default_mount_opts, of those options that matter after a power cut. */
const DEFAULTS = [
  { mask: 0x60, value: 0x60, option: 'data=writeback' },
  { mask: 0x100, value: 0x100, option: 'nobarrier' },
] as const;

/** The superblock's bytes, parsed; undefined when they are none. Never throws (I8). */
export function parseExt4Superblock(block: Buffer): Ext4Superblock | undefined {
  if (block.length < LENGTH || block.readUInt16LE(0x38) !== MAGIC) return undefined;
  const state = block.readUInt16LE(0x3a);
  const errors = block.readUInt32LE(0x194);
  const defaults = block.readUInt32LE(0x100);
  return {
    uuid: uuidText(block.subarray(0x68, 0x78)),
    label: block.toString('latin1', 0x78, 0x88).replace(/\0.*$/s, ''),
    valid: (state & VALID_FS) !== 0,
    hasErrors: (state & ERROR_FS) !== 0,
    orphans: (state & ORPHAN_FS) !== 0,
    hasJournal: (block.readUInt32LE(0x5c) & HAS_JOURNAL) !== 0,
    behaviour: BEHAVIOURS[block.readUInt16LE(0x3c)],
    defaultOptions: DEFAULTS.filter(({ mask, value }) => (defaults & mask) === value).map(
      ({ option }) => option,
    ),
    blockSize: 1024 << Math.min(6, block.readUInt32LE(0x18)),
    lastCheck: time(block, 0x40, 0x277),
    lastMount: time(block, 0x2c, 0x275),
    mountCount: block.readUInt16LE(0x34),
    maxMountCount: block.readInt16LE(0x36),
    checkInterval: block.readUInt32LE(0x44),
    errors,
    // e2fsck takes the count away, and leaves the code of the last error (1.47).
    first: errors === 0 ? undefined : errorAt(block, 0x198, 0x278, 0x27a),
    last: errors === 0 ? undefined : errorAt(block, 0x1cc, 0x279, 0x27b),
  };
}

/**
 * Reads it from a device, or from a file that holds an image.
 *
 * @returns undefined when it holds no such filesystem
 * @throws the error of the system call that failed
 */
export function readExt4Superblock(node: Bytes): Ext4Superblock | undefined {
  return parseExt4Superblock(readDevice(node, AT, LENGTH));
}

/** Since Linux 5.0 times have a fifth byte elsewhere (s_lastcheck_hi and its like). */
function time(block: Buffer, at: number, high: number): number {
  return block.readUInt32LE(at) + block.readUInt8(high) * 2 ** 32;
}

/** s_first_error_time and s_last_error_time, and what follows each: they are laid out differently. */
function errorAt(block: Buffer, at: number, high: number, code: number): Ext4Error | undefined {
  const first = at === 0x198;
  // first: time ino block func line; last: time ino line block func
  const seconds = time(block, at, high);
  const inode = block.readUInt32LE(at + 4);
  const blockAt = first ? at + 8 : at + 12;
  const number = Number(block.readBigUInt64LE(blockAt));
  const func = block.toString('latin1', blockAt + 8, blockAt + 40).replace(/\0.*$/s, '');
  const line = block.readUInt32LE(first ? at + 48 : at + 8);
  const errcode = block.readUInt8(code);
  const error: Ext4Error = {
    ...(seconds === 0 ? {} : { at: new Date(seconds * 1000) }),
    ...(func === '' ? {} : { func }),
    ...(line === 0 ? {} : { line }),
    ...(inode === 0 ? {} : { inode }),
    ...(number === 0 ? {} : { block: number }),
    ...(errcode === 0 ? {} : { errcode: EXT4_ERRCODES[errcode] ?? String(errcode) }),
  };
  return Object.keys(error).length === 0 ? undefined : error;
}
