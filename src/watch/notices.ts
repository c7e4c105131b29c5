/** What the agent saw, kept in the store for whoever comes later: a person, an audit, a report. */
import type { Store } from '../snapshot/store.ts';
import { isKept, pathOf, type WatchEvent } from './events.ts';

/** The most that are kept; the oldest go. */
export const NOTICE_LIMIT = 10_000;

export interface Notice {
  readonly id: number;
  readonly event: WatchEvent;
}

/** Writes events down, those that are worth it. Durable when it returns. */
export function keepNotices(store: Store, events: readonly WatchEvent[], limit = NOTICE_LIMIT): void {
  const kept = events.filter(({ kind }) => isKept(kind));
  if (kept.length === 0) return;
  const { db } = store;
  const insert = db.prepare('INSERT INTO notice (at, kind, path, document) VALUES (?, ?, ?, ?)');
  const prune = db.prepare('DELETE FROM notice WHERE id <= (SELECT max(id) FROM notice) - ?');
  db.transaction(() => {
    for (const event of kept) insert.run(event.at, event.kind, pathOf(event) ?? null, JSON.stringify(event));
    prune.run(limit);
  }).immediate();
}

/** The notices since a time, the oldest first. @param since as in `at`; all without it */
export function listNotices(store: Store, since = ''): Notice[] {
  const rows = store.db.prepare('SELECT id, document FROM notice WHERE at >= ? ORDER BY id').all(since) as {
    id: number;
    document: string;
  }[];
  return rows.map(({ id, document }) => ({ id, event: JSON.parse(document) as WatchEvent }));
}
