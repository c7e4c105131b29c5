/**
 * The store: one SQLite database in /var/lib/debmend of the root, for root alone. It is opened here and nowhere else.
 *
 *  - WAL, synchronous=FULL: what was committed is on disk before the call returns (I4).
 *  - In the first process after a boot that did not end cleanly, the whole file is checked before it is believed.
 *  - A damaged one is set aside, never deleted (I1), and a new one is begun; transactions come back from their journal
 *    files, which stand beside it. That it happened stays in the new store until someone reads it (I8).
 */
import { existsSync, lstatSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Database as Sqlite } from 'better-sqlite3';
import { bootId } from '../system/boot.ts';
import { bufferOf } from '../system/bytes.ts';
import { syncDirectory } from '../system/durable.ts';
import { DebmendError, errnoOf, messageOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts';

/** Inside the root. */
export const STORE_DIRECTORY = '/var/lib/debmend';
export const STORE_FILE = 'state.db';
/** How long a writer waits for another, in milliseconds. */
const BUSY_MS = 10_000;
/** What SQLite says of a file that is damaged or none of its own (sqlite3.h). */
const DAMAGED = /^SQLITE_(?:CORRUPT|NOTADB|FORMAT)/;

export interface OpenOptions {
  /**
   * Whether every boot from the one that is named until this one ended cleanly; asked only when the boot changed.
   * Without it a changed boot counts as unclean.
   */
  readonly endedCleanly?: (sinceBoot: string) => Promise<boolean>;
  /** Another place than the root's own, as a path of this host: for a root that is mounted read-only. */
  readonly directory?: string | undefined;
  /** How long to wait for another process's write, in milliseconds. */
  readonly busyTimeout?: number;
  /** A store that this process set aside a moment ago, because it turned out to be damaged while it was in use. */
  readonly setAside?: SetAside | undefined;
}

/** A store that was set aside, and why. */
export interface SetAside {
  readonly at: string;
  readonly reason: string;
  /** Where the damaged file is now, as a path of this host. */
  readonly file: string;
}

export class Store {
  readonly db: Sqlite;
  /** As a path of this host. */
  readonly directory: string;
  readonly boot: string | undefined;
  /** Whether what was seen before may be taken for unchanged by time and size (I10). */
  readonly trusted: boolean;
  /** Numbers of the paths whose entries this process changed since it last began to write a snapshot. */
  readonly changed = new Set<number>();
  /** Set when this very opening found the store damaged. */
  readonly setAside: SetAside | undefined;

  constructor(db: Sqlite, directory: string, trusted: boolean, setAside: SetAside | undefined) {
    this.db = db;
    this.directory = directory;
    this.boot = bootId();
    this.trusted = trusted;
    this.setAside = setAside;
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  get(key: string): string | undefined {
    const value = this.db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key);
    return typeof value === 'string' ? value : undefined;
  }

  set(key: string, value: string): void {
    this.db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)').run(key, value);
  }

  /** Gives the space of what was deleted back to the filesystem. */
  compact(): void {
    this.db.exec('VACUUM');
    this.db.pragma('wal_checkpoint(TRUNCATE)');
  }

  close(): void {
    this.db.close();
  }
}

/** The store's directory of a root as a path of this host. */
export function storeDirectory(root: Root): string {
  const found = root.resolveDirectory('/var/lib');
  const parent = found.kind === 'found' ? found.host : root.hostPath('/var/lib');
  const host = `${parent}/debmend`;
  const text = bufferOf(host).toString('utf8');
  if (bufferOf(host).equals(Buffer.from(text, 'utf8'))) return text;
  throw new DebmendError(
    'store-unusable',
    `opening the store in ${text}: the path is not UTF-8`,
    'mount the root under another name',
  );
}

/**
 * Opens the store for reading and writing, and makes it where there is none.
 *
 * @throws DebmendError `store-unusable` when the directory belongs to someone else, cannot be written, or the store
 * was made by a newer debmend
 */
export async function openStore(root: Root, options: OpenOptions = {}): Promise<Store> {
  const directory = options.directory ?? storeDirectory(root);
  makePrivateDirectory(directory);
  const { default: Database } = await import('better-sqlite3');
  const open = () => new Database(join(directory, STORE_FILE), { timeout: options.busyTimeout ?? BUSY_MS });
  let { setAside } = options;
  for (;;) {
    let db: Sqlite | undefined;
    try {
      db = open();
      prepare(db);
      const trusted = await checkBoot(db, options);
      if (setAside !== undefined) {
        // Kept in the new store: whoever looks next has to hear of it.
        db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)').run('set-aside', JSON.stringify(setAside));
      }
      return new Store(db, directory, trusted, setAside);
    } catch (error) {
      db?.close();
      if (error instanceof DebmendError) throw error;
      if (!isDamage(error) || setAside !== undefined) throw unusable(directory, error);
      setAside = setAsideStore(directory, messageOf(error));
    }
  }
}

/** Whether an error of SQLite says that the file is damaged. */
export function isDamage(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && DAMAGED.test(error.code)
  );
}

function unusable(directory: string, error: unknown): DebmendError {
  return new DebmendError(
    'store-unusable',
    `opening the store in ${directory}: ${messageOf(error)}`,
    'is the disk full or mounted read-only; audit works without the store',
    error,
  );
}

/** The directory holds copies of shadow and of keys: it is made for root alone, and one that is open is refused. */
function makePrivateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const stat = lstatSync(directory);
    if (stat.isDirectory() && stat.uid === process.geteuid?.() && (stat.mode & 0o077) === 0) return;
  } catch (error) {
    throw new DebmendError(
      'store-unusable',
      `opening the store in ${directory}: ${errnoOf(error) ?? messageOf(error)}`,
      'the store belongs to root: run it as root, with the disk mounted for writing',
      error,
    );
  }
  throw new DebmendError(
    'store-unusable',
    `opening the store in ${directory}: it is no directory of this user with mode 0700`,
    'it holds secrets; see who made it, then move it away or set its owner and mode',
  );
}

function prepare(db: Sqlite): void {
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  const version = Number(db.pragma('user_version', { simple: true }));
  if (version > MIGRATIONS.length) {
    throw new DebmendError(
      'store-unusable',
      `opening the store: its tables are of version ${version}, and this debmend knows ${MIGRATIONS.length}`,
      'use the newer debmend that wrote it',
    );
  }
  if (version === MIGRATIONS.length) {
    if (db.pragma('application_id', { simple: true }) === APPLICATION_ID) return;
    throw Object.assign(new Error('the file is a database of something else'), { code: 'SQLITE_NOTADB' });
  }
  db.transaction(() => {
    // Asked again under the lock: another process may have migrated it meanwhile.
    for (let at = Number(db.pragma('user_version', { simple: true })); at < MIGRATIONS.length; at += 1) {
      db.exec(MIGRATIONS[at] ?? '');
      db.pragma(`user_version = ${at + 1}`);
    }
    db.pragma(`application_id = ${APPLICATION_ID}`);
  }).immediate();
}

/** Checks the file in the first process after an unclean boot. @returns whether shortcuts may be taken */
async function checkBoot(db: Sqlite, options: OpenOptions): Promise<boolean> {
  const boot = bootId();
  const meta = db.prepare('SELECT value FROM meta WHERE key = ?').pluck();
  const known = meta.get('boot');
  // Without /proc nothing is known of boots: an image is built, and there is no earlier one that could have crashed.
  if (boot === undefined) return known === undefined || meta.get('trusted') === known;
  const remember = (trusted: boolean) =>
    db.transaction(() => {
      const set = db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)');
      set.run('boot', boot);
      if (trusted) set.run('trusted', boot);
    })();
  if (known === undefined) {
    remember(true);
    return true;
  }
  if (known === boot) return meta.get('trusted') === boot;
  const clean = meta.get('trusted') === known && ((await options.endedCleanly?.(String(known))) ?? false);
  if (!clean) {
    const answer = db.pragma('integrity_check(1)', { simple: true });
    if (answer !== 'ok') throw Object.assign(new Error(String(answer)), { code: 'SQLITE_CORRUPT' });
  }
  remember(clean);
  return clean;
}

/** From now on what is known counts as read in this boot (I10): a snapshot has read everything again. */
export function trustFromNow(store: Store): void {
  if (store.boot !== undefined) store.set('trusted', store.boot);
}

/** Moves a damaged store out of the way, with what SQLite keeps beside it. */
export function setAsideStore(directory: string, reason: string): SetAside {
  const at = new Date().toISOString();
  const damaged = join(directory, 'damaged');
  mkdirSync(damaged, { recursive: true, mode: 0o700 });
  const stamp = at.replaceAll(/[-:]|\.\d+/g, '');
  let name = `${STORE_FILE}.${stamp}`;
  for (let more = 1; existsSync(join(damaged, name)); more += 1) name = `${STORE_FILE}.${stamp}-${more}`;
  const file = join(damaged, name);
  // The main file last: until then the next start finds the damage again.
  for (const suffix of ['-shm', '-wal', '']) {
    const from = join(directory, STORE_FILE + suffix);
    if (existsSync(from)) renameSync(from, file + suffix);
  }
  syncDirectory(damaged);
  syncDirectory(directory);
  return { at, reason, file };
}

/** The note of a store that was set aside, if there is one. */
export function readSetAside(store: Store): SetAside | undefined {
  const text = store.get('set-aside');
  return text === undefined ? undefined : (JSON.parse(text) as SetAside);
}
