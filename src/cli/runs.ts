/** What the commands about runs have in common: where the records are, and dpkg's locks while something is changed. */

import { existsSync } from 'node:fs';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import type { RunStore } from '../recovery/journal.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { fsPath } from '../system/bytes.ts';
import { holdLocks } from '../system/hold-locks.ts';
import type { Root } from '../system/root.ts';

/** How long others are waited for, in milliseconds. */
const WAIT_MS = 0;

/** The journals and the quarantine are plain files: the store's database is not needed, and may be damaged. */
export function runStore(root: Root, directory: string | undefined): RunStore {
  return { directory: directory ?? storeDirectory(root) };
}

/**
 * Holds dpkg's locks while something in the root is changed (I5).
 *
 * @throws DebmendError `locked` while someone else has them, `root-unwritable`, and what the work throws
 */
export async function whileLocked<T>(root: Root, work: () => T | Promise<T>): Promise<T> {
  const admindir = root.resolveDirectory(DEFAULT_ADMINDIR);
  if (admindir.kind === 'unreachable' || !existsSync(fsPath(admindir.host))) return await work();
  const locks = await holdLocks(admindir.host, WAIT_MS);
  try {
    return await work();
  } finally {
    locks.release();
  }
}
