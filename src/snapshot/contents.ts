/**
 * Copies of content, once each by SHA-256, compressed with zstd. A file that changes a little again and again (dpkg's
 * status file is a megabyte, and every transaction changes some lines of it) is kept as what it differs in from the
 * version before: that version is the dictionary. After a few such steps a whole copy is kept again, so that reading
 * one never needs a long chain.
 */
import { createHash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Statement } from 'better-sqlite3';
import type { Store } from './store.ts';

/** The longest chain of differences. */
const MAX_DEPTH = 12;
/** Below this a difference saves nothing worth a chain, in bytes. */
const DIFFERENCE_FROM = 4096;
/** What zstd may look back on: a whole version of the largest file that is copied (2 to the power of it, in bytes). */
const MAX_WINDOW_LOG = 27;

interface Row {
  readonly id: number;
  readonly size: number;
  readonly base: number | null;
  readonly depth: number;
  readonly data: Buffer;
}

export class Contents {
  readonly #byHash: Statement;
  readonly #byId: Statement;
  readonly #insert: Statement;

  constructor(store: Store) {
    const { db } = store;
    this.#byHash = db.prepare('SELECT id FROM content WHERE sha256 = ?').pluck();
    this.#byId = db.prepare('SELECT id, size, base, depth, data FROM content WHERE id = ?');
    this.#insert = db.prepare('INSERT INTO content (sha256, size, base, depth, data) VALUES (?, ?, ?, ?, ?)');
  }

  /**
   * Keeps content; what is there already is not kept again. Has to be called inside a transaction of the store.
   *
   * @param before the content that this one replaces, which it probably resembles
   * @returns the content's number
   */
  keep(data: Buffer, before?: number): number {
    const sha256 = createHash('sha256').update(data).digest();
    const known = this.#byHash.get(sha256);
    if (typeof known === 'number') return known;
    const base = data.length >= DIFFERENCE_FROM && before !== undefined ? this.#row(before) : undefined;
    if (base !== undefined && base.depth < MAX_DEPTH && base.size >= DIFFERENCE_FROM) {
      const packed = compress(data, this.read(base.id));
      return Number(this.#insert.run(sha256, data.length, base.id, base.depth + 1, packed).lastInsertRowid);
    }
    return Number(this.#insert.run(sha256, data.length, null, 0, compress(data)).lastInsertRowid);
  }

  /**
   * @throws Error when there is no such content, or what is kept is not what was kept: the hash is compared
   */
  read(id: number): Buffer {
    const row = this.#row(id);
    if (row === undefined) throw new Error(`the store has no content ${id}`);
    return decompress(row.data, row.size, row.base === null ? undefined : this.read(row.base));
  }

  /** Whether a content reads back as what was kept. */
  isWhole(id: number): boolean {
    try {
      const hash = createHash('sha256').update(this.read(id)).digest();
      return this.#byHash.get(hash) === id;
    } catch {
      return false;
    }
  }

  #row(id: number): Row | undefined {
    return this.#byId.get(id) as Row | undefined;
  }
}

function compress(data: Buffer, dictionary?: Buffer): Buffer {
  const params = {
    [constants.ZSTD_c_compressionLevel]: 3,
    // Without it the window is as small as the file suggests, and the dictionary's beginning lies outside.
    ...(dictionary === undefined
      ? {}
      : { [constants.ZSTD_c_windowLog]: windowLog(data.length + dictionary.length) }),
  };
  return zstdCompressSync(data, dictionary === undefined ? { params } : { params, dictionary });
}

function decompress(data: Buffer, size: number, dictionary?: Buffer): Buffer {
  const options = {
    maxOutputLength: Math.max(size, 1),
    params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
  };
  return zstdDecompressSync(data, dictionary === undefined ? options : { ...options, dictionary });
}

function windowLog(bytes: number): number {
  return Math.min(MAX_WINDOW_LOG, Math.max(17, Math.ceil(Math.log2(bytes))));
}
