/**
 * Clocks that ran behind. After an outage the clock of a machine without a battery starts with a time of before, and
 * until somebody sets it whatever changes bears times (ctime, inode(7)) from before a seal: these prove nothing against
 * the disk.
 */
import { lstatSync } from 'node:fs';
import { newestSealed } from '../snapshot/snapshots.ts';
import { forgetSealedState } from '../snapshot/state.ts';
import type { Store } from '../snapshot/store.ts';
import { fsPath } from '../system/bytes.ts';
import { listInside } from '../system/inside.ts';
import type { Root } from '../system/root.ts';

/** A filesystem of its own on every system that runs, and made anew at each boot (hier(7), file-hierarchy(7)). */
const OF_THIS_BOOT = '/run';
const MOST_ENTRIES = 1000;

const KEY = 'clock-behind';

interface Behind {
  /** The number of the newest sealed snapshot of then. */
  readonly snapshot: number;
  /** The earliest time that the clock is known to have shown since, in milliseconds since the epoch. */
  readonly from: number;
}

/**
 * To be called in each boot before times are compared: what the clock showed is known in its own boot only. State that
 * was noted at a time which that clock showed once more is forgotten.
 */
export function noticeClock(root: Root, store: Store): void {
  const snapshot = newestSealed(store);
  const from = earliestOfBoot(root);
  // In the boot that was sealed itself everything is older, and nothing can be lost.
  if (snapshot === undefined || from === undefined || snapshot.boot === store.boot) return;
  if (from >= Date.parse(snapshot.takenAt)) return;
  const known = clockBehind(store, snapshot.id);
  if (known !== undefined && known <= from) return;
  store.db.transaction(() => {
    forgetSealedState(store, from);
    store.set(KEY, JSON.stringify({ snapshot: snapshot.id, from } satisfies Behind));
  })();
}

/**
 * From when on times prove nothing against this snapshot, the newest sealed one, in milliseconds since the epoch:
 * something may have changed since it and bear them. Undefined where no clock was seen behind.
 */
export function clockBehind(store: Store, snapshot: number): number | undefined {
  const text = store.get(KEY);
  if (text === undefined) return undefined;
  const behind = JSON.parse(text) as Behind;
  return behind.snapshot === snapshot ? behind.from : undefined;
}

/** The earliest time of what was made in this boot; undefined where nothing tells, as in a root that does not run. */
function earliestOfBoot(root: Root): number | undefined {
  const found = root.resolve(OF_THIS_BOOT);
  if (found.kind !== 'found') return undefined;
  const devOf = (host: string): number | undefined => lstatSync(fsPath(host), { throwIfNoEntry: false })?.dev;
  if (devOf(found.host) === devOf(root.hostPath('/'))) return undefined;
  const times = listInside(root, OF_THIS_BOOT, MOST_ENTRIES).map(({ stat }) => stat.ctimeMs);
  return times.length === 0 ? undefined : Math.min(...times);
}
