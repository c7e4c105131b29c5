/** Chance that comes again: the same words give the same numbers, on every machine. */
import { createHash } from 'node:crypto';

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number in [0, below). */
  below(below: number): number;
  /** @throws Error for a list without entries */
  oneOf<T>(list: readonly T[]): T;
  chance(share: number): boolean;
}

/** mulberry32 over a hash of the words: a small generator is enough for instants and blocks. */
export function randomOf(words: string): Random {
  let state = createHash('sha256').update(words).digest().readUInt32LE();
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    oneOf: <T>(list: readonly T[]): T => {
      const chosen = list[below(list.length)];
      if (chosen === undefined) throw new Error('there is nothing to choose from');
      return chosen;
    },
    chance: (share) => next() < share,
  };
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * The share, in [0, 1), at which the n-th of a seed's cuts lies. However many there are, they lie evenly: multiples of
 * the golden ratio modulo 1, which also lets a campaign that was broken off be as good as a short one.
 */
export function shareOf(seed: number, number: number): number {
  return (randomOf(`shares ${seed}`).next() + number * GOLDEN) % 1;
}
