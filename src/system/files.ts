/**
 * Reading files that someone else may have made (I7, I8): the last component is never followed, only regular files
 * are read (a FIFO does not block, a device is not touched), the access time stays as it is, and nothing endless is
 * read.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
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

function readToEnd(fd: number, size: number, limit: number): Bytes {
  // One byte more than expected, so that an unchanged file needs a single read to show its end.
  let buffer = Buffer.allocUnsafe(size + 1);
  let length = 0;
  for (;;) {
    const count = readSync(fd, buffer, length, buffer.length - length, null);
    length += count;
    if (count === 0 || length < buffer.length) return bytesOf(buffer.subarray(0, length));
    if (length > limit) return bytesOf(buffer.subarray(0, limit));
    buffer = Buffer.concat([buffer], Math.min(limit + 1, buffer.length * 2));
  }
}
