/** Files whose header or tables say where everything lies: catalogues, fonts, terminal descriptions, time zones, databases. */
import type { Buffer } from 'node:buffer';
import { endsBeyond, judgeEnd, lacks, type Source, type Structure, UNKNOWN, u32 } from './source.ts';

const MO = 'gettext catalogue';
const MO_MOST_STRINGS = 250_000;

/** Source: "The Format of GNU MO Files" in the gettext manual. */
export function examineMo(source: Source): Structure {
  if (source.size < 28) return endsBeyond(MO, 'its header would end', 28);
  const little = source.u8(0) === 0xde;
  const [revision, count, originals, translations, hashSize, hashes] = words(source.bytes(4, 24), little);
  if (revision >>> 16 > 1 || count > MO_MOST_STRINGS) return UNKNOWN;
  const tablesEnd = Math.max(
    originals + count * 8,
    translations + count * 8,
    hashSize > 0 ? hashes + hashSize * 4 : 0,
  );
  if (tablesEnd > source.size) return endsBeyond(MO, 'its tables would end', tablesEnd);
  let last = tablesEnd;
  for (const table of [originals, translations]) {
    const entries = source.bytes(table, count * 8);
    for (let at = 0; at < entries.length; at += 8) {
      // A length does not count the string's NUL.
      last = Math.max(last, u32(entries, at, little) + 1 + u32(entries, at + 4, little));
    }
  }
  // Revision x.1 has system-dependent strings behind what is looked at here.
  if (last === source.size && (revision & 0xffff) !== 0) return UNKNOWN;
  return judgeEnd(source, MO, 'its strings would end', last);
}

function words(buffer: Buffer, little: boolean): [number, number, number, number, number, number] {
  const word = (index: number) => u32(buffer, index * 4, little);
  return [word(0), word(1), word(2), word(3), word(4), word(5)];
}

const FONT = 'OpenType font';
const MOST_FONTS = 256;
const MOST_TABLES = 256;

/** Source: ISO/IEC 14496-22 (OpenType), "Table directory" and "Font collections". */
export function examineFont(source: Source): Structure {
  if (source.size < 12) return UNKNOWN;
  const header = source.bytes(0, 12);
  if (header.toString('latin1', 0, 4) !== 'ttcf') return judgeFont(source, endOfFont(source, 0));
  const count = header.readUInt32BE(8);
  if (count === 0 || count > MOST_FONTS) return UNKNOWN;
  if (12 + count * 4 > source.size) return endsBeyond(FONT, 'its list of fonts would end', 12 + count * 4);
  let last = 0;
  for (let index = 0; index < count; index++) {
    const end = endOfFont(source, source.bytes(12 + index * 4, 4).readUInt32BE(0));
    if (end === undefined) return UNKNOWN;
    last = Math.max(last, end);
  }
  return judgeFont(source, last);
}

/** The last table is padded to four bytes or not, and some writers count the padding in. */
function judgeFont(source: Source, end: number | undefined): Structure {
  if (end === undefined) return UNKNOWN;
  if (end > source.size + 3) return endsBeyond(FONT, 'its last table would end', end);
  return end <= source.size && source.size - end <= 3 ? { kind: 'whole', format: FONT } : UNKNOWN;
}

/** Where the table directory at `start`, or the table that ends last, ends. */
function endOfFont(source: Source, start: number): number | undefined {
  if (start + 12 > source.size) return start + 12;
  const count = source.bytes(start, 12).readUInt16BE(4);
  const directoryEnd = start + 12 + count * 16;
  if (count === 0 || count > MOST_TABLES) return undefined;
  let last = directoryEnd;
  for (let at = start + 12; at < directoryEnd; at += 16) {
    if (at + 16 > source.size) break;
    const entry = source.bytes(at, 16);
    // The magic number of a TrueType font is weak; a directory of names is not.
    if (!/^[ -~]{4}$/.test(entry.toString('latin1', 0, 4))) return undefined;
    last = Math.max(last, entry.readUInt32BE(8) + entry.readUInt32BE(12));
  }
  // Not one entry to confirm that this is a font at all.
  return start + 28 > source.size ? undefined : last;
}

/** Source: W3C's "WOFF File Format 1.0" and "2.0", section 3 and 4: the header holds the file's length. */
export function examineWoff(source: Source): Structure {
  if (source.size < 12) return UNKNOWN;
  return judgeEnd(source, 'web font', 'it would end', source.bytes(8, 4).readUInt32BE(0));
}

const TERMINFO = 'terminfo';
const TERMINFO_WIDE = 0x021e;
const TERMINFO_LONGEST = 32768;

/**
 * Source: term(5), "Legacy storage format" and "Extended storage format". The magic number is but two bytes, so the
 * names, which must be text and end in a NUL, confirm it.
 */
export function examineTerminfo(source: Source): Structure {
  if (source.size < 14 || source.size > TERMINFO_LONGEST) return UNKNOWN;
  const header = source.bytes(0, 12);
  const width = header.readUInt16LE(0) === TERMINFO_WIDE ? 4 : 2;
  const [names, booleans, numbers, strings, stringTable] = shorts(header, 2);
  const namesEnd = 12 + names;
  if (names < 2 || namesEnd > source.size) return UNKNOWN;
  if (!/^[ -~]+\0$/.test(source.bytes(12, names).toString('latin1'))) return UNKNOWN;
  const base = evenly(namesEnd + booleans) + numbers * width + strings * 2 + stringTable;
  if (base > TERMINFO_LONGEST) return UNKNOWN;
  const start = evenly(base);
  if (base >= source.size || start === source.size)
    return judgeEnd(source, TERMINFO, 'its strings would end', base);
  if (start + 10 > source.size) return endsBeyond(TERMINFO, 'its extended header would end', start + 10);
  const [flags, counts, texts, , textTable] = shorts(source.bytes(start, 10), 0);
  const offsets = (texts + flags + counts + texts) * 2;
  const end = evenly(start + 10 + flags) + counts * width + offsets + textTable;
  return end > TERMINFO_LONGEST ? UNKNOWN : judgeEnd(source, TERMINFO, 'its extended strings would end', end);
}

function shorts(buffer: Buffer, offset: number): [number, number, number, number, number] {
  const short = (index: number) => buffer.readUInt16LE(offset + index * 2);
  return [short(0), short(1), short(2), short(3), short(4)];
}

function evenly(offset: number): number {
  return offset + (offset % 2);
}

const TZIF = 'TZif';
const TZIF_HEADER = 44;
const TZIF_LONGEST_FOOTER = 512;

/** Source: RFC 8536, section 3: a block of 32-bit data, from version 2 on one of 64-bit data and a footer line. */
export function examineTzif(source: Source): Structure {
  if (source.size < TZIF_HEADER) return endsBeyond(TZIF, 'its header would end', TZIF_HEADER);
  const version = source.u8(4);
  const first = endOfTzifBlock(source, 0, 4);
  if (first > source.size) return endsBeyond(TZIF, 'its first data block would end', first);
  if (version === 0) return judgeEnd(source, TZIF, 'its data block would end', first);
  if (first + TZIF_HEADER > source.size)
    return endsBeyond(TZIF, 'its second header would end', first + TZIF_HEADER);
  if (source.bytes(first, 4).toString('latin1') !== 'TZif') return UNKNOWN;
  const second = endOfTzifBlock(source, first, 8);
  if (second > source.size) return endsBeyond(TZIF, 'its second data block would end', second);
  const footer = source.bytes(second, Math.min(TZIF_LONGEST_FOOTER, source.size - second)).toString('latin1');
  if (footer === '' || /^\n[^\n]*$/.test(footer)) return lacks(TZIF, 'footer’s end');
  return /^\n[^\n]*\n$/.test(footer) ? { kind: 'whole', format: TZIF } : UNKNOWN;
}

function endOfTzifBlock(source: Source, start: number, timeSize: number): number {
  const header = source.bytes(start, TZIF_HEADER);
  const count = (index: number) => header.readUInt32BE(20 + index * 4);
  const [utIndicators, standardIndicators, leaps, times, types, characters] = [0, 1, 2, 3, 4, 5].map(count);
  return (
    start +
    TZIF_HEADER +
    (times ?? 0) * (timeSize + 1) +
    (types ?? 0) * 6 +
    (characters ?? 0) +
    (leaps ?? 0) * (timeSize + 4) +
    (standardIndicators ?? 0) +
    (utIndicators ?? 0)
  );
}

const SQLITE = 'SQLite database';

/** Source: "Database File Format" of SQLite, section 1.3, "The Database Header". */
export function examineSqlite(source: Source): Structure {
  if (source.size < 100) return endsBeyond(SQLITE, 'its header would end', 100);
  const header = source.bytes(0, 100);
  const field = header.readUInt16BE(16);
  const pageSize = field === 1 ? 65536 : field;
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) return UNKNOWN;
  // Versions before 3.7.0 did not keep the page count, which the two counters tell.
  const pages = header.readUInt32BE(28);
  if (pages === 0 || header.readUInt32BE(24) !== header.readUInt32BE(92)) return UNKNOWN;
  const end = pages * pageSize;
  // In WAL mode pages may still lie in the -wal file, which nobody has looked at.
  if (end > source.size && header.readUInt8(18) === 2) return UNKNOWN;
  return judgeEnd(source, SQLITE, `its ${pages} pages would end`, end);
}
