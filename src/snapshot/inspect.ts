/** Looking at a store without writing to it, which an audit never does. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Transaction } from '../model/transaction.ts';
import { errnoOf, messageOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { copyStore } from './copy.ts';
import { type SetAside, STORE_FILE, storeDirectory } from './store.ts';
import { readJournals } from './transaction/record.ts';
import { isAlive } from './transaction/session.ts';

export type Inspection =
  /** There is none: debmend was never used to change or watch this root. */
  | { readonly kind: 'none' }
  /** This user may not look at it, or there is no room for the copy that is looked at: nothing is known of it. */
  | { readonly kind: 'denied'; readonly path: string }
  | {
      readonly kind: 'damaged';
      readonly path: string;
      readonly reason: string;
      /** From the journal files beside it. */
      readonly unfinished: Transaction[];
    }
  | {
      readonly kind: 'read';
      /** A damaged store that was replaced by this one. */
      readonly setAside: SetAside | undefined;
      /** Transactions that are not ended though nobody works on them any more. */
      readonly unfinished: Transaction[];
    };

/** A writer may be at work while the file is copied: damage has to be seen twice. */
const TRIES = 2;
const PAUSE_MS = 300;

/** Never throws. */
export async function inspectStore(root: Root): Promise<Inspection> {
  const directory = storeDirectory(root);
  const path = join(directory, STORE_FILE);
  for (let tries = 1; ; tries += 1) {
    const outcome = await inspectCopy(directory);
    if (outcome.kind !== 'damaged' || tries === TRIES) return { ...outcome, path } as Inspection;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

type Outcome =
  | { kind: 'none' }
  | { kind: 'denied' }
  | { kind: 'damaged'; reason: string; unfinished: Transaction[] }
  | { kind: 'read'; setAside: SetAside | undefined; unfinished: Transaction[] };

async function inspectCopy(directory: string): Promise<Outcome> {
  try {
    if (!existsSync(join(directory, STORE_FILE))) {
      const unfinished = unfinishedOf(await readJournals(directory));
      return unfinished.length === 0
        ? { kind: 'none' }
        : { kind: 'damaged', reason: 'the database is missing', unfinished };
    }
    const copy = copyStore(directory);
    if (copy === undefined) return { kind: 'denied' };
    try {
      return await read(join(copy, STORE_FILE));
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== undefined && NO_DAMAGE.has(errno)) return { kind: 'denied' };
    const unfinished = unfinishedOf(await readJournals(directory));
    return { kind: 'damaged', reason: messageOf(error), unfinished };
  }
}

/** Rights, and a disk that is full or read-only, as after an outage: none of them says that the store is damaged. */
const NO_DAMAGE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT']);

/** @throws an error of SQLite when the file is damaged */
async function read(file: string): Promise<Outcome> {
  const { default: Database } = await import('better-sqlite3');
  const db = new Database(file);
  try {
    const answer = db.pragma('quick_check(1)', { simple: true });
    if (answer !== 'ok') throw new Error(String(answer));
    const note = db.prepare("SELECT value FROM meta WHERE key = 'set-aside'").pluck().get();
    const rows = db
      .prepare("SELECT document FROM trans WHERE state IN ('open', 'interrupted') ORDER BY id")
      .pluck()
      .all();
    return {
      kind: 'read',
      setAside: typeof note === 'string' ? (JSON.parse(note) as SetAside) : undefined,
      unfinished: unfinishedOf(rows.map((row) => JSON.parse(String(row)) as Transaction)),
    };
  } finally {
    db.close();
  }
}

function unfinishedOf(transactions: readonly Transaction[]): Transaction[] {
  return transactions.filter(
    (transaction) =>
      transaction.state === 'interrupted' || (transaction.state === 'open' && !isAlive(transaction)),
  );
}
