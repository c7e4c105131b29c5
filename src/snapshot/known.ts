/**
 * What the newest snapshot says of the entries of a list of work, in columns: a hundred thousand rows as arrays take as
 * long to make, and to collect again, as the disk takes to be looked at.
 */
import { Kind, type Work } from '../scan/work.ts';
import { Flag, type Signature } from './entries.ts';

/** One element an entry; see EntryState. */
export interface KnownColumns {
  readonly size: Float64Array;
  readonly ino: Float64Array;
  readonly mtime: Float64Array;
  readonly ctime: Float64Array;
  /** 0 where nothing is known. */
  readonly id: Uint32Array;
  readonly uid: Uint32Array;
  readonly gid: Uint32Array;
  readonly mode: Uint16Array;
  readonly kind: Uint8Array;
  readonly origin: Uint8Array;
  readonly flags: Uint8Array;
  readonly copied: Uint8Array;
}

export function emptyColumns(length: number): KnownColumns {
  return {
    size: new Float64Array(length),
    ino: new Float64Array(length),
    mtime: new Float64Array(length),
    ctime: new Float64Array(length),
    id: new Uint32Array(length),
    uid: new Uint32Array(length),
    gid: new Uint32Array(length),
    mode: new Uint16Array(length),
    kind: new Uint8Array(length),
    origin: new Uint8Array(length),
    flags: new Uint8Array(length),
    copied: new Uint8Array(length),
  };
}

/** The first entries of columns, as views of them. */
export function firstColumns(columns: KnownColumns, length: number): KnownColumns {
  return {
    size: columns.size.subarray(0, length),
    ino: columns.ino.subarray(0, length),
    mtime: columns.mtime.subarray(0, length),
    ctime: columns.ctime.subarray(0, length),
    id: columns.id.subarray(0, length),
    uid: columns.uid.subarray(0, length),
    gid: columns.gid.subarray(0, length),
    mode: columns.mode.subarray(0, length),
    kind: columns.kind.subarray(0, length),
    origin: columns.origin.subarray(0, length),
    flags: columns.flags.subarray(0, length),
    copied: columns.copied.subarray(0, length),
  };
}

export function setSignature(columns: KnownColumns, at: number, signature: Signature): void {
  const [id, , kind, mode, uid, gid, size, ino, mtime, ctime, origin, flags, copied] = signature;
  columns.id[at] = id;
  columns.kind[at] = kind;
  columns.mode[at] = mode;
  columns.uid[at] = uid;
  columns.gid[at] = gid;
  columns.size[at] = size;
  columns.ino[at] = ino;
  columns.mtime[at] = mtime;
  columns.ctime[at] = ctime;
  columns.origin[at] = origin;
  columns.flags[at] = flags;
  columns.copied[at] = copied;
}

export class Known {
  #columns: KnownColumns;
  #length: number;
  /** Of those that it was asked for. */
  readonly #md5 = new Map<number, Buffer | null>();

  /** @param columns what is known already; they become this one's own */
  constructor(columns = emptyColumns(0)) {
    this.#columns = columns;
    this.#length = columns.id.length;
  }

  set(index: number, signature: Signature): void {
    if (index >= this.#length) this.#grow(index + 1);
    setSignature(this.#columns, index, signature);
    const md5 = signature[13];
    if (md5 !== undefined) this.#md5.set(index, md5);
  }

  #grow(least: number): void {
    const larger = emptyColumns(Math.max(least, this.#length * 2, 1024));
    for (const name of Object.keys(larger) as (keyof KnownColumns)[]) larger[name].set(this.#columns[name]);
    this.#columns = larger;
    this.#length = larger.id.length;
  }

  /** The number of the entry's row; 0 where nothing is known. */
  id(index: number): number {
    return this.#columns.id[index] ?? 0;
  }

  kind(index: number): number {
    return this.#columns.kind[index] ?? Kind.unknown;
  }

  origin(index: number): number {
    return this.#columns.origin[index] ?? 0;
  }

  /** What its manifest expects, where that was asked for. */
  md5(index: number): Buffer | null {
    return this.#md5.get(index) ?? null;
  }

  /** Whether a path is certainly what it was: inode, size and times are the same, and none of them is too young. */
  isUnchanged(work: Work, index: number): boolean {
    const { id, kind, mode, uid, gid, flags, ino, mtime, ctime, size } = this.#columns;
    if ((id[index] ?? 0) === 0 || work.kind[index] !== kind[index]) return false;
    if (work.mode[index] !== mode[index] || work.uid[index] !== uid[index]) return false;
    if (work.gid[index] !== gid[index]) return false;
    // A directory's times and size change with every name in it, and its names are known by themselves.
    if (kind[index] === Kind.directory) return true;
    if (((flags[index] ?? 0) & (Flag.racy | Flag.unread)) !== 0) return false;
    if (work.ino[index] !== ino[index] || work.mtime[index] !== mtime[index]) return false;
    if (work.ctime[index] !== ctime[index]) return false;
    return kind[index] !== Kind.file || work.size[index] === size[index];
  }
}
