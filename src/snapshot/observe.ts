/** From what the scan saw of a path to what the store keeps of it. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readlinkSync, readSync } from 'node:fs';
import { Done, Kind, type Work } from '../scan/work.ts';
import { type Xxh64, xxh64Of } from '../scan/xxh64.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { openQuietly } from '../system/files.ts';
import { type Entry, type EntryState, Flag } from './entries.ts';

/**
 * The coarsest tick that kernels take file times from, in milliseconds (10 at 100 Hz), and as much again. A change
 * within one tick of the look leaves the times as they are.
 */
const TICK_MS = 20;
/** Some filesystems keep whole seconds, vfat every second one. */
const COARSE_MS = 2000;

/** What a path is, as far as looking at it tells. */
export function lookedState(work: Work, index: number, lookedAt: number): Omit<EntryState, 'origin' | 'md5'> {
  const kind = work.kind[index] ?? Kind.unknown;
  const ctime = work.ctime[index] ?? 0;
  return {
    kind,
    mode: work.mode[index] ?? 0,
    uid: work.uid[index] ?? 0,
    gid: work.gid[index] ?? 0,
    size: kind === Kind.file ? (work.size[index] ?? 0) : 0,
    ino: work.ino[index] ?? 0,
    mtime: kind === Kind.directory ? 0 : (work.mtime[index] ?? 0),
    ctime,
    flags: isRacy(ctime, lookedAt) ? Flag.racy : 0,
    xxh64: null,
    target: null,
    capability: null,
    content: null,
  };
}

function isRacy(ctime: number, lookedAt: number): boolean {
  return ctime > lookedAt - (ctime % 1000 === 0 ? COARSE_MS : TICK_MS);
}

/** What the scan read of a file; undefined when it could not be read. */
export function scannedContent(
  work: Work,
  index: number,
  md5: Buffer | null,
): Pick<EntryState, 'xxh64' | 'flags'> | undefined {
  if (((work.done[index] ?? 0) & Done.read) === 0) return undefined;
  const xxh64 = Buffer.alloc(8);
  xxh64.writeBigUInt64BE(work.xxh64[index] ?? 0n);
  const sound = md5?.equals(work.md5.subarray(index * 16, index * 16 + 16)) === true;
  return { xxh64, flags: sound ? Flag.sound : 0 };
}

export interface CopiedContent {
  readonly data: Buffer;
  readonly state: Pick<EntryState, 'xxh64' | 'flags' | 'size'>;
}

/** Reads a file that is copied; undefined when that fails, or when it has grown beyond the limit. */
export function readCopy(
  host: Bytes,
  limit: number,
  ctime: number,
  md5: Buffer | null,
  xxh64: Xxh64,
): CopiedContent | undefined {
  try {
    const fd = openQuietly(fsPath(host));
    try {
      const before = fstatSync(fd);
      if (!before.isFile() || before.size > limit) return undefined;
      const data = Buffer.allocUnsafe(before.size + 1);
      let length = 0;
      for (let count = -1; count !== 0 && length < data.length; length += count)
        count = readSync(fd, data, length, data.length - length, null);
      if (length > before.size) return undefined; // it is being written to
      const content = data.subarray(0, length);
      // Another inode than the one that was looked at, or changed since: the next run reads it again.
      const moved = before.ctimeMs !== ctime || fstatSync(fd).ctimeMs !== ctime;
      const sound = md5?.equals(createHash('md5').update(content).digest()) === true;
      return {
        data: content,
        state: {
          xxh64: xxh64Of(xxh64, content),
          size: length,
          flags: (moved ? Flag.racy : 0) | (sound ? Flag.sound : 0),
        },
      };
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** Where a link points; null when it went away. */
export function readTarget(host: Bytes): Bytes | null {
  try {
    return bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' }));
  } catch {
    return null;
  }
}

/** Whether a path is the same in everything that could be put back: all but its inode number and ctime. */
export function isSame(before: Entry, now: EntryState): boolean {
  return (
    before.kind === now.kind &&
    before.mode === now.mode &&
    before.uid === now.uid &&
    before.gid === now.gid &&
    before.size === now.size &&
    before.mtime === now.mtime &&
    before.target === now.target &&
    sameBytes(before.xxh64, now.xxh64) &&
    sameBytes(before.capability, now.capability)
  );
}

export function sameBytes(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}
