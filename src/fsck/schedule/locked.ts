/** Work on what was asked for, one process at a time: dpkg's locks are the ones that everybody who changes holds (I5). */
import { openAdmindir } from '../../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import { DebmendError } from '../../system/errors.ts';
import { holdLocks } from '../../system/hold-locks.ts';
import type { CheckContext } from './ask.ts';
import { readRecord } from './record.ts';
import { type Settled, settleChecks } from './settle.ts';

/**
 * Holds dpkg's locks around the work. A root without dpkg's database, a data disk for instance, has none.
 *
 * @param wait how long others are waited for, in milliseconds
 * @throws DebmendError `locked`, and what the work throws
 */
export async function whileLocked<T>(
  { root }: Pick<CheckContext, 'root'>,
  wait: number,
  work: () => Promise<T>,
): Promise<T> {
  let host: string;
  try {
    host = openAdmindir(root, DEFAULT_ADMINDIR).host;
  } catch (error) {
    if (error instanceof DebmendError && error.code === 'no-dpkg-database') return await work();
    throw error;
  }
  const locks = await holdLocks(host, wait);
  try {
    return await work();
  } finally {
    locks.release();
  }
}

/**
 * Settles what can be settled at the start of any command: with the locks it is written down and put back, without them,
 * because dpkg works or the rights are missing, it is only said how things stand. Never throws.
 */
export async function settleAtStart(context: CheckContext): Promise<Settled> {
  const { record } = readRecord(context.directory);
  // Most starts have nothing to settle, and nothing to take locks for.
  if (record.checks.length === 0 && record.commandLine === undefined)
    return await settleChecks(context, false);
  try {
    return await whileLocked(context, 0, () => settleChecks(context, true));
  } catch {
    return await settleChecks(context, false);
  }
}
