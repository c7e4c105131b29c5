/**
 * Transactions in the store. Each stands in the database, and beside it as a file of its own: the intent of an
 * interrupted one is what a recovery needs most, and should the database be damaged by the same outage, the files bring
 * it back (I8).
 *
 *     transactions/ID/intent.json   the transaction, as it stands in the database
 *     transactions/ID/archives/     .debs, by hard link, until the seal
 *     transactions/ID/replaced/     old versions of files, until the seal
 *     transactions/ID/status.log    what dpkg says of its work while it does it
 *     active                        the open transaction and its process, for the hooks' shell part
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Transaction } from '../../model/transaction.ts';
import { syncDirectory, writeDurably } from '../../system/durable.ts';
import { errnoOf } from '../../system/errors.ts';
import type { Store } from '../store.ts';

/** Where transactions have their files, in the store's directory. */
export const TRANSACTIONS = 'transactions';
/** The transaction itself, in its directory. */
export const INTENT = 'intent.json';
const ACTIVE = 'active';

/** The directory of a transaction, as a path of this host. */
export function transactionDirectory(store: Store, id: string): string {
  return store.file(join(TRANSACTIONS, id));
}

/** Makes it, durably: what is linked into it afterwards needs a directory that is on disk. */
export function makeTransactionDirectory(store: Store, id: string): string {
  const directory = transactionDirectory(store, id);
  if (mkdirSync(directory, { recursive: true, mode: 0o700 }) !== undefined) {
    syncDirectory(store.file(TRANSACTIONS));
    syncDirectory(store.directory);
  }
  return directory;
}

/** A name that sorts by time and is not taken. */
export function newTransactionId(store: Store, now: Date): string {
  const stamp = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const taken = store.db.prepare('SELECT 1 FROM trans WHERE id = ?').pluck();
  let id = stamp;
  for (let more = 2; taken.get(id) !== undefined; more += 1) id = `${stamp}-${more}`;
  return id;
}

/** Writes a transaction's row. Durable when the transaction of the store is that this is called in. */
export function putTransaction(store: Store, transaction: Transaction): void {
  store.db
    .prepare(
      'INSERT OR REPLACE INTO trans (id, state, started_at, ended_at, document) VALUES (?, ?, ?, ?, ?)',
    )
    .run(
      transaction.id,
      transaction.state,
      transaction.startedAt,
      transaction.endedAt ?? null,
      JSON.stringify(transaction),
    );
}

/** Writes a transaction's file, durably. */
export function writeJournal(store: Store, transaction: Transaction): void {
  const directory = makeTransactionDirectory(store, transaction.id);
  writeDurably(join(directory, INTENT), `${JSON.stringify(transaction)}\n`, 0o600);
}

export function findTransaction(store: Store, id: string): Transaction | undefined {
  const text = store.db.prepare('SELECT document FROM trans WHERE id = ?').pluck().get(id);
  return typeof text === 'string' ? (JSON.parse(text) as Transaction) : undefined;
}

/** The state of every transaction, by its name: what their documents need not be read for. */
export function transactionStates(store: Store): Map<string, Transaction['state']> {
  const rows = store.db.prepare('SELECT id, state FROM trans').all() as Pick<Transaction, 'id' | 'state'>[];
  return new Map(rows.map(({ id, state }) => [id, state]));
}

/** All transactions in some states, the oldest first; without states all. */
export function listTransactions(store: Store, ...states: Transaction['state'][]): Transaction[] {
  const marks = states.map(() => '?').join(', ');
  const where = states.length === 0 ? '' : `WHERE state IN (${marks})`;
  const rows = store.db
    .prepare(`SELECT document FROM trans ${where} ORDER BY id`)
    .pluck()
    .all(...states);
  return rows.map((row) => JSON.parse(String(row)) as Transaction);
}

export function openTransactions(store: Store): Transaction[] {
  return listTransactions(store, 'open');
}

/**
 * The transactions whose files stand in a store's directory, whatever its database says; damaged ones are left out.
 *
 * @param wanted which of them are read at all
 */
export async function readJournals(
  directory: string,
  wanted: (id: string) => boolean = () => true,
): Promise<Transaction[]> {
  const { transactionSchema } = await import('../../model/transaction.ts');
  let names: string[];
  try {
    names = readdirSync(join(directory, TRANSACTIONS)).sort();
  } catch {
    return [];
  }
  return names.filter(wanted).flatMap((name) => {
    try {
      const text = readFileSync(join(directory, TRANSACTIONS, name, INTENT), 'utf8');
      const parsed = transactionSchema.safeParse(JSON.parse(text));
      return parsed.success ? [parsed.data] : [];
    } catch {
      return []; // cut while it was written for the first time: then the database has it or it had not begun
    }
  });
}

/**
 * Brings back what the files say and the database does not: everything, where the store had to be begun anew; the newest,
 * where a disk lost what it had synced, because SQLite ends its log at the first damaged frame and says nothing. The
 * snapshots of what was not there are lost.
 *
 * @returns how many
 */
export async function restoreTransactions(store: Store): Promise<number> {
  const states = transactionStates(store);
  const isBehind = (id: string) => (states.get(id) ?? 'open') === 'open';
  const ahead = (await readJournals(store.directory, isBehind)).flatMap((found): Transaction[] => {
    const known = findTransaction(store, found.id);
    // The file is written after the row, so it never says less; a state that only it has is no loss.
    if (known !== undefined && known.runs.length >= found.runs.length) return [];
    const { snapshotBefore: _before, snapshotAfter: _after, ...transaction } = found;
    const { snapshotBefore } = known ?? {};
    return [{ ...transaction, ...(snapshotBefore === undefined ? {} : { snapshotBefore }) }];
  });
  if (ahead.length === 0) return 0;
  const newest = [...states.keys(), ...ahead.map(({ id }) => id)].sort().at(-1);
  store.db.transaction(() => {
    for (const transaction of ahead)
      putTransaction(store, transaction.id === newest ? doubted(store, transaction) : transaction);
  })();
  return ahead.length;
}

/**
 * A disk that lost the row of a seal, which was synced after all else, may have lost whatever the installation wrote: it
 * is sealed again when a recovery has looked at it, and has said what nobody can judge. Its seal says what it was.
 */
function doubted(store: Store, transaction: Transaction): Transaction {
  const isOfThisBoot = transaction.boot === store.boot;
  if (transaction.state !== 'sealed' || store.setAside !== undefined || isOfThisBoot) return transaction;
  return { ...transaction, state: 'interrupted' };
}

/** Takes away what only an open transaction needs: kept archives and old versions. Its file stays. */
export function dropKept(store: Store, id: string): void {
  const directory = transactionDirectory(store, id);
  for (const name of ['archives', 'replaced', 'status.log'])
    rmSync(join(directory, name), { recursive: true, force: true });
  store.db.prepare('DELETE FROM kept WHERE trans = ?').run(id);
}

/** Tells the hooks' shell part which transaction is open, and whose it is. Lost in a crash, and then rightly so. */
export function markActive(store: Store, transaction: Transaction): void {
  const { pid, startTicks } = transaction.session;
  writeFileSync(store.file(ACTIVE), `${transaction.id} ${pid ?? 0} ${startTicks ?? 0}\n`, { mode: 0o600 });
}

export function unmarkActive(store: Store, id: string): void {
  try {
    if (readFileSync(store.file(ACTIVE), 'utf8').split(' ')[0] === id) rmSync(store.file(ACTIVE));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
