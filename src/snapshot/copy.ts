/**
 * A store that is looked at where nothing may be written: of a root that is mounted read-only, or for a command that
 * promises to change nothing. A private copy is opened, and thrown away.
 */
import { constants, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Root } from '../system/root.ts';
import { openStore, STORE_FILE, type Store, storeDirectory } from './store.ts';

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
      const from = join(directory ?? storeDirectory(root), STORE_FILE);
      if (existsSync(from)) {
        copy = mkdtempSync(join(tmpdir(), 'debmend-store-'));
        for (const suffix of ['', '-wal'])
          if (existsSync(from + suffix))
            copyFileSync(from + suffix, join(copy, STORE_FILE + suffix), constants.COPYFILE_FICLONE);
        store = await openStore(root, { directory: copy });
      }
    } catch {
      store = undefined; // no rights, no room, or damage, which the audit tells of
    }
    return await work(store);
  } finally {
    store?.close();
    if (copy !== undefined) rmSync(copy, { recursive: true, force: true });
  }
}
