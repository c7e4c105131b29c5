/**
 * The first thing that a thread does with the list of work: every entry is looked at (lstat), and directories are
 * listed. Nothing is followed and nothing is opened (I7).
 */
import { lstatSync, opendirSync, readdirSync, type Stats } from 'node:fs';
import { constants } from 'node:os';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { errnoOf } from '../system/errors.ts';
import { Control, Done, Kind, pathReader, Want, type Work } from './work.ts';
import type { Xxh64 } from './xxh64.ts';

/** Entries taken at once: few enough that threads end together, many enough that taking costs nothing. */
const LOOK_CHUNK = 64;

/** What the threads are told about a run. */
export interface ReaderOptions {
  readonly md5: boolean;
  /** Whether eight files are hashed side by side, which pays for its start from some megabytes on. */
  readonly lanes: boolean;
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
  work.linked[index] = stat.nlink > 1 && Number.isSafeInteger(stat.ino) ? 1 : 0;
  work.mtime[index] = stat.mtimeMs;
  work.ctime[index] = stat.ctimeMs;
  if (options.markers.length > 0 && stat.isDirectory() && ((work.want[index] ?? 0) & Want.names) !== 0) {
    listNames(work, index, path, options.markers, found);
  }
  work.done[index] = Done.looked;
}

function listNames(work: Work, index: number, path: Bytes, markers: readonly string[], found: Bytes[]): void {
  const prefix = path === '/' ? '/' : `${path}/`;
  try {
    for (const name of namesIn(path, work.size[index] ?? 0)) {
      if (markers.some((marker) => name.includes(marker))) found.push(prefix + name);
    }
  } catch (error) {
    work.errno[index] = errnoNumber(error);
  }
}

/**
 * Bytes of a directory from which on its names are taken a few at a time: a spool of millions would fill a thread's
 * heap. For the others, which are nearly all, one call is three times as fast.
 */
const LARGE_DIRECTORY = 256 * 1024;

function namesIn(path: Bytes, size: number): Iterable<Bytes> {
  return size < LARGE_DIRECTORY ? readdirSync(fsPath(path), { encoding: 'latin1' }) : streamNames(path);
}

function* streamNames(path: Bytes): Generator<Bytes> {
  const directory = opendirSync(fsPath(path), { encoding: 'latin1' });
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) yield entry.name;
  } finally {
    directory.closeSync();
  }
}

/** One of Kind. */
export function kindOf(stat: Stats): number {
  if (stat.isFile()) return Kind.file;
  if (stat.isDirectory()) return Kind.directory;
  if (stat.isSymbolicLink()) return Kind.link;
  if (stat.isFIFO()) return Kind.fifo;
  if (stat.isSocket()) return Kind.socket;
  if (stat.isCharacterDevice()) return Kind.characterDevice;
  if (stat.isBlockDevice()) return Kind.blockDevice;
  return Kind.unknown;
}

/** Node's table, and what it leaves out: a filesystem that finds its own metadata damaged (errno(3)). */
const ERRNO: Readonly<Record<string, number>> = { ...constants.errno, EUCLEAN: 117 };

/** The number of a failed call's errno; EIO for whatever has none. */
export function errnoNumber(error: unknown): number {
  const name = errnoOf(error);
  return (name === undefined ? undefined : ERRNO[name]) ?? constants.errno.EIO;
}

/** The name of an errno column's number (`EIO`). */
export function errnoName(number: number): string {
  for (const [name, value] of Object.entries(ERRNO)) if (value === number) return name;
  return `errno ${number}`;
}
