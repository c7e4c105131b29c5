/**
 * The list of work and its results, as columns in shared memory: the threads take entries from the same list and write
 * their results in place, so nothing is copied between them and an entry costs about 150 bytes, whatever its path.
 */
import type { Bytes } from '../system/bytes.ts';

/** What is wanted of an entry; bits. */
export const Want = {
  /** The content, hashed, when the entry is a regular file. */
  content: 1,
  /** The names in it that hold one of the markers, when the entry is a directory. */
  names: 2,
  /** `expected` holds the MD5 that the content should have. */
  expected: 4,
} as const;

/** What an entry is on disk (inode(7)). */
export const Kind = {
  unknown: 0,
  file: 1,
  directory: 2,
  link: 3,
  fifo: 4,
  socket: 5,
  characterDevice: 6,
  blockDevice: 7,
} as const;

/** What the content looks like. */
export const Pattern = {
  none: 0,
  /** Not one byte that is not NUL. */
  nulFilled: 1,
  /** Content, then NUL bytes to the end. */
  nulTail: 2,
} as const;

/** How far an entry came; bits. */
export const Done = {
  looked: 1,
  read: 2,
  /** The content has the expected MD5. */
  matched: 4,
} as const;

/** Positions in `control`. */
export const Control = { cursor: 0, cancelled: 1, entriesDone: 2, length: 3 } as const;

/** Everything that a thread needs; all views are on shared memory. */
export interface Work {
  readonly count: number;
  readonly paths: Uint8Array;
  /** Where each path begins in `paths`; one more entry than paths. */
  readonly offsets: Uint32Array;
  readonly want: Uint8Array;
  /** 16 bytes an entry. */
  readonly expected: Uint8Array;
  readonly done: Uint8Array;
  /** The errno of the call that failed, 0 if none did. */
  readonly errno: Uint16Array;
  readonly kind: Uint8Array;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: Uint16Array;
  readonly uid: Uint32Array;
  readonly gid: Uint32Array;
  /** Bytes, as the inode says. */
  readonly size: Float64Array;
  readonly dev: Float64Array;
  readonly ino: Float64Array;
  /** 1 where the inode has several names, and its number is one that a double holds exactly (overlayfs has larger). */
  readonly linked: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly mtime: Float64Array;
  readonly ctime: Float64Array;
  /** 16 bytes an entry. */
  readonly md5: Uint8Array;
  readonly xxh64: BigUint64Array;
  readonly pattern: Uint8Array;
  /** Where the NUL tail begins, in bytes. */
  readonly nulFrom: Float64Array;
  /** The entries to be read, in the order of reading; filled between looking and reading. */
  readonly order: Uint32Array;
  readonly control: Int32Array;
  /** One entry: bytes of content read so far. */
  readonly bytesRead: BigInt64Array;
}

/** The length of a path, on average of those that packages own. */
const PATH_BYTES = 64;

/**
 * Collects entries and lays them out for the threads. A path is kept once, as bytes in one array that is also the
 * hash table's key store: a hundred thousand strings in a Map would cost more than everything else together.
 */
export class WorkList {
  #paths: Uint8Array;
  #length = 0;
  #offsets: Uint32Array;
  #want: Uint8Array;
  #expected: Uint8Array;
  #count = 0;
  /** Entry numbers plus one by the hash of their path, open addressing; at most half full. */
  #table: Uint32Array;

  /**
   * @param entries how many there will be, where that is known: growing copies everything
   * @param paths where their bytes go
   */
  constructor(entries = 0, paths?: Uint8Array) {
    const room = 1 << Math.max(12, Math.ceil(Math.log2(entries + 2)));
    this.#paths = paths ?? new Uint8Array(Math.max(1 << 20, room * PATH_BYTES));
    this.#offsets = new Uint32Array(room);
    this.#want = new Uint8Array(room);
    this.#expected = new Uint8Array(16 * room);
    this.#table = new Uint32Array(2 * room);
  }

  /**
   * A list of paths that are laid out already, of which no two are the same.
   *
   * @param paths become the list's own; with shared memory behind them they are not copied for the threads either
   * @param offsets where each path begins in `paths`; one more than paths
   * @param hashes hashOf of each path
   */
  static of(
    paths: Uint8Array,
    offsets: Uint32Array,
    hashes: Uint32Array,
    count: number,
    want: number,
  ): WorkList {
    // With room: what is added to it should not make it grow, which would hash every path.
    const list = new WorkList(count + (count >> 3), paths);
    list.#length = offsets[count] ?? 0;
    list.#offsets.set(offsets.subarray(0, count + 1));
    list.#want.fill(want, 0, count);
    list.#count = count;
    const mask = list.#table.length - 1;
    for (let index = 0; index < count; index += 1) {
      let slot = (hashes[index] ?? 0) & mask;
      while (list.#table[slot] !== 0) slot = (slot + 1) & mask;
      list.#table[slot] = index + 1;
    }
    return list;
  }

  get count(): number {
    return this.#count;
  }

  /** The number of the entry for a path of this host, which is added when it is new. */
  add(path: Bytes, want: number): number {
    const slot = this.#slot(path);
    const known = this.#table[slot] ?? 0;
    if (known !== 0) {
      this.want(known - 1, want);
      return known - 1;
    }
    const index = this.#count;
    const end = this.#length + path.length;
    while (end > this.#paths.length) this.#paths = grown(this.#paths, this.#paths.length * 2);
    for (let i = 0; i < path.length; i += 1) this.#paths[this.#length + i] = path.charCodeAt(i);
    this.#length = end;
    if (index + 2 > this.#offsets.length) this.#growColumns(this.#offsets.length * 2);
    this.#offsets[index + 1] = end;
    this.#want[index] = want;
    this.#count = index + 1;
    this.#table[slot] = index + 1;
    if (this.#count * 2 > this.#table.length) this.#rehash();
    return index;
  }

  #growColumns(entries: number): void {
    const offsets = new Uint32Array(entries);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
    this.#want = grown(this.#want, entries);
    this.#expected = grown(this.#expected, entries * 16);
  }

  /** The path of an entry. */
  path(index: number): Bytes {
    const from = this.#offsets[index] ?? 0;
    const length = (this.#offsets[index + 1] ?? from) - from;
    return Buffer.from(this.#paths.buffer, this.#paths.byteOffset + from, length).toString('latin1');
  }

  /** The number of the entry for a path, if it has one. */
  find(path: Bytes): number | undefined {
    const known = this.#table[this.#slot(path)] ?? 0;
    return known === 0 ? undefined : known - 1;
  }

  /** Where a path stands in the table, or the free place where it would. */
  #slot(path: Bytes): number {
    const mask = this.#table.length - 1;
    let slot = hashOf(path) & mask;
    for (;;) {
      const known = this.#table[slot] ?? 0;
      if (known === 0 || this.#isPath(known - 1, path)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isPath(index: number, path: Bytes): boolean {
    const from = this.#offsets[index] ?? 0;
    if ((this.#offsets[index + 1] ?? 0) - from !== path.length) return false;
    // From the end: paths differ in their names more than in their directories.
    for (let i = path.length - 1; i >= 0; i -= 1)
      if (this.#paths[from + i] !== path.charCodeAt(i)) return false;
    return true;
  }

  #rehash(): void {
    this.#table = new Uint32Array(this.#table.length * 2);
    const mask = this.#table.length - 1;
    for (let index = 0; index < this.#count; index += 1) {
      let slot = hashOf(this.path(index)) & mask;
      while (this.#table[slot] !== 0) slot = (slot + 1) & mask;
      this.#table[slot] = index + 1;
    }
  }

  /** Whether a hash is expected of an entry. */
  expects(index: number): boolean {
    return ((this.#want[index] ?? 0) & Want.expected) !== 0;
  }

  /** Says what MD5 the content of an entry should have, and that it is wanted. */
  expect(index: number, md5: Bytes): void {
    for (let i = 0; i < 16; i += 1) {
      const high = NIBBLE[md5.charCodeAt(i * 2)] ?? 0;
      this.#expected[index * 16 + i] = (high << 4) | (NIBBLE[md5.charCodeAt(i * 2 + 1)] ?? 0);
    }
    this.#want[index] = (this.#want[index] ?? 0) | Want.content | Want.expected;
  }

  /** Asks for more of an entry. */
  want(index: number, bits: number): void {
    this.#want[index] = (this.#want[index] ?? 0) | bits;
  }

  layOut(): Work {
    const count = this.count;
    const work: Work = {
      count,
      paths:
        this.#paths.buffer instanceof SharedArrayBuffer
          ? this.#paths
          : shared(this.#paths, (buffer) => new Uint8Array(buffer), this.#length),
      offsets: shared(this.#offsets, (buffer) => new Uint32Array(buffer), count + 1),
      want: shared(this.#want, (buffer) => new Uint8Array(buffer), count),
      expected: shared(this.#expected, (buffer) => new Uint8Array(buffer), 16 * count),
      done: new Uint8Array(new SharedArrayBuffer(count)),
      errno: new Uint16Array(new SharedArrayBuffer(2 * count)),
      kind: new Uint8Array(new SharedArrayBuffer(count)),
      mode: new Uint16Array(new SharedArrayBuffer(2 * count)),
      uid: new Uint32Array(new SharedArrayBuffer(4 * count)),
      gid: new Uint32Array(new SharedArrayBuffer(4 * count)),
      size: new Float64Array(new SharedArrayBuffer(8 * count)),
      dev: new Float64Array(new SharedArrayBuffer(8 * count)),
      ino: new Float64Array(new SharedArrayBuffer(8 * count)),
      linked: new Uint8Array(new SharedArrayBuffer(count)),
      mtime: new Float64Array(new SharedArrayBuffer(8 * count)),
      ctime: new Float64Array(new SharedArrayBuffer(8 * count)),
      md5: new Uint8Array(new SharedArrayBuffer(16 * count)),
      xxh64: new BigUint64Array(new SharedArrayBuffer(8 * count)),
      pattern: new Uint8Array(new SharedArrayBuffer(count)),
      nulFrom: new Float64Array(new SharedArrayBuffer(8 * count)),
      order: new Uint32Array(new SharedArrayBuffer(4 * count)),
      control: new Int32Array(new SharedArrayBuffer(4 * Control.length)),
      bytesRead: new BigInt64Array(new SharedArrayBuffer(8)),
    };
    return work;
  }
}

/** FNV-1a over the path's bytes. */
export function hashOf(path: Bytes): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i += 1) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}

function grown(array: Uint8Array, length: number): Uint8Array {
  const larger = new Uint8Array(length);
  larger.set(array);
  return larger;
}

/** The first `used` elements in shared memory. Filled before it is shared: views of growable shared memory are slow. */
function shared<T extends Uint8Array | Uint32Array>(
  view: T,
  empty: (buffer: SharedArrayBuffer) => T,
  used: number,
): T {
  const copy = empty(new SharedArrayBuffer(used * view.BYTES_PER_ELEMENT));
  copy.set(view.subarray(0, used));
  return copy;
}

/** The value of a hexadecimal digit, by character code. */
const NIBBLE = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? 0 : value;
});

/** Reads the paths of a list of work; one a thread, because it keeps a view of the shared memory. */
export function pathReader(work: Work): (index: number) => Bytes {
  const all = Buffer.from(work.paths.buffer, work.paths.byteOffset, work.paths.byteLength);
  return (index) => all.toString('latin1', work.offsets[index] ?? 0, work.offsets[index + 1] ?? 0);
}

/** 16 bytes of a hash column as hexadecimal digits. */
export function hashText(column: Uint8Array, index: number): string {
  let text = '';
  for (let i = index * 16; i < index * 16 + 16; i += 1)
    text += (column[i] ?? 0).toString(16).padStart(2, '0');
  return text;
}
