/**
 * The face of this folder: the agent that runs as long as the machine does. It sees transactions that no hook tells
 * of, changes to guarded files that no transaction made, and errors that filesystems count; and it leaves a heartbeat.
 *
 * It changes nothing but its own store. What it has to say goes to its caller as it happens, and what is worth it into
 * the store, for whoever comes later.
 */
import { setFlagsFromString } from 'node:v8';
import type { Config } from '../config/settings.ts';
import { openAdmindir } from '../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { pathToText } from '../model/path-text.ts';
import { HEARTBEAT_FILE } from '../outage/heartbeat.ts';
import { newestSnapshot } from '../snapshot/snapshots.ts';
import { type OpenOptions, storeDirectory } from '../snapshot/store.ts';
import { bootId } from '../system/boot.ts';
import { DebmendError, messageOf } from '../system/errors.ts';
import { collectGarbage } from '../system/memory.ts';
import type { Root } from '../system/root.ts';
import { isKept, type Said, type WatchEvent } from './events.ts';
import { Guarded } from './guarded.ts';
import { Beating } from './heartbeat.ts';
import { keepNotices } from './notices.ts';
import { onlyOne } from './only-one.ts';
import { StoreRecorder } from './recorder.ts';
import { Sampling } from './samples.ts';
import { StoreHandle } from './store-handle.ts';
import { notifySystemd } from './systemd.ts';
import { Transactions } from './transactions.ts';

export type { WatchEvent } from './events.ts';

/** The lock's name in the store's directory. */
const LOCK_FILE = 'watch.lock';
/** Notices that wait for the store; beyond it the oldest are lost. */
const WAITING_NOTICES = 1000;
/** How long notices wait that could not be written, in milliseconds. */
const NOTICE_RETRY_MS = 2000;

export interface WatchOptions {
  readonly root: Root;
  readonly config: Config;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** How the boot before ended, which the first to open the store in a boot has to know (snapshot/store.ts). */
  readonly endedCleanly?: OpenOptions['endedCleanly'];
  onEvent(event: WatchEvent): void;
}

/**
 * Watches until the signal aborts, and returns within a second of it.
 *
 * @throws DebmendError `no-dpkg-database`, `store-unusable`, `locked` when it cannot begin. What fails later is an event.
 */
export async function watch(options: WatchOptions): Promise<void> {
  const { root, config, signal } = options;
  // An agent waits. The optimizing compilers would make nothing faster here, and their code alone is 7 MB resident.
  for (const flag of ['--no-maglev', '--no-turbofan']) setFlagsFromString(flag);
  const admindir = openAdmindir(root, DEFAULT_ADMINDIR);
  const store = new StoreHandle(
    root,
    ({ reason, file }) => say({ kind: 'store-set-aside', reason, file }),
    options.endedCleanly === undefined ? {} : { endedCleanly: options.endedCleanly },
  );
  const notices = new Notices(store);
  const say = (said: Said): void => {
    const event: WatchEvent = { at: new Date().toISOString(), ...said };
    options.onEvent(event);
    notices.keep(event);
  };
  // Whoever may not begin, or finds no store, hears of it before anything runs.
  const known = await store.use((opened) => newestSnapshot(opened));
  const directory = storeDirectory(root);
  const lock = await onlyOne(`${directory}/${LOCK_FILE}`);
  const heartbeat = new Beating(`${directory}/${HEARTBEAT_FILE}`, config.watch.heartbeat, {
    onFailed: (reason) => say({ kind: 'heartbeat-failed', reason }),
    onLate: (seconds) => say({ kind: 'heartbeat-late', seconds }),
  });
  const recorder = new StoreRecorder(root, config, store);
  const transactions = new Transactions({ root, admindir, recorder, poll: config.watch.poll, say });
  const guarded = new Guarded({
    root,
    globs: config.watch.guarded,
    store,
    say,
    blame: (at) => transactions.blame(at),
  });
  const sampling = new Sampling(store, bootId(), say);
  const failed = failureReporter(say);
  const tick = async (): Promise<void> => {
    await sampling.sample().catch(failed);
    transactions.check();
    await guarded.refresh().catch(failed);
  };
  let timer: NodeJS.Timeout | undefined;
  let ready: Promise<void> | undefined;
  try {
    await heartbeat.start();
    await transactions.start();
    await sampling.sample().catch(failed);
    if (!signal.aborted) await guarded.start();
    if (known === undefined) say({ kind: 'no-snapshot' });
    say({
      kind: 'started',
      root: pathToText(root.path),
      heartbeatSeconds: config.watch.heartbeat,
      directories: transactions.directories + guarded.directories,
    });
    ready = notifySystemd('READY=1');
    // Starting leaves a good part of the heap as garbage, and an idle process would keep it for hours.
    collectGarbage();
    timer = setInterval(() => void tick(), config.watch.sample * 1000);
    await aborted(signal);
  } finally {
    clearInterval(timer);
    const stopping = notifySystemd('STOPPING=1');
    await Promise.all([heartbeat.stop(), transactions.close(), recorder.close(), guarded.close()]);
    say({ kind: 'stopped' });
    await notices.close();
    await store.close();
    lock.release();
    await Promise.all([ready, stopping]);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Says each failure of the store once, until another one comes. */
function failureReporter(say: (event: Said) => void): (error: unknown) => void {
  let last: string | undefined;
  return (error) => {
    const message = error instanceof DebmendError ? error.message : messageOf(error);
    if (message !== last) say({ kind: 'store-failed', message });
    last = message;
  };
}

/** Notices on their way into the store, which may be busy. */
class Notices {
  readonly #store: StoreHandle;
  #waiting: WatchEvent[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: StoreHandle) {
    this.#store = store;
  }

  keep(event: WatchEvent): void {
    this.#waiting.push(event);
    this.#waiting = this.#waiting.slice(-WAITING_NOTICES);
    // Events come in bunches: one transaction of the store takes them all.
    this.#arm(0);
  }

  #arm(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writing.then(() => this.#write());
    }, ms);
  }

  async #write(): Promise<void> {
    const events = this.#waiting;
    this.#waiting = [];
    try {
      if (events.some(({ kind }) => isKept(kind)))
        await this.#store.use((store) => keepNotices(store, events));
    } catch {
      this.#waiting = [...events, ...this.#waiting].slice(-WAITING_NOTICES);
      this.#arm(NOTICE_RETRY_MS);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#writing;
    await this.#write();
    clearTimeout(this.#timer);
  }
}
