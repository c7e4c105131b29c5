/**
 * Holding dpkg's own locks (I5). dpkg and apt take fcntl write locks on the whole of `lock-frontend` and `lock`, which
 * Node has no call for. SQLite has: its exclusive lock is an fcntl lock on a range inside that whole
 * (https://sqlite.org/lockingv3.html), so a lock file opened as a database keeps dpkg and apt out, stays at zero bytes,
 * and is free again as soon as this process ends, however it ends.
 *
 * fcntl locks belong to the process and the file: whoever in this process opens and closes a lock file by other means
 * loses them without a word (fcntl(2)). `held` asks the kernel.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type BetterSqlite3 from 'better-sqlite3';
import { type Bytes, bufferOf, fsPath } from './bytes.ts';
import { DebmendError, errnoOf, messageOf } from './errors.ts';
import { findLockHolder, lockIdentity, parseProcLocks } from './locks.ts';

export interface HeldLocks {
  /** Whether both locks are this process's own now, as the kernel tells it. */
  held(): boolean;
  /** Lets both go. A second call does nothing. */
  release(): void;
  /**
   * Around dpkg, with DPKG_FRONTEND_LOCKED in its environment: keeps `lock-frontend`, which keeps every front end out,
   * and lets go `lock`, which dpkg takes itself.
   *
   * @throws DebmendError `locked` when the lock can't be had again within a minute, and what the work throws
   */
  aroundDpkg<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Around an apt-get that takes its locks itself: hands both over. For the moment between, and after its end, someone
   * else may come first; apt-get with Debug::NoLocking (Programs.aptGet) needs only `aroundDpkg`, and leaves no gap.
   *
   * @throws DebmendError `locked` when they can't be had again within a minute, and what the work throws
   */
  aroundApt<T>(work: () => Promise<T>): Promise<T>;
}

const POLL_MS = 100;
/** What was started by the one we ran may still be ending. */
const AGAIN_MS = 60_000;

/**
 * Takes dpkg's locks: `lock-frontend` first, then `lock`, as dpkg itself does (lib/dpkg/dbmodify.c, modstatdb_open).
 *
 * @param admindirHost dpkg's database as a path of this host
 * @param waitMs how long others are waited for, in milliseconds; 0: not at all
 * @throws DebmendError `locked` while someone else holds one; `root-unwritable` where none can be taken. Nothing is held
 * then, and nothing was changed but that a missing lock file was made
 */
export async function holdLocks(admindirHost: Bytes, waitMs: number): Promise<HeldLocks> {
  const { default: Database } = await import('better-sqlite3');
  const frontend = new Lock(Database, `${admindirHost}/lock-frontend`);
  const database = new Lock(Database, `${admindirHost}/lock`);
  const locks = [frontend, database];
  const release = (): void => {
    for (const lock of [database, frontend]) lock.release();
  };
  const take = async (limit: number): Promise<void> => {
    const end = performance.now() + limit;
    try {
      for (const lock of locks) await lock.take(end);
    } catch (error) {
      release();
      throw error;
    }
  };
  const lending = async <T>(lent: readonly Lock[], work: () => Promise<T>): Promise<T> => {
    for (const lock of lent) lock.release();
    try {
      return await work();
    } finally {
      await take(AGAIN_MS);
    }
  };
  await take(waitMs);
  return {
    held: () => locks.every((lock) => lock.held()),
    release,
    aroundDpkg: (work) => lending([database], work),
    aroundApt: (work) => lending([database, frontend], work),
  };
}

class Lock {
  readonly #Database: typeof BetterSqlite3;
  readonly #file: Bytes;
  #connection: BetterSqlite3.Database | undefined;

  constructor(Database: typeof BetterSqlite3, file: Bytes) {
    this.#Database = Database;
    this.#file = file;
  }

  /** @param end by performance.now() */
  async take(end: number): Promise<void> {
    while (!this.#try()) {
      if (performance.now() >= end) throw this.#locked();
      // Waited for here and not by SQLite, which would hold up this whole process.
      await sleep(POLL_MS);
    }
  }

  release(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  held(): boolean {
    return this.#connection !== undefined && this.#isOurs();
  }

  /** Whether this process holds a lock on the file, through this object or another. */
  #isOurs(): boolean {
    try {
      const { device, inode } = lockIdentity(this.#file);
      return parseProcLocks(readFileSync('/proc/locks', 'latin1')).some(
        (lock) => lock.pid === process.pid && lock.device === device && lock.inode === inode,
      );
    } catch {
      return false; // no file yet, or no /proc
    }
  }

  #try(): boolean {
    if (this.#connection !== undefined) return true;
    // Looked at first: to open and close the file would take away what another object of this process holds.
    if (this.#isOurs() || findLockHolder([this.#file]) !== undefined) return false;
    this.#prepare();
    let connection: BetterSqlite3.Database | undefined;
    try {
      connection = new this.#Database(bufferOf(this.#file).toString('utf8'), {
        fileMustExist: true,
        timeout: 0,
      });
      // With its journal in memory, or there would be a `lock-journal` in dpkg's directory.
      connection.pragma('journal_mode = MEMORY');
      connection.exec('BEGIN EXCLUSIVE');
      this.#connection = connection;
      return true;
    } catch (error) {
      connection?.close();
      if (errnoOf(error)?.startsWith('SQLITE_BUSY') === true) return false;
      throw this.#unusable(error);
    }
  }

  /** Makes the file as dpkg does, with mode 0640; what stands in one has no meaning, and is no database to SQLite. */
  #prepare(): void {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    try {
      const fd = openSync(fsPath(this.#file), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o640);
      try {
        const stat = fstatSync(fd);
        if (!stat.isFile()) throw new Error('it is no regular file');
        if (stat.size > 0) ftruncateSync(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  #locked(): DebmendError {
    const holder = findLockHolder([this.#file]);
    const who =
      holder?.pid === undefined
        ? this.#isOurs()
          ? 'this process itself'
          : 'another process'
        : `process ${holder.pid}${holder.command === undefined ? '' : ` (${holder.command})`}`;
    return new DebmendError(
      'locked',
      `taking dpkg's locks while ${who} holds ${this.#file}`,
      'wait until the other installation has ended, then run it again',
    );
  }

  #unusable(error: unknown): DebmendError {
    return new DebmendError(
      'root-unwritable',
      `taking dpkg's lock ${this.#file}: ${errnoOf(error) ?? messageOf(error)}`,
      'run it as root, on a filesystem that is mounted for writing and has room',
      error,
    );
  }
}
