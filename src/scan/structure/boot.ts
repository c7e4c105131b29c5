/** What a machine boots from: kernels, EFI programs (PE), squashfs images. */
import { endsBeyond, judgeEnd, roundUp, type Source, type Structure, UNKNOWN } from './source.ts';

const BZIMAGE = 'Linux kernel';
const SECTOR = 512;

/** Whether the setup header's magic number is there: `HdrS` at 0x202, and the boot sector's 0xaa55 before it. */
export function isBzImage(head: Buffer): boolean {
  return (
    head.length >= 0x206 &&
    head.readUInt16LE(0x1fe) === 0xaa55 &&
    head.toString('latin1', 0x202, 0x206) === 'HdrS'
  );
}

/**
 * Source: the kernel's Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, syssize (in 16 bytes) at 0x1f4.
 * A kernel for EFI is a PE file too, and a signed one ends in its certificates.
 */
export function examineBzImage(source: Source): Structure {
  const setupSectors = source.u8(0x1f1) || 4;
  const end = (setupSectors + 1) * SECTOR + source.bytes(0x1f4, 4).readUInt32LE(0) * 16;
  if (end > source.size) return endsBeyond(BZIMAGE, 'its protected-mode code would end', end);
  const pe = endOfPe(source);
  if (pe !== undefined && pe.certificates > source.size) {
    return endsBeyond(BZIMAGE, 'its certificates would end', pe.certificates);
  }
  const signed = pe !== undefined && pe.certificates > 0;
  return source.size === (signed ? pe.certificates : end) ? { kind: 'whole', format: BZIMAGE } : UNKNOWN;
}

const PE = 'PE';
const MOST_SECTIONS = 96;

interface PeEnds {
  /** Where the last section that is loaded from the file ends; what pads it to the file alignment isn't counted. */
  sections: number;
  /** Where the last section ends as it is written, padding and the symbols of GNU ld included. */
  written: number;
  /** 0 if there are none. */
  certificates: number;
}

/** Source: Microsoft's "PE Format": the section table, and the certificate table that Secure Boot needs. */
export function examinePe(source: Source): Structure {
  const ends = endOfPe(source);
  if (ends === undefined) return UNKNOWN;
  if (ends.sections > source.size) return endsBeyond(PE, 'one of its sections would end', ends.sections);
  if (ends.certificates > source.size) return endsBeyond(PE, 'its certificates would end', ends.certificates);
  return Math.max(ends.written, ends.certificates) === source.size ? { kind: 'whole', format: PE } : UNKNOWN;
}

function endOfPe(source: Source): PeEnds | undefined {
  if (source.size < 64 || source.bytes(0, 2).toString('latin1') !== 'MZ') return undefined;
  const start = source.bytes(0x3c, 4).readUInt32LE(0);
  if (start + 24 > source.size || source.bytes(start, 4).toString('latin1') !== 'PE\0\0') return undefined;
  const coff = source.bytes(start, 24);
  const sectionCount = coff.readUInt16LE(6);
  const optionalSize = coff.readUInt16LE(20);
  const optional = start + 24;
  const table = optional + optionalSize;
  if (sectionCount === 0 || sectionCount > MOST_SECTIONS || optionalSize < 96) return undefined;
  const tableEnd = table + sectionCount * 40;
  const ends: PeEnds = { sections: tableEnd, written: tableEnd, certificates: 0 };
  if (tableEnd > source.size) return ends;

  for (let at = table; at < tableEnd; at += 40) {
    const section = source.bytes(at, 40);
    const virtualSize = section.readUInt32LE(8);
    const size = section.readUInt32LE(16);
    const offset = section.readUInt32LE(20);
    if (offset === 0 || size === 0) continue;
    ends.sections = Math.max(ends.sections, offset + Math.min(size, virtualSize || size));
    ends.written = Math.max(ends.written, offset + size);
  }
  const symbols = coff.readUInt32LE(12);
  const strings = symbols + coff.readUInt32LE(16) * 18;
  if (symbols > 0 && strings + 4 <= source.size) {
    ends.written = Math.max(ends.written, strings + source.bytes(strings, 4).readUInt32LE(0));
  }
  // The data directories begin after the standard and Windows fields, which are wider in PE32+; the fifth is the certificates'.
  const directories = source.bytes(optional, 2).readUInt16LE(0) === 0x20b ? 112 : 96;
  if (optionalSize >= directories + 40) {
    const entry = source.bytes(optional + directories + 32, 8);
    const size = entry.readUInt32LE(4);
    if (size > 0) ends.certificates = entry.readUInt32LE(0) + size;
  }
  return ends;
}

const SQUASHFS = 'squashfs';
/** mksquashfs pads to 4 KiB, other writers to as much as the largest block size. */
const SQUASHFS_PADDING = 1024 * 1024;

/** Source: the kernel's fs/squashfs/squashfs_fs.h, struct squashfs_super_block. */
export function examineSquashfs(source: Source): Structure {
  if (source.size < 96) return endsBeyond(SQUASHFS, 'its superblock would end', 96);
  const superblock = source.bytes(0, 96);
  if (superblock.readUInt16LE(28) !== 4) return UNKNOWN;
  const end = Number(superblock.readBigUInt64LE(40));
  if (end > source.size) return endsBeyond(SQUASHFS, 'its tables would end', end);
  if (source.size % 4096 === 0 && source.size <= roundUp(end, SQUASHFS_PADDING))
    return { kind: 'whole', format: SQUASHFS };
  return judgeEnd(source, SQUASHFS, 'its tables would end', end);
}
