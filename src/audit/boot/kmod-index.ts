/**
 * The indexes that depmod(8) writes beside its text files, and that modprobe and udev read in their place: a trie of
 * nodes that fill the file, the children before their parent until kmod 33 and after it since then (kmod,
 * libkmod/libkmod-index.c, and tools/depmod.c, index_write).
 */
import type { Buffer } from 'node:buffer';

const MAGIC = 0xb007f457;
const MAJOR = 2;
const HEADER = 12;
/** The upper bits of an offset say what its node has; the lower ones are the offset. */
const HAS_PREFIX = 0x80000000;
const HAS_VALUES = 0x40000000;
const HAS_CHILDREN = 0x20000000;
const OFFSET = 0x0fffffff;
/** No key is longer, and so no path through the trie. */
const MOST_DEPTH = 4096;

/** A pointer that leads outside the file, or where no node is. */
class Damaged extends Error {}

/**
 * All values of an index, in no order.
 *
 * @returns undefined when the index is not whole: a wrong magic number, a node that is not there, or an end that
 * belongs to no node
 */
export function kmodIndexValues(data: Buffer): string[] | undefined {
  if (data.length < HEADER || data.readUInt32BE(0) !== MAGIC || data.readUInt16BE(4) !== MAJOR)
    return undefined;
  const walk = new Walk(data);
  try {
    walk.node(data.readUInt32BE(8), 0);
  } catch (error) {
    if (error instanceof Damaged) return undefined;
    throw error;
  }
  return walk.end === data.length ? walk.values : undefined;
}

class Walk {
  readonly values: string[] = [];
  /** Where the node ends that ends last. */
  end = HEADER;
  readonly #data: Buffer;
  /** No file has more nodes than this, however its pointers lead round. */
  #left: number;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
    this.#left = data.length / 4;
  }

  node(pointer: number, depth: number): void {
    // What has neither prefix nor children nor values is no node: the root of an empty index, a child that is not.
    if ((pointer & ~OFFSET) === 0) return;
    this.#at = (pointer & OFFSET) >>> 0;
    this.#left -= 1;
    if (this.#at < HEADER || depth > MOST_DEPTH || this.#left < 0) throw new Damaged();
    if ((pointer & HAS_PREFIX) !== 0 && this.#text() === '') throw new Damaged();
    const children = (pointer & HAS_CHILDREN) === 0 ? [] : this.#children();
    if ((pointer & HAS_VALUES) !== 0) {
      const count = this.#word();
      if (count === 0) throw new Damaged();
      for (let index = 0; index < count; index += 1) {
        this.#word(); // its priority
        this.values.push(this.#text());
      }
    }
    this.end = Math.max(this.end, this.#at);
    for (const child of children) this.node(child, depth + 1);
  }

  /** Pointers for all characters between the first and the last that have one. */
  #children(): number[] {
    const first = this.#data[this.#at];
    const last = this.#data[this.#at + 1];
    this.#at += 2;
    if (first === undefined || last === undefined || last < first || last === 0) throw new Damaged();
    return Array.from({ length: last - first + 1 }, () => this.#word());
  }

  #word(): number {
    if (this.#at + 4 > this.#data.length) throw new Damaged();
    this.#at += 4;
    return this.#data.readUInt32BE(this.#at - 4);
  }

  #text(): string {
    const end = this.#data.indexOf(0, this.#at);
    if (end < 0) throw new Damaged();
    const found = this.#data.toString('latin1', this.#at, end);
    this.#at = end + 1;
    return found;
  }
}
