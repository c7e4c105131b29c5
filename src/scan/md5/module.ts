/**
 * MD5 (RFC 1321) of eight messages at once, as a WebAssembly module that is put together here.
 *
 * One MD5 is a chain in which every step waits for the one before, so a processor that could do four operations a
 * cycle does one. Eight independent messages, four in the lanes of each of two vectors, fill it: 2.2 GB/s where OpenSSL
 * reaches 0.7 on the same core (docs/benchmarks.md). There is no compiler in the build, and none is needed: the
 * function is the 64 steps of the RFC, written out by a loop.
 *
 * Opcodes: WebAssembly Core Specification 2.0, 5.4 (instructions) and 5.5 (modules).
 */

/** Messages hashed by one call. */
export const LANES = 8;
/** Vectors of four messages each. */
const SETS = LANES / 4;
/** A set's state: the words A, B, C, D, four lanes each. */
export const STATE_BYTES = SETS * 64;

/** Rotations of the four rounds (RFC 1321, 3.4). */
const ROTATIONS = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const;

/** The table T: the integer part of 2^32 times abs(sin(i)), i in radians. */
const TABLE = Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32) >>> 0);

type Code = readonly number[];

const I32 = 0x7f;
const V128 = 0x7b;
const LOOP: Code = [0x03, 0x40];
const END: Code = [0x0b];
const BRANCH_IF_TO_LOOP: Code = [0x0d, 0];
const I32_ADD: Code = [0x6a];
const I32_SUB: Code = [0x6b];
const I32_AND: Code = [0x71];
const I32_OR: Code = [0x72];
const I32_XOR: Code = [0x73];
const I32_ROTATE_LEFT: Code = [0x77];
const ALL_ONES = 0xffffffff;
const SHUFFLE = simd(13);
const NOT = simd(77);
const SELECT = simd(82); // v128.bitselect
const OR = simd(80);
const XOR = simd(81);
const SHIFT_LEFT = simd(171);
const SHIFT_RIGHT = simd(173);
const ADD = simd(174);

/** An unsigned number in LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const more = rest > 0x7f;
    bytes.push((rest & 0x7f) | (more ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return bytes;
}

function simd(opcode: number): Code {
  return [0xfd, ...unsigned(opcode)];
}

/** i32.const, in signed LEB128. */
function constant(word: number): Code {
  const bytes = [0x41];
  for (let rest = word | 0; ; rest >>= 7) {
    const last = rest >= -64 && rest < 64;
    bytes.push((rest & 0x7f) | (last ? 0 : 0x80));
    if (last) return bytes;
  }
}

function splat(word: number): Code {
  const bytes = [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24];
  return [...simd(12), ...bytes, ...bytes, ...bytes, ...bytes];
}

/** i8x16.shuffle that takes whole words: 0 to 3 of the first operand, 4 to 7 of the second. */
function shuffleWords(words: readonly number[]): Code {
  return [...SHUFFLE, ...words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte))];
}

const get = (local: number): Code => [0x20, ...unsigned(local)];
const set = (local: number): Code => [0x21, ...unsigned(local)];
const tee = (local: number): Code => [0x22, ...unsigned(local)];
const load = (offset: number, alignment: number): Code => [...simd(0), alignment, ...unsigned(offset)];
const store = (offset: number): Code => [...simd(11), 4, ...unsigned(offset)];
const loadWord = (offset: number): Code => [0x28, 0, ...unsigned(offset)];
const storeWord = (offset: number): Code => [0x36, 2, ...unsigned(offset)];

const section = (id: number, content: readonly number[]): number[] => [
  id,
  ...unsigned(content.length),
  ...content,
];
const vector = (items: readonly (readonly number[])[]): number[] => [
  ...unsigned(items.length),
  ...items.flat(),
];

/** The locals of one set: its state, the state before the block, and the block's sixteen words. */
interface SetLocals {
  readonly state: readonly [number, number, number, number];
  readonly before: readonly [number, number, number, number];
  readonly words: readonly number[];
}

/**
 * The module. It exports its memory as `memory`; `hash(p0 … p7, blocks)`, which takes `blocks` blocks of 64 bytes (at
 * least one) from each of eight places in memory into the state that lies at its beginning; and `hashOne(state, place,
 * blocks)`, which does so for the lane whose word A lies at `state`, for when the others have nothing to do.
 *
 * @param pages of 64 KiB
 */
export function md5Module(pages: number): Uint8Array<ArrayBuffer> {
  const type = (parameters: number): number[] => [
    0x60,
    ...vector(Array.from({ length: parameters }, () => [I32])),
    0,
  ];
  const sized = (body: readonly number[]): number[] => [...unsigned(body.length), ...body];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector([type(LANES + 1), type(3)])),
    ...section(3, vector([[0], [1]])),
    ...section(5, vector([[0, ...unsigned(pages)]])),
    ...section(
      7,
      vector([
        [...name('memory'), 2, 0],
        [...name('hash'), 0, 0],
        [...name('hashOne'), 0, 1],
      ]),
    ),
    ...section(10, vector([sized(allLanes()), sized(oneLane())])),
  ]);
}

function name(text: string): number[] {
  return [...unsigned(text.length), ...Buffer.from(text, 'ascii')];
}

function allLanes(): number[] {
  const code: number[] = [];
  const emit = (...parts: Code[]): void => {
    for (const part of parts) code.push(...part);
  };
  const blocks = LANES;
  let locals = LANES + 1;
  const local = (): number => locals++;
  const four = () => [local(), local(), local(), local()] as const;
  const sets: SetLocals[] = Array.from({ length: SETS }, () => ({
    state: four(),
    before: four(),
    words: Array.from({ length: 16 }, local),
  }));
  const rows = four();
  const sum = local();

  sets.forEach((each, s) => {
    each.state.forEach((word, i) => {
      emit(constant(0), load(s * 64 + i * 16, 4), set(word));
    });
  });
  emit(LOOP);
  sets.forEach((each, s) => {
    loadWords(emit, each, s, rows);
    each.state.forEach((word, i) => {
      emit(get(word), set(each.before[i] ?? 0));
    });
  });
  // The sets take turns step by step: while one waits for its own result the other goes on.
  const names = sets.map((each) => each.state);
  for (let i = 0; i < 64; i += 1) {
    sets.forEach((each, s) => {
      const [a, b, c, d] = names[s] ?? each.state;
      step(emit, i, each.words, [a, b, c, d], sum);
      names[s] = [d, a, b, c];
    });
  }
  for (const each of sets) {
    each.state.forEach((word, i) => {
      emit(get(word), get(each.before[i] ?? 0), ADD, set(word));
    });
  }
  for (let lane = 0; lane < LANES; lane += 1) emit(get(lane), constant(64), I32_ADD, set(lane));
  emit(get(blocks), constant(1), I32_SUB, tee(blocks), BRANCH_IF_TO_LOOP, END);
  sets.forEach((each, s) => {
    each.state.forEach((word, i) => {
      emit(constant(0), get(word), store(s * 64 + i * 16));
    });
  });
  emit(END);
  return [...vector([[...unsigned(locals - LANES - 1), V128]]), ...code];
}

/** The same for one lane, whose words lie 16 bytes apart, in ordinary numbers. */
function oneLane(): number[] {
  const code: number[] = [];
  const emit = (...parts: Code[]): void => {
    for (const part of parts) code.push(...part);
  };
  const [state, place, blocks] = [0, 1, 2];
  const words = [3, 4, 5, 6] as const;
  const before = [7, 8, 9, 10] as const;
  words.forEach((word, i) => {
    emit(get(state), loadWord(i * 16), set(word));
  });
  emit(LOOP);
  words.forEach((word, i) => {
    emit(get(word), set(before[i] ?? 0));
  });
  let [a, b, c, d]: [number, number, number, number] = [...words];
  for (let i = 0; i < 64; i += 1) {
    const { round, k, rotation } = stepOf(i);
    emit(get(a), get(place), loadWord(k * 4), constant(TABLE[i] ?? 0), I32_ADD, I32_ADD);
    switch (round) {
      case 0: // d ^ (b & (c ^ d)): bits of c where b has ones, else of d
        emit(get(c), get(d), I32_XOR, get(b), I32_AND, get(d), I32_XOR);
        break;
      case 1: // the same with the roles of b and d changed
        emit(get(b), get(c), I32_XOR, get(d), I32_AND, get(c), I32_XOR);
        break;
      case 2:
        emit(get(b), get(c), I32_XOR, get(d), I32_XOR);
        break;
      default:
        emit(get(d), constant(ALL_ONES), I32_XOR, get(b), I32_OR, get(c), I32_XOR);
    }
    emit(I32_ADD, constant(rotation), I32_ROTATE_LEFT, get(b), I32_ADD, set(a));
    [a, b, c, d] = [d, a, b, c];
  }
  words.forEach((word, i) => {
    emit(get(word), get(before[i] ?? 0), I32_ADD, set(word));
  });
  emit(get(place), constant(64), I32_ADD, set(place));
  emit(get(blocks), constant(1), I32_SUB, tee(blocks), BRANCH_IF_TO_LOOP, END);
  words.forEach((word, i) => {
    emit(get(state), get(word), storeWord(i * 16));
  });
  emit(END);
  return [...vector([[...unsigned(8), I32]]), ...code];
}

/** Loads a block of each lane and turns it round, so that each vector holds one word of all four. */
function loadWords(
  emit: (...parts: Code[]) => void,
  each: SetLocals,
  s: number,
  rows: readonly number[],
): void {
  const [r0 = 0, r1 = 0, r2 = 0, r3 = 0] = rows;
  for (let group = 0; group < 16; group += 4) {
    const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = each.words.slice(group, group + 4);
    rows.forEach((row, lane) => {
      emit(get(s * 4 + lane), load(group * 4, 0), set(row));
    });
    emit(get(r0), get(r1), shuffleWords([0, 4, 1, 5]), set(w0));
    emit(get(r2), get(r3), shuffleWords([0, 4, 1, 5]), set(w1));
    emit(get(r0), get(r1), shuffleWords([2, 6, 3, 7]), set(w2));
    emit(get(r2), get(r3), shuffleWords([2, 6, 3, 7]), set(w3));
    emit(get(w0), get(w1), shuffleWords([2, 3, 6, 7]), set(r1));
    emit(get(w0), get(w1), shuffleWords([0, 1, 4, 5]), set(w0), get(r1), set(w1));
    emit(get(w2), get(w3), shuffleWords([2, 3, 6, 7]), set(r3));
    emit(get(w2), get(w3), shuffleWords([0, 1, 4, 5]), set(w2), get(r3), set(w3));
  }
}

/** Which word a step takes and how far it rotates (RFC 1321, 3.4). */
function stepOf(i: number): { round: number; k: number; rotation: number } {
  const round = i >> 4;
  const k = ([i, 5 * i + 1, 3 * i + 5, 7 * i][round] ?? 0) & 15;
  return { round, k, rotation: ROTATIONS[round]?.[i & 3] ?? 0 };
}

/** a = b + ((a + f(b, c, d) + X[k] + T[i]) <<< s), with f and k of the round (RFC 1321, 3.4). */
function step(
  emit: (...parts: Code[]) => void,
  i: number,
  words: readonly number[],
  [a, b, c, d]: readonly [number, number, number, number],
  sum: number,
): void {
  const { round, k, rotation } = stepOf(i);
  emit(get(a), get(words[k] ?? 0), splat(TABLE[i] ?? 0), ADD, ADD);
  switch (round) {
    case 0:
      emit(get(c), get(d), get(b), SELECT);
      break;
    case 1:
      emit(get(b), get(c), get(d), SELECT);
      break;
    case 2:
      emit(get(b), get(c), XOR, get(d), XOR);
      break;
    default:
      emit(get(d), NOT, get(b), OR, get(c), XOR);
  }
  emit(ADD, tee(sum), constant(rotation), SHIFT_LEFT);
  emit(get(sum), constant(32 - rotation), SHIFT_RIGHT, OR, get(b), ADD, set(a));
}
