/**
 * What a thread does with the list of work. First every entry is looked at (lstat, and directories are listed), then
 * those with content are read in the order of their inodes, which on a cold disk is close to the order of their
 * blocks. Nothing is followed, nothing but regular files is opened, and access times stay as they are (I7).
 */
import { createHash, hash as hashOnce } from 'node:crypto';
import { closeSync, lstatSync, readdirSync, readSync, type Stats } from 'node:fs';
import { constants } from 'node:os';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { errnoOf } from '../system/errors.ts';
import { openQuietly } from '../system/files.ts';
import { Control, Done, Kind, Pattern, pathReader, Want, type Work } from './work.ts';

/** Entries taken at once: few enough that threads end together, many enough that taking costs nothing. */
const LOOK_CHUNK = 64;
const READ_CHUNK = 8;

/**
 * Bytes a read; the whole of most files (median 2 KB, nine of ten below 64 KB), and small enough that a piece is
 * still in the cache when it is hashed. docs/benchmarks.md holds the figures.
 */
export const READ_BYTES = 256 * 1024;

/** Hashes pieces of a file to an XXH64; made by xxhash-wasm. */
export interface Xxh64 {
  once(bytes: Uint8Array): bigint;
  begin(): { update(bytes: Uint8Array): void; digest(): bigint };
}

export interface ReaderOptions {
  readonly md5: boolean;
  /** Present when XXH64 is wanted. */
  readonly xxh64: Xxh64 | undefined;
  /** Parts of names that are looked for in directories. */
  readonly markers: readonly string[];
}

/** Looks at entries until none is left; returns the host paths of names that hold a marker. */
export function lookAtEntries(work: Work, options: ReaderOptions): Bytes[] {
  const found: Bytes[] = [];
  const pathOf = pathReader(work);
  for (;;) {
    if (Atomics.load(work.control, Control.cancelled) !== 0) return found;
    const from = Atomics.add(work.control, Control.cursor, LOOK_CHUNK);
    if (from >= work.count) return found;
    const to = Math.min(from + LOOK_CHUNK, work.count);
    for (let index = from; index < to; index += 1) lookAt(work, index, pathOf(index), options, found);
    Atomics.add(work.control, Control.entriesDone, to - from);
  }
}

function lookAt(work: Work, index: number, path: Bytes, options: ReaderOptions, found: Bytes[]): void {
  let stat: Stats;
  try {
    stat = lstatSync(fsPath(path));
  } catch (error) {
    work.errno[index] = errnoNumber(error);
    work.done[index] = Done.looked;
    return;
  }
  work.kind[index] = kindOf(stat);
  work.mode[index] = stat.mode & 0o7777;
  work.uid[index] = stat.uid;
  work.gid[index] = stat.gid;
  work.size[index] = stat.size;
  work.dev[index] = stat.dev;
  work.ino[index] = stat.ino;
  work.mtime[index] = stat.mtimeMs;
  work.ctime[index] = stat.ctimeMs;
  if (stat.isDirectory() && ((work.want[index] ?? 0) & Want.names) !== 0) {
    listNames(work, index, path, options.markers, found);
  }
  work.done[index] = Done.looked;
}

function listNames(work: Work, index: number, path: Bytes, markers: readonly string[], found: Bytes[]): void {
  let names: Bytes[];
  try {
    names = readdirSync(fsPath(path), { encoding: 'latin1' });
  } catch (error) {
    work.errno[index] = errnoNumber(error);
    return;
  }
  for (const name of names) {
    for (const marker of markers) {
      if (name.includes(marker)) {
        found.push(path === '/' ? `/${name}` : `${path}/${name}`);
        break;
      }
    }
  }
}

function kindOf(stat: Stats): number {
  if (stat.isFile()) return Kind.file;
  if (stat.isDirectory()) return Kind.directory;
  if (stat.isSymbolicLink()) return Kind.link;
  if (stat.isFIFO()) return Kind.fifo;
  if (stat.isSocket()) return Kind.socket;
  if (stat.isCharacterDevice()) return Kind.characterDevice;
  if (stat.isBlockDevice()) return Kind.blockDevice;
  return Kind.unknown;
}

/** The number of a failed call's errno; EIO for whatever has none. */
function errnoNumber(error: unknown): number {
  const name = errnoOf(error);
  const known: Readonly<Record<string, number>> = constants.errno;
  return (name === undefined ? undefined : known[name]) ?? constants.errno.EIO;
}

/** The name of an errno column's number (`EIO`). */
export function errnoName(number: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === number) return name;
  return `errno ${number}`;
}

/** Reads the first `toRead` entries of `order` until none is left. */
export function readEntries(work: Work, toRead: number, options: ReaderOptions): void {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const pathOf = pathReader(work);
  for (;;) {
    const from = Atomics.add(work.control, Control.cursor, READ_CHUNK);
    if (from >= toRead) return;
    const to = Math.min(from + READ_CHUNK, toRead);
    for (let i = from; i < to; i += 1) {
      if (Atomics.load(work.control, Control.cancelled) !== 0) return;
      const index = work.order[i] ?? 0;
      readEntry(work, index, pathOf(index), buffer, options);
    }
    Atomics.add(work.control, Control.entriesDone, to - from);
  }
}

function readEntry(work: Work, index: number, path: Bytes, buffer: Buffer, options: ReaderOptions): void {
  try {
    const fd = openQuietly(fsPath(path));
    try {
      hashContent(work, index, fd, buffer, options);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    work.errno[index] = errnoNumber(error);
  }
}

function hashContent(work: Work, index: number, fd: number, buffer: Buffer, options: ReaderOptions): void {
  const first = readSync(fd, buffer, 0, READ_BYTES, null);
  let nul: number;
  if (first < READ_BYTES) {
    const content = buffer.subarray(0, first);
    if (options.md5) putHash(work.md5, index, hashOnce('md5', content, 'latin1'));
    if (options.xxh64 !== undefined) work.xxh64[index] = options.xxh64.once(content);
    nul = nulTail(content, 0, -1);
    Atomics.add(work.bytesRead, 0, BigInt(first));
  } else {
    nul = hashPieces(work, index, fd, buffer, options);
    if (Atomics.load(work.control, Control.cancelled) !== 0) return;
  }
  if (nul >= 0) {
    work.pattern[index] = nul === 0 ? Pattern.nulFilled : Pattern.nulTail;
    work.nulFrom[index] = nul;
  }
  const matched = ((work.want[index] ?? 0) & Want.expected) !== 0 && options.md5 && isExpected(work, index);
  work.done[index] = Done.looked | Done.read | (matched ? Done.matched : 0);
}

/** Goes on from a full first piece; returns where the NUL tail begins, or -1. */
function hashPieces(work: Work, index: number, fd: number, buffer: Buffer, options: ReaderOptions): number {
  const md5 = options.md5 ? createHash('md5') : undefined;
  const xxh64 = options.xxh64?.begin();
  // Someone may append for ever: no more is read than twice what the inode promised when it was looked at.
  const limit = Math.max((work.size[index] ?? 0) * 2, READ_BYTES * 4);
  let total = 0;
  let nul = -1;
  for (let count = READ_BYTES; count > 0; count = readSync(fd, buffer, 0, READ_BYTES, null)) {
    const piece = count === READ_BYTES ? buffer : buffer.subarray(0, count);
    md5?.update(piece);
    xxh64?.update(piece);
    nul = nulTail(piece, total, nul);
    total += count;
    Atomics.add(work.bytesRead, 0, BigInt(count));
    if (total > limit || Atomics.load(work.control, Control.cancelled) !== 0) break;
  }
  if (md5 !== undefined) putHash(work.md5, index, md5.digest('latin1'));
  if (xxh64 !== undefined) work.xxh64[index] = xxh64.digest();
  return nul;
}

/**
 * Where the NUL bytes begin that last until the end of `piece`.
 *
 * @param offset of the piece in its file
 * @param before where they began at the end of the piece before, or -1
 */
function nulTail(piece: Uint8Array, offset: number, before: number): number {
  let at = piece.length;
  if (at === 0 || piece[at - 1] !== 0) return -1;
  while (at > 0 && piece[at - 1] === 0) at -= 1;
  if (at > 0) return offset + at;
  return before >= 0 || offset === 0 ? Math.max(before, 0) : offset;
}

/** A digest as a byte string, which lives in the heap, into its column; a buffer each would be freed late. */
function putHash(column: Uint8Array, index: number, digest: Bytes): void {
  for (let i = 0; i < digest.length; i += 1) column[index * 16 + i] = digest.charCodeAt(i);
}

function isExpected(work: Work, index: number): boolean {
  for (let i = index * 16; i < index * 16 + 16; i += 1) if (work.md5[i] !== work.expected[i]) return false;
  return true;
}
