/**
 * The second thing that a thread does: the content of regular files, hashed. Eight files are open at a time, one in
 * each lane of the MD5 engine; a lane takes the next file when its own is done. Only regular files are opened, links
 * are not followed, and access times stay as they are (I7).
 */
import { closeSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import { fsPath } from '../system/bytes.ts';
import { openQuietly } from '../system/files.ts';
import { errnoNumber, type ReaderOptions } from './look.ts';
import { LANE_BYTES, LANES, type Md5Engine, md5Engine } from './md5/lanes.ts';
import { Control, Done, Pattern, pathReader, Want, type Work } from './work.ts';
import type { Xxh64State } from './xxh64.ts';

/** Entries taken at once: few, so that threads end together. */
const READ_CHUNK = 8;

/** A file on its way through a lane. */
interface OpenFile {
  readonly index: number;
  readonly fd: number;
  /** Bytes read so far. */
  total: number;
  /** Where the NUL bytes begin that last until here, or -1. */
  nulFrom: number;
  ended: boolean;
  readonly xxh64: Xxh64State | undefined;
}

/** Reads the first `toRead` entries of `order` until none is left. */
export function readEntries(work: Work, toRead: number, options: ReaderOptions): void {
  const queue = new Queue(work, toRead);
  const engine = md5Engine(options.md5, options.lanes);
  const files: (OpenFile | undefined)[] = Array.from({ length: LANES }, () => undefined);
  let open = 0;
  try {
    for (;;) {
      for (let lane = 0; lane < LANES; lane += 1) {
        let file = files[lane];
        while (engine.isDrained(lane)) {
          if (file?.ended) {
            finish(work, engine, lane, file, options);
            closeSync(file.fd);
            files[lane] = undefined;
            file = undefined;
            open -= 1;
          }
          if (file === undefined) {
            file = openNext(work, queue, options);
            if (file === undefined) break;
            files[lane] = file;
            open += 1;
            engine.begin(lane);
          }
          if (!fillLane(work, queue, engine, lane, file)) {
            closeSync(file.fd);
            files[lane] = undefined;
            file = undefined;
            open -= 1;
          }
        }
      }
      if (open === 0) return;
      engine.advance();
      if (Atomics.load(work.control, Control.cancelled) !== 0) return;
    }
  } finally {
    for (const file of files) if (file !== undefined) closeSync(file.fd);
    queue.flush();
  }
}

/** Entries to read, taken a few at a time from the list that all threads share. */
class Queue {
  readonly #work: Work;
  readonly #toRead: number;
  readonly pathOf: (index: number) => string;
  #next = 0;
  #end = 0;
  /** Bytes read that the others have not been told of. */
  bytes = 0;

  constructor(work: Work, toRead: number) {
    this.#work = work;
    this.#toRead = toRead;
    this.pathOf = pathReader(work);
  }

  take(): number | undefined {
    if (this.#next === this.#end) {
      this.flush();
      const from = Atomics.add(this.#work.control, Control.cursor, READ_CHUNK);
      if (from >= this.#toRead || Atomics.load(this.#work.control, Control.cancelled) !== 0) return undefined;
      this.#next = from;
      this.#end = Math.min(from + READ_CHUNK, this.#toRead);
    }
    const index = this.#work.order[this.#next];
    this.#next += 1;
    return index;
  }

  flush(): void {
    if (this.bytes === 0) return;
    Atomics.add(this.#work.bytesRead, 0, BigInt(this.bytes));
    this.bytes = 0;
  }
}

/** Opens files until one can be opened; undefined when the list is done. */
function openNext(work: Work, queue: Queue, options: ReaderOptions): OpenFile | undefined {
  for (let index = queue.take(); index !== undefined; index = queue.take()) {
    try {
      const fd = openQuietly(fsPath(queue.pathOf(index)));
      return { index, fd, total: 0, nulFrom: -1, ended: false, xxh64: options.xxh64?.begin() };
    } catch (error) {
      work.errno[index] = errnoNumber(error);
    }
  }
  return undefined;
}

/** Reads the next piece of a lane's file; false when that failed, which the entry then says, or is not wanted any more. */
function fillLane(work: Work, queue: Queue, engine: Md5Engine, lane: number, file: OpenFile): boolean {
  if (Atomics.load(work.control, Control.cancelled) !== 0) return false;
  const base = engine.base(lane);
  const promised = work.size[file.index] ?? 0;
  let count = 0;
  try {
    // A short read alone is no end, some filesystems return less than was asked for (FUSE, proc); and where the size
    // that the inode promised is reached, the read that would only show the end is spared.
    let last: number;
    do {
      last = readSync(file.fd, engine.memory, base + count, LANE_BYTES - count, null);
      count += last;
    } while (last > 0 && count < LANE_BYTES && file.total + count !== promised);
  } catch (error) {
    work.errno[file.index] = errnoNumber(error);
    return false;
  }
  const piece = engine.memory.subarray(base, base + count);
  file.xxh64?.update(piece);
  file.nulFrom = nulTail(piece, file.total, file.nulFrom);
  file.total += count;
  queue.bytes += count;
  // Someone may append for ever: no more is read than twice what the inode promised when it was looked at.
  if (count < LANE_BYTES) {
    file.ended = true;
    engine.fillLast(lane, count, file.total);
  } else if (file.total > Math.max(promised * 2, LANE_BYTES * 4)) {
    work.errno[file.index] = constants.errno.EFBIG;
    return false;
  } else engine.fill(lane);
  return true;
}

function finish(work: Work, engine: Md5Engine, lane: number, file: OpenFile, options: ReaderOptions): void {
  const { index } = file;
  if (options.md5) engine.digest(lane, work.md5, index * 16);
  if (file.xxh64 !== undefined) work.xxh64[index] = file.xxh64.digest();
  if (file.nulFrom >= 0) {
    work.pattern[index] = file.nulFrom === 0 ? Pattern.nulFilled : Pattern.nulTail;
    work.nulFrom[index] = file.nulFrom;
  }
  // What was read counts, should the file have changed since it was looked at.
  work.size[index] = file.total;
  const matched = options.md5 && ((work.want[index] ?? 0) & Want.expected) !== 0 && isExpected(work, index);
  work.done[index] = Done.looked | Done.read | (matched ? Done.matched : 0);
}

/**
 * Where the NUL bytes begin that last until the end of `piece`.
 *
 * @param offset of the piece in its file
 * @param piece `LANE_BYTES` long at most
 * @param before where they began at the end of the piece before, or -1
 */
export function nulTail(piece: Uint8Array, offset: number, before: number): number {
  let at = piece.length;
  if (at === 0) return before;
  if (piece[at - 1] !== 0) return -1;
  // A sparse file can be gigabytes of this: compared as a whole first.
  if (Buffer.compare(piece, NUL_BYTES.subarray(0, at)) === 0) return before >= 0 ? before : offset;
  while (piece[at - 1] === 0) at -= 1;
  return offset + at;
}

const NUL_BYTES = new Uint8Array(LANE_BYTES);

/** Whether the MD5 of an entry is the one that is expected. */
export function isExpected(work: Work, index: number): boolean {
  for (let i = index * 16; i < index * 16 + 16; i += 1) if (work.md5[i] !== work.expected[i]) return false;
  return true;
}
