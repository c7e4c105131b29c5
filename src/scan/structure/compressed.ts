/** Compressed files: gzip, xz, zstd. */
import type { Buffer } from 'node:buffer';
import { crc32, gunzipSync } from 'node:zlib';
import { endsBeyond, judgeEnd, lacks, roundUp, type Source, type Structure, UNKNOWN } from './source.ts';

const MiB = 1024 * 1024;
const GZIP_LARGEST = 16 * MiB;
/** gunzipSync keeps its output and joins it, so twice this is held for a moment. */
const GZIP_LARGEST_OUTPUT = 32 * MiB;

/**
 * Source: RFC 1952. Nothing in a member says how long it is, so it is inflated; zlib then also compares the trailer's
 * CRC32 and ISIZE. A file that was cut exactly between two members is whole by its format, and called so.
 */
export function examineGzip(source: Source): Structure {
  if (source.size > GZIP_LARGEST) return UNKNOWN;
  try {
    const options = { maxOutputLength: GZIP_LARGEST_OUTPUT, info: true };
    // With `info` the answer is an object, which @types/node does not know: it says how much input was used.
    const answer: unknown = gunzipSync(source.bytes(0, source.size), options);
    return inputUsed(answer) === source.size ? { kind: 'whole', format: 'gzip' } : UNKNOWN;
  } catch (error) {
    // Z_DATA_ERROR is damage of another kind, and ERR_BUFFER_TOO_LARGE says nothing.
    return isCode(error, 'Z_BUF_ERROR') ? lacks('gzip', 'end-of-stream trailer') : UNKNOWN;
  }
}

function inputUsed(answer: unknown): number | undefined {
  if (typeof answer !== 'object' || answer === null || !('engine' in answer)) return undefined;
  const { engine } = answer;
  if (typeof engine !== 'object' || engine === null || !('bytesWritten' in engine)) return undefined;
  return typeof engine.bytesWritten === 'number' ? engine.bytesWritten : undefined;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

const XZ = 'xz';
const XZ_FOOTER = 12;
const XZ_LARGEST_INDEX = 4 * MiB;
/** Stream padding is rare and short: writers fill a block of a tape with it. */
const XZ_MOST_PADDING = 4096;
const XZ_APPENDED = 64 * 1024;

/**
 * Source: "The .xz File Format" 1.2.0, sections 2.1.2 (stream footer), 2.2 (stream padding) and 4 (index). Streams are
 * walked from the last to the first, as `xz --list` does, so that an accidental "YZ" can't pass for an end.
 */
export function examineXz(source: Source): Structure {
  const missing = lacks(XZ, 'stream footer');
  let end = source.size;
  for (;;) {
    const padding = xzPadding(source, end);
    // NULs where the footer should be are damage, but not a missing end: the file may have its full length.
    const cut = end === source.size && padding === 0;
    end -= padding;
    if (end < XZ_FOOTER * 2) return cut ? missing : UNKNOWN;
    const footer = source.bytes(end - XZ_FOOTER, XZ_FOOTER);
    if (!isXzFooter(footer)) return cut && !hasXzFooterNearEnd(source) ? missing : UNKNOWN;
    const indexSize = (footer.readUInt32LE(4) + 1) * 4;
    const indexStart = end - XZ_FOOTER - indexSize;
    if (indexSize > XZ_LARGEST_INDEX || indexStart < XZ_FOOTER) return UNKNOWN;
    const blocks = sumOfXzBlocks(source.bytes(indexStart, indexSize));
    if (blocks === undefined || indexStart - blocks < XZ_FOOTER) return UNKNOWN;
    end = indexStart - blocks - XZ_FOOTER;
    if (end === 0) return { kind: 'whole', format: XZ };
  }
}

function isXzFooter(bytes: Buffer): boolean {
  return bytes.toString('latin1', 10) === 'YZ' && crc32(bytes.subarray(4, 10)) === bytes.readUInt32LE(0);
}

/** Whether a stream does end, but something was appended to it. */
function hasXzFooterNearEnd(source: Source): boolean {
  const tail = source.tail(XZ_APPENDED);
  for (let at = tail.indexOf('YZ', 10); at >= 0; at = tail.indexOf('YZ', at + 1)) {
    if (isXzFooter(tail.subarray(at - 10, at + 2))) return true;
  }
  return false;
}

/** Bytes of stream padding before `end`: NULs, four at a time. */
function xzPadding(source: Source, end: number): number {
  const length = Math.min(end, XZ_MOST_PADDING);
  const block = source.bytes(end - length, length);
  const kept = block.findLastIndex((byte) => byte !== 0) + 1;
  return Math.floor((length - kept) / 4) * 4;
}

/** Bytes that the blocks of one stream take, from its index: an indicator, a count, and two integers a block. */
function sumOfXzBlocks(index: Uint8Array): number | undefined {
  let at = 1;
  const integer = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = index[at++];
      if (byte === undefined || scale > 2 ** 56) return Number.NaN;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  if (index[0] !== 0) return undefined;
  const count = integer();
  if (!(count <= index.length)) return undefined;
  let sum = 0;
  for (let block = 0; block < count; block++) {
    sum += roundUp(integer(), 4);
    integer();
  }
  return Number.isSafeInteger(sum) ? sum : undefined;
}

const ZSTD = 'zstd';
const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_SKIPPABLE = 0x184d2a50;
const ZSTD_LARGEST_BLOCK = 128 * 1024;

/** Source: RFC 8878, section 3.1: frames, block headers and skippable frames. */
export function examineZstd(source: Source): Structure {
  let at = 0;
  while (at < source.size) {
    if (at + 4 > source.size) return UNKNOWN;
    const magic = source.bytes(at, 4).readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE) {
      if (at + 8 > source.size) return endsBeyond(ZSTD, 'a skippable frame’s header would end', at + 8);
      at += 8 + source.bytes(at + 4, 4).readUInt32LE(0);
      if (at > source.size) return endsBeyond(ZSTD, 'a skippable frame would end', at);
      continue;
    }
    if (magic !== ZSTD_MAGIC) return UNKNOWN;
    const end = endOfZstdFrame(source, at);
    if (typeof end !== 'number') return end;
    at = end;
  }
  return judgeEnd(source, ZSTD, 'its last frame would end', at);
}

/** The offset after the frame that begins at `start`, or the verdict on the file if that frame isn't all there. */
function endOfZstdFrame(source: Source, start: number): number | Structure {
  if (start + 5 > source.size) return lacks(ZSTD, 'frame header');
  const descriptor = source.u8(start + 4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const contentSize = contentSizeFlag === 0 ? Number(singleSegment) : 1 << contentSizeFlag;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if ((descriptor & 0x08) !== 0) return UNKNOWN;
  let at = start + 5 + Number(!singleSegment) + dictionaryId + contentSize;
  for (let last = false; !last; ) {
    if (at + 3 > source.size) return lacks(ZSTD, 'last block');
    const header = source.bytes(at, 3).readUIntLE(0, 3);
    last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3 || size > ZSTD_LARGEST_BLOCK) return UNKNOWN;
    at += 3 + (type === 1 ? 1 : size);
    if (at > source.size) return endsBeyond(ZSTD, 'one of its blocks would end', at);
  }
  at += (descriptor & 0x04) !== 0 ? 4 : 0;
  return at > source.size ? endsBeyond(ZSTD, 'its content checksum would end', at) : at;
}
