/**
 * What an interrupted transaction's own snapshots know of the time before it: dpkg's records, the files of its packages,
 * and all that is tracked. Each run of a transaction took a snapshot before it, so what a package of the third run was
 * is known from the third; everything else is known from the first run that was not sealed.
 */
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import { parseList } from '../../dpkg/manifest.ts';
import type { Transaction, TransactionRun } from '../../model/transaction.ts';
import { Contents } from '../../snapshot/contents.ts';
import { Entries, type Entry, Origin } from '../../snapshot/entries.ts';
import { hasLostSnapshots, newestSealed } from '../../snapshot/snapshots.ts';
import type { Store } from '../../snapshot/store.ts';
import { type Records, recordsAt } from '../../snapshot/transaction/outcome.ts';
import { type Bytes, bytesOf } from '../../system/bytes.ts';

export class Before {
  readonly transaction: Transaction;
  /** The runs that were not sealed, the oldest first. */
  readonly runs: readonly TransactionRun[];
  readonly #entries: Entries;
  readonly #contents: Contents;
  readonly #store: Store;
  /** The snapshot before each of those runs; undefined where the store that held it was lost. */
  readonly #snapshots: readonly (number | undefined)[];
  /**
   * Where its own snapshots are lost, an older one stands in for them, if there is one of the same system.
   *
   * @param isOfThisSystem whether record files may be those of right before the transaction: of all packages that it has
   * nothing to do with they say what dpkg says now
   */
  constructor(store: Store, transaction: Transaction, isOfThisSystem: (records: Records) => boolean) {
    this.transaction = transaction;
    this.#store = store;
    this.#entries = new Entries(store);
    this.#contents = new Contents(store);
    const snapshots = store.db
      .prepare("SELECT id FROM snapshot WHERE trans = ? AND kind = 'before' ORDER BY id")
      .pluck()
      .all(transaction.id) as number[];
    const from = firstUnsealed(transaction);
    this.runs = transaction.runs.slice(from);
    const standIn = hasLostSnapshots(store, transaction)
      ? standInFor(store, transaction, isOfThisSystem)
      : undefined;
    this.#snapshots = this.runs.map((_, at) => snapshots[from + at] ?? standIn);
  }

  /** dpkg's record files right before; undefined when the store does not know them. */
  records(admindirInside: Bytes): Records | undefined {
    return recordsAt(this.#store, admindirInside, this.#snapshots[0]);
  }

  /**
   * What a path was.
   *
   * @param run the first of `runs` that a package of this path has a part in
   */
  find(path: Bytes, run = 0): Entry | undefined {
    const snapshot = this.#snapshots[run] ?? this.#snapshots[0];
    return snapshot === undefined ? undefined : this.#entries.findAt(snapshot, path);
  }

  /** Everything that was known below a directory, or that is it. */
  below(path: Bytes, run = 0): Entry[] {
    const snapshot = this.#snapshots[run] ?? this.#snapshots[0];
    return snapshot === undefined ? [] : [...this.#entries.at(snapshot, path)];
  }

  /** Everything that was tracked: no manifest names it, or only because it is a conffile. */
  tracked(): Entry[] {
    const snapshot = this.#snapshots[0];
    if (snapshot === undefined) return [];
    return [...this.#entries.at(snapshot)].filter(({ origin }) => (origin & Origin.tracked) !== 0);
  }

  /** dpkg's control files of a package, by their names in the info directory. */
  controlFiles(info: Bytes, name: Bytes, run: number): Map<Bytes, Entry> {
    return controlFilesOf(this.below(info, run), info, name);
  }

  /** The paths of the lists that a package had (dpkg's info directory). */
  listedPaths(info: Bytes, name: Bytes, run: number): Bytes[] {
    return listedIn(this.controlFiles(info, name, run), (entry) => this.contentOf(entry));
  }

  /** The copy of a file's content; undefined when there is none, or it does not read back as what was kept (I6). */
  contentOf(entry: Entry): Buffer | undefined {
    return wholeContent(this.#contents, entry);
  }
}

/** The paths of the lists that a package had in a snapshot. */
export function listedAt(store: Store, snapshot: number, info: Bytes, name: Bytes): Bytes[] {
  const contents = new Contents(store);
  const files = controlFilesOf(new Entries(store).at(snapshot, info), info, name);
  return listedIn(files, (entry) => wholeContent(contents, entry));
}

/** The maintainer scripts that a package had in a snapshot, as far as there are copies of them. */
export function scriptsAt(store: Store, snapshot: number, info: Bytes, name: Bytes): Bytes[] {
  const contents = new Contents(store);
  return [...controlFilesOf(new Entries(store).at(snapshot, info), info, name)].flatMap(([file, entry]) => {
    const data = /\.(?:pre|post)(?:inst|rm)$/.test(file) ? wholeContent(contents, entry) : undefined;
    return data === undefined ? [] : [bytesOf(data)];
  });
}

function controlFilesOf(entries: Iterable<Entry>, info: Bytes, name: Bytes): Map<Bytes, Entry> {
  const files = new Map<Bytes, Entry>();
  for (const entry of entries) {
    const file = entry.path.slice(info.length + 1);
    if (isControlFileOf(file, name)) files.set(file, entry);
  }
  return files;
}

function listedIn(
  files: ReadonlyMap<Bytes, Entry>,
  contentOf: (entry: Entry) => Buffer | undefined,
): Bytes[] {
  return [...files].flatMap(([file, entry]) => {
    const list = file.endsWith('.list') ? contentOf(entry) : undefined;
    return list === undefined ? [] : parseList(bytesOf(list)).paths;
  });
}

/** The copy of a file's content; undefined when there is none, or it does not read back as what was kept (I6). */
export function wholeContent(contents: Contents, { content }: Entry): Buffer | undefined {
  return content !== null && contents.isWhole(content) ? contents.read(content) : undefined;
}

function standInFor(
  store: Store,
  { startedAt }: Transaction,
  isOfThisSystem: (records: Records) => boolean,
): number | undefined {
  const id = newestSealed(store, startedAt)?.id;
  const records = recordsAt(store, DEFAULT_ADMINDIR, id);
  return records !== undefined && isOfThisSystem(records) ? id : undefined;
}

/** Whether a file of the info directory is a package's: `python3.11.list` is none of python3's. */
export function isControlFileOf(file: Bytes, name: Bytes): boolean {
  const stem = file.slice(0, Math.max(0, file.lastIndexOf('.')));
  return stem === name || stem.startsWith(`${name}:`);
}

/** Runs that an earlier seal covers came to their end, and all that they wrote is on disk. */
function firstUnsealed({ runs, seal }: Transaction): number {
  if (seal === undefined || seal.by === 'next-start' || !seal.synced) return 0;
  const sealedAt = Date.parse(seal.at);
  const first = runs.findIndex(({ at }) => Date.parse(at) > sealedAt);
  return first < 0 ? runs.length : first;
}
