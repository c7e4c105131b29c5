/** Eight MD5 computations side by side over the memory of the module; who fills the lanes is the caller's affair. */
import { createHash, type Hash } from 'node:crypto';
import { LANES, md5Module, STATE_BYTES } from './module.ts';

export { LANES } from './module.ts';

/** Bytes of content that a lane holds; a multiple of the block. */
export const LANE_BYTES = 64 * 1024;
const BLOCK = 64;
/** Room behind the content for the padding, which takes up to two blocks. */
const LANE_ROOM = LANE_BYTES + 2 * BLOCK;
const PAGE = 64 * 1024;

const INITIAL = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476] as const;

type HashBlocks = (
  p0: number,
  p1: number,
  p2: number,
  p3: number,
  p4: number,
  p5: number,
  p6: number,
  p7: number,
  blocks: number,
) => void;

/** Hashes a message a lane. A lane is begun, filled while it is drained, and its digest taken after the last filling. */
export interface Md5Engine {
  /** The lanes' memory; a lane's content goes to `base(lane)` and is `LANE_BYTES` long at most. */
  readonly memory: Uint8Array;
  base(lane: number): number;
  /** Begins a message in a lane. */
  begin(lane: number): void;
  /** Says that a lane's memory holds `LANE_BYTES` bytes in the middle of a message. */
  fill(lane: number): void;
  /**
   * Says that a lane's memory holds the end of its message.
   *
   * @param length bytes in the lane's memory, less than `LANE_BYTES`
   * @param total bytes of the whole message
   */
  fillLast(lane: number, length: number, total: number): void;
  /** Whether a lane has nothing left to hash. */
  isDrained(lane: number): boolean;
  /** Hashes until at least one lane that had something is drained. Does nothing when none has. */
  advance(): void;
  /** Writes the digest of a drained lane's finished message, 16 bytes. */
  digest(lane: number, into: Uint8Array, offset: number): void;
}

/**
 * The engine for this processor.
 *
 * @param wanted whether hashes are; without them only the memory is used
 * @param sideBySide whether there is so much to hash that compiling the module (20 ms) pays
 */
export function md5Engine(wanted: boolean, sideBySide: boolean): Md5Engine {
  if (!wanted) return new OneByOne(undefined);
  if (!sideBySide) return new OneByOne('md5');
  try {
    return new Md5Lanes();
  } catch {
    return new OneByOne('md5'); // a processor without the vectors that WebAssembly needs
  }
}

/** The same by OpenSSL, a lane after the other. */
export class OneByOne implements Md5Engine {
  readonly memory = Buffer.allocUnsafeSlow(LANES * LANE_BYTES);
  readonly #algorithm: 'md5' | undefined;
  readonly #hashes: (Hash | undefined)[] = [];

  constructor(algorithm: 'md5' | undefined) {
    this.#algorithm = algorithm;
  }

  base(lane: number): number {
    return lane * LANE_BYTES;
  }

  begin(lane: number): void {
    this.#hashes[lane] = this.#algorithm === undefined ? undefined : createHash(this.#algorithm);
  }

  fill(lane: number): void {
    this.#hashes[lane]?.update(this.memory.subarray(this.base(lane), this.base(lane) + LANE_BYTES));
  }

  fillLast(lane: number, length: number): void {
    this.#hashes[lane]?.update(this.memory.subarray(this.base(lane), this.base(lane) + length));
  }

  isDrained(): boolean {
    return true;
  }

  advance(): void {}

  digest(lane: number, into: Uint8Array, offset: number): void {
    const digest = this.#hashes[lane]?.digest();
    if (digest !== undefined) into.set(digest, offset);
  }
}

/**
 * With so few lanes at work they are hashed one by one: all eight at once take as long as two and a half of them alone
 * (0.6 GB/s each).
 */
const FEW = 2;

export class Md5Lanes implements Md5Engine {
  readonly memory: Uint8Array;
  readonly #words: Uint32Array;
  readonly #hash: HashBlocks;
  readonly #hashOne: (state: number, place: number, blocks: number) => void;
  /** Where the unhashed rest of each lane begins, and how many blocks of it there are. */
  readonly #at = new Int32Array(LANES);
  readonly #blocks = new Int32Array(LANES);

  /** @throws WebAssembly.CompileError on a processor without vectors */
  constructor() {
    const pages = Math.ceil((STATE_BYTES + LANES * LANE_ROOM) / PAGE);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(md5Module(pages)));
    const memory = exports['memory'] as WebAssembly.Memory;
    this.#hash = exports['hash'] as HashBlocks;
    this.#hashOne = exports['hashOne'] as (state: number, place: number, blocks: number) => void;
    this.memory = new Uint8Array(memory.buffer);
    this.#words = new Uint32Array(memory.buffer, 0, STATE_BYTES / 4);
  }

  base(lane: number): number {
    return STATE_BYTES + lane * LANE_ROOM;
  }

  begin(lane: number): void {
    INITIAL.forEach((word, i) => {
      this.#words[wordIndex(lane, i)] = word;
    });
    this.#blocks[lane] = 0;
  }

  fill(lane: number): void {
    this.#at[lane] = this.base(lane);
    this.#blocks[lane] = LANE_BYTES / BLOCK;
  }

  /** Pads the message as well (RFC 1321, 3.1 and 3.2). */
  fillLast(lane: number, length: number, total: number): void {
    const base = this.base(lane);
    const blocks = Math.floor((length + 8) / BLOCK) + 1;
    const end = base + blocks * BLOCK;
    this.memory.fill(0, base + length, end);
    this.memory[base + length] = 0x80;
    // 64 bits, the low half first; 32-bit operators would lose the upper bits of either.
    const low = (total * 8) % 2 ** 32;
    const high = Math.floor(total / 2 ** 29);
    for (let i = 0; i < 4; i += 1) {
      this.memory[end - 8 + i] = (low / 2 ** (8 * i)) & 0xff;
      this.memory[end - 4 + i] = (high / 2 ** (8 * i)) & 0xff;
    }
    this.#at[lane] = base;
    this.#blocks[lane] = blocks;
  }

  isDrained(lane: number): boolean {
    return this.#blocks[lane] === 0;
  }

  advance(): void {
    const blocks = this.#blocks;
    let count = 0;
    let working = 0;
    for (let lane = 0; lane < LANES; lane += 1) {
      const left = blocks[lane] ?? 0;
      if (left === 0) continue;
      working += 1;
      if (count === 0 || left < count) count = left;
    }
    if (working <= FEW) {
      for (let lane = 0; lane < LANES; lane += 1) {
        const left = blocks[lane] ?? 0;
        if (left > 0) this.#hashOne(wordIndex(lane, 0) * 4, this.#at[lane] ?? 0, left);
        blocks[lane] = 0;
      }
      return;
    }
    // A lane without work hashes whatever its memory holds; its state is set anew when it begins.
    for (let lane = 0; lane < LANES; lane += 1) if (blocks[lane] === 0) this.#at[lane] = this.base(lane);
    const at = this.#at;
    const from = (lane: number): number => at[lane] ?? 0;
    this.#hash(from(0), from(1), from(2), from(3), from(4), from(5), from(6), from(7), count);
    for (let lane = 0; lane < LANES; lane += 1) {
      const left = blocks[lane] ?? 0;
      if (left === 0) continue;
      blocks[lane] = left - count;
      at[lane] = from(lane) + count * BLOCK;
    }
  }

  digest(lane: number, into: Uint8Array, offset: number): void {
    for (let i = 0; i < 4; i += 1) {
      const word = this.#words[wordIndex(lane, i)] ?? 0;
      for (let byte = 0; byte < 4; byte += 1) into[offset + i * 4 + byte] = word >>> (8 * byte);
    }
  }
}

/** Where word `i` (A to D) of a lane stands in the state. */
function wordIndex(lane: number, i: number): number {
  return (lane >> 2) * 16 + i * 4 + (lane & 3);
}
