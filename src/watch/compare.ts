/**
 * One path held against what the newest snapshot knows of it: by what its inode says, and where that cannot tell, by
 * its content. Nothing is followed and only regular files are read (I7).
 */
import { close, fstat, lstatSync, read, readlinkSync, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { Kind } from '../scan/work.ts';
import { digestBytes, loadXxh64 } from '../scan/xxh64.ts';
import { type Entry, Flag } from '../snapshot/entries.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { errnoOf } from '../system/errors.ts';
import { openQuietly } from '../system/files.ts';
import type { Aspect } from './events.ts';

export interface Comparison {
  /** What is different; nothing: it is as it was. */
  readonly changed: readonly Aspect[];
  /** Tells this state of the path from any other. */
  readonly state: string;
}

const readAsync = promisify(read);
const statAsync = promisify(fstat);
const closeAsync = promisify(close);
const CHUNK_BYTES = 64 * 1024;

/**
 * @param host the path on this host
 * @param isCancelled asked while a file is read; what is returned then means nothing
 */
export async function compare(
  entry: Entry,
  host: Bytes,
  isCancelled: () => boolean = () => false,
): Promise<Comparison> {
  let stat: Stats;
  try {
    stat = lstatSync(fsPath(host));
  } catch (error) {
    const errno = errnoOf(error) ?? 'EIO';
    const missing = errno === 'ENOENT' || errno === 'ENOTDIR';
    return { changed: [missing ? 'missing' : 'unreadable'], state: errno };
  }
  const file = stat.isFile();
  const link = stat.isSymbolicLink();
  if (entry.kind !== (file ? Kind.file : link ? Kind.link : Kind.unknown)) {
    return { changed: ['type'], state: `type ${stat.mode >> 12}` };
  }
  const changed: Aspect[] = [];
  // A link's own mode is none.
  if (file && (stat.mode & 0o7777) !== entry.mode) changed.push('mode');
  if (stat.uid !== entry.uid || stat.gid !== entry.gid) changed.push('owner');
  let content = '';
  if (link) {
    content = targetOf(host);
    if (content !== entry.target) changed.push('target');
  } else if (!isAsBefore(stat, entry)) {
    const hash = await hashOf(host, isCancelled);
    if (hash === undefined) changed.push('unreadable');
    else if (entry.xxh64 === null || !hash.equals(entry.xxh64)) changed.push('content');
    content = hash?.toString('hex') ?? 'unreadable';
  }
  return { changed, state: [stat.mode, stat.uid, stat.gid, content].join(' ') };
}

/** Whether the content is certainly what it was: nothing of the inode changed since it was read. */
function isAsBefore(stat: Stats, entry: Entry): boolean {
  return (
    (entry.flags & Flag.racy) === 0 &&
    stat.ino === entry.ino &&
    stat.size === entry.size &&
    stat.mtimeMs === entry.mtime &&
    // A change of the mode changes it too, and then the content is read: mtime can be set to anything.
    stat.ctimeMs === entry.ctime
  );
}

function targetOf(host: Bytes): Bytes {
  try {
    return bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' }));
  } catch {
    return '';
  }
}

/** XXH64 of a file, 8 bytes, big-endian, read bit by bit so that nothing else waits; undefined when it can't be read. */
async function hashOf(host: Bytes, isCancelled: () => boolean): Promise<Buffer | undefined> {
  const xxh64 = await loadXxh64();
  try {
    const fd = openQuietly(fsPath(host));
    try {
      if (!(await statAsync(fd)).isFile()) return undefined;
      const hash = xxh64.begin();
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      while (!isCancelled()) {
        const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, null);
        if (bytesRead === 0) break;
        hash.update(chunk.subarray(0, bytesRead));
      }
      return digestBytes(hash);
    } finally {
      await closeAsync(fd);
    }
  } catch {
    return undefined;
  }
}
