/**
 * Times that went back. Whoever changes an inode gives it the time of change of that moment, and nobody can set another
 * (ctime, inode(7)). What is older than a snapshot saw it, though all was synced since, was lost by the disk.
 */
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { findTransaction } from '../snapshot/transaction/record.ts';
import type { Root } from '../system/root.ts';
import { clockBehind } from './clock.ts';
import { standingAt } from './tracked-damage.ts';

/** dpkg writes it at the end of its work, before any seal. */
const LAST_WRITTEN = `${DEFAULT_ADMINDIR}/status`;

/**
 * When that was written which the disk has lost since, in milliseconds since the epoch. Only what is not younger than
 * dpkg's last write of its database counts, because only that is known to be older than the sync.
 */
export function regressedTimes(root: Root, store: Store): number[] {
  const snapshot = newestSealed(store);
  const seal =
    snapshot?.transaction === undefined ? undefined : findTransaction(store, snapshot.transaction)?.seal;
  const isAllSynced = seal?.sync?.filesystems.every(({ result }) => result === 'synced') ?? false;
  if (snapshot === undefined || seal?.synced !== true || !isAllSynced) return [];
  const entries = new Entries(store);
  const until = entries.findAt(snapshot.id, LAST_WRITTEN)?.ctime;
  if (until === undefined) return [];
  const provesBefore = clockBehind(store, snapshot.id) ?? Number.POSITIVE_INFINITY;
  const times: number[] = [];
  for (const { path, ctime, ino } of entries.at(snapshot.id)) {
    if (ctime > until) continue;
    const stat = standingAt(root, path);
    if (stat === undefined || stat === 'elsewhere') continue;
    // Another inode may be older rightly: a mount point with nothing mounted, a file that was moved there.
    if (stat.ino === ino && stat.ctimeMs < Math.min(ctime, provesBefore)) times.push(ctime);
  }
  return times;
}
