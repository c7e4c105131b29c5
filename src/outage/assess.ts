/** The outage as other parts of debmend ask for it, in one call. */
import type { Outage } from '../model/outage.ts';
import type { Root } from '../system/root.ts';
import { collectEvidence, runningBoot } from './collect.ts';
import { keepFsckLog } from './fsck-log.ts';
import { mergeEvidence } from './merge.ts';

/**
 * Milliseconds, where something acts on the verdict: sources answer within a tenth of a second, but at the start of a
 * system its disks are busy, and a wrong verdict is worse than a late one.
 */
const PATIENCE_MS = 3000;

/**
 * Whether the boot before this one ended in an outage. Never throws. What takes longer and only adds to the cause
 * (a management controller) is left out.
 *
 * @param directory the store's, as a path of this host
 * @param keep whether traces that are gone with this boot are copied into the store
 * @param limit milliseconds that slow sources are waited for
 */
export async function assessOutage(
  root: Root,
  directory: string,
  keep: boolean,
  limit: number = PATIENCE_MS,
): Promise<Outage> {
  const running = runningBoot(root);
  const { evidence } = await collectEvidence({ root, directory, running, limit });
  const outage = mergeEvidence(evidence);
  if (keep && running !== undefined && outage.verdict !== 'not-applicable')
    keepTraces(root, directory, running.boot);
  return outage;
}

/** The last moment at which the machine is known to have run, in milliseconds since 1970. */
export function lastAlive(outage: Outage): number | undefined {
  const at = outage.interval.from?.at;
  return at === undefined ? undefined : Date.parse(at);
}

/** Copies what lies in memory only into the store; by root alone, whose store it is. Never throws. */
export function keepTraces(root: Root, directory: string, boot: string): void {
  if (process.geteuid?.() !== 0) return;
  try {
    keepFsckLog(root, directory, boot);
  } catch {
    // A disk that is full or read-only is no reason to fail now.
  }
}
