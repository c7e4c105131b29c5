/** dpkg's locks: not to look while another process has them, and to have them while something is changed. */
import { existsSync } from 'node:fs';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { holdLocks } from '../system/hold-locks.ts';
import { findLockHolder } from '../system/locks.ts';
import type { Root } from '../system/root.ts';
import { DEFAULT_ADMINDIR } from './database.ts';

/**
 * Refuses to look at a database that another process is working on: what is half-way looks like damage.
 *
 * @param admindir as a path of this host
 * @param doing what is refused: `auditing`
 * @throws DebmendError `locked` while another process holds one of dpkg's locks
 */
export function refuseWhileLocked(admindir: Bytes, doing: string, hint: string): void {
  const holder = findLockHolder([`${admindir}/lock-frontend`, `${admindir}/lock`]);
  if (holder === undefined) return;
  const who =
    holder.pid === undefined
      ? 'another process'
      : `process ${holder.pid}${holder.command === undefined ? '' : ` (${holder.command})`}`;
  throw new DebmendError('locked', `${doing} while ${who} holds ${holder.file}`, hint);
}

/**
 * Holds dpkg's locks while something in the root is changed (I5); nobody is waited for. A root without dpkg's database, a
 * data disk for instance, has none.
 *
 * @throws DebmendError `locked` while someone else has them, `root-unwritable`, and what the work throws
 */
export async function whileLocked<T>(root: Root, work: () => T | Promise<T>): Promise<T> {
  const admindir = root.resolveDirectory(DEFAULT_ADMINDIR);
  if (admindir.kind === 'unreachable' || !existsSync(fsPath(admindir.host))) return await work();
  const locks = await holdLocks(admindir.host, 0);
  try {
    return await work();
  } finally {
    locks.release();
  }
}
