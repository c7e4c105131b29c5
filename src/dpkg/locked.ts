/** Refusing to look at a database that another process is working on: what is half-way looks like damage. */
import type { Bytes } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { findLockHolder } from '../system/locks.ts';

/**
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
