/**
 * The end of a transaction. First all that it wrote is synced: what maintainer scripts write nobody else ever syncs, and
 * a cut within the next half minute leaves it empty while dpkg calls the package installed. Then the files are looked
 * at again, and what changed is recorded with the seal, in one transaction of the store.
 *
 * Whole filesystems are synced, side by side and not longer than a limit, because it is not known which files
 * maintainer scripts wrote; where one takes longer (a busy database keeps a disk full of dirty pages), the files that
 * are known to have changed are synced one by one. What was not waited for stands in the seal.
 */
import type { Config } from '../../config/settings.ts';
import { type Admindir, openAdmindir } from '../../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import { parseList } from '../../dpkg/manifest.ts';
import { pathToText } from '../../model/path-text.ts';
import type { Seal, SyncRecord, Transaction } from '../../model/transaction.ts';
import { type Bytes, bytesFromText, bytesOf } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import { diskFilesystems, syncFiles, syncFilesystems } from '../../system/sync.ts';
import type { Captured } from '../capture.ts';
import { Contents } from '../contents.ts';
import { createTransactionSnapshot } from '../create.ts';
import { Entries } from '../entries.ts';
import { expiredSnapshots, listSnapshots, pruneSnapshots } from '../snapshots.ts';
import { putSealedState, readSealedState } from '../state.ts';
import type { Store } from '../store.ts';
import { readFileList, statusLog } from './begin.ts';
import { compareRecords, missedPackages, readSteps, recordsAt, recordsNow } from './outcome.ts';
import {
  dropKept,
  listTransactions,
  openTransactions,
  putTransaction,
  unmarkActive,
  writeJournal,
} from './record.ts';

export interface Sealed {
  readonly transaction: Transaction;
  readonly captured: Captured;
}

/** Snapshots are pruned when so many more than the configuration allows are there, because pruning takes a while. */
const PRUNE_SLACK = 10;

/**
 * Seals an open transaction.
 *
 * @throws DebmendError of the snapshot; an error of SQLite or of the filesystem
 */
export async function sealTransaction(
  store: Store,
  root: Root,
  config: Config,
  open: Transaction,
  by: Seal['by'],
): Promise<Sealed> {
  const syncedAt = Date.now();
  const sync = await syncAll(root, config);
  const admindir = openAdmindir(root, DEFAULT_ADMINDIR);
  const inside = admindirInside(root, admindir);
  const before = recordsAt(store, inside, open.snapshotBefore);
  const after = recordsNow(admindir);
  const outcome = compareRecords(before ?? after, after);
  const { steps, names } = readSteps(statusLog(store, open.id));
  const missed = missedPackages(open, after);
  const intended = open.runs.flatMap(({ packages }) => packages);
  const touched = new Set([...outcome.names, ...names, ...intended.map(({ name }) => bytesFromText(name))]);
  const waited = sync.filesystems.every(({ result }) => result === 'synced' || result === 'excluded');
  const isAllSynced = sync.filesystems.every(({ result }) => result === 'synced');
  const state = isAllSynced
    ? await readSealedState(store, root, { admindir, names: touched, before: open.snapshotBefore, syncedAt })
    : undefined;
  let transaction: Transaction = open;
  const seal = (synced: boolean, record: SyncRecord, snapshot: number): void => {
    const at = new Date().toISOString();
    transaction = {
      ...open,
      state: 'sealed',
      endedAt: at,
      snapshotAfter: snapshot,
      seal: {
        at,
        by,
        complete: missed.length === 0,
        synced,
        sync: record,
        packages: outcome.packages,
        // Of a transaction that is sealed again after a further run, the first seal has the first steps.
        steps: [...(open.seal?.steps ?? []), ...steps],
        missed,
      },
    };
    putTransaction(store, transaction);
  };
  const captured = await createTransactionSnapshot(
    store,
    root,
    {
      packages: touched,
      owned: ownedBefore(store, inside, open.snapshotBefore, touched),
      intended: intended.flatMap(({ name, architecture }) => [
        ...(readFileList(store, open.id, name, architecture)?.keys() ?? []),
      ]),
    },
    {
      config: config.snapshots,
      head: { kind: 'after', scope: 'transaction', transaction: open.id, sealed: waited },
      also: (snapshot) => {
        if (waited) seal(true, sync, snapshot);
        if (state !== undefined) putSealedState(store, state);
      },
    },
  );
  if (!waited) {
    const files = await syncFiles(
      captured.touched.map((path) => root.hostPath(path)),
      config.hooks.syncLimit * 1000,
    );
    store.db.transaction(() => {
      const all = sync.method === 'filesystems' && files.failed + files.notWaitedFor === 0;
      // Files that no one knows of were not synced: only a whole filesystem is.
      seal(false, { ...sync, files }, captured.snapshot);
      if (all) store.db.prepare('UPDATE snapshot SET sealed = 1 WHERE id = ?').run(captured.snapshot);
    })();
  }
  writeJournal(store, transaction);
  dropKept(store, open.id);
  unmarkActive(store, open.id);
  settleEarlier(store, after);
  prune(store, config);
  return { transaction, captured };
}

/** An interrupted transaction of this boot that a later one brought to its end needs nobody any more. */
function settleEarlier(store: Store, after: ReturnType<typeof recordsNow>): void {
  for (const transaction of listTransactions(store, 'interrupted')) {
    if (transaction.boot !== store.boot || missedPackages(transaction, after).length > 0) continue;
    const at = new Date().toISOString();
    const ended: Transaction = {
      ...transaction,
      state: 'sealed',
      endedAt: at,
      seal: {
        at,
        by: 'next-start',
        complete: true,
        // The seal of the later one synced whole filesystems.
        synced: true,
        packages: transaction.seal?.packages ?? [],
        steps: transaction.seal?.steps ?? [],
        missed: [],
      },
    };
    putTransaction(store, ended);
    writeJournal(store, ended);
    dropKept(store, transaction.id);
  }
}

function prune(store: Store, config: Config): void {
  const snapshots = listSnapshots(store);
  const open = new Set(
    [...openTransactions(store), ...listTransactions(store, 'interrupted')].map(({ id }) => id),
  );
  const expired = expiredSnapshots(snapshots, config.snapshots, open, new Date());
  if (expired.length > PRUNE_SLACK)
    pruneSnapshots(
      store,
      expired.map(({ id }) => id),
    );
}

async function syncAll(root: Root, config: Config): Promise<SyncRecord> {
  const started = performance.now();
  const excluded = new Set(config.hooks.syncExclude.map(bytesFromText));
  const directories = diskFilesystems(root);
  const wanted =
    config.hooks.syncLimit === 0 ? [] : directories.filter((directory) => !excluded.has(directory));
  const results = await syncFilesystems(
    wanted.map((directory) => root.hostPath(directory)),
    config.hooks.syncLimit * 1000,
  );
  return {
    method: wanted.length === 0 ? 'none' : 'filesystems',
    seconds: Math.round(performance.now() - started) / 1000,
    filesystems: directories.map((directory) => ({
      mountPoint: pathToText(directory),
      result: excluded.has(directory) ? 'excluded' : (results[wanted.indexOf(directory)] ?? 'not-waited-for'),
    })),
  };
}

/** The paths that packages owned in a snapshot, by the copies of their lists. */
function ownedBefore(
  store: Store,
  admindir: Bytes,
  snapshot: number | undefined,
  names: ReadonlySet<Bytes>,
): Bytes[] {
  if (snapshot === undefined) return [];
  const entries = new Entries(store);
  const contents = new Contents(store);
  const paths: Bytes[] = [];
  for (const name of names) {
    for (const list of entries.listsAt(snapshot, `${admindir}/info/`, name)) {
      if (list.content !== null) paths.push(...parseList(bytesOf(contents.read(list.content))).paths);
    }
  }
  return paths;
}

export function admindirInside(root: Root, admindir: Admindir): Bytes {
  return admindir.host.slice(root.prefix.length) || '/';
}
