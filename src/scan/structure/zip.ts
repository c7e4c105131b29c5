/**
 * zip archives, and what is one under another name: .jar, .whl, .jmod, office documents.
 * Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3.7 (local file header) and 4.3.16 (end of central directory record);
 * for .jmod jdk.internal.jmod.JmodFile of OpenJDK: four bytes before a zip archive.
 */
import { endsBeyond, lacks, type Source, type Structure, UNKNOWN } from './source.ts';

const FORMAT = 'zip';
const LOCAL = 'PK\x03\x04';
const CENTRAL = 'PK\x01\x02';
const END = 'PK\x05\x06';
const END_SIZE = 22;
const LONGEST_COMMENT = 0xffff;
/** "See the zip64 record instead". */
const ZIP64 = 0xffffffff;

export function examineZip(source: Source): Structure {
  // A .jmod's offsets count from the archive, not from the file.
  const base = source.bytes(0, 2).toString('latin1') === 'JM' ? 4 : 0;
  if (!hasPlausibleLocalHeader(source, base)) return UNKNOWN;

  let appended = false;
  const tail = Buffer.from(source.tail(END_SIZE + LONGEST_COMMENT));
  const tailStart = source.size - tail.length;
  // Backwards, for the record is nearly always the file's last 22 bytes. A stored archive inside this one has such a
  // record too: it can be told by a directory that does not end where the record begins.
  for (let at = tail.length - END_SIZE; at >= 0; at--) {
    at = tail.lastIndexOf(END, at, 'latin1');
    if (at < 0) break;
    const position = tailStart + at;
    const end = position + END_SIZE + tail.readUInt16LE(at + 20);
    const own = describesDirectory(source, tail.subarray(at, at + END_SIZE), position - base, base);
    if (own && end === source.size) return { kind: 'whole', format: FORMAT };
    if (own && end > source.size) return endsBeyond(FORMAT, 'its comment would end', end);
    if (own || end === source.size) appended = true;
  }
  return appended ? UNKNOWN : lacks(FORMAT, 'end of central directory record');
}

/** Whether this is the end record of the archive itself, its directory lying just before it. */
function describesDirectory(source: Source, record: Buffer, position: number, base: number): boolean {
  const size = record.readUInt32LE(12);
  const offset = record.readUInt32LE(16);
  if (size === ZIP64 || offset === ZIP64) return true;
  if (size === 0) return offset === position;
  // With a zip64 record in between, the directory ends 76 bytes earlier.
  if (offset + size > position || offset + size < position - 76) return false;
  return source.bytes(base + offset, 4).toString('latin1') === CENTRAL;
}

/** "PK" and two bytes more begin other things too; an archive's first file has a version, and a name or an end. */
function hasPlausibleLocalHeader(source: Source, base: number): boolean {
  if (source.size < base + 30) return false;
  const header = source.bytes(base, 30);
  if (header.toString('latin1', 0, 4) !== LOCAL) return false;
  const nameLength = header.readUInt16LE(26);
  return header.readUInt8(4) < 100 && header.readUInt16LE(8) < 100 && nameLength > 0 && nameLength <= 4096;
}
