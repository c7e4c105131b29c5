/** What stands at a name: looking at it without opening it, knowing it again, hashing it, setting what belongs to it. */
import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  utimesSync,
} from 'node:fs';
import { pathToText } from '../../model/path-text.ts';
import type { AttributesRecord, Thing, ThingType } from '../../model/run.ts';
import { type Bytes, bytesOf } from '../../system/bytes.ts';
import { DebmendError, errnoOf } from '../../system/errors.ts';
import { readCapability, setNanoseconds, writeCapability } from './attribute-calls.ts';
import { O_PATH, type Spot } from './places.ts';

const { O_NOFOLLOW, O_RDONLY, O_NONBLOCK, O_NOATIME } = constants;

/** What stands at a name, and null when nothing does. @throws the error of lstat(2) */
export function lookAt({ directory, name }: Spot): Thing | null {
  try {
    const stat = lstatSync(directory.entry(name), { bigint: true });
    const target = stat.isSymbolicLink()
      ? bytesOf(readlinkSync(directory.entry(name), { encoding: 'buffer' }))
      : undefined;
    return thingOf(stat, target);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

function thingOf(stat: BigIntStats, target: Bytes | undefined): Thing {
  const type = typeOf(stat);
  const isDevice = type === 'character-device' || type === 'block-device';
  return {
    type,
    inode: String(stat.ino),
    mode: octal(Number(stat.mode)),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: type === 'file' || type === 'link' ? Number(stat.size) : 0,
    mtime: String(stat.mtimeNs),
    links: Number(stat.nlink),
    ...(isDevice ? { device: String(stat.rdev) } : {}),
    ...(target === undefined ? {} : { target: targetToText(target) }),
  };
}

function typeOf(stat: BigIntStats): ThingType {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isFIFO()) return 'fifo';
  if (stat.isSocket()) return 'socket';
  return stat.isCharacterDevice() ? 'character-device' : 'block-device';
}

export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

/**
 * A link's target as text. Unlike a path it need not begin with a slash, so one that looks like path-text's escape has
 * to be escaped itself; textToPath reads both.
 */
export function targetToText(target: Bytes): string {
  if (!target.startsWith('file://')) return pathToText(target);
  return `file://${[...target].map((char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`).join('')}`;
}

/** Whether two looks saw the same thing: the same inode, not written to in between. Renames and links change neither. */
export function isSame(a: Thing | null, b: Thing | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.type !== b.type || a.inode !== b.inode) return false;
  return a.type === 'directory' || (a.mtime === b.mtime && a.size === b.size && a.target === b.target);
}

/** Whether it is the same inode, written to or not. */
export function isSameInode(a: Thing | null, b: Thing | null): boolean {
  return a !== null && b !== null && a.type === b.type && a.inode === b.inode;
}

/** Whether it is the same, and has the same mode and owner. */
export function isUnchanged(a: Thing | null, b: Thing | null): boolean {
  if (!isSame(a, b)) return false;
  return a === null || b === null || (a.mode === b.mode && a.uid === b.uid && a.gid === b.gid);
}

/** An inode that is held without being opened; whatever happens to its name, it stays this one. */
export class Held {
  readonly fd: number;
  readonly stat: BigIntStats;

  private constructor(fd: number) {
    this.fd = fd;
    this.stat = fstatSync(fd, { bigint: true });
  }

  /** @throws the error of open(2) */
  static with<T>({ directory, name }: Spot, work: (held: Held) => T): T {
    const held = new Held(openSync(directory.entry(name), O_PATH | O_NOFOLLOW));
    try {
      return work(held);
    } finally {
      closeSync(held.fd);
    }
  }

  /** What an open file is; it stays open. */
  static of(fd: number): Held {
    return new Held(fd);
  }

  /** For calls that follow it to the inode, and no further. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** security.capability; undefined when there is none. @throws DebmendError when that can't be found out */
  capability(): Buffer | undefined {
    return readCapability(this.fd);
  }

  /** Opens a regular file or a directory for real, to read or sync it. @throws the error of open(2) */
  opened<T>(work: (fd: number) => T): T {
    let fd: number;
    try {
      fd = openSync(this.path, O_RDONLY | O_NONBLOCK | O_NOATIME);
    } catch (error) {
      if (errnoOf(error) !== 'EPERM') throw error;
      fd = openSync(this.path, O_RDONLY | O_NONBLOCK);
    }
    try {
      return work(fd);
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Sets mode, owner, time and capability, each where it differs, and syncs. A new owner takes the capability and the
   * setuid bits away (chown(2)), so the owner comes first, and a capability that nothing is said of is put back.
   *
   * @throws the error of a system call; DebmendError when a capability can't be read or written
   */
  set(wanted: AttributesRecord): void {
    const { path, stat } = this;
    const isFile = stat.isFile();
    const canHave = isFile && (Number(stat.mode) & 0o111) !== 0;
    const owner = Number(stat.uid) !== wanted.uid || Number(stat.gid) !== wanted.gid;
    let capability: Buffer | undefined =
      wanted.capability === undefined ? undefined : Buffer.from(wanted.capability, 'hex');
    if (owner) {
      if (capability === undefined && canHave) capability = this.capability();
      chownSync(path, wanted.uid, wanted.gid);
    }
    if (!stat.isSymbolicLink()) {
      const now = fstatSync(this.fd);
      if (octal(now.mode) !== wanted.mode) chmodSync(path, Number.parseInt(wanted.mode, 8));
    }
    if (isFile && capability !== undefined) {
      const had = this.capability() ?? Buffer.alloc(0);
      if (!had.equals(capability)) writeCapability(this.fd, capability);
    }
    if (wanted.mtime !== undefined && wanted.mtime !== String(stat.mtimeNs))
      this.#setTime(BigInt(wanted.mtime));
    if (isFile || stat.isDirectory()) this.opened(fsyncSync);
  }

  #setTime(nanoseconds: bigint): void {
    const second = 1_000_000_000n;
    const { atimeNs } = this.stat;
    const whole = nanoseconds % second === 0n && atimeNs % second === 0n;
    // Node takes seconds as a floating point number, which rounds whatever is no whole second.
    if (whole || !setNanoseconds(this.fd, nanoseconds))
      utimesSync(this.path, Number(atimeNs) / 1e9, Number(nanoseconds) / 1e9);
  }
}

/** Whether a thing has what was asked for; of times only when one was asked for. */
export function hasAttributes(thing: Thing, wanted: AttributesRecord): boolean {
  const mode = thing.type === 'link' || thing.mode === wanted.mode;
  const mtime = wanted.mtime === undefined || thing.mtime === wanted.mtime;
  return mode && mtime && thing.uid === wanted.uid && thing.gid === wanted.gid;
}

const CHUNK = 1024 * 1024;

/**
 * The SHA-256 of a regular file that is held; never more is read than it was long when it was taken hold of, so an
 * endless or growing one comes to an end too.
 *
 * @returns undefined when it became shorter meanwhile
 */
export function hashOf(held: Held): string | undefined {
  if (!held.stat.isFile())
    throw new DebmendError('action-failed', 'reading a file: it is none', 'run it again');
  return held.opened((fd) => {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let left = Number(held.stat.size); left > 0; ) {
      const count = readSync(fd, buffer, 0, Math.min(CHUNK, left), null);
      if (count === 0) return undefined;
      hash.update(buffer.subarray(0, count));
      left -= count;
    }
    return hash.digest('hex');
  });
}
