/** `debmend snapshot`: parse, call, render. */
import { loadConfig } from '../config/config.ts';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { refuseWhileLocked } from '../dpkg/locked.ts';
import type { Inventory } from '../model/inventory.ts';
import { pathToText } from '../model/path-text.ts';
import { changeLines, entryTable, inventory, snapshotTable } from '../report/inventory.ts';
import { createFullSnapshot } from '../snapshot/create.ts';
import { Entries } from '../snapshot/entries.ts';
import { diffSnapshots, inventoryEntry } from '../snapshot/inventory.ts';
import {
  expiredSnapshots,
  findSnapshot,
  listSnapshots,
  pruneSnapshots,
  type Snapshot,
} from '../snapshot/snapshots.ts';
import { forgetSealedState } from '../snapshot/state.ts';
import type { Store } from '../snapshot/store.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import { bytesFromText } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { diskFilesystems, syncFilesystems } from '../system/sync.ts';
import { EXIT } from './exit-codes.ts';
import { interruptible } from './interruption.ts';
import { startProgress } from './progress.ts';
import { openRoot } from './root.ts';
import { withStore } from './store.ts';

interface Common {
  readonly root: string;
  readonly json?: boolean;
  readonly store?: string;
  readonly config?: string;
}

/** How long the sync before a sealed snapshot may take, in milliseconds. */
const SYNC_MS = 120_000;

/** @throws DebmendError */
export async function snapshotCreate(options: unknown): Promise<number> {
  const args = options as Common & { ignoreLock?: boolean };
  const root = openRoot(args.root);
  const { snapshots: config } = await loadConfig(args.config);
  if (args.ignoreLock !== true) refuseLocked(root);
  const progress = startProgress();
  try {
    return await withStore(root, args.store, async (store) => {
      const synced = await syncFilesystems(
        diskFilesystems(root).map((directory) => root.hostPath(directory)),
        SYNC_MS,
      );
      const taking = (signal: AbortSignal) =>
        createFullSnapshot(store, root, {
          config,
          head: {
            kind: 'manual',
            scope: 'full',
            transaction: undefined,
            sealed: synced.every((result) => result === 'synced'),
          },
          // Somebody has looked at it all.
          also: () => forgetSealedState(store),
          signal,
          onProgress: progress?.update,
        });
      const captured = await interruptible(taking);
      progress?.stop();
      const snapshot = existing(store, captured.snapshot);
      const { added, changed, gone } = captured;
      const unreadable = captured.unreadable.map(pathToText);
      print(root, args, { snapshot, created: { added, changed, gone, unreadable } }, () => {
        const megabytes = (captured.bytesRead / 1e6).toFixed(1);
        const lines = [
          `snapshot ${snapshot.id}: ${snapshot.entries} paths, ${added} added, ${changed} changed, ${gone} gone`,
          `read ${captured.filesRead} files, ${megabytes} MB, in ${snapshot.seconds.toFixed(1)} s`,
          ...(unreadable.length === 0 ? [] : [`could not be read: ${unreadable.length}`]),
        ];
        return `${lines.join('\n')}\n`;
      });
      return EXIT.sound;
    });
  } finally {
    progress?.stop();
  }
}

/** @throws DebmendError */
export async function snapshotList(options: unknown): Promise<number> {
  const args = options as Common;
  const root = openRoot(args.root);
  return await withStore(root, args.store, (store) => {
    const snapshots = listSnapshots(store);
    print(root, args, { snapshots }, () => snapshotTable(snapshots));
    return EXIT.sound;
  });
}

/** @throws DebmendError */
export async function snapshotShow(id: string, options: unknown): Promise<number> {
  const args = options as Common & { path?: string };
  const root = openRoot(args.root);
  return await withStore(root, args.store, (store) => {
    const snapshot = existing(store, id);
    const below = bytesFromText((args.path ?? '/').replace(/(?<=.)\/+$/, ''));
    const entries = [...new Entries(store).at(snapshot.id, below)].map(inventoryEntry);
    print(root, args, { snapshot, entries }, () => snapshotTable([snapshot]) + entryTable(entries));
    return EXIT.sound;
  });
}

/** @throws DebmendError */
export async function snapshotDiff(from: string, to: string | undefined, options: unknown): Promise<number> {
  const args = options as Common;
  const root = openRoot(args.root);
  return await withStore(root, args.store, (store) => {
    const older = existing(store, from);
    const newer = to === undefined ? newest(store) : existing(store, to);
    const changes = diffSnapshots(store, older.id, newer.id);
    print(root, args, { diff: { from: older.id, to: newer.id, changes } }, () => changeLines(changes));
    return EXIT.sound;
  });
}

/** @throws DebmendError */
export async function snapshotPrune(options: unknown): Promise<number> {
  const args = options as Common & { keep?: number; keepDays?: number; dryRun?: boolean };
  const root = openRoot(args.root);
  const { snapshots: config } = await loadConfig(args.config);
  return await withStore(root, args.store, (store) => {
    const open = new Set(listTransactions(store, 'open', 'interrupted').map(({ id }) => id));
    const retention = { keep: args.keep ?? config.keep, keepDays: args.keepDays ?? config.keepDays };
    const ids = expiredSnapshots(listSnapshots(store), retention, open, new Date()).map(({ id }) => id);
    const pruned = args.dryRun === true ? { states: 0, contents: 0 } : pruneSnapshots(store, ids);
    if (args.dryRun !== true && ids.length > 0) store.compact();
    const { states, contents } = pruned;
    print(root, args, { pruned: { snapshots: ids, states, contents } }, () =>
      args.dryRun === true
        ? `would remove ${ids.length} snapshots${ids.length === 0 ? '' : `: ${ids.join(', ')}`}\n`
        : `removed ${ids.length} snapshots, ${states} states of paths, ${contents} contents\n`,
    );
    return EXIT.sound;
  });
}

function print(
  root: Root,
  args: Common,
  parts: Omit<Inventory, 'schemaVersion' | 'tool' | 'root'>,
  human: () => string,
): void {
  process.stdout.write(
    args.json === true ? `${JSON.stringify(inventory(root, parts), undefined, 2)}\n` : human(),
  );
}

function existing(store: Store, id: string | number): Snapshot {
  const snapshot = /^\d+$/.test(String(id)) ? findSnapshot(store, Number(id)) : undefined;
  if (snapshot !== undefined) return snapshot;
  if (id === 'latest') return newest(store);
  throw new DebmendError(
    'unknown-snapshot',
    `looking for snapshot ${id}: there is none`,
    "'debmend snapshot list' tells their numbers; 'latest' is the newest",
  );
}

function newest(store: Store): Snapshot {
  const snapshot = listSnapshots(store).at(-1);
  if (snapshot !== undefined) return snapshot;
  throw new DebmendError(
    'unknown-snapshot',
    'looking for the newest snapshot: there is none yet',
    "'debmend snapshot create' takes one",
  );
}

function refuseLocked(root: Root): void {
  const admindir = root.resolveDirectory(DEFAULT_ADMINDIR);
  if (admindir.kind === 'unreachable') return; // reading the database says so
  const hint = 'wait until it has ended; --ignore-lock takes it all the same, half-way as things are';
  refuseWhileLocked(admindir.host, 'taking a snapshot', hint);
}
