/**
 * What an interrupted transaction's own snapshots know of the time before it: dpkg's records, the files of its packages,
 * and all that is tracked. Each run of a transaction took a snapshot before it, so what a package of the third run was
 * is known from the third; everything else is known from the first run that was not sealed.
 */
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import type { Transaction, TransactionRun } from '../../model/transaction.ts';
import { Contents } from '../../snapshot/contents.ts';
import { controlFilesOf, listedIn, wholeContent } from '../../snapshot/control-files.ts';
import { Entries, type Entry, Origin } from '../../snapshot/entries.ts';
import { hasLostSnapshots, newestSealed } from '../../snapshot/snapshots.ts';
import type { Store } from '../../snapshot/store.ts';
import { type Records, recordsAt } from '../../snapshot/transaction/outcome.ts';
import type { Bytes } from '../../system/bytes.ts';

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

function standInFor(
  store: Store,
  { startedAt }: Transaction,
  isOfThisSystem: (records: Records) => boolean,
): number | undefined {
  const id = newestSealed(store, startedAt)?.id;
  const records = recordsAt(store, DEFAULT_ADMINDIR, id);
  return records !== undefined && isOfThisSystem(records) ? id : undefined;
}

/** Runs that an earlier seal covers came to their end, and all that they wrote is on disk. */
function firstUnsealed({ runs, seal }: Transaction): number {
  if (seal === undefined || seal.by === 'next-start' || !seal.synced) return 0;
  const sealedAt = Date.parse(seal.at);
  const first = runs.findIndex(({ at }) => Date.parse(at) > sealedAt);
  return first < 0 ? runs.length : first;
}
