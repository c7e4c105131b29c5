/** The directory of dpkg's database. Every file and directory in it is resolved inside the root (I7). */
import { readdirSync } from 'node:fs';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { DebmendError, errnoOf, isDeviceErrno } from '../system/errors.ts';
import { type ReadOutcome, readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import type { DatabaseProblem } from './problem.ts';

export type Listing =
  | { kind: 'listed'; names: Bytes[] }
  | { kind: 'missing' }
  | { kind: 'unreadable'; errno: string };

export class Admindir {
  /** Inside the root, without a trailing slash. */
  readonly inside: Bytes;
  /** As a path of this host. */
  readonly host: Bytes;
  readonly #root: Root;

  /** @param host where `inside` was resolved to */
  constructor(root: Root, inside: Bytes, host: Bytes) {
    this.#root = root;
    this.inside = inside;
    this.host = host;
  }

  /** A file of the database as messages name it. */
  path(name: Bytes): Bytes {
    return `${this.inside}/${name}`;
  }

  /** Reads a file, such as `status` or `info/format`. */
  read(name: Bytes): ReadOutcome {
    const found = this.#root.resolve(this.path(name));
    if (found.kind === 'found') return readRegularFile(found.host);
    return found.errno === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', errno: found.errno };
  }

  /** The names in a directory, such as `updates`, in no order. */
  list(name: Bytes): Listing {
    const found = this.#root.resolveDirectory(this.path(name));
    if (found.kind === 'unreachable') {
      return found.errno === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', errno: found.errno };
    }
    try {
      return {
        kind: 'listed',
        names: readdirSync(fsPath(found.host), { encoding: 'buffer' }).map(bytesOf),
      };
    } catch (error) {
      return { kind: 'unreadable', errno: errnoOf(error) ?? 'EIO' };
    }
  }

  /** The names in a directory, sorted; none when it is missing or cannot be read. */
  names(name: Bytes): Bytes[] {
    const listing = this.list(name);
    return listing.kind === 'listed' ? listing.names.sort() : [];
  }

  /**
   * The problem that a file cannot be read is.
   *
   * @param what the file, as a sentence calls it
   */
  unreadable(name: Bytes, what: string, errno: string, blocksDpkg: boolean): DatabaseProblem {
    return {
      code: 'database-unreadable',
      file: this.path(name),
      message: `${what} cannot be read (${errno})`,
      blocksDpkg,
      likelyOutage: isDeviceErrno(errno),
      errno,
    };
  }
}

/** @throws DebmendError `no-dpkg-database` */
export function openAdmindir(root: Root, path: Bytes): Admindir {
  const found = root.resolveDirectory(path);
  if (found.kind === 'found') return new Admindir(root, path.replace(/\/+$/, ''), found.host);
  throw new DebmendError(
    'no-dpkg-database',
    `reading dpkg's database ${root.hostPath(path)}: ${found.errno} at ${root.hostPath(found.at)}`,
    root.isHost
      ? 'is this a Debian or Ubuntu system; name another database with --admindir'
      : 'name the root of a Debian or Ubuntu system with --root, or another database inside it with --admindir',
  );
}
