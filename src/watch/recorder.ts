/**
 * Transactions that no hook tells of, written down by the agent: the hooks are not installed, or were bypassed.
 *
 * Such a transaction is seen when it has begun, so a snapshot would show it half done: what was there before is what
 * the newest snapshot knows. The rest, reading archives and taking the snapshot after it, is work for another process
 * (record-process.ts): it needs more memory than an agent that always runs may have.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/settings.ts';
import { intendedByCommand, parseDpkgCommand } from '../dpkg/command-line.ts';
import { bytesToText } from '../model/path-text.ts';
import type { Transaction, TransactionRun } from '../model/transaction.ts';
import { newestSnapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import {
  findTransaction,
  makeTransactionDirectory,
  newTransactionId,
  openTransactions,
  putTransaction,
  writeJournal,
} from '../snapshot/transaction/record.ts';
import { isAlive } from '../snapshot/transaction/session.ts';
import { uptime } from '../system/boot.ts';
import { type Bytes, bufferOf, bytesFromText } from '../system/bytes.ts';
import { commandLine, readProcess, workingDirectory } from '../system/processes.ts';
import { Root } from '../system/root.ts';
import { lookAt } from './look.ts';
import type { StoreHandle } from './store-handle.ts';

/** What the agent knows of a run. */
export interface SeenRun {
  /** The process that holds the front ends' lock, or else dpkg's; undefined when it let go already. */
  readonly session: number | undefined;
  /** The process that holds dpkg's own lock. */
  readonly dpkg: number | undefined;
}

export interface Ended {
  readonly state: Transaction['state'];
  readonly complete: boolean;
  /** Names of the packages whose records changed. */
  readonly packages: readonly string[];
}

/** What the watch of dpkg's database needs of the store. */
export interface Recorder {
  /** Whether a transaction that a hook began is under way. */
  isCovered(): Promise<boolean>;
  /** A transaction of this agent, or one before it, that was not ended. */
  unfinished(): Promise<string | undefined>;
  /** Writes down that a transaction is under way; it is on disk when this returns. */
  begin(seen: SeenRun): Promise<Transaction>;
  /** A further run of dpkg within it. */
  addRun(id: string, seen: SeenRun): Promise<void>;
  /** Seals it. @param signal ends the work, and leaves the transaction as it is */
  end(id: string, signal: AbortSignal): Promise<Ended>;
}

/** What the other process is told. */
export type RecordOrder = {
  readonly root: string;
  readonly config: Config;
  readonly transaction: string;
} & (
  | {
      /** To look at the archives of a run, and to keep them: a recovery needs them. */
      readonly work: 'examine';
      /** The run, by its time. */
      readonly run: string;
      /** Where its dpkg was started, inside the root. */
      readonly directory: Bytes;
    }
  | {
      readonly work: 'seal';
      /** Where dpkg's log ended before the transaction, in bytes. */
      readonly logFrom: number;
    }
);

/** What it answers, as a line of JSON. */
export type RecordAnswer = Ended | { readonly examined: number } | { readonly failure: string };

/** dpkg's log (dpkg.cfg of Debian's dpkg), inside the root. */
export const DPKG_LOG = '/var/log/dpkg.log';

const PROCESS = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './record-process.ts' : './record-process.js', import.meta.url),
);

export class StoreRecorder implements Recorder {
  readonly #root: Root;
  readonly #config: Config;
  readonly #store: StoreHandle;
  /** Where dpkg's log ended when nothing was under way. */
  #logFrom: number;
  #examining: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();

  constructor(root: Root, config: Config, store: StoreHandle) {
    this.#root = root;
    this.#config = config;
    this.#store = store;
    this.#logFrom = this.#logSize();
  }

  isCovered(): Promise<boolean> {
    return this.#store.use((store) =>
      openTransactions(store).some((open) => open.origin !== 'watch' && isAlive(open)),
    );
  }

  unfinished(): Promise<string | undefined> {
    return this.#store.use((store) => openTransactions(store).find(({ origin }) => origin === 'watch')?.id);
  }

  async begin(seen: SeenRun): Promise<Transaction> {
    const pid = seen.session;
    const startTicks = pid === undefined ? undefined : readProcess(pid)?.startTicks;
    const seconds = uptime();
    const now = new Date();
    const { run, directory } = this.#run(seen, now);
    const begun = await this.#store.use((store) => {
      const id = newTransactionId(store, now);
      makeTransactionDirectory(store, id);
      const before = newestSnapshot(store)?.id;
      const transaction: Transaction = {
        id,
        state: 'open',
        origin: 'watch',
        startedAt: now.toISOString(),
        ...(store.boot === undefined ? {} : { boot: store.boot }),
        ...(seconds === undefined ? {} : { uptime: seconds }),
        session: {
          ...(pid === undefined ? {} : { pid }),
          ...(startTicks === undefined ? {} : { startTicks }),
          command: pid === undefined ? [] : commandLine(pid),
        },
        runs: [run],
        ...(before === undefined ? {} : { snapshotBefore: before }),
      };
      store.db.transaction(() => putTransaction(store, transaction)).immediate();
      writeJournal(store, transaction);
      return transaction;
    });
    this.#examine(begun.id, run, directory);
    return begun;
  }

  async addRun(id: string, seen: SeenRun): Promise<void> {
    const { run, directory } = this.#run(seen, new Date());
    const added = await this.#store.use((store) =>
      changeTransaction(store, id, (open) => ({ ...open, runs: [...open.runs, run] })),
    );
    if (added) this.#examine(id, run, directory);
  }

  async end(id: string, signal: AbortSignal): Promise<Ended> {
    await this.#examining;
    const answer = await ask({ ...this.#order(id), work: 'seal', logFrom: this.#logFrom }, signal);
    this.#logFrom = this.#logSize();
    if ('failure' in answer) throw new Error(answer.failure);
    if ('examined' in answer) throw new Error('the answer is that of another order');
    return answer;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#examining;
  }

  #order(transaction: string) {
    return { root: bufferOf(this.#root.path).toString('utf8'), config: this.#config, transaction };
  }

  /** Beside everything else: what fails here leaves the transaction as it is. */
  #examine(transaction: string, run: TransactionRun, directory: Bytes): void {
    if (run.packages.length === 0) return;
    const order = { ...this.#order(transaction), work: 'examine', run: run.at, directory } as const;
    this.#examining = this.#examining
      .then(() => ask(order, this.#closing.signal))
      .then(
        () => {},
        () => {},
      );
  }

  #run({ session, dpkg }: SeenRun, now: Date): { run: TransactionRun; directory: Bytes } {
    const pid = dpkg ?? session;
    const command = pid === undefined ? [] : commandLine(pid);
    const from = bytesFromText((pid === undefined ? undefined : workingDirectory(pid)) ?? '/');
    const { prefix } = this.#root;
    const directory = from.startsWith(`${prefix}/`) ? from.slice(prefix.length) : from;
    const packages = intendedByCommand(this.#root, parseDpkgCommand(command), directory)
      // `dpkg --root` names archives outside the root, and nothing is known of those.
      .filter(({ archive }) => archive === undefined || this.#isThere(archive))
      .map((pkg) => ({
        name: bytesToText(pkg.name),
        architecture: bytesToText(pkg.architecture ?? ''),
        action: pkg.action,
        ...(pkg.newVersion === undefined ? {} : { newVersion: bytesToText(pkg.newVersion) }),
      }));
    // What else a front end means to do is not known.
    return { run: { at: now.toISOString(), source: 'watch', command, complete: false, packages }, directory };
  }

  #isThere(archive: Bytes): boolean {
    // A new one each time: a Root remembers what it saw.
    const found = new Root(bufferOf(this.#root.path).toString('utf8')).resolveFully(archive);
    return found.kind === 'found' && lookAt(found.host) !== undefined;
  }

  #logSize(): number {
    const found = this.#root.resolveFully(DPKG_LOG);
    if (found.kind === 'unreachable') return 0;
    return lookAt(found.host)?.size ?? 0;
  }
}

/**
 * Changes a transaction that is open, its row and its file.
 *
 * @returns whether it is open
 */
export function changeTransaction(
  store: Store,
  id: string,
  change: (open: Transaction) => Transaction,
): boolean {
  const changed = store.db
    .transaction(() => {
      const open = findTransaction(store, id);
      if (open?.state !== 'open') return undefined;
      const now = change(open);
      putTransaction(store, now);
      return now;
    })
    .immediate();
  if (changed !== undefined) writeJournal(store, changed);
  return changed !== undefined;
}

/** Runs the other process. @throws Error when it fails, or is ended by the signal */
function ask(order: RecordOrder, signal: AbortSignal): Promise<RecordAnswer> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    const child = spawn(process.execPath, [...process.execArgv, PROCESS], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
      // It may be ended at any time: what it writes, it writes in one transaction of the store.
      signal,
    });
    child.stdin.on('error', () => {}); // it ended without reading: its exit code tells
    child.stdin.end(JSON.stringify(order));
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('utf8')).slice(-4096);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(stdout) as RecordAnswer);
      else reject(new Error(`recording ended with ${code ?? 'a signal'}: ${stderr.trim()}`));
    });
  });
}
