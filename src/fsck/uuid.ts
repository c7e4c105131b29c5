/** A filesystem's UUID from its superblock, for where udev does not tell it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';

interface Place {
  readonly magic: Bytes;
  /** Bytes from the device's beginning. */
  readonly magicAt: number;
  readonly uuidAt: number;
}

/** fs/ext4/ext4.h (s_magic, s_uuid), fs/xfs/libxfs/xfs_format.h (sb_magicnum, sb_uuid), btrfs_tree.h (magic, fsid). */
const EXT: Place = { magic: '\x53\xef', magicAt: 1024 + 0x38, uuidAt: 1024 + 0x68 };
const PLACES: Readonly<Record<string, Place>> = {
  ext2: EXT,
  ext3: EXT,
  ext4: EXT,
  xfs: { magic: 'XFSB', magicAt: 0, uuidAt: 32 },
  btrfs: { magic: '_BHRfS_M', magicAt: 0x10000 + 0x40, uuidAt: 0x10000 + 0x20 },
};
/** mkfs.fat(8) and dosfs: where the serial number lies is told by the type's name before it. */
const FAT = [
  { name: 'FAT32', nameAt: 0x52, serialAt: 0x43 },
  { name: 'FAT', nameAt: 0x36, serialAt: 0x27 },
] as const;

/**
 * Reads the UUID of a filesystem that is mounted or not; undefined where it may not be read, and where the device holds
 * something else.
 *
 * @param node a device, or a file that holds an image
 * @param type as the mount table has it
 */
export function readUuid(node: Bytes, type: string): string | undefined {
  if (type === 'vfat' || type === 'msdos') return readSerial(node);
  const place = PLACES[type];
  if (place === undefined) return undefined;
  const magic = readAt(node, place.magicAt, place.magic.length);
  const uuid = readAt(node, place.uuidAt, 16);
  if (magic === undefined || uuid === undefined || bytesOf(magic) !== place.magic) return undefined;
  return uuidText(uuid);
}

/** Sixteen bytes as a UUID is written (RFC 9562). */
export function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function readSerial(node: Bytes): string | undefined {
  const sector = readAt(node, 0, 512);
  if (sector === undefined || sector[510] !== 0x55 || sector[511] !== 0xaa) return undefined;
  const fat = FAT.find(({ name, nameAt }) => sector.toString('latin1', nameAt).startsWith(name));
  if (fat === undefined) return undefined;
  return serialText(sector.readUInt32LE(fat.serialAt));
}

/** A FAT's serial number as it is written in place of a UUID. */
export function serialText(number: number): string {
  const serial = number.toString(16).toUpperCase().padStart(8, '0');
  return `${serial.slice(0, 4)}-${serial.slice(4)}`;
}

/** `length` bytes from a position, or undefined when they cannot be read whole. */
function readAt(node: Bytes, position: number, length: number): Buffer | undefined {
  try {
    const buffer = readDevice(node, position, length);
    return buffer.length === length ? buffer : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Up to `length` bytes of a device, or of a file that holds an image, from a position.
 *
 * @throws the error of the system call that failed
 */
export function readDevice(node: Bytes, position: number, length: number): Buffer {
  const fd = openSync(fsPath(node), 'r');
  try {
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, position));
  } finally {
    closeSync(fd);
  }
}
