/**
 * One agent a root: two would write every transaction down twice. The lock is SQLite's own, an fcntl lock that goes
 * with its process, whatever ends it; the file stays empty.
 */
import type { Database as Sqlite } from 'better-sqlite3';
import { bytesFromText } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { findLockHolder } from '../system/locks.ts';

export interface Lock {
  release(): void;
}

/**
 * @param file the lock's file, as a path of this host
 * @throws DebmendError `locked` when another agent has it
 */
export async function onlyOne(file: string): Promise<Lock> {
  const { default: Database } = await import('better-sqlite3');
  const db: Sqlite = new Database(file, { timeout: 0 });
  try {
    db.pragma('journal_mode = MEMORY');
    db.pragma('cache_size = -16');
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    const holder = findLockHolder([bytesFromText(file)])?.pid;
    throw new DebmendError(
      'locked',
      `watching: another agent does that already${holder === undefined ? '' : `, process ${holder}`}`,
      'one is enough: systemctl status debmend-watch tells of it, and it keeps what it sees in the store',
      error,
    );
  }
  return { release: () => db.close() };
}
