/**
 * The newest state in one file, as columns: what a full snapshot reads instead of a hundred thousand rows when nothing
 * but a few entries changed since the file was written. It is a cache. The database says which file it is, by length and
 * checksum, up to which snapshot it was followed, and which entries changed since; what does not fit is not used, and the
 * next full snapshot writes it anew. So nobody syncs it.
 */
import { closeSync, fstatSync, openSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { hashOf } from '../scan/work.ts';
import { type Bytes, bytesOf } from '../system/bytes.ts';
import { Origin, type Signature } from './entries.ts';
import { type KnownColumns, setSignature } from './known.ts';
import { newestSnapshot } from './snapshots.ts';
import type { Store } from './store.ts';

const FILE = 'known.pack';
const KEY = 'known-pack';
/** More changes than this are read faster with all the rest. */
const MAX_CHANGED = 2000;
/** Grows when the layout changes: a file of another layout fits no note. */
const LAYOUT = 1;

/** What the database says of the file. */
interface Note {
  readonly layout: number;
  /** The root's prefix, which the paths in the file begin with. */
  readonly prefix: Bytes;
  readonly bytes: number;
  readonly crc32: number;
  readonly count: number;
  readonly owned: number;
  /** The newest snapshot whose changes are among `changed`. */
  readonly snapshot: number;
  /** Numbers of the paths whose entries are not what the file says, or not in it. */
  readonly changed: readonly number[];
}

export interface Pack {
  readonly count: number;
  /** Entries that packages own; they stand first. */
  readonly owned: number;
  readonly columns: KnownColumns;
  /** Paths of this host, a byte a character, with room behind them; where each begins, one more than paths. */
  readonly paths: Uint8Array;
  readonly offsets: Uint32Array;
  /** hashOf of each path. */
  readonly hashes: Uint32Array;
  readonly changed: ReadonlySet<number>;
}

/** Bytes an entry in all columns, and those of the last offset. */
const ENTRY_BYTES = 4 * 8 + 5 * 4 + 2 + 4;
const LAST_OFFSET_BYTES = 4;
/** For the paths of dpkg's database and of what is tracked. */
const ROOM_BYTES = 2 * 1024 * 1024;

/** Views of all columns on one buffer; the wide ones first, so that each is aligned. */
function viewsOn(
  buffer: ArrayBuffer | SharedArrayBuffer,
  count: number,
): Pick<Pack, 'columns' | 'paths' | 'offsets' | 'hashes'> {
  let at = 0;
  const take = (bytes: number): number => {
    at += bytes;
    return at - bytes;
  };
  const doubles = (): Float64Array => new Float64Array(buffer, take(8 * count), count);
  const words = (length = count): Uint32Array => new Uint32Array(buffer, take(4 * length), length);
  const bytes = (): Uint8Array => new Uint8Array(buffer, take(count), count);
  const wide = { size: doubles(), ino: doubles(), mtime: doubles(), ctime: doubles() };
  const numbers = { id: words(), uid: words(), gid: words() };
  const hashes = words();
  const offsets = words(count + 1);
  const mode = new Uint16Array(buffer, take(2 * count), count);
  const narrow = { kind: bytes(), origin: bytes(), flags: bytes(), copied: bytes() };
  return {
    columns: { ...wide, ...numbers, mode, ...narrow },
    paths: new Uint8Array(buffer, at),
    offsets,
    hashes,
  };
}

/** The file, when it is the one that the database tells of; undefined when all has to be read from the tables. */
export function readPack(store: Store, prefix: Bytes): Pack | undefined {
  const note = noteOf(store);
  if (note === undefined || note.layout !== LAYOUT || note.prefix !== prefix) return undefined;
  if (newestSnapshot(store)?.id !== note.snapshot) return undefined; // an older debmend took one, and noted nothing
  const buffer = readWhole(store.file(FILE), note.bytes);
  if (buffer === undefined || crc32(buffer) !== note.crc32) return undefined;
  const { count, owned, changed } = note;
  return { count, owned, ...viewsOn(buffer.buffer, count), changed: new Set(changed) };
}

function readWhole(file: string, bytes: number): Uint8Array<SharedArrayBuffer> | undefined {
  try {
    const fd = openSync(file, 'r');
    try {
      if (fstatSync(fd).size !== bytes) return undefined;
      // Shared, and with room at its end: threads read the paths where they are, and the list of work adds to them there.
      // A copy would cost as much as the reading does, in pages that the kernel has to find.
      const buffer = new Uint8Array(new SharedArrayBuffer(bytes + ROOM_BYTES), 0, bytes);
      return readSync(fd, buffer, 0, bytes, 0) === bytes ? buffer : undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** What the file says of one entry. */
export function signatureAt({ columns, paths, offsets }: Pack, prefix: Bytes, at: number): Signature {
  const [from, to] = [offsets[at] ?? 0, offsets[at + 1] ?? 0];
  return [
    columns.id[at] ?? 0,
    bytesOf(paths.subarray(from + prefix.length, to)),
    columns.kind[at] ?? 0,
    columns.mode[at] ?? 0,
    columns.uid[at] ?? 0,
    columns.gid[at] ?? 0,
    columns.size[at] ?? 0,
    columns.ino[at] ?? 0,
    columns.mtime[at] ?? 0,
    columns.ctime[at] ?? 0,
    columns.origin[at] ?? 0,
    columns.flags[at] ?? 0,
    columns.copied[at] ?? 0,
  ];
}

/**
 * Writes the file.
 *
 * @param signatures of all entries, as they were in the newest snapshot
 * @param snapshot that one: when there is another one meanwhile, nothing is noted
 */
export function writePack(
  store: Store,
  prefix: Bytes,
  snapshot: number,
  signatures: readonly Signature[],
): void {
  const isOwned = (signature: Signature): boolean => (signature[10] & Origin.owned) !== 0;
  const ordered = [...signatures.filter(isOwned), ...signatures.filter((signature) => !isOwned(signature))];
  const owned = ordered.findIndex((signature) => !isOwned(signature));
  const count = ordered.length;
  const length = ordered.reduce((sum, [, path]) => sum + prefix.length + path.length, 0);
  const whole = new Uint8Array(count * ENTRY_BYTES + LAST_OFFSET_BYTES + length);
  const { columns, paths, offsets, hashes } = viewsOn(whole.buffer, count);
  const pathBytes = Buffer.from(paths.buffer, paths.byteOffset, paths.length);
  ordered.forEach((signature, at) => {
    const path = prefix + signature[1];
    const from = offsets[at] ?? 0;
    setSignature(columns, at, signature);
    pathBytes.write(path, from, 'latin1');
    offsets[at + 1] = from + path.length;
    hashes[at] = hashOf(path);
  });
  try {
    const temporary = store.file(`${FILE}.new`);
    writeFileSync(temporary, whole, { mode: 0o600 });
    renameSync(temporary, store.file(FILE));
  } catch {
    rmSync(store.file(`${FILE}.new`), { force: true });
    return; // the disk is full: then the tables are read again next time
  }
  const note: Note = {
    layout: LAYOUT,
    prefix,
    bytes: whole.length,
    crc32: crc32(whole),
    count,
    owned: owned < 0 ? count : owned,
    snapshot,
    changed: [],
  };
  store.db
    .transaction(() => {
      if (newestSnapshot(store)?.id === snapshot) store.set(KEY, JSON.stringify(note));
    })
    .immediate();
}

/** Notes what a new snapshot changed, in the transaction that writes it. */
export function followPack(store: Store, snapshot: number, changes: ReadonlySet<number>): void {
  const note = noteOf(store);
  if (note === undefined) return;
  // One that an older debmend took stands between: what that one changed is not known.
  const before = store.db.prepare('SELECT max(id) FROM snapshot WHERE id < ?').pluck().get(snapshot);
  if (before !== note.snapshot) return;
  const changed = new Set([...note.changed, ...changes]);
  if (changed.size > MAX_CHANGED) store.db.prepare('DELETE FROM meta WHERE key = ?').run(KEY);
  else store.set(KEY, JSON.stringify({ ...note, snapshot, changed: [...changed] } satisfies Note));
}

function noteOf(store: Store): Note | undefined {
  const text = store.get(KEY);
  return text === undefined ? undefined : (JSON.parse(text) as Note);
}
