/**
 * Sees transactions by what they do to dpkg's database, whoever makes them.
 *
 *     idle ──sign──► asking ──► covered   a hook's transaction is under way: it is that one
 *       ▲                  └──► ours      no hook told of it: it was begun here            (Recorder.begin)
 *       │                          │
 *       └──── quiet, lock free ────┴──► ending   it is sealed                              (Recorder.end)
 *
 * A sign is a change to the status file, to updates/ or to dpkg's log. Where inotify is not to be had, the database is
 * looked at every few seconds instead; and now and then anyway, because the kernel drops events when too many come.
 */
import type { Admindir } from '../dpkg/admindir.ts';
import { bufferOf } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { findLockHolder } from '../system/locks.ts';
import type { Root } from '../system/root.ts';
import { Directories, limitOf } from './directories.ts';
import type { Said } from './events.ts';
import type { Blame } from './guarded.ts';
import { lookAt } from './look.ts';
import { DPKG_LOG, type Recorder, type SeenRun } from './recorder.ts';

/** A transaction is over when the lock is free and nothing happened for so long, in milliseconds. */
const QUIET_MS = 2000;
/** How often it is looked whether another dpkg holds the lock, in milliseconds: a removal takes no longer than two. */
const LOOK_MS = 50;
/** How much before its first sign a transaction may have changed files, and how much after its last, in milliseconds. */
const BEFORE_MS = 1000;
const AFTER_MS = 250;
/** How often a failed write to the store is tried again, in milliseconds. */
const RETRY_MS = 1000;
const RETRIES = 20;

type State =
  | { readonly is: 'idle' }
  | { readonly is: 'asking' }
  | { readonly is: 'covered' }
  | { readonly is: 'ours'; readonly id: string }
  | { readonly is: 'ending'; readonly id: string };

export interface TransactionsOptions {
  readonly root: Root;
  readonly admindir: Admindir;
  readonly recorder: Recorder;
  /** Seconds between two looks where inotify is not to be had. */
  readonly poll: number;
  say(event: Said): void;
}

const SIGNS = /^status(?:-new|-old)?$/;

export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #directories: Directories;
  readonly #stopping = new AbortController();
  readonly #admindir: string;
  readonly #log: string | undefined;
  #state: State = { is: 'idle' };
  #firstSign = Number.NEGATIVE_INFINITY;
  #lastSign = Number.NEGATIVE_INFINITY;
  #lastLook = Number.NEGATIVE_INFINITY;
  /** Processes whose runs are written down. */
  readonly #runs = new Set<number>();
  #stamp = '';
  #timer: NodeJS.Timeout | undefined;
  #poller: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(options: TransactionsOptions) {
    this.#options = options;
    this.#admindir = bufferOf(options.admindir.host).toString('utf8');
    const log = options.root.resolve(DPKG_LOG);
    this.#log = log.kind === 'found' ? bufferOf(log.host).toString('utf8') : undefined;
    this.#directories = new Directories({
      onName: (directory, name) => this.#onName(directory, name),
      onError: (error, errno) => this.#onError(error, errno),
    });
  }

  get directories(): number {
    return this.#directories.count;
  }

  async start(): Promise<void> {
    this.#stamp = this.#look();
    const directories = [this.#admindir, `${this.#admindir}/updates`];
    if (this.#log !== undefined) directories.push(this.#log.slice(0, this.#log.lastIndexOf('/')) || '/');
    await this.#directories.add(directories);
    // One of the agent before this one, or one that is under way already.
    const unfinished = await this.#options.recorder.unfinished();
    if (unfinished !== undefined) {
      this.#state = { is: 'ours', id: unfinished };
      this.#sign();
    } else if (this.#options.admindir.names('updates').length > 0 && this.#seen().session !== undefined) {
      this.#sign();
    }
  }

  /** Looks at the database itself: events may have been lost. */
  check(): void {
    const stamp = this.#look();
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.#sign();
  }

  /** Who is to blame for a change that was seen at a time. */
  async blame(at: number): Promise<Blame> {
    if (at >= this.#firstSign - BEFORE_MS && at <= this.#lastSign + AFTER_MS) return 'transaction';
    if (this.#state.is !== 'idle' || this.#seen().session !== undefined) return 'unclear';
    return (await this.#options.recorder.isCovered()) ? 'unclear' : 'nobody';
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    clearInterval(this.#poller);
    await this.#directories.close();
    await this.#work;
  }

  #onName(directory: string, name: string | undefined): void {
    if (directory === this.#admindir) {
      if (name === undefined || SIGNS.test(name)) this.#sign();
    } else if (directory === `${this.#admindir}/updates`) this.#sign();
    else if (name === undefined || `${directory}/${name}` === this.#log) this.#sign();
  }

  #onError(error: Error, errno: string | undefined): void {
    if (this.#poller !== undefined) return;
    const { poll, say } = this.#options;
    const sysctl = limitOf(errno);
    if (sysctl === undefined) say({ kind: 'watching-failed', message: error.message });
    else {
      say({
        kind: 'watching-limited',
        sysctl,
        errno: errno ?? '',
        what: 'database',
        pollSeconds: poll,
      });
    }
    this.#poller = setInterval(() => this.check(), poll * 1000);
  }

  #sign(): void {
    if (this.#stopping.signal.aborted) return;
    const now = performance.now();
    this.#lastSign = now;
    switch (this.#state.is) {
      case 'idle':
        this.#firstSign = now;
        this.#state = { is: 'asking' };
        // Read now: a small package is installed before the store has answered.
        this.#ask(this.#seen());
        break;
      case 'ours':
        if (now - this.#lastLook > LOOK_MS) this.#addRun(this.#state.id);
        break;
      case 'asking':
      case 'covered':
      case 'ending':
        break;
    }
    this.#arm();
  }

  #ask(seen: SeenRun): void {
    this.#do(undefined, async () => {
      const { recorder, say } = this.#options;
      if (await recorder.isCovered()) {
        this.#state = { is: 'covered' };
        return;
      }
      this.#runs.clear();
      this.#know(seen);
      const { id, session } = await recorder.begin(seen);
      this.#state = { is: 'ours', id };
      say({
        kind: 'transaction-begun',
        transaction: id,
        ...(session.pid === undefined ? {} : { pid: session.pid }),
        command: session.command,
      });
    });
  }

  #addRun(id: string): void {
    this.#lastLook = performance.now();
    const seen = this.#seen();
    if (seen.dpkg === undefined || this.#runs.has(seen.dpkg)) return;
    this.#know(seen);
    this.#do(id, () => this.#options.recorder.addRun(id, seen));
  }

  #know({ session, dpkg }: SeenRun): void {
    for (const pid of [session, dpkg]) if (pid !== undefined) this.#runs.add(pid);
  }

  #arm(): void {
    if (this.#stopping.signal.aborted) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#settle();
    }, QUIET_MS);
  }

  /** Whether it is over. */
  #settle(): void {
    const state = this.#state;
    if (state.is === 'idle' || state.is === 'ending') return;
    if (state.is === 'ours') this.#addRun(state.id);
    const left = this.#lastSign + QUIET_MS - performance.now();
    if (left > 5 || state.is === 'asking' || this.#seen().session !== undefined) {
      this.#arm();
      return;
    }
    if (state.is === 'covered') {
      this.#do(undefined, async () => {
        if (await this.#options.recorder.isCovered()) this.#arm();
        else this.#rest();
      });
      return;
    }
    this.#state = { is: 'ending', id: state.id };
    const signAtEnd = this.#lastSign;
    this.#do(state.id, async () => {
      const ended = await this.#options.recorder.end(state.id, this.#stopping.signal);
      this.#options.say({ kind: 'transaction-ended', transaction: state.id, ...ended });
      this.#rest();
      // Someone else began while it was being sealed.
      if (this.#lastSign > signAtEnd) this.#sign();
    });
  }

  #rest(): void {
    this.#state = { is: 'idle' };
    this.#stamp = this.#look();
  }

  /** Work with the store, one after the other. It may be busy for a while, so what fails is tried again. */
  #do(id: string | undefined, work: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      const { signal } = this.#stopping;
      for (let attempt = 1; !signal.aborted; attempt += 1) {
        try {
          await work();
          return;
        } catch (error) {
          if (signal.aborted) return;
          if (attempt === 1) {
            this.#options.say({
              kind: 'transaction-failed',
              ...(id === undefined ? {} : { transaction: id }),
              message: messageOf(error),
            });
          }
          if (attempt === RETRIES) {
            this.#rest();
            return;
          }
          await pause(RETRY_MS, signal);
        }
      }
    });
  }

  /** Who works on packages now. */
  #seen(): SeenRun {
    const { host } = this.#options.admindir;
    const frontend = findLockHolder([`${host}/lock-frontend`]);
    const dpkg = findLockHolder([`${host}/lock`]);
    // A process of another pid namespace has no number here, and holds the lock all the same.
    const pid = (holder: typeof dpkg) => (holder === undefined ? undefined : (holder.pid ?? 0));
    return { session: pid(frontend) ?? pid(dpkg), dpkg: pid(dpkg) };
  }

  /** Identity, size and time of what dpkg changes, however little it does. */
  #look(): string {
    const { host } = this.#options.admindir;
    return [`${host}/status`, `${host}/updates`]
      .map((path) => {
        const stat = lookAt(path);
        return `${stat?.ino}:${stat?.size}:${stat?.mtimeMs}`;
      })
      .join(' ');
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
