/** Reading inside a root (I7), bounded, and never throwing (I8). */
import { closeSync, fstatSync, lstatSync, opendirSync, readSync, type Stats } from 'node:fs';
import { join } from 'node:path/posix';
import { type Bytes, bytesOf, fsPath } from './bytes.ts';
import { openQuietly, type ReadOutcome, readRegularFile } from './files.ts';
import type { Root } from './root.ts';

/** Reads a regular file inside the root, `limit` bytes at most; a link at its end is not followed. */
export function readInside(root: Root, path: Bytes, limit: number): ReadOutcome {
  const found = root.resolve(path);
  if (found.kind === 'unreachable')
    return found.errno === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', errno: found.errno };
  return readRegularFile(found.host, limit);
}

/**
 * The last `limit` bytes of a regular file inside the root, or a little less, so that they begin at a multiple of
 * `align`; undefined when it cannot be read.
 */
export function readTail(root: Root, path: Bytes, limit: number, align = 1): Bytes | undefined {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return undefined;
  const from = (size: number): number => Math.ceil(Math.max(0, size - limit) / align) * align;
  return readPart(found.host, from, limit);
}

/** The first `limit` bytes of a regular file, by its path on this host; undefined when it cannot be read. */
export function readHead(host: Bytes, limit: number): Bytes | undefined {
  return readPart(host, () => 0, limit);
}

function readPart(host: Bytes, from: (size: number) => number, limit: number): Bytes | undefined {
  const path = fsPath(host);
  try {
    if (!lstatSync(path).isFile()) return undefined;
    const fd = openQuietly(path);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) return undefined;
      const buffer = Buffer.alloc(Math.min(limit, Math.max(stat.size, 4096)));
      const start = from(stat.size);
      let length = 0;
      for (let count = -1; count !== 0 && length < buffer.length; length += count)
        count = readSync(fd, buffer, length, buffer.length - length, start + length);
      return bytesOf(buffer.subarray(0, length));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

export interface Entry {
  readonly name: Bytes;
  /** As a path of this host. */
  readonly host: Bytes;
  readonly stat: Stats;
}

/** What lies in a directory inside the root, `limit` names at most; empty when it cannot be read. */
export function listInside(root: Root, path: Bytes, limit: number): Entry[] {
  const found = root.resolveDirectory(path);
  return found.kind === 'unreachable' ? [] : listDirectory(found.host, limit);
}

/** What lies in a directory of this host; the directory itself has been resolved. */
export function listDirectory(host: Bytes, limit: number): Entry[] {
  const entries: Entry[] = [];
  try {
    // Not readdir: a directory with a million names must not be read whole.
    const directory = opendirSync(fsPath(host), { encoding: 'latin1' });
    try {
      for (let seen = 0; seen < limit; seen += 1) {
        const next = directory.readSync();
        if (next === null) break;
        const file = join(host, next.name);
        try {
          entries.push({ name: next.name, host: file, stat: lstatSync(fsPath(file)) });
        } catch {
          // Gone meanwhile.
        }
      }
    } finally {
      directory.closeSync();
    }
  } catch {
    // Missing, or not ours to read: nothing is known from there.
  }
  return entries;
}
