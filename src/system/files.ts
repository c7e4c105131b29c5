/**
 * Reading files that someone else may have made (I7, I8): the last component is never followed, only regular files
 * are read (a FIFO does not block, a device is not touched), the access time stays as it is, and nothing endless is
 * read.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { type Bytes, bytesOf, fsPath } from './bytes.ts';
import { errnoOf } from './errors.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOATIME } = constants;

/** A dpkg database file beyond this is not one; the largest seen are a few MB. */
const MAX_FILE_BYTES = 512 * 1024 * 1024;

export type ReadOutcome =
  | { kind: 'read'; data: Bytes }
  | { kind: 'missing' }
  /** Not a regular file, too large, or a system call failed; `errno` names which. */
  | { kind: 'unreadable'; errno: string };

/**
 * Opens for reading without following the last component and without touching the access time; O_NOATIME is only
 * allowed to the file's owner and to root (open(2)), so it is left out when it is refused.
 *
 * @throws the error of open(2)
 */
export function openQuietly(host: string | Buffer): number {
  try {
    return openSync(host, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error;
    return openSync(host, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }
}

/** Reads a whole regular file; `limit` bytes at most, and never its last component through a link. */
export function readRegularFile(host: Bytes, limit = MAX_FILE_BYTES): ReadOutcome {
  const path = fsPath(host);
  try {
    // Looked at first: opening a device can act on it (a watchdog starts, a tape rewinds).
    if (!lstatSync(path).isFile()) return { kind: 'unreadable', errno: 'ENOTREG' };
    const fd = openQuietly(path);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) return { kind: 'unreadable', errno: 'ENOTREG' };
      if (stat.size > limit) return { kind: 'unreadable', errno: 'EFBIG' };
      return { kind: 'read', data: readToEnd(fd, stat.size, limit) };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const errno = errnoOf(error) ?? 'EIO';
    return errno === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', errno };
  }
}

/**
 * Kept between calls: a run reads thousands of small files, and a buffer each would lie about until a collection.
 * Reading is synchronous, so no two calls share it at once.
 */
let scratch = Buffer.allocUnsafeSlow(256 * 1024);
const SCRATCH_LIMIT = 8 * 1024 * 1024;

function readToEnd(fd: number, size: number, limit: number): Bytes {
  // One byte more than expected, so that an unchanged file needs a single read to show its end.
  if (size + 1 > scratch.length) scratch = Buffer.allocUnsafeSlow(size + 1);
  let length = 0;
  try {
    for (;;) {
      const count = readSync(fd, scratch, length, scratch.length - length, null);
      length += count;
      if (length > limit) return scratch.toString('latin1', 0, limit);
      if (count === 0 || (length >= size && length < scratch.length))
        return scratch.toString('latin1', 0, length);
      if (length === scratch.length) {
        const larger = Buffer.allocUnsafeSlow(scratch.length * 2);
        scratch.copy(larger, 0, 0, length);
        scratch = larger;
      }
    }
  } finally {
    if (scratch.length > SCRATCH_LIMIT) scratch = Buffer.allocUnsafeSlow(256 * 1024);
  }
}

/** The names in a directory; none when it cannot be read. */
export function namesIn(host: Bytes): Bytes[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer' }).map(bytesOf);
  } catch {
    return [];
  }
}
