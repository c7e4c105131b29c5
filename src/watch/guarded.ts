/**
 * Guarded paths: a change to a file that a package owns is said at once, if no transaction made it. What the kernel
 * reports is only a name; what there is to say comes from the newest snapshot, held against the disk a moment later, so
 * that an editor's renames, and a thousand writes, count once.
 */
import { openAdmindir } from '../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import { Kind } from '../scan/work.ts';
import { Entries, type Entry, Origin } from '../snapshot/entries.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bufferOf, bytesFromText } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { collectGarbage } from '../system/memory.ts';
import { Root } from '../system/root.ts';
import { type Comparison, compare } from './compare.ts';
import { Directories, limitOf } from './directories.ts';
import type { Said } from './events.ts';
import { directoriesBelow, type Guard, resolveGuards } from './guards.ts';
import { lookAt } from './look.ts';
import { findOwners } from './owners.ts';
import type { StoreHandle } from './store-handle.ts';

/** A path is looked at when nothing happened to it for so long, in milliseconds. */
const QUIET_MS = 300;
/** And after so long in any case. */
const PATIENCE_MS = 2000;
/** When the store could not be read, in milliseconds. */
const RETRY_MS = 2000;
/** Paths that are looked at together; then whatever else waits has its turn. */
const BATCH = 500;
/** How often a tree that goes on growing is walked; sooner or later its own watches tell of the rest. */
const WALKS = 10;
/** Paths that may wait; of more only the directories are remembered. */
const WAITING_LIMIT = 5000;
/** A burst of so many events: the kernel may have dropped some (inotify(7), 16,384 at once), and much is garbage now. */
const BURST = 5000;
/** States of paths that are remembered, so that each is said once. */
const SAID_LIMIT = 10_000;

/** What becomes of a change, by when it happened: a transaction's own changes are none to be said. */
export type Blame = 'nobody' | 'transaction' | 'unclear';

export interface GuardedOptions {
  readonly root: Root;
  readonly globs: readonly string[];
  readonly store: StoreHandle;
  say(event: Said): void;
  /**
   * Who is to blame for a change.
   *
   * @param at when it was seen, by performance.now()
   * @returns `unclear`: a transaction is about to end; the change is to be looked at when it has
   */
  blame(at: number): Promise<Blame>;
}

/** What is to be looked at. */
interface Waiting {
  /** When it was seen, the first and the last time, by performance.now(). */
  readonly first: number;
  last: number;
  /** Also what lies below it: a directory came or went. */
  below: boolean;
}

export class Guarded {
  readonly #options: GuardedOptions;
  readonly #directories: Directories;
  #guards: Guard[] = [];
  /** By path inside the root; a path that ends in a slash stands for everything in that directory. */
  readonly #waiting = new Map<Bytes, Waiting>();
  /** The state of each path that was said last. */
  readonly #said = new Map<Bytes, string>();
  readonly #unwatched = new Set<string>();
  /** New directories on this host, with what they are called inside the root. */
  readonly #fresh = new Map<string, Bytes>();
  #watching: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;
  #events = 0;
  #limit: { errno: string; sysctl: string } | undefined;
  #failed: string | undefined;
  #storeFailed: string | undefined;

  constructor(options: GuardedOptions) {
    this.#options = options;
    this.#directories = new Directories({
      onName: (directory, name, entry) => this.#onName(directory, name, entry),
      onError: (error, errno) => {
        const sysctl = limitOf(errno);
        if (sysctl !== undefined) this.#limit = { errno: errno ?? '', sysctl };
        else if (this.#failed !== error.message) {
          this.#failed = error.message;
          options.say({ kind: 'watching-failed', message: error.message });
        }
      },
    });
  }

  get directories(): number {
    return this.#directories.count;
  }

  /** Begins to watch. Returns when everything is watched that can be. */
  async start(): Promise<void> {
    await this.refresh();
  }

  /** Looks whether the guarded directories are still the ones that are watched: one may have been mounted over. */
  async refresh(): Promise<void> {
    // A new one each time: a Root remembers what it saw.
    const root = new Root(textOf(this.#options.root.path));
    const before = new Map(this.#guards.map((guard) => [guard.base, guard.identity]));
    this.#guards = resolveGuards(root, this.#options.globs);
    const fresh = this.#guards.filter(({ base, identity }) => before.get(base) !== identity);
    const flat = fresh.filter(({ deep }) => !deep).map(({ host }) => textOf(host));
    const deep = fresh.filter((guard) => guard.deep).map(({ host }) => textOf(host));
    await this.#watchBelow(deep);
    await this.#watch(flat.filter((host) => !this.#directories.has(host)));
    // What changed while nobody watched; the first time that is an audit's business.
    if (before.size > 0) for (const { inside } of fresh) this.#wait(inside, true);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#directories.close();
    await Promise.all([this.#looking, this.#watching]);
  }

  async #watch(directories: readonly string[]): Promise<void> {
    const left = this.#limit === undefined ? await this.#directories.add(directories) : directories;
    const first = left[0];
    if (this.#limit === undefined || first === undefined || this.#closed) return;
    const known = this.#unwatched.size;
    for (const directory of left) this.#unwatched.add(directory);
    if (known > 0) return; // it was said; a directory more is nothing new
    this.#options.say({
      kind: 'watching-limited',
      ...this.#limit,
      what: 'guarded',
      directories: left.length,
      first: pathToText(bytesFromText(first)),
    });
  }

  #onName(directory: string, name: string | undefined, entry: boolean): void {
    const at = this.#insideOf(directory);
    if (name === undefined) {
      this.#wait(`${at === '/' ? '' : at}/`, false);
      return;
    }
    const path = `${at === '/' ? '' : at}/${bytesFromText(name)}`;
    const below = entry && this.#onEntry(`${directory === '/' ? '' : directory}/${name}`, path);
    if (below || this.#guards.some((guard) => guard.matches(path))) this.#wait(path, below);
  }

  /** A name came or went. @returns whether it is, or may have been, a directory's */
  #onEntry(host: string, inside: Bytes): boolean {
    if (lookAt(bytesFromText(host))?.isDirectory() !== true) {
      this.#directories.forget(host);
      return true;
    }
    const deep = this.#guards.some(
      (guard) => guard.deep && (guard.inside === '/' || inside.startsWith(`${guard.inside}/`)),
    );
    if (!deep) return false;
    this.#fresh.set(host, inside);
    this.#watching ??= this.#watchFresh()
      .catch((error: unknown) => this.#options.say({ kind: 'watching-failed', message: messageOf(error) }))
      .finally(() => {
        this.#watching = undefined;
      });
    return true;
  }

  /** Watches directories that are new, those that came together also together. */
  async #watchFresh(): Promise<void> {
    while (this.#fresh.size > 0 && !this.#closed) {
      const fresh = new Map(this.#fresh);
      this.#fresh.clear();
      await this.#watchBelow([...fresh.keys()]);
      // What came into one before it was watched was not reported.
      for (const inside of fresh.values()) this.#wait(inside, true);
    }
  }

  /** Watches directories and all below them, those too that are made while this goes on. */
  async #watchBelow(hosts: readonly string[]): Promise<void> {
    let left = new Set(hosts.flatMap((host) => directoriesBelow(host, true)));
    // One that is made between the walk and the watch of its parent is reported by nobody, so the walk is repeated.
    for (
      let walks = 0;
      walks < WALKS && left.size > 0 && !this.#closed && this.#limit === undefined;
      walks += 1
    ) {
      await this.#watch([...left]);
      left = new Set(
        hosts.flatMap((host) => directoriesBelow(host, true)).filter((host) => !this.#directories.has(host)),
      );
    }
  }

  #insideOf(host: string): Bytes {
    return bytesFromText(host).slice(this.#options.root.prefix.length) || '/';
  }

  #wait(path: Bytes, below: boolean): void {
    if (this.#closed) return;
    this.#events += 1;
    const now = performance.now();
    const full = this.#waiting.size >= WAITING_LIMIT && !this.#waiting.has(path);
    const key = full ? path.slice(0, path.lastIndexOf('/') + 1) : path;
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, { first: now, last: now, below });
    else {
      waiting.last = now;
      waiting.below ||= below;
    }
    this.#arm();
  }

  #arm(ms = QUIET_MS): void {
    if (this.#closed || this.#looking !== undefined || this.#waiting.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#looking = this.#look()
        .then(
          (more) => {
            this.#storeFailed = undefined;
            return more ? 0 : QUIET_MS;
          },
          (error: unknown) => {
            const message = messageOf(error);
            if (message !== this.#storeFailed) this.#options.say({ kind: 'store-failed', message });
            this.#storeFailed = message;
            return RETRY_MS;
          },
        )
        .then((next) => {
          this.#looking = undefined;
          this.#recover();
          this.#arm(next);
        });
    }, ms);
  }

  /** After a burst everything is looked at, and what the burst left in the heap is given back. */
  #recover(): void {
    if (this.#events < BURST || this.#waiting.size > 0) return;
    for (const { inside } of this.#guards) this.#wait(inside, true);
    this.#events = 0;
    collectGarbage();
  }

  /** @returns whether more of what waits is due @throws an error of the store; what waits then waits on */
  async #look(): Promise<boolean> {
    const now = performance.now();
    const due: [Bytes, Waiting][] = [];
    for (const [path, waiting] of this.#waiting) {
      if (now - waiting.last < QUIET_MS - 20 && now - waiting.first < PATIENCE_MS) continue;
      due.push([path, waiting]);
      if (due.length === BATCH) break;
    }
    if (due.length === 0) return false;
    const more = due.length === BATCH;
    for (const [path] of due) this.#waiting.delete(path);
    // Asked before anything is read: an installation changes thousands of files.
    const latest = Math.max(...due.map(([, { last }]) => last));
    let entries: Map<Bytes, Entry>;
    try {
      const blame = await this.#options.blame(latest);
      if (blame === 'transaction') return more;
      if (blame === 'unclear') {
        this.#waitAgain(due);
        return false;
      }
      entries = await this.#options.store.use((store) => this.#entriesOf(store, due));
    } catch (error) {
      this.#waitAgain(due);
      throw error;
    }
    const different: { entry: Entry; comparison: Comparison }[] = [];
    for (const entry of entries.values()) {
      const host = this.#options.root.hostPath(entry.path);
      const comparison = await compare(entry, host, () => this.#closed);
      if (this.#closed) return false;
      if (comparison.changed.length === 0) {
        if (this.#said.delete(entry.path))
          this.#options.say({ kind: 'owned-file-restored', path: pathToText(entry.path) });
      } else if (this.#said.get(entry.path) !== comparison.state) different.push({ entry, comparison });
    }
    if (different.length > 0) {
      this.#sayChanged(different);
      // Looking for owners reads megabytes of lists.
      collectGarbage();
    }
    return more;
  }

  #waitAgain(due: readonly (readonly [Bytes, Waiting])[]): void {
    for (const [path, waiting] of due) if (!this.#waiting.has(path)) this.#waiting.set(path, waiting);
  }

  #entriesOf(store: Store, due: readonly (readonly [Bytes, Waiting])[]): Map<Bytes, Entry> {
    // One for all: each prepares its statements anew, and SQLite's memory for them goes only with the garbage.
    const entries = new Entries(store);
    const known = new Map<Bytes, Entry>();
    for (const [path, { below }] of due) {
      for (const entry of ownedEntries(entries, path, below))
        if (this.#guards.some((guard) => guard.matches(entry.path))) known.set(entry.path, entry);
    }
    return known;
  }

  #sayChanged(different: readonly { entry: Entry; comparison: Comparison }[]): void {
    const admindir = openAdmindir(this.#options.root, DEFAULT_ADMINDIR);
    const owners = findOwners(
      admindir,
      different.map(({ entry }) => entry.path),
    );
    for (const { entry, comparison } of different) {
      if (this.#said.size >= SAID_LIMIT) this.#said.clear();
      this.#said.set(entry.path, comparison.state);
      const owner = owners.get(entry.path);
      this.#options.say({
        kind: owner?.conffile === true ? 'conffile-changed' : 'owned-file-changed',
        path: pathToText(entry.path),
        ...(owner?.package === undefined ? {} : { package: bytesToText(owner.package) }),
        changed: comparison.changed,
      });
    }
  }
}

/** The package-owned files and links that a path stands for. */
function ownedEntries(entries: Entries, path: Bytes, below: boolean): Entry[] {
  if (!below && !path.endsWith('/')) {
    const entry = entries.find(path);
    return entry !== undefined && isGuardable(entry.kind, entry.origin) ? [entry] : [];
  }
  const directory = path === '/' ? path : path.replace(/\/$/, '');
  return entries.signaturesBelow([directory]).flatMap(([id, name, kind, , , , , , , , origin]) => {
    if (!isGuardable(kind, origin)) return [];
    if (!below && name.lastIndexOf('/') !== path.length - 1) return [];
    return entries.byId(id) ?? [];
  });
}

function textOf(host: Bytes): string {
  return bufferOf(host).toString('utf8');
}

function isGuardable(kind: number, origin: number): boolean {
  return (origin & Origin.owned) !== 0 && (kind === Kind.file || kind === Kind.link);
}
