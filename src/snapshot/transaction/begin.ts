/**
 * The beginning of a run: what is going to happen is written down, with what every file is that it will touch, and is
 * on disk when this returns (I4). Only then does the front end go on.
 */
import { join } from 'node:path';
import type { Config } from '../../config/settings.ts';
import type { IntendedPackage } from '../../dpkg/apt-hook.ts';
import { openIndex } from '../../dpkg/apt-index.ts';
import type { Transaction, TransactionRun } from '../../model/transaction.ts';
import { uptime } from '../../system/boot.ts';
import { type Bytes, bufferOf, bytesFromText } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import type { Captured } from '../capture.ts';
import { Contents } from '../contents.ts';
import { createTransactionSnapshot } from '../create.ts';
import type { Store } from '../store.ts';
import { trackedPaths } from '../tracked.ts';
import { type ExaminedPackage, examinePackages, type FileList } from './archives.ts';
import {
  listTransactions,
  makeTransactionDirectory,
  markActive,
  newTransactionId,
  openTransactions,
  putTransaction,
  transactionDirectory,
  writeJournal,
} from './record.ts';
import { keepReplaced, type Replaced } from './replaced.ts';
import { callingSession, type Session, transactionOf } from './session.ts';

/** Runs of one process that follow each other within this time are one transaction, in milliseconds. */
const COALESCE_MS = 5 * 60 * 1000;

export interface RunInput {
  readonly source: TransactionRun['source'];
  readonly packages: readonly IntendedPackage[];
  /** Whether all that the front end said was read and understood. */
  readonly complete: boolean;
  /** Whose run it is; the process that called this hook without it. */
  readonly session?: Session;
}

export interface Begun {
  readonly transaction: Transaction;
  readonly captured: Captured;
}

/** Where the summaries of the archive's indexes are, in a store's directory. */
export const INDEX_CACHE = 'index';

/**
 * Begins a transaction, or the next run of one that is open or ended just now in the same process.
 *
 * @throws DebmendError of the snapshot; an error of SQLite or of the filesystem
 */
export async function beginRun(store: Store, root: Root, config: Config, input: RunInput): Promise<Begun> {
  const now = new Date();
  const session = input.session ?? callingSession();
  const before = earlierRuns(store, session, now);
  const id = before?.id ?? newTransactionId(store, now);
  const directory = makeTransactionDirectory(store, id);
  const index = openIndex(root, store.file(INDEX_CACHE));
  const examining = examinePackages(
    root,
    input.packages,
    index,
    config.hooks.keepArchives ? join(directory, 'archives') : undefined,
  );
  // While dpkg-deb reads the control archives.
  const tracked = await trackedPaths(root, config.snapshots.tracked, config.snapshots.trackedLimit);
  const examined = await examining;
  index.close();
  const run: TransactionRun = {
    at: now.toISOString(),
    source: input.source,
    command: session.command,
    complete: input.complete,
    packages: examined.map(({ record }) => record),
  };
  let transaction: Transaction = before ?? {
    id,
    state: 'open',
    origin: input.source,
    startedAt: now.toISOString(),
    ...boot(store),
    session: sessionRecord(session),
    runs: [],
  };
  const { endedAt: _, ...going } = transaction;
  transaction = { ...going, state: 'open', runs: [...transaction.runs, run] };

  const captured = await createTransactionSnapshot(
    store,
    root,
    {
      packages: new Set(examined.map(({ record }) => bytesFromText(record.name))),
      owned: [],
      intended: examined.flatMap(({ files }) => [...(files?.keys() ?? [])]),
    },
    {
      config: config.snapshots,
      tracked,
      head: { kind: 'before', scope: 'transaction', transaction: id, sealed: true },
      also: (snapshot, subjects) => {
        keepFileLists(store, id, examined);
        if (config.hooks.keepReplaced && input.packages.some(replaces)) {
          const kept = keepReplaced(store, root, id, subjects, join(directory, 'replaced'));
          transaction = { ...transaction, replaced: added(transaction.replaced, kept) };
        }
        transaction = { ...transaction, snapshotBefore: transaction.snapshotBefore ?? snapshot };
        putTransaction(store, transaction);
      },
    },
  );
  writeJournal(store, transaction);
  markActive(store, transaction);
  return { transaction, captured };
}

/** Whether a run takes files away or overwrites some; a fresh package may find files of nobody in its place. */
function replaces({ action }: IntendedPackage): boolean {
  return action !== 'configure';
}

function earlierRuns(store: Store, session: Session, now: Date): Transaction | undefined {
  const open = transactionOf(openTransactions(store));
  if (open !== undefined) return open;
  if (session.pid === undefined) return undefined;
  return listTransactions(store, 'sealed').findLast(
    ({ session: { pid, startTicks }, endedAt, boot: id }) =>
      pid === session.pid &&
      startTicks === session.startTicks &&
      id === store.boot &&
      endedAt !== undefined &&
      now.getTime() - Date.parse(endedAt) < COALESCE_MS,
  );
}

export function boot(store: Store): Pick<Transaction, 'boot' | 'uptime'> {
  const seconds = uptime();
  return {
    ...(store.boot === undefined ? {} : { boot: store.boot }),
    ...(seconds === undefined ? {} : { uptime: seconds }),
  };
}

export function sessionRecord({ pid, startTicks, command }: Session): Transaction['session'] {
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(startTicks === undefined ? {} : { startTicks }),
    command,
  };
}

function added(before: Replaced | undefined, now: Replaced): Replaced {
  if (before === undefined) return now;
  return {
    kept: before.kept + now.kept,
    unsound: before.unsound + now.unsound,
    failed: before.failed + now.failed,
  };
}

/** What each package is to bring, as lines of MD5 (or `conffile`) and path. */
function keepFileLists(store: Store, id: string, examined: readonly ExaminedPackage[]): void {
  const contents = new Contents(store);
  const insert = store.db.prepare('INSERT OR REPLACE INTO file_list VALUES (?, ?, ?, ?, ?)');
  for (const { record, files } of examined) {
    if (files === undefined) continue;
    const lines = [...files].map(([path, md5]) => `${md5 === '' ? 'conffile' : md5}  ${path}\n`);
    const content = contents.keep(bufferOf(lines.join('')));
    insert.run(id, record.name, record.architecture, record.newVersion ?? '', content);
  }
}

/** What a package of a transaction was to bring: MD5 by absolute path, empty for conffiles; undefined if not known. */
export function readFileList(
  store: Store,
  id: string,
  name: string,
  architecture: string,
): FileList | undefined {
  const content = store.db
    .prepare('SELECT content FROM file_list WHERE trans = ? AND name = ? AND architecture = ?')
    .pluck()
    .get(id, name, architecture);
  if (typeof content !== 'number') return undefined;
  const files = new Map<Bytes, Bytes>();
  for (const line of new Contents(store).read(content).toString('latin1').split('\n')) {
    const [md5, path] = [line.slice(0, line.indexOf('  ')), line.slice(line.indexOf('  ') + 2)];
    if (path.startsWith('/')) files.set(path, md5 === 'conffile' ? '' : md5);
  }
  return files;
}

/** The name of the file that dpkg's status lines of a transaction go to. */
export function statusLog(store: Store, id: string): string {
  return join(transactionDirectory(store, id), 'status.log');
}
