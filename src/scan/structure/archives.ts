/** Archives: ar (static libraries, .deb), tar, cpio. zip has its own file. */
import {
  endsBeyond,
  judgeEnd,
  lacks,
  roundUp,
  type Source,
  type Structure,
  UNKNOWN,
  u32,
  u64,
} from './source.ts';

const AR = 'ar';
const AR_HEADER = 60;
const LARGEST_SYMBOL_TABLE = 4 * 1024 * 1024;

/**
 * Source: ar.h, deb(5), and "ar" in the documentation of GNU binutils for the symbol table and thin archives.
 *
 * A member says its length, an archive does not say how many members it has: a cut between two is seen only by the
 * symbol table, which knows where each member with symbols begins, and in a .deb by the missing data.tar.
 */
export function examineAr(source: Source): Structure {
  const thin = source.bytes(0, 8).toString('latin1') === '!<thin>\n';
  let at = 8;
  let lastMember = 0;
  let lastName = '';
  let indexed: number | undefined;
  let deb = false;
  while (at < source.size) {
    if (at + AR_HEADER > source.size) {
      const rest = source.bytes(at, source.size - at);
      return rest.every((byte) => byte === 0 || byte === 10) ? UNKNOWN : lacks(AR, 'last member’s data');
    }
    const header = source.bytes(at, AR_HEADER).toString('latin1');
    const name = header.slice(0, 16).trimEnd();
    const size = /^\d{1,10} *$/.test(header.slice(48, 58)) ? Number.parseInt(header.slice(48, 58), 10) : -1;
    if (header.slice(58) !== '`\n' || size < 0) return UNKNOWN;
    const special = name === '/' || name === '//' || name === '/SYM64/';
    const end = at + AR_HEADER + (thin && !special ? 0 : size);
    if (end > source.size) return endsBeyond(AR, `its member ${quoted(name)} would end`, end);
    if (at === 8 && (name === '/' || name === '/SYM64/')) {
      indexed = lastIndexedMember(source, at + AR_HEADER, size, name === '/SYM64/');
    }
    if (at === 8) deb = name === 'debian-binary';
    if (!special) [lastMember, lastName] = [at, name];
    at = roundUp(end, 2);
  }
  if (deb) {
    if (lastName.startsWith('data.tar')) return { kind: 'whole', format: AR };
    return /^(debian-binary|control\.tar)/.test(lastName) ? lacks(AR, 'data.tar member') : UNKNOWN;
  }
  if (indexed !== undefined && indexed >= source.size) {
    return endsBeyond(AR, 'its symbol table names a member that would begin', indexed);
  }
  return indexed !== undefined && indexed === lastMember ? { kind: 'whole', format: AR } : UNKNOWN;
}

/** The highest offset of a member that the symbol table knows: a big-endian count, that many offsets, then the names. */
function lastIndexedMember(source: Source, at: number, size: number, wide: boolean): number | undefined {
  const width = wide ? 8 : 4;
  if (size < width || size > LARGEST_SYMBOL_TABLE) return undefined;
  const table = source.bytes(at, size);
  const count = wide ? u64(table, 0, false) : u32(table, 0, false);
  if (count === 0 || count > size / width - 1) return undefined;
  let last = 0;
  for (let index = 1; index <= count; index++) {
    last = Math.max(last, wide ? u64(table, index * 8, false) : u32(table, index * 4, false));
  }
  return last;
}

/** A member's name as the detail may show it: GNU ar ends names with a slash. */
function quoted(name: string): string {
  const plain = name.length > 1 && !name.startsWith('/') ? name.replace(/\/$/, '') : name;
  return /^[!-~]+$/.test(plain) ? plain : '(unnamed)';
}

const TAR = 'tar';
const TAR_BLOCK = 512;
/** tar(1) writes records of 20 blocks and fills the last one. */
const TAR_RECORD = 20 * TAR_BLOCK;

/** Source: tar(5), POSIX.1-2001 "ustar Interchange Format": the end is two blocks of NULs. */
export function examineTar(source: Source): Structure {
  let at = 0;
  while (at + TAR_BLOCK <= source.size) {
    const header = source.bytes(at, TAR_BLOCK);
    if (header.every((byte) => byte === 0)) {
      const second = at + 2 * TAR_BLOCK;
      if (second > source.size) return UNKNOWN;
      if (!source.bytes(at + TAR_BLOCK, TAR_BLOCK).every((byte) => byte === 0)) return UNKNOWN;
      const ended = source.size === second || source.size === roundUp(second, TAR_RECORD);
      return ended ? { kind: 'whole', format: TAR } : UNKNOWN;
    }
    if (!hasTarChecksum(header)) return UNKNOWN;
    const size = tarNumber(header.subarray(124, 136));
    const type = header.toString('latin1', 156, 157);
    // Hard links may or may not have content, and GNU's sparse files have further headers: their length is not certain.
    if (size === undefined || type === 'S' || (type === '1' && size > 0)) return UNKNOWN;
    const end = at + TAR_BLOCK + (/[2-6]/.test(type) ? 0 : roundUp(size, TAR_BLOCK));
    if (end > source.size) return endsBeyond(TAR, 'one of its members would end', end);
    at = end;
  }
  // Without the NUL blocks some writers' archives are whole; half a header is nobody's end.
  return at === source.size ? UNKNOWN : lacks(TAR, 'last header’s end');
}

/** The sum of the header's bytes, its own field counted as spaces. */
function hasTarChecksum(header: Uint8Array): boolean {
  const declared = tarNumber(header.subarray(148, 156));
  let sum = 8 * 32;
  for (const [index, byte] of header.entries()) if (index < 148 || index >= 156) sum += byte;
  return sum === declared;
}

/** A numeric field: octal digits, or from GNU tar big-endian binary with the first bit set. */
function tarNumber(field: Uint8Array): number | undefined {
  if (field[0] === 0x80) return field.subarray(1).reduce((value, byte) => value * 256 + byte, 0);
  const text = String.fromCharCode(...field);
  const digits = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

const CPIO = 'cpio';
const CPIO_HEADER = 110;
const CPIO_LONGEST_NAME = 4096;

/**
 * Source: cpio(5), "New ASCII Format", and the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
 * After the trailer another archive may follow, compressed or not, as in an initramfs: then nothing is said.
 */
export function examineCpio(source: Source): Structure {
  for (let at = 0; ; ) {
    if (at + CPIO_HEADER > source.size) return lacks(CPIO, 'trailer');
    const header = source.bytes(at, CPIO_HEADER).toString('latin1');
    if (!/^07070[12][\dA-Fa-f]{104}$/.test(header)) return UNKNOWN;
    const size = Number.parseInt(header.slice(54, 62), 16);
    const nameSize = Number.parseInt(header.slice(94, 102), 16);
    if (nameSize === 0 || nameSize > CPIO_LONGEST_NAME) return UNKNOWN;
    const nameEnd = roundUp(at + CPIO_HEADER + nameSize, 4);
    const end = roundUp(nameEnd + size, 4);
    if (end > source.size) return endsBeyond(CPIO, 'one of its members would end', end);
    const name = source.bytes(at + CPIO_HEADER, nameSize - 1);
    if (name.toString('latin1') === 'TRAILER!!!') {
      // GNU cpio fills the last block of 512 bytes.
      return judgeEnd(
        source,
        CPIO,
        'its trailer would end',
        source.size % 512 === 0 ? roundUp(end, 512) : end,
      );
    }
    at = end;
  }
}
