/**
 * In which order files are read: large ones first, so that no thread is left with one at the end while the others have
 * nothing to do; then by device and inode, which on most filesystems is close to the order of their blocks. Of the
 * names of one inode only the first is read.
 */
import { constants } from 'node:os';
import { isExpected } from './read.ts';
import { Done, Kind, Want, type Work } from './work.ts';

export interface ReadingPlan {
  /** Entries in `order`. */
  readonly count: number;
  /** As the inodes say. */
  readonly bytes: number;
  /** Gives every other name of an inode the results of the one that was read. */
  shareResults(): void;
}

/** From here on a file counts as large, in bytes: reading it takes longer than finding it. */
const LARGE = 4 * 1024 * 1024;

/**
 * Larger files are not read: the members of a .deb have ten digits for their size (deb(5)), and a sparse file can
 * claim any, which would take hours to read.
 */
export const MAX_CONTENT_BYTES = 10 ** 10;

/** Fills `order` with the entries whose content is wanted. */
export function planReading(work: Work): ReadingPlan {
  const sorted = byInode(work, wantedFiles(work));
  const twins: [number, number][] = [];
  const large: number[] = [];
  let count = 0;
  let bytes = 0;
  let previous = -1;
  for (const index of sorted) {
    if (previous >= 0 && isSameInode(work, previous, index)) {
      twins.push([index, previous]);
      continue;
    }
    previous = index;
    const size = work.size[index] ?? 0;
    bytes += size;
    if (size >= LARGE) large.push(index);
    else {
      work.order[count] = index;
      count += 1;
    }
  }
  large.sort((a, b) => (work.size[b] ?? 0) - (work.size[a] ?? 0) || a - b);
  work.order.copyWithin(large.length, 0, count);
  work.order.set(large);
  return {
    count: count + large.length,
    bytes,
    shareResults: () => {
      for (const [twin, read] of twins) copyResult(work, read, twin);
    },
  };
}

function isSameInode(work: Work, a: number, b: number): boolean {
  return (
    work.linked[a] === 1 && work.linked[b] === 1 && work.ino[a] === work.ino[b] && work.dev[a] === work.dev[b]
  );
}

function wantedFiles(work: Work): Uint32Array {
  const wanted = new Uint32Array(work.count);
  let count = 0;
  for (let index = 0; index < work.count; index += 1) {
    if (work.kind[index] !== Kind.file || ((work.want[index] ?? 0) & Want.content) === 0) continue;
    if ((work.size[index] ?? 0) > MAX_CONTENT_BYTES) {
      work.errno[index] = constants.errno.EFBIG;
      continue;
    }
    wanted[count] = index;
    count += 1;
  }
  return wanted.subarray(0, count);
}

/** Entries by device, inode and number. */
function byInode(work: Work, entries: Uint32Array): Uint32Array {
  const { dev, ino, count } = work;
  const first = dev[entries[0] ?? 0];
  let oneDevice = true;
  let highest = 0;
  for (const index of entries) {
    if (dev[index] !== first) oneDevice = false;
    const number = ino[index] ?? 0;
    if (number > highest) highest = number;
  }
  // Nearly always inode and entry fit into one number, and numbers are sorted without calling back.
  if (oneDevice && highest < Number.MAX_SAFE_INTEGER / count - 1) {
    const keys = Float64Array.from(entries, (index) => (ino[index] ?? 0) * count + index).sort();
    return Uint32Array.from(keys, (key) => key % count);
  }
  const at = (column: Float64Array, index: number): number => column[index] ?? 0;
  return entries.sort((a, b) => at(dev, a) - at(dev, b) || at(ino, a) - at(ino, b) || a - b);
}

function copyResult(work: Work, from: number, to: number): void {
  work.errno[to] = work.errno[from] ?? 0;
  work.size[to] = work.size[from] ?? 0;
  work.pattern[to] = work.pattern[from] ?? 0;
  work.nulFrom[to] = work.nulFrom[from] ?? 0;
  work.xxh64[to] = work.xxh64[from] ?? 0n;
  work.md5.copyWithin(to * 16, from * 16, from * 16 + 16);
  const done = (work.done[from] ?? 0) & (Done.looked | Done.read);
  const matched =
    (done & Done.read) !== 0 && ((work.want[to] ?? 0) & Want.expected) !== 0 && isExpected(work, to);
  work.done[to] = matched ? done | Done.matched : done;
}
