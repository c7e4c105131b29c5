/**
 * A store that is looked at where nothing may be written: of a root that is mounted read-only, for an audit, or for a
 * command that promises to change nothing. Not even what SQLite puts beside a database that it reads is: a private copy
 * is opened, and thrown away.
 */
import { constants, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Root } from '../system/root.ts';
import { openStore, STORE_FILE, type Store, storeDirectory } from './store.ts';

/**
 * Copies a store's database, and its log where it has one, into a directory of its own, which is for the caller to take
 * away.
 *
 * @returns the directory; undefined where none can be made
 * @throws the error of the call that failed; nothing is left then
 */
export function copyStore(directory: string): string | undefined {
  const copy = privateDirectory();
  if (copy === undefined) return undefined;
  try {
    for (const suffix of ['', '-wal']) {
      const from = join(directory, STORE_FILE + suffix);
      if (existsSync(from)) copyFileSync(from, join(copy, STORE_FILE + suffix), constants.COPYFILE_FICLONE);
    }
    return copy;
  } catch (error) {
    rmSync(copy, { recursive: true, force: true });
    throw error;
  }
}

/** A directory for the copy, in memory where nothing else can be written to. */
function privateDirectory(): string | undefined {
  for (const directory of [tmpdir(), '/run', '/dev/shm']) {
    try {
      return mkdtempSync(join(directory, 'debmend-store-'));
    } catch {
      // The next one.
    }
  }
  return undefined;
}

/**
 * Does work with a copy of a root's store; with undefined where there is none, or where it cannot be read: what it
 * knows is a help, and its absence no failure.
 *
 * @param directory another place than the root's own
 * @throws what the work throws
 */
export async function withStoreCopy<T>(
  root: Root,
  directory: string | undefined,
  work: (store: Store | undefined) => Promise<T>,
): Promise<T> {
  let copy: string | undefined;
  let store: Store | undefined;
  try {
    try {
      const from = directory ?? storeDirectory(root);
      if (existsSync(join(from, STORE_FILE))) copy = copyStore(from);
      if (copy !== undefined) store = await openStore(root, { directory: copy });
    } catch {
      store = undefined; // no rights, no room, or damage, which the audit tells of
    }
    return await work(store);
  } finally {
    store?.close();
    if (copy !== undefined) rmSync(copy, { recursive: true, force: true });
  }
}
