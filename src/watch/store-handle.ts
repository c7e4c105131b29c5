/**
 * The agent's way to the store: opened when it is needed, and closed when it was not for a while. What is open only
 * for moments keeps no memory, holds up no checkpoint, and is the right file even after a damaged one was set aside.
 */
import { type OpenOptions, openStore, type SetAside, type Store } from '../snapshot/store.ts';
import { restoreTransactions } from '../snapshot/transaction/record.ts';
import type { Root } from '../system/root.ts';

/** How long it stays open unused, in milliseconds. */
const IDLE_MS = 15_000;
/** SQLite waits by blocking this process, and an agent that is told to stop stops within a second. */
const BUSY_MS = 400;
/** By itself better-sqlite3 lets SQLite keep 16 MB of pages; a look-up reads four or five. In KiB. */
const CACHE_KIB = 512;

export class StoreHandle {
  readonly #root: Root;
  readonly #options: OpenOptions;
  readonly #onSetAside: (setAside: SetAside) => void;
  #opening: Promise<Store> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #users = 0;
  #closed = false;

  /** @param onSetAside told when the store was found damaged and is a new one */
  constructor(root: Root, onSetAside: (setAside: SetAside) => void, options: OpenOptions = {}) {
    this.#root = root;
    this.#onSetAside = onSetAside;
    this.#options = { busyTimeout: BUSY_MS, ...options };
  }

  /**
   * Does something with the store.
   *
   * @throws DebmendError of opening it; an error of SQLite; whatever `work` throws
   */
  async use<T>(work: (store: Store) => T | Promise<T>): Promise<T> {
    clearTimeout(this.#timer);
    this.#users += 1;
    try {
      return await work(await this.#open());
    } finally {
      this.#users -= 1;
      if (this.#users === 0) {
        if (this.#closed) await this.#shut();
        else this.#timer = setTimeout(() => void this.#shut(), IDLE_MS).unref();
      }
    }
  }

  /** Closes it, now or when nobody uses it any more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#users === 0) await this.#shut();
  }

  #open(): Promise<Store> {
    this.#opening ??= this.#begin().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #begin(): Promise<Store> {
    const store = await openStore(this.#root, this.#options);
    store.db.pragma(`cache_size = -${CACHE_KIB}`);
    if (store.setAside !== undefined) {
      await restoreTransactions(store);
      this.#onSetAside(store.setAside);
    }
    return store;
  }

  async #shut(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    try {
      (await opening)?.close();
    } catch {
      // It never opened, which its user heard of.
    }
  }
}
