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

/** The hash of some content as the store keeps it: 8 bytes, big-endian. */
export function xxh64Of(xxh64: Xxh64, data: Uint8Array): Buffer {
  const hash = xxh64.begin();
  hash.update(data);
  return digestBytes(hash);
}

/** The end of a hash in the making, in the same form. */
export function digestBytes(hash: Xxh64State): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(hash.digest());
  return bytes;
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
