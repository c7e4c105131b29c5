/**
 * What an examiner of a format may see of a file: its size, and a bounded number of its bytes.
 *
 * A damaged header can send a reader anywhere and a hostile one can send it round for ever, so the bound is here,
 * below every examiner, and not left to their care. Every loop over a file's parts reads, and so ends.
 */
import { Buffer } from 'node:buffer';

/** Returns up to `length` bytes at `offset` (fewer at the end of the file); may throw on an I/O error. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

export type Structure =
  | { kind: 'whole'; format: string }
  | { kind: 'truncated'; format: string; detail: string }
  | { kind: 'unknown' };

export const UNKNOWN: Structure = { kind: 'unknown' };

const MiB = 1024 * 1024;

/** Bytes that one examination asks `ReadAt` for, at most: a gzip file of 16 MiB, and room for the walks. */
export const READ_LIMIT = 20 * MiB;

/** Small reads are answered from a window of this many bytes, so that a walk does not cost a system call a field. */
const WINDOW = 1024;

/** Calls of `ReadAt` in one examination, at most: each is charged at least a window. */
export const CALL_LIMIT = READ_LIMIT / WINDOW;

/** No file of a package ends beyond this: a header that says so is corrupt, and proves nothing about the length. */
const LARGEST_END = 2 ** 48;

/** The bytes asked for are not in the file, could not be read, or are more than one examination may read. */
export class Unreadable extends Error {}

export class Source {
  readonly size: number;
  readonly #read: ReadAt;
  #left = READ_LIMIT;
  #window = Buffer.alloc(0);
  #windowStart = 0;

  constructor(size: number, read: ReadAt) {
    this.size = size;
    this.#read = read;
  }

  /**
   * Exactly `length` bytes at `offset`. More than a window's worth may be the reader's own buffer: use them before the next call.
   * Throws Unreadable, which means that nothing can be said about the file.
   */
  bytes(offset: number, length: number): Buffer {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size))
      throw new Unreadable('outside the file');
    const start = offset - this.#windowStart;
    if (start >= 0 && start + length <= this.#window.length)
      return this.#window.subarray(start, start + length);
    if (length > WINDOW) return this.#fetch(offset, length);
    // A copy, for the reader may use one buffer for all its answers.
    this.#window = Buffer.from(this.#fetch(offset, Math.min(WINDOW, this.size - offset)));
    this.#windowStart = offset;
    return this.#window.subarray(0, length);
  }

  u8(offset: number): number {
    return this.bytes(offset, 1).readUInt8(0);
  }

  /** The last `length` bytes, or the whole file when it is shorter. */
  tail(length: number): Buffer {
    const count = Math.min(length, this.size);
    return this.bytes(this.size - count, count);
  }

  #fetch(offset: number, length: number): Buffer {
    this.#left -= Math.max(length, WINDOW);
    if (this.#left < 0) throw new Unreadable('too much to read');
    const answer = this.#read(offset, length);
    // The file became shorter while it was looked at: its size is not what the caller thinks.
    if (answer.length < length) throw new Unreadable('a short read');
    return Buffer.from(answer.buffer, answer.byteOffset, length);
  }
}

/** Truncated, because `what` (lower case, with its verb: "its section headers would end") lies beyond the file's end. */
export function endsBeyond(format: string, what: string, end: number): Structure {
  return end <= LARGEST_END ? { kind: 'truncated', format, detail: `${what} at byte ${end}` } : UNKNOWN;
}

/** Truncated, because the format's own last piece is not there. */
export function lacks(format: string, piece: string): Structure {
  return { kind: 'truncated', format, detail: `its ${piece} is missing` };
}

/** The verdict on a file whose format says where it ends. What follows that end is nobody's: it proves nothing. */
export function judgeEnd(source: Source, format: string, what: string, end: number): Structure {
  if (end > source.size) return endsBeyond(format, what, end);
  return end === source.size ? { kind: 'whole', format } : UNKNOWN;
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Reads the unsigned 64-bit field as a number: beyond 2^53 it loses digits, and such ends are beyond LARGEST_END. */
export function u64(buffer: Buffer, offset: number, little: boolean): number {
  return Number(little ? buffer.readBigUInt64LE(offset) : buffer.readBigUInt64BE(offset));
}

export function u32(buffer: Buffer, offset: number, little: boolean): number {
  return little ? buffer.readUInt32LE(offset) : buffer.readUInt32BE(offset);
}

export function u16(buffer: Buffer, offset: number, little: boolean): number {
  return little ? buffer.readUInt16LE(offset) : buffer.readUInt16BE(offset);
}
