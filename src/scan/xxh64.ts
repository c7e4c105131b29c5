/** XXH64 by xxhash-wasm, in the form that the reader takes. */
import xxhash from 'xxhash-wasm';
import type { Xxh64 } from './reader.ts';

/** Compiles the WebAssembly module; once a thread. */
export async function loadXxh64(): Promise<Xxh64> {
  const { create64, h64Raw } = await xxhash();
  return {
    once: (bytes) => h64Raw(bytes),
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
