/**
 * What every path is, now and in each snapshot. The newest state stands in `entry`; when a path changes, its old row
 * moves to `history` with the snapshots that it held for. So a snapshot costs what changed, and the state at any
 * snapshot S is: the entries with since ≤ S, and the history with since ≤ S < until.
 */
import type { Statement } from 'better-sqlite3';
import type { Bytes } from '../system/bytes.ts';
import type { Store } from './store.ts';

/** Why a path is known; bits. */
export const Origin = {
  /** A package's manifest names it. */
  owned: 1,
  /** A tracked glob matches it. */
  tracked: 2,
  /** It is part of dpkg's own database. */
  database: 4,
  /** A package that was to be installed names it. */
  intended: 8,
} as const;

/** What is known of an entry's content; bits. */
export const Flag = {
  /** It changed so shortly before it was read that its times can't tell the next change: it is read again. */
  racy: 1,
  /** When it was read it had the MD5 that the manifest gives. */
  sound: 2,
  /** Its content could not be read. */
  unread: 4,
} as const;

/** What a path was when it was looked at (inode(7)); times in milliseconds since the epoch. */
export interface EntryState {
  /** One of scan/work.ts, Kind. */
  readonly kind: number;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 for everything but files. */
  readonly size: number;
  readonly ino: number;
  readonly mtime: number;
  readonly ctime: number;
  /** Bits of Origin. */
  readonly origin: number;
  /** Bits of Flag. */
  readonly flags: number;
  /** XXH64 of a file's content, 8 bytes, big-endian. */
  readonly xxh64: Buffer | null;
  /** The MD5 that the manifest gives, 16 bytes. */
  readonly md5: Buffer | null;
  /** Where a link points. */
  readonly target: Bytes | null;
  /** The attribute security.capability, as it is. */
  readonly capability: Buffer | null;
  /** The number of its copy in `content`. */
  readonly content: number | null;
}

export interface Entry extends EntryState {
  readonly id: number;
  /** Resolved inside the root. */
  readonly path: Bytes;
  /** The snapshot that first saw it so. */
  readonly since: number;
}

const FIELDS = [
  'kind',
  'mode',
  'uid',
  'gid',
  'size',
  'ino',
  'mtime',
  'ctime',
  'origin',
  'flags',
  'xxh64',
  'md5',
  'target',
  'capability',
  'content',
] as const satisfies readonly (keyof EntryState)[];
const COLUMNS = FIELDS.join(', ');

/** The columns that tell whether a path has to be read again, in this order. */
export type Signature = readonly [
  id: number,
  path: Bytes,
  kind: number,
  mode: number,
  uid: number,
  gid: number,
  size: number,
  ino: number,
  mtime: number,
  ctime: number,
  origin: number,
  flags: number,
  /** Whether there is a copy of it, 1 or 0. */
  copied: number,
  /** Only where it was asked for. */
  md5?: Buffer | null,
];
const SIGNATURE =
  'p.id, p.path, e.kind, e.mode, e.uid, e.gid, e.size, e.ino, e.mtime, e.ctime, e.origin, e.flags, e.content IS NOT NULL';

export type Change =
  /** `before` is the row's number when the path was known. */
  | { kind: 'added'; path: Bytes; state: EntryState }
  | { kind: 'changed'; id: number; state: EntryState }
  /** Only what is no property of the content changed: inode number, ctime, flags. No history is kept of it. */
  | { kind: 'touched'; id: number; state: EntryState }
  | { kind: 'gone'; id: number };

export class Entries {
  readonly #store: Store;
  readonly #statements = new Map<string, Statement>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The signatures of all entries, with what their manifests expect if that is wanted. */
  signatures(md5: boolean): Signature[] {
    const columns = md5 ? `${SIGNATURE}, e.md5` : SIGNATURE;
    const all = `SELECT ${columns} FROM entry e JOIN path p ON p.id = e.path`;
    return this.#prepare(all).raw().all() as Signature[];
  }

  /** The signatures of some directories and all that lies below them. */
  signaturesBelow(directories: readonly Bytes[]): Signature[] {
    const from = `SELECT ${SIGNATURE}, e.md5 FROM path p JOIN entry e ON e.path = p.id`;
    const one = this.#prepare(`${from} WHERE p.path = ? OR (p.path > ? AND p.path < ?)`).raw();
    return directories.flatMap((path) => {
      const base = path === '/' ? '' : path;
      // Every path below begins with the directory and a slash, and `0` follows the slash.
      return one.all(path, `${base}/`, `${base}0`) as Signature[];
    });
  }

  /** The signatures of all paths that begin so; the last character is none of the highest byte. */
  signaturesBeginning(prefix: Bytes): Signature[] {
    const last = prefix.length - 1;
    const end = prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
    const sql = `SELECT ${SIGNATURE}, e.md5 FROM path p JOIN entry e ON e.path = p.id WHERE p.path >= ? AND p.path < ?`;
    return this.#prepare(sql).raw().all(prefix, end) as Signature[];
  }

  signature(path: Bytes): Signature | undefined {
    const one = `SELECT ${SIGNATURE}, e.md5 FROM path p JOIN entry e ON e.path = p.id WHERE p.path = ?`;
    return this.#prepare(one).raw().get(path) as Signature | undefined;
  }

  signatureById(id: number): Signature | undefined {
    const one = `SELECT ${SIGNATURE} FROM path p JOIN entry e ON e.path = p.id WHERE p.id = ?`;
    return this.#prepare(one).raw().get(id) as Signature | undefined;
  }

  /** What a path is in the newest snapshot. */
  find(path: Bytes): Entry | undefined {
    const one = `SELECT p.id, p.path, since, ${COLUMNS} FROM path p JOIN entry e ON e.path = p.id WHERE p.path = ?`;
    return entryOf(this.#prepare(one).raw().get(path));
  }

  byId(id: number): Entry | undefined {
    const one = `SELECT p.id, p.path, since, ${COLUMNS} FROM entry e JOIN path p ON p.id = e.path WHERE e.path = ?`;
    return entryOf(this.#prepare(one).raw().get(id));
  }

  /** Every path that a snapshot knows, ordered by path, or those that are or lie below one. */
  at(snapshot: number, below: Bytes = '/'): IterableIterator<Entry> {
    const base = below === '/' ? '' : below;
    const where = below === '/' ? '1' : '(p.path = @below OR (p.path > @from AND p.path < @to))';
    const sql = `
      SELECT id, path, since, ${COLUMNS} FROM (
        SELECT p.id AS id, p.path AS path, since, ${COLUMNS} FROM entry e JOIN path p ON p.id = e.path
          WHERE since <= @snapshot AND ${where}
        UNION ALL
        SELECT p.id, p.path, since, ${COLUMNS} FROM history h JOIN path p ON p.id = h.path
          WHERE since <= @snapshot AND until > @snapshot AND ${where}
      ) ORDER BY path`;
    const values = { snapshot, below, from: `${base}/`, to: `${base}0` };
    return this.#prepare(sql).iterate(values) as IterableIterator<Entry>;
  }

  /** Every state of every path that any snapshot knows, the newest of each path first. */
  everyState(): IterableIterator<Entry> {
    const sql = `
      SELECT id, path, since, ${COLUMNS} FROM (
        SELECT p.id AS id, p.path AS path, since, ${COLUMNS} FROM entry e JOIN path p ON p.id = e.path
        UNION ALL
        SELECT p.id, p.path, since, ${COLUMNS} FROM history h JOIN path p ON p.id = h.path
      ) ORDER BY path, since DESC`;
    return this.#prepare(sql).iterate() as IterableIterator<Entry>;
  }

  /** What a path was in a snapshot. */
  findAt(snapshot: number, path: Bytes): Entry | undefined {
    const sql = `
      SELECT p.id, p.path, since, ${COLUMNS} FROM path p JOIN entry e ON e.path = p.id
        WHERE p.path = @path AND since <= @snapshot
      UNION ALL
      SELECT p.id, p.path, since, ${COLUMNS} FROM path p JOIN history h ON h.path = p.id
        WHERE p.path = @path AND since <= @snapshot AND until > @snapshot`;
    return this.#prepare(sql).get({ snapshot, path }) as Entry | undefined;
  }

  /** The `.list` files of a package, of each of its architectures, in a snapshot. */
  listsAt(snapshot: number, info: Bytes, name: Bytes): Entry[] {
    const paths = this.#prepare('SELECT path FROM path WHERE path = ? OR (path > ? AND path < ?)')
      .pluck()
      .all(`${info}${name}.list`, `${info}${name}:`, `${info}${name};`) as Bytes[];
    return paths
      .filter((path) => path.endsWith('.list'))
      .flatMap((path) => this.findAt(snapshot, path) ?? []);
  }

  /** Numbers of the paths whose entries differ between two snapshots, `from` < `to`. */
  changedBetween(from: number, to: number): number[] {
    const sql = `
      SELECT path FROM entry WHERE since > @from AND since <= @to
      UNION SELECT path FROM history WHERE since > @from AND since <= @to
      UNION SELECT path FROM history WHERE until > @from AND until <= @to`;
    return this.#prepare(sql).pluck().all({ from, to }) as number[];
  }

  pathOf(id: number): Bytes {
    return String(this.#prepare('SELECT path FROM path WHERE id = ?').pluck().get(id) ?? '');
  }

  /** The number of a path, which is added when it is new. Inside a transaction of the store. */
  pathId(path: Bytes): number {
    const known = this.#prepare('SELECT id FROM path WHERE path = ?').pluck().get(path);
    if (typeof known === 'number') return known;
    return Number(this.#prepare('INSERT INTO path (path) VALUES (?)').run(path).lastInsertRowid);
  }

  /** Makes changes part of a snapshot. Inside a transaction of the store. */
  apply(snapshot: number, change: Change): void {
    switch (change.kind) {
      case 'added': {
        const marks = FIELDS.map(() => '?').join(', ');
        const id = this.pathId(change.path);
        this.#prepare(`INSERT INTO entry (path, since, ${COLUMNS}) VALUES (?, ?, ${marks})`).run(
          id,
          snapshot,
          ...values(change.state),
        );
        this.#store.changed.add(id);
        break;
      }
      case 'changed':
        this.#toHistory(snapshot, change.id);
        this.#update(change.id, change.state, snapshot);
        break;
      case 'touched':
        this.#update(change.id, change.state, undefined);
        break;
      case 'gone':
        this.#toHistory(snapshot, change.id);
        this.#prepare('DELETE FROM entry WHERE path = ?').run(change.id);
        break;
    }
    if (change.kind !== 'added') this.#store.changed.add(change.id);
  }

  /** Moves an entry's row to the history, unless it was made by this very snapshot, which nobody has seen yet. */
  #toHistory(snapshot: number, id: number): void {
    this.#prepare(
      `INSERT INTO history (path, since, until, ${COLUMNS})
       SELECT path, since, ?, ${COLUMNS} FROM entry WHERE path = ? AND since < ?`,
    ).run(snapshot, id, snapshot);
  }

  #update(id: number, state: EntryState, since: number | undefined): void {
    const marks = FIELDS.map((field) => `${field} = ?`).join(', ');
    if (since === undefined)
      this.#prepare(`UPDATE entry SET ${marks} WHERE path = ?`).run(...values(state), id);
    else
      this.#prepare(`UPDATE entry SET ${marks}, since = ? WHERE path = ?`).run(...values(state), since, id);
  }

  /** Prepared once each: a first snapshot runs one a hundred thousand times. */
  #prepare(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#store.db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** By hand, because better-sqlite3 compiles a function for each kind of row that it makes objects of: 5 ms in a hook. */
function entryOf(row: unknown): Entry | undefined {
  if (!Array.isArray(row)) return undefined;
  const [id, path, since, ...state]: unknown[] = row;
  return Object.fromEntries([
    ['id', id],
    ['path', path],
    ['since', since],
    ...FIELDS.map((field, at) => [field, state[at]]),
  ]) as unknown as Entry;
}

function values(state: EntryState): (number | string | Buffer | null)[] {
  return FIELDS.map((field) => state[field]);
}
