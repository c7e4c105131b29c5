/** Settling at a start, one process at a time: dpkg's locks are the ones that everybody who changes holds (I5). */
import { whileLocked } from '../../dpkg/locked.ts';
import type { CheckContext } from './ask.ts';
import { readRecord } from './record.ts';
import { type Settled, settleChecks } from './settle.ts';

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
    return await whileLocked(context.root, () => settleChecks(context, true));
  } catch {
    return await settleChecks(context, false);
  }
}
