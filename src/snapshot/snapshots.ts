/** The list of snapshots: what each is about, how much it changed, whether it is sealed; and which of them stay. */
import type { Transaction } from '../model/transaction.ts';
import type { Store } from './store.ts';

/** `before` and `after` belong to a transaction; the others were asked for. */
export type SnapshotKind = 'manual' | 'scheduled' | 'before' | 'after';

/** `full` looked at every path; `transaction` at what a transaction was to touch, and at all tracked paths. */
export type SnapshotScope = 'full' | 'transaction';

/** What is known of a snapshot before it is taken. */
export interface SnapshotHead {
  readonly kind: SnapshotKind;
  readonly scope: SnapshotScope;
  readonly transaction: string | undefined;
  /** Whether what it saw is known to be on disk. */
  readonly sealed: boolean;
}

export interface SnapshotTotals {
  /** Paths that it knows. */
  readonly entries: number;
  /** Paths that differ from the snapshot before. */
  readonly changed: number;
  readonly filesRead: number;
  readonly bytesRead: number;
  readonly seconds: number;
}

export interface Snapshot extends SnapshotHead, SnapshotTotals {
  readonly id: number;
  readonly takenAt: string;
  readonly boot: string | undefined;
}

interface Row {
  readonly id: number;
  readonly kind: SnapshotKind;
  readonly scope: SnapshotScope;
  readonly taken_at: string;
  readonly boot: string | null;
  readonly trans: string | null;
  readonly sealed: number;
  readonly entries: number;
  readonly changed: number;
  readonly files_read: number;
  readonly bytes_read: number;
  readonly seconds: number;
}

/** Inside a transaction of the store. @returns the snapshot's number */
export function insertSnapshot(store: Store, head: SnapshotHead): number {
  const result = store.db
    .prepare(
      `INSERT INTO snapshot (kind, scope, taken_at, boot, trans, sealed, entries, changed, files_read, bytes_read, seconds)
       VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0)`,
    )
    .run(
      head.kind,
      head.scope,
      new Date().toISOString(),
      store.boot ?? null,
      head.transaction ?? null,
      head.sealed ? 1 : 0,
    );
  return Number(result.lastInsertRowid);
}

/** Inside the same transaction. */
export function finishSnapshot(store: Store, id: number, totals: SnapshotTotals): void {
  store.db
    .prepare(
      'UPDATE snapshot SET entries = ?, changed = ?, files_read = ?, bytes_read = ?, seconds = ? WHERE id = ?',
    )
    .run(totals.entries, totals.changed, totals.filesRead, totals.bytesRead, totals.seconds, id);
}

/** All snapshots, the oldest first. */
export function listSnapshots(store: Store): Snapshot[] {
  return (store.db.prepare('SELECT * FROM snapshot ORDER BY id').all() as Row[]).map(snapshotOf);
}

export function findSnapshot(store: Store, id: number): Snapshot | undefined {
  const row = store.db.prepare('SELECT * FROM snapshot WHERE id = ?').get(id) as Row | undefined;
  return row === undefined ? undefined : snapshotOf(row);
}

export function newestSnapshot(store: Store): Snapshot | undefined {
  const row = store.db.prepare('SELECT * FROM snapshot ORDER BY id DESC LIMIT 1').get() as Row | undefined;
  return row === undefined ? undefined : snapshotOf(row);
}

/**
 * The newest of those whose content is known to have been on disk.
 *
 * @param at of those that were taken by then, as ISO 8601 has it
 */
export function newestSealed(store: Store, at?: string): Snapshot | undefined {
  const row = store.db
    .prepare(
      'SELECT * FROM snapshot WHERE sealed = 1 AND (@at IS NULL OR taken_at <= @at) ORDER BY id DESC LIMIT 1',
    )
    .get({ at: at ?? null }) as Row | undefined;
  return row === undefined ? undefined : snapshotOf(row);
}

/** Whether a snapshot was taken before a transaction, synced, and is gone: the disk does not keep what it promises. */
export function hasLostSnapshots(store: Store, { id, origin }: Transaction): boolean {
  // The agent takes none: it hears of an installation when that is at work.
  if (origin === 'watch') return false;
  const ofIt = store.db.prepare("SELECT 1 FROM snapshot WHERE trans = ? AND kind = 'before' LIMIT 1").get(id);
  return ofIt === undefined;
}

function snapshotOf(row: Row): Snapshot {
  return {
    id: row.id,
    kind: row.kind,
    scope: row.scope,
    takenAt: row.taken_at,
    boot: row.boot ?? undefined,
    transaction: row.trans ?? undefined,
    sealed: row.sealed === 1,
    entries: row.entries,
    changed: row.changed,
    filesRead: row.files_read,
    bytesRead: row.bytes_read,
    seconds: row.seconds,
  };
}

export interface Retention {
  /** The most snapshots that stay. */
  readonly keep: number;
  /** Older ones go, in days. */
  readonly keepDays: number;
}

/**
 * Which snapshots may go: those beyond the number and older than the days, but never the newest sealed one, nor one
 * of a transaction that is not ended.
 *
 * @param open the transactions that are not ended
 */
export function expiredSnapshots(
  snapshots: readonly Snapshot[],
  retention: Retention,
  open: ReadonlySet<string>,
  now: Date,
): Snapshot[] {
  const newestFirst = [...snapshots].sort((a, b) => b.id - a.id);
  const newestSealed = newestFirst.find(({ sealed }) => sealed);
  const oldest = now.getTime() - retention.keepDays * 24 * 60 * 60 * 1000;
  return newestFirst.filter((snapshot, at) => {
    if (at === 0 || snapshot === newestSealed) return false;
    if (snapshot.transaction !== undefined && open.has(snapshot.transaction)) return false;
    return at >= retention.keep || Date.parse(snapshot.takenAt) < oldest;
  });
}

export interface Pruned {
  readonly snapshots: number;
  /** States of paths that no snapshot needs any more. */
  readonly states: number;
  readonly contents: number;
}

/** Takes snapshots away, and what only they needed. */
export function pruneSnapshots(store: Store, ids: readonly number[]): Pruned {
  if (ids.length === 0) return { snapshots: 0, states: 0, contents: 0 };
  const { db } = store;
  return db
    .transaction((): Pruned => {
      const remove = db.prepare('DELETE FROM snapshot WHERE id = ?');
      for (const id of ids) remove.run(id);
      const oldest = Number(db.prepare('SELECT coalesce(min(id), 0) FROM snapshot').pluck().get());
      // Nearly always the oldest go, and the index finds what they held; the second look is for those between.
      let states = db.prepare('DELETE FROM history WHERE until <= ?').run(oldest).changes;
      if (ids.some((id) => id > oldest)) {
        states += db
          .prepare(
            `DELETE FROM history WHERE NOT EXISTS
               (SELECT 1 FROM snapshot s WHERE s.id >= history.since AND s.id < history.until)`,
          )
          .run().changes;
      }
      return { snapshots: ids.length, states, contents: states === 0 ? 0 : removeUnused(store) };
    })
    .immediate();
}

/** Contents and paths that nothing names any more; a content that another one is a difference to stays. */
function removeUnused(store: Store): number {
  const { db } = store;
  db.exec('CREATE TEMP TABLE IF NOT EXISTS needed (id INTEGER PRIMARY KEY); DELETE FROM needed;');
  db.exec(`
    INSERT OR IGNORE INTO needed SELECT content FROM entry WHERE content IS NOT NULL;
    INSERT OR IGNORE INTO needed SELECT content FROM history WHERE content IS NOT NULL;
    INSERT OR IGNORE INTO needed SELECT content FROM file_list;`);
  // Chains are short (contents.ts), so a few rounds reach their ends.
  const follow = db.prepare(
    `INSERT OR IGNORE INTO needed
       SELECT base FROM content WHERE base IS NOT NULL AND id IN (SELECT id FROM needed)`,
  );
  while (follow.run().changes > 0);
  const { changes } = db.prepare('DELETE FROM content WHERE id NOT IN (SELECT id FROM needed)').run();
  db.exec(`
    DELETE FROM needed;
    DELETE FROM path WHERE id NOT IN (SELECT path FROM entry UNION SELECT path FROM history UNION SELECT path FROM kept);`);
  return changes;
}
