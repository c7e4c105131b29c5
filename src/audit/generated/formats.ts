/**
 * Whether files that programs generate are whole, by their own formats. Each examiner says what is wrong, to be said
 * after the file's name, or nothing where it sees nothing. None is called for what is empty or consists of NUL bytes.
 */
import type { Buffer } from 'node:buffer';

export type Examiner = (data: Buffer) => string | undefined;

const CUT = 'is cut off';
const NO_MAGIC = 'does not begin as its format begins';
/** More NUL bytes at an end than padding makes, where strings end a file. */
const NUL_TAIL = 16;

/** Text that a program writes whole lines of. */
export const text: Examiner = (data) => {
  if (data.includes(0)) return 'holds NUL bytes';
  return data.at(-1) === 0x0a ? undefined : 'ends in the middle of a line';
};

/** Text that begins with certain words. */
export function textBeginning(...beginnings: readonly string[]): Examiner {
  return (data) => {
    const wrong = text(data);
    if (wrong !== undefined) return wrong;
    return beginnings.some((words) => data.toString('latin1', 0, words.length) === words)
      ? undefined
      : NO_MAGIC;
  };
}

/** Certificates one after the other (RFC 7468): each begins and ends. */
export const pemBundle: Examiner = (data) => {
  const wrong = text(data);
  if (wrong !== undefined) return wrong;
  const bundle = data.toString('latin1');
  const count = (word: string): number => bundle.split(`-----${word} `).length - 1;
  if (count('BEGIN') === 0) return 'holds no certificate';
  return count('BEGIN') === count('END') ? undefined : 'ends in the middle of a certificate';
};

/** debconf's database: stanzas that each end in an empty line (Debconf/DbDriver/File.pm). */
export const debconf: Examiner = (data) => {
  if (data.includes(0)) return 'holds NUL bytes';
  return data.toString('latin1', data.length - 2) === '\n\n' ? undefined : 'ends in the middle of a stanza';
};

/** glibc, sysdeps/generic/dl-cache.h: struct cache_file_new, after an old one maybe. */
export const ldSoCache: Examiner = (data) => {
  let start = 0;
  if (data.toString('latin1', 0, 11) === 'ld.so-1.7.0') {
    if (data.length < 16) return CUT;
    start = Math.ceil((16 + data.readUInt32LE(12) * 12) / 8) * 8;
    if (start > data.length) return CUT;
    if (start === data.length) return undefined;
  }
  if (data.toString('latin1', start, start + 20) !== 'glibc-ld.so.cache1.1') return NO_MAGIC;
  if (data.length < start + 48) return CUT;
  const big = (data.readUInt8(start + 28) & 3) === 3;
  const word = (offset: number): number =>
    big ? data.readUInt32BE(start + offset) : data.readUInt32LE(start + offset);
  const count = word(20);
  const end = 48 + count * 24 + word(24);
  if (start + end > data.length || start + word(32) > data.length) return CUT;
  for (let index = 0; index < count; index += 1) {
    const key = word(48 + index * 24 + 4);
    const value = word(48 + index * 24 + 8);
    if (key >= end || value >= end || data[start + value] !== 0x2f || data[start + key] === 0)
      return 'names a library that is not in it';
  }
  return undefined;
};

/** glib, gvdb/gvdb-format.h: a hash table of items that point to keys, values and further tables. */
export const gvdb: Examiner = (data) => {
  const magic = data.toString('latin1', 0, 8);
  if (magic !== 'GVariant' && magic !== 'raVGtnai') return NO_MAGIC;
  if (data.length < 24) return CUT;
  const little = magic === 'GVariant';
  const word = (offset: number): number => (little ? data.readUInt32LE(offset) : data.readUInt32BE(offset));
  const half = (offset: number): number => (little ? data.readUInt16LE(offset) : data.readUInt16BE(offset));
  let left = data.length / 4; // no file has more items, however its tables point at each other
  const isWhole = (start: number, end: number, depth: number): boolean => {
    if (start > end || end > data.length || depth > 8) return false;
    if (end - start < 8) return start === end;
    const bloom = word(start) & 0x07ffffff;
    const items = start + 8 + (bloom + word(start + 4)) * 4;
    if (items > end) return false;
    for (let at = items; at + 24 <= end; at += 24) {
      left -= 1;
      if (left < 0 || word(at + 8) + half(at + 12) > data.length) return false;
      const type = String.fromCharCode(data.readUInt8(at + 14));
      const from = word(at + 16);
      const to = word(at + 20);
      // v: a value; H: another table; L: a list of items.
      if (!'vHL'.includes(type) || from > to || to > data.length) return false;
      if (type === 'H' && !isWhole(from, to, depth + 1)) return false;
    }
    return true;
  };
  return isWhole(word(16), word(20), 0) ? undefined : CUT;
};

/** systemd, src/libsystemd/sd-hwdb/hwdb-internal.h: the header says how long the file is. */
export const hwdb: Examiner = (data) => {
  if (data.toString('latin1', 0, 8) !== 'KSLPHHRH') return NO_MAGIC;
  if (data.length < 80) return CUT;
  const size = Number(data.readBigUInt64LE(16));
  if (size > data.length) return CUT;
  return endsInNul(data) ? 'ends in NUL bytes' : undefined;
};

/** systemd, src/libsystemd/sd-journal/catalog.c, CatalogHeader and CatalogItem. */
export const catalog: Examiner = (data) => {
  if (data.toString('latin1', 0, 8) !== 'RHHHKSLP') return NO_MAGIC;
  if (data.length < 40) return CUT;
  const header = Number(data.readBigUInt64LE(16));
  const count = Number(data.readBigUInt64LE(24));
  const size = Number(data.readBigUInt64LE(32));
  if (size < 56 || header + count * size > data.length) return CUT;
  for (let index = 0; index < count; index += 1) {
    // An offset into the strings, which begin after the items.
    const offset = Number(data.readBigUInt64LE(header + index * size + 48));
    if (header + count * size + offset >= data.length) return CUT;
  }
  return endsInNul(data) ? 'ends in NUL bytes' : undefined;
};

/**
 * The shared MIME-info specification, "The mime.cache files": a header of offsets, and lists in that order. The last
 * list of update-mime-database.c, which the specification does not have, is all NUL in a sound file. The one before it
 * has entries wherever shared-mime-info's own types are, so that a NUL tail shows there.
 */
export const mimeCache: Examiner = (data) => {
  if (data.length < 40) return CUT;
  if (data.readUInt16BE(0) !== 1) return NO_MAGIC;
  for (let field = 4; field < 40; field += 4) {
    const offset = data.readUInt32BE(field);
    if (offset + 4 > data.length) return CUT;
  }
  // Pairs of offsets: a type and its icon.
  const icons = data.readUInt32BE(36);
  const count = data.readUInt32BE(icons);
  if (count === 0) return 'has lost its lists';
  if (icons + 4 + count * 8 > data.length) return CUT;
  for (let at = icons + 4; at < icons + 4 + count * 8; at += 4) {
    const offset = data.readUInt32BE(at);
    if (offset === 0 || offset >= data.length) return 'points outside itself';
  }
  return undefined;
};

/** GTK, docs/iconcache.txt: the hash of icon names, each a chain, and the list of directories. */
export const iconCache: Examiner = (data) => {
  if (data.length < 12) return CUT;
  if (data.readUInt16BE(0) !== 1) return NO_MAGIC;
  const word = (offset: number): number | undefined =>
    offset + 4 <= data.length ? data.readUInt32BE(offset) : undefined;
  const hash = data.readUInt32BE(4);
  const buckets = word(hash);
  const directories = word(data.readUInt32BE(8));
  if (buckets === undefined || directories === undefined || hash + 4 + buckets * 4 > data.length) return CUT;
  let left = data.length / 12;
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    for (let at = word(hash + 4 + bucket * 4); at !== 0xffffffff; at = word(at)) {
      const name = at === undefined ? undefined : word(at + 4);
      left -= 1;
      if (at === undefined || name === undefined || left < 0 || (data[name] ?? 0) === 0) return CUT;
    }
  }
  return undefined;
};

/** fontconfig, src/fcint.h, struct _FcCache on a 64-bit little-endian machine, as the file's name says. */
export const fontCache: Examiner = (data) => {
  if (data.length < 16) return CUT;
  if (data.readUInt32LE(0) !== 0xfc02fc04) return NO_MAGIC;
  return Number(data.readBigUInt64LE(8)) > data.length ? CUT : undefined;
};

/** gdbm, src/gdbmconst.h: the magic numbers of both byte orders and all word sizes. */
export const gdbm: Examiner = (data) => {
  if (data.length < 4) return CUT;
  const known = (magic: number): boolean => magic >= 0x13579acd && magic <= 0x13579ad3;
  return known(data.readUInt32LE(0)) || known(data.readUInt32BE(0)) ? undefined : NO_MAGIC;
};

/** glibc, locale/locarchive.h, struct locarhead: offsets and sizes of its tables. */
export const localeArchive: Examiner = (data) => {
  if (data.length < 56) return CUT;
  if (data.readUInt32LE(0) !== 0xde020109) return data.readUInt32BE(0) === 0xde020109 ? undefined : NO_MAGIC;
  const word = (index: number): number => data.readUInt32LE(index * 4);
  // The tables of names, of locale records and of hashes; the strings lie within their table's room.
  const ends = [word(2) + word(4) * 12, word(5) + word(7), word(8) + word(10) * 4, word(11) + word(13) * 20];
  return ends.some((end) => end > data.length) ? CUT : undefined;
};

function endsInNul(data: Buffer): boolean {
  return data.length > NUL_TAIL && data.subarray(-NUL_TAIL).every((byte) => byte === 0);
}
