/**
 * What became of transactions that nobody ended: their process is gone, or the machine was. One that changed nothing
 * was abandoned (a person said no, another hook refused). One that changed something is interrupted, and stays so until
 * a recovery, or a later transaction, brings its packages to where they were meant to come.
 */
import { type Admindir, openAdmindir } from '../../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import type { Transaction } from '../../model/transaction.ts';
import type { Root } from '../../system/root.ts';
import type { Store } from '../store.ts';
import { statusLog } from './begin.ts';
import { compareRecords, missedPackages, readSteps, recordsAt, recordsNow } from './outcome.ts';
import { dropKept, openTransactions, putTransaction, unmarkActive, writeJournal } from './record.ts';
import { admindirInside } from './seal.ts';
import { isAlive } from './session.ts';

/**
 * Settles every open transaction whose process is gone. Where a repair of the filesystem took dpkg's database they stay
 * open until it is back: what became of them only it tells.
 *
 * @returns those
 */
export function settleTransactions(store: Store, root: Root): Transaction[] {
  if (root.resolveDirectory(DEFAULT_ADMINDIR).kind !== 'found') return [];
  const ended = openTransactions(store).filter((transaction) => !isAlive(transaction));
  return ended.map((transaction) => settle(store, root, transaction));
}

/**
 * Whether a dpkg was killed here: one that ends leaves no note of its journal behind (lib/dpkg/dbmodify.c), not even
 * when it fails.
 */
export function leftNotes(admindir: Admindir): boolean {
  return admindir.names('updates').length > 0;
}

/** Records what became of a transaction that nobody is going to seal. */
export function settle(store: Store, root: Root, open: Transaction): Transaction {
  const admindir = openAdmindir(root, DEFAULT_ADMINDIR);
  const after = recordsNow(admindir);
  const before = recordsAt(store, admindirInside(root, admindir), open.snapshotBefore);
  const { packages } = compareRecords(before ?? after, after);
  const { steps } = readSteps(statusLog(store, open.id));
  // Across a crash nothing is taken for unchanged: dpkg may have begun without its database saying so (I10).
  const untouched =
    before !== undefined &&
    packages.length === 0 &&
    steps.length === 0 &&
    !leftNotes(admindir) &&
    open.boot === store.boot;
  const at = new Date().toISOString();
  const settled: Transaction = {
    ...open,
    state: untouched ? 'abandoned' : 'interrupted',
    endedAt: at,
    seal: {
      at,
      by: 'next-start',
      complete: false,
      synced: false,
      packages,
      steps,
      missed: missedPackages(open, after),
    },
  };
  store.db.transaction(() => putTransaction(store, settled))();
  writeJournal(store, settled);
  if (untouched) dropKept(store, open.id);
  unmarkActive(store, open.id);
  return settled;
}
