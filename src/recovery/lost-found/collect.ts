/** What lies in the lost+found directories: everything is looked at and hashed, nothing is changed. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, lstatSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import type { Thing } from '../../model/run.ts';
import { digestBytes, type Xxh64 } from '../../scan/xxh64.ts';
import { type Bytes, bytesOf, compareBytes, fsPath } from '../../system/bytes.ts';
import { openQuietly } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { looksLike } from './looks.ts';

export interface Lost {
  /** Inside the root. */
  readonly path: Bytes;
  readonly name: Bytes;
  readonly type: Thing['type'];
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970. */
  readonly mtime: number;
  readonly ino: number;
  /** Where a link points. */
  readonly target: Bytes | undefined;
  /** Of a regular file that can be read: hexadecimal MD5, and XXH64 as the store keeps it. */
  readonly content: { readonly md5: string; readonly xxh64: Buffer } | undefined;
  readonly looksLike: string;
  /** Of a directory. */
  readonly children: readonly Lost[];
}

/** A path has no more components than this many (PATH_MAX is 4096 bytes). */
const MAX_DEPTH = 2048;
const CHUNK = Buffer.allocUnsafeSlow(1024 * 1024);
const HEAD = 4096;

/** Everything directly in a lost+found directory, with what is below it. @throws the error of a system call */
export function collectLost(root: Root, directory: Bytes, xxh64: Xxh64): Lost[] {
  return namesIn(root, directory).map((name) => look(root, directory, name, xxh64, 0));
}

function look(root: Root, directory: Bytes, name: Bytes, xxh64: Xxh64, depth: number): Lost {
  const path = `${directory}/${name}`;
  const host = root.hostPath(path);
  const stat = lstatSync(fsPath(host));
  const type = typeOf(stat);
  const read = type === 'file' ? readContent(host, xxh64) : undefined;
  const isOpen = type === 'directory' && depth < MAX_DEPTH;
  return {
    path,
    name,
    type,
    size: type === 'file' ? stat.size : 0,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    mtime: stat.mtimeMs,
    ino: stat.ino,
    target: type === 'link' ? bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' })) : undefined,
    content: read === undefined ? undefined : { md5: read.md5, xxh64: read.xxh64 },
    looksLike:
      type === 'file'
        ? read === undefined
          ? 'it cannot be read'
          : looksLike(read.head, stat.size)
        : said(type),
    children: isOpen ? namesIn(root, path).map((one) => look(root, path, one, xxh64, depth + 1)) : [],
  };
}

function namesIn(root: Root, directory: Bytes): Bytes[] {
  return readdirSync(fsPath(root.hostPath(directory)), { encoding: 'buffer' })
    .map((name) => bytesOf(name))
    .sort(compareBytes);
}

function typeOf(stat: ReturnType<typeof lstatSync>): Thing['type'] {
  if (stat === undefined || stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isFIFO()) return 'fifo';
  if (stat.isSocket()) return 'socket';
  return stat.isCharacterDevice() ? 'character-device' : 'block-device';
}

function said(type: Thing['type']): string {
  return `a ${type.replace('-', ' ')}`;
}

/** Both hashes of a regular file in one reading. @returns undefined when it cannot be read */
export function readContent(
  host: Bytes,
  xxh64: Xxh64,
): { readonly md5: string; readonly xxh64: Buffer; readonly head: Buffer } | undefined {
  try {
    const fd = openQuietly(fsPath(host));
    try {
      if (!fstatSync(fd).isFile()) return undefined;
      const md5 = createHash('md5');
      const fast = xxh64.begin();
      let head: Buffer | undefined;
      for (let count = readSync(fd, CHUNK); count > 0; count = readSync(fd, CHUNK)) {
        const piece = CHUNK.subarray(0, count);
        head ??= Buffer.from(piece.subarray(0, HEAD));
        md5.update(piece);
        fast.update(piece);
      }
      return { md5: md5.digest('hex'), xxh64: digestBytes(fast), head: head ?? Buffer.alloc(0) };
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // an I/O error: it stays where it is, and that is said
  }
}
