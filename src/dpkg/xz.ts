/**
 * The .xz format (tukaani.org, xz-file-format.txt 1.2.1) as far as dpkg-deb writes it: one stream, LZMA2 without other
 * filters, checked by CRC64 or CRC32 (dpkg's
 * lib/dpkg/compress.c, filter_xz_init). The decoder is the one of the LZMA
 * specification (lzma-specification.txt). It is here because a control archive has a few kilobytes, and a process that
 * unpacks it costs a hook more than all else that the hook does with a package.
 */
import { crc32 } from 'node:zlib';

const MAGIC = Buffer.from('fd377a585a00', 'hex');
/** The checks by their number in the stream's flags: how many bytes they have, and whether a block passes. */
const CHECKS: Readonly<
  Record<number, { bytes: number; passes: (block: Buffer, data: Buffer, at: number) => boolean }>
> = {
  1: { bytes: 4, passes: (block, data, at) => crc32(block) === data.readUInt32LE(at) },
  4: {
    bytes: 8,
    passes: (block, data, at) => isCrc64(block, data.readUInt32LE(at), data.readUInt32LE(at + 4)),
  },
};
const FILTER_LZMA2 = 0x21;

/**
 * Unpacks a stream of which every checksum is right.
 *
 * @param limit bytes of what comes out
 * @returns undefined for what is damaged, larger than the limit, or written with what dpkg-deb does not use
 */
export function unpackXz(data: Buffer, limit: number): Buffer | undefined {
  // Beyond its end a view has undefined, which counts as NUL in every number here: the checksums tell then.
  const check = CHECKS[data[7] ?? 0];
  if (!data.subarray(0, 6).equals(MAGIC) || data[6] !== 0 || check === undefined) return undefined;
  if (data.length < 12 || crc32(data.subarray(6, 8)) !== data.readUInt32LE(8)) return undefined;
  const blocks: Buffer[] = [];
  let room = limit;
  let at = 12;
  // A block's header begins with its size; the index, which follows the last block, with NUL.
  while ((data[at] ?? 0) !== 0) {
    const header = data.subarray(at, at + ((data[at] ?? 0) + 1) * 4);
    if (!isPlainHeader(header)) return undefined;
    const decoder = new Lzma2(data, at + header.length, room);
    if (!decoder.run()) return undefined;
    const block = decoder.output;
    at = Math.ceil(decoder.at / 4) * 4;
    if (at + check.bytes > data.length || !check.passes(block, data, at)) return undefined;
    blocks.push(block);
    room -= block.length;
    at += check.bytes;
  }
  return at < data.length ? Buffer.concat(blocks) : undefined;
}

/** Whether a block's header is whole and names LZMA2 alone. */
function isPlainHeader(header: Buffer): boolean {
  const end = header.length - 4;
  if (end < 4 || header.length !== ((header[0] ?? 0) + 1) * 4) return false;
  if (crc32(header.subarray(0, end)) !== header.readUInt32LE(end)) return false;
  const flags = header[1] ?? 0;
  if ((flags & 0x3f) !== 0) return false; // further filters, or what is reserved
  let at = 2;
  for (const bit of [0x40, 0x80]) {
    if ((flags & bit) === 0) continue; // a size, which the data has as well
    while (((header[at] ?? 0) & 0x80) !== 0) at += 1;
    at += 1;
  }
  return header[at] === FILTER_LZMA2 && header[at + 1] === 1 && at + 3 <= end;
}

/** CRC-64 of ECMA-182, reflected, as xz has it: the remainders of all bytes, in two halves each. */
let crc64Table: Int32Array | undefined;

function isCrc64(data: Buffer, low: number, high: number): boolean {
  crc64Table ??= makeCrc64Table();
  let [l, h] = [-1, -1];
  for (let at = 0; at < data.length; at += 1) {
    const row = ((l ^ (data[at] ?? 0)) & 0xff) * 2;
    l = ((l >>> 8) | (h << 24)) ^ (crc64Table[row] ?? 0);
    h = (h >>> 8) ^ (crc64Table[row + 1] ?? 0);
  }
  return ~l >>> 0 === low && ~h >>> 0 === high;
}

function makeCrc64Table(): Int32Array {
  const table = new Int32Array(512);
  for (let byte = 0; byte < 256; byte += 1) {
    let [l, h] = [byte, 0];
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = (l & 1) === 1;
      l = (l >>> 1) | (h << 31);
      h >>>= 1;
      if (odd) [l, h] = [l ^ 0xd7870f42, h ^ 0xc96c5795];
    }
    table[byte * 2] = l;
    table[byte * 2 + 1] = h;
  }
  return table;
}

/** A probability of one half, in 11 bits. */
const HALF = 1024;
const STATES = 12;
const POSITIONS = 16;
const LENGTH_PROBABILITIES = 2 + 8 * POSITIONS * 2 + 256;
/** Where each set of probabilities begins. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POSITIONS;
const IS_REP_0 = IS_REP + STATES;
const IS_REP_1 = IS_REP_0 + STATES;
const IS_REP_2 = IS_REP_1 + STATES;
const IS_REP_0_LONG = IS_REP_2 + STATES;
const SLOT = IS_REP_0_LONG + STATES * POSITIONS;
const SPECIAL = SLOT + 4 * 64;
const ALIGN = SPECIAL + 128;
const MATCH_LENGTH = ALIGN + 16;
const REP_LENGTH = MATCH_LENGTH + LENGTH_PROBABILITIES;
const LITERAL = REP_LENGTH + LENGTH_PROBABILITIES;

/** LZMA2: chunks of LZMA, or of bytes as they are. What comes out is the dictionary of what follows. */
class Lzma2 {
  /** Where the reading goes on. */
  at: number;
  readonly #in: Buffer;
  readonly #limit: number;
  #out: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Where the dictionary begins: nothing before it is referred to. */
  #start = 0;
  #range = 0;
  #code = 0;
  #probabilities = new Uint16Array(0);
  #lc = 0;
  #lpMask = 0;
  #pbMask = 0;
  #state = 0;
  readonly #reps = new Uint32Array(4);

  constructor(data: Buffer, at: number, limit: number) {
    this.#in = data;
    this.at = at;
    this.#limit = limit;
  }

  get output(): Buffer {
    return this.#out.subarray(0, this.#length);
  }

  /** @returns whether all of it could be read */
  run(): boolean {
    let needsDictionary = true;
    let needsProperties = true;
    for (;;) {
      if (this.at >= this.#in.length) return false;
      const control = this.#byte();
      if (control === 0) return true;
      if (control === 1 || control >= 0xe0) {
        this.#start = this.#length;
        needsDictionary = false;
      }
      if (needsDictionary || (control > 2 && control < 0x80)) return false;
      const large = control < 0x80 ? 0 : (control & 0x1f) << 16;
      const size = large + (this.#byte() << 8) + this.#byte() + 1;
      if (this.#length + size > this.#limit) return false;
      this.#grow(this.#length + size);
      if (control < 0x80) {
        if (this.at + size > this.#in.length) return false;
        this.#in.copy(this.#out, this.#length, this.at, this.at + size);
        this.#length += size;
        this.at += size;
        continue;
      }
      const packed = (this.#byte() << 8) + this.#byte() + 1;
      if (control >= 0xc0) {
        if (!this.#setProperties(this.#byte())) return false;
        needsProperties = false;
      }
      if (needsProperties) return false;
      if (control >= 0xa0) this.#reset();
      const end = this.at + packed;
      if (end > this.#in.length || !this.#chunk(this.#length + size) || this.at !== end) return false;
    }
  }

  #byte(): number {
    const byte = this.#in[this.at] ?? 0;
    this.at += 1;
    return byte;
  }

  #grow(length: number): void {
    if (length <= this.#out.length) return;
    const larger = Buffer.alloc(Math.min(this.#limit, Math.max(length, this.#out.length * 2)));
    this.#out.copy(larger, 0, 0, this.#length);
    this.#out = larger;
  }

  #setProperties(byte: number): boolean {
    const lc = byte % 9;
    const lp = Math.floor(byte / 9) % 5;
    const pb = Math.floor(byte / 45);
    if (pb > 4 || lc + lp > 4) return false;
    this.#lc = lc;
    this.#lpMask = (1 << lp) - 1;
    this.#pbMask = (1 << pb) - 1;
    this.#probabilities = new Uint16Array(LITERAL + (0x300 << (lc + lp)));
    return true;
  }

  #reset(): void {
    this.#probabilities.fill(HALF);
    this.#state = 0;
    this.#reps.fill(0);
  }

  /** One chunk of LZMA. @returns false when it refers to what is not there */
  #chunk(end: number): boolean {
    if (this.#byte() !== 0) return false;
    this.#range = 0xffffffff;
    this.#code = 0;
    for (let i = 0; i < 4; i += 1) this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
    const reps = this.#reps;
    while (this.#length < end) {
      const position = (this.#length - this.#start) & this.#pbMask;
      const state = this.#state;
      if (this.#bit(IS_MATCH + state * POSITIONS + position) === 0) {
        if (this.#length === this.#start && state >= 7) return false;
        this.#literal(state);
        continue;
      }
      let length: number;
      if (this.#bit(IS_REP + state) === 0) {
        reps.copyWithin(1, 0, 3);
        length = this.#lengthAt(MATCH_LENGTH, position);
        reps[0] = this.#distance(length);
        this.#state = state < 7 ? 7 : 10;
      } else {
        const other = this.#bit(IS_REP_0 + state) === 1;
        if (!other && this.#bit(IS_REP_0_LONG + state * POSITIONS + position) === 0) {
          length = 1;
          this.#state = state < 7 ? 9 : 11;
        } else {
          if (other) this.#takeEarlier(state);
          length = this.#lengthAt(REP_LENGTH, position);
          this.#state = state < 7 ? 8 : 11;
        }
      }
      if (!this.#repeat((reps[0] ?? 0) + 1, length, end)) return false;
    }
    this.#normalize();
    return this.#code === 0;
  }

  /** Makes one of the distances before the last one the last. */
  #takeEarlier(state: number): void {
    let which = 1;
    if (this.#bit(IS_REP_1 + state) === 1) which = 2 + this.#bit(IS_REP_2 + state);
    const distance = this.#reps[which] ?? 0;
    this.#reps.copyWithin(1, 0, which);
    this.#reps[0] = distance;
  }

  #literal(state: number): void {
    const at = this.#length;
    const before = at === this.#start ? 0 : (this.#out[at - 1] ?? 0);
    const low = ((at - this.#start) & this.#lpMask) << this.#lc;
    const base = LITERAL + 0x300 * (low + (before >> (8 - this.#lc)));
    let symbol = 1;
    if (state >= 7) {
      // After a match the byte at the last distance is none: it tells what this one is not.
      let match = this.#out[at - (this.#reps[0] ?? 0) - 1] ?? 0;
      while (symbol < 0x100) {
        const expected = (match >> 7) & 1;
        match <<= 1;
        const bit = this.#bit(base + ((1 + expected) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (bit !== expected) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol);
    this.#out[at] = symbol & 0xff;
    this.#length = at + 1;
    this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
  }

  #lengthAt(base: number, position: number): number {
    if (this.#bit(base) === 0) return 2 + this.#tree(base + 2 + position * 8, 3);
    if (this.#bit(base + 1) === 0) return 10 + this.#tree(base + 2 + 8 * POSITIONS + position * 8, 3);
    return 18 + this.#tree(base + 2 + 16 * POSITIONS, 8);
  }

  /** A distance less one. */
  #distance(length: number): number {
    const slot = this.#tree(SLOT + Math.min(length - 2, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    let distance = ((2 | (slot & 1)) << bits) >>> 0;
    if (slot < 14) return distance + this.#reverseTree(SPECIAL + distance - slot, bits);
    let high = 0;
    for (let i = 4; i < bits; i += 1) {
      this.#normalize();
      this.#range >>>= 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit === 1) this.#code -= this.#range;
      high = (high << 1) | bit;
    }
    distance += high * 16;
    return distance + this.#reverseTree(ALIGN, 4);
  }

  #repeat(distance: number, length: number, end: number): boolean {
    if (distance > this.#length - this.#start || this.#length + length > end) return false;
    const from = this.#length - distance;
    // What is copied may overlap what it is copied to, and then repeats: a run of NUL bytes has the distance 1.
    for (let done = 0; done < length; ) {
      const piece = Math.min(length - done, distance + done);
      this.#out.copyWithin(this.#length + done, from, from + piece);
      done += piece;
    }
    this.#length += length;
    return true;
  }

  #tree(base: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i += 1) symbol = (symbol << 1) | this.#bit(base + symbol);
    return symbol - (1 << bits);
  }

  #reverseTree(base: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let i = 0; i < bits; i += 1) {
      const bit = this.#bit(base + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #bit(index: number): number {
    this.#normalize();
    const probability = this.#probabilities[index] ?? HALF;
    const bound = (this.#range >>> 11) * probability;
    if (this.#code < bound) {
      this.#range = bound;
      this.#probabilities[index] = probability + ((2048 - probability) >> 5);
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    this.#probabilities[index] = probability - (probability >> 5);
    return 1;
  }

  #normalize(): void {
    if (this.#range >= 0x1000000) return;
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
  }
}
