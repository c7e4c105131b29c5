/**
 * wtmpdb's database, which Debian 13 has instead of last(1) (wtmpdb(8), lib/sqlite.c: the table wtmp with Type, User,
 * Login and Logout in microseconds since 1970; a boot is Type 1, and its Logout the shutdown). It is read into memory:
 * SQLite itself would follow links, and could not open one that was left in the middle of a write on a read-only disk.
 */
import type { Evidence } from '../model/outage.ts';
import { bufferOf } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { readInside } from '../system/inside.ts';
import type { Root } from '../system/root.ts';
import { evidence, fromMicroseconds } from './evidence.ts';
import { type Beginning, type WtmpRecord, wtmpEvidence } from './wtmp.ts';

const FILE = '/var/lib/wtmpdb/wtmp.db';
const LIMIT = 16 * 1024 * 1024;
const BOOT_TIME = 1;

/** Reads a root's wtmpdb, where there is one. Never throws. */
export async function wtmpDatabase(root: Root, beginning: Beginning | undefined): Promise<Evidence[]> {
  const file = readInside(root, FILE, LIMIT);
  if (file.kind === 'missing') return [];
  if (file.kind === 'unreadable')
    return [evidence('unavailable', FILE, `wtmpdb cannot be read: ${file.errno}`)];
  try {
    return wtmpEvidence(await readDatabase(bufferOf(file.data)), beginning, FILE);
  } catch (error) {
    return [evidence('unavailable', FILE, `wtmpdb cannot be read: ${messageOf(error)}`)];
  }
}

/** @throws SqliteError when it is damaged */
async function readDatabase(bytes: Buffer): Promise<WtmpRecord[]> {
  // The versions for writing and reading: 2 means that there is a write-ahead log, which memory has no place for.
  if (bytes.length > 20) bytes.fill(1, 18, 20);
  const { default: Database } = await import('better-sqlite3');
  const db = new Database(bytes, { readonly: true });
  try {
    const rows: unknown[] = db
      .prepare('SELECT Type, Login, Logout FROM wtmp WHERE Type IN (1, 3) ORDER BY ID DESC LIMIT 1000')
      .raw()
      .all();
    return rows.toReversed().flatMap(recordsOf);
  } finally {
    db.close();
  }
}

function recordsOf(row: unknown): WtmpRecord[] {
  if (!Array.isArray(row)) return [];
  const [type, login, logout]: unknown[] = row;
  if (typeof login !== 'number') return [];
  const begun: WtmpRecord = { kind: type === BOOT_TIME ? 'boot' : 'other', at: fromMicroseconds(login) };
  return type === BOOT_TIME && typeof logout === 'number'
    ? [begun, { kind: 'shutdown', at: fromMicroseconds(logout) }]
    : [begun];
}
