/** XXH64 by xxhash-wasm. */
import xxhash from 'xxhash-wasm';

/** One hash in the making. */
export interface Xxh64State {
  update(bytes: Uint8Array): void;
  digest(): bigint;
}

export interface Xxh64 {
  begin(): Xxh64State;
}

/** Compiles the WebAssembly module; once a thread. */
export async function loadXxh64(): Promise<Xxh64> {
  const { create64 } = await xxhash();
  return {
    begin: () => {
      const state = create64();
      return {
        update: (bytes) => {
          state.update(bytes);
        },
        digest: () => state.digest(),
      };
    },
  };
}
