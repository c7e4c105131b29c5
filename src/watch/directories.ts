/**
 * Watching directories, and nothing but directories: chokidar by itself keeps a record of every file below what it
 * watches, a few kilobytes each in /usr/bin. Its `raw` events carry the names of a directory's children, which is all
 * that is wanted here; `ignored` keeps the children themselves out.
 *
 * Even so it looks at every child once when a directory is added. All at once that was 130 MB for 24,000 files, a few
 * directories at a time, with the garbage collected in between, it is 65 MB (docs/benchmarks.md).
 */
import { type FSWatcher as PlainWatcher, readdirSync, watch as watchPlainly } from 'node:fs';
import type { FSWatcher } from 'chokidar';
import { bytesFromText } from '../system/bytes.ts';
import { errnoOf } from '../system/errors.ts';
import { collectGarbage } from '../system/memory.ts';
import { lookAt } from './look.ts';

/** Directories that one chokidar watches and that are added together. */
const TOGETHER = 8;
/** After so many children that were looked at garbage is collected. */
const COLLECT_AFTER = 2000;

export interface DirectoryEvents {
  /**
   * A name in a directory was made, removed or renamed, or what it names was changed.
   *
   * @param name undefined when its bytes are not UTF-8, or the kernel did not tell: any name may be meant
   * @param entry whether the name itself came or went
   */
  onName(directory: string, name: string | undefined, entry: boolean): void;
  /** Something cannot be watched; the errno where there is one. */
  onError(error: Error, errno: string | undefined): void;
}

/** Whether an errno of watching says that a limit of inotify's is reached, and which (inotify(7)). */
export function limitOf(errno: string | undefined): string | undefined {
  if (errno === 'ENOSPC') return 'fs.inotify.max_user_watches';
  if (errno === 'EMFILE') return 'fs.inotify.max_user_instances';
  return undefined;
}

export class Directories {
  readonly #events: DirectoryEvents;
  readonly #watched = new Map<string, FSWatcher | PlainWatcher>();
  /** Each chokidar with the number of directories that it still watches. */
  readonly #watchers = new Map<FSWatcher, number>();
  /** Of each chokidar that is not ready yet, what is called when it will not be waited for any more. */
  readonly #ready = new Map<FSWatcher, () => void>();
  readonly #closing = new Set<Promise<void>>();
  #closed = false;
  #children = 0;

  constructor(events: DirectoryEvents) {
    this.#events = events;
  }

  get count(): number {
    return this.#watched.size;
  }

  has(directory: string): boolean {
    return this.#watched.has(directory);
  }

  /**
   * Watches directories, and of what lies below them only what is named too: what was watched at or below them before
   * is forgotten first.
   *
   * @param directories absolute, existing, without links
   * @returns those that are not watched because of a limit
   */
  async add(directories: readonly string[]): Promise<string[]> {
    const { watch } = await import('chokidar');
    for (const directory of directories) this.forget(directory);
    // chokidar takes a backslash for a slash (systemd's units for devices have some in their names).
    const plain = directories.filter((directory) => directory.includes('\\'));
    const left = directories.filter((directory) => !directory.includes('\\'));
    const unwatched: string[] = [];
    let limited = false;
    while (left.length > 0 && !limited && !this.#closed) {
      const roots = new Set(left.splice(0, TOGETHER));
      const watcher = watch([...roots], {
        depth: 0,
        ignored: (path) => !roots.has(path),
        followSymlinks: false,
        ignoreInitial: true,
        atomic: false,
      });
      this.#watchers.set(watcher, roots.size);
      for (const directory of roots) this.#watched.set(directory, watcher);
      watcher.on('raw', (event, name, details) => {
        const { watchedPath } = details as { watchedPath: string };
        this.#name(watchedPath, String(name), event === 'rename');
      });
      const failed = new Set<string>();
      watcher.on('error', (thrown) => {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        const errno = errnoOf(error);
        if (limitOf(errno) !== undefined) {
          limited = true;
          // It names the directory that could not be had (node:fs, watch).
          const path = 'path' in error ? String(error.path) : '';
          if (this.#watched.get(path) === watcher) failed.add(path);
        }
        this.#events.onError(error, errno);
      });
      // One that is closed meanwhile, because all that it watches went away, is never ready.
      const ready = Promise.withResolvers<void>();
      this.#ready.set(watcher, ready.resolve);
      watcher.on('ready', ready.resolve);
      await ready.promise;
      this.#ready.delete(watcher);
      for (const directory of failed) if (this.#release(directory)) unwatched.push(directory);
      // What went away meanwhile chokidar would wait for, by looking at everything beside it.
      for (const directory of roots)
        if (
          this.#watched.get(directory) === watcher &&
          lookAt(bytesFromText(directory))?.isDirectory() !== true
        )
          this.#release(directory);
      this.#collect(roots);
    }
    for (const directory of plain) {
      if (limited || this.#closed || !this.#addPlainly(directory)) unwatched.push(directory);
    }
    return [...unwatched, ...left];
  }

  /** Watches a directory, and all below it, no more; what is not there any more has to be forgotten too. */
  forget(directory: string): void {
    for (const path of [...this.#watched.keys()])
      if (path === directory || path.startsWith(`${directory}/`)) this.#release(path);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const directory of [...this.#watched.keys()]) this.#release(directory);
    await Promise.all(this.#closing);
  }

  /** @returns whether it was watched */
  #release(directory: string): boolean {
    const watcher = this.#watched.get(directory);
    if (watcher === undefined) return false;
    this.#watched.delete(directory);
    if (!('unwatch' in watcher)) {
      watcher.close();
      return true;
    }
    const others = (this.#watchers.get(watcher) ?? 1) - 1;
    if (others > 0) {
      this.#watchers.set(watcher, others);
      watcher.unwatch(directory);
      return true;
    }
    // What it was told to forget it would remember for ever.
    this.#watchers.delete(watcher);
    this.#ready.get(watcher)?.();
    const closing = watcher.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return true;
  }

  #name(directory: string, name: string, entry: boolean): void {
    // A watch that is on its way out, or the directory's own removal.
    if (this.#closed || !this.#watched.has(directory)) return;
    const whole = name !== 'null' && name !== '' && !name.includes('\ufffd');
    this.#events.onName(directory, whole ? name : undefined, entry);
  }

  #addPlainly(directory: string): boolean {
    try {
      const watcher = watchPlainly(directory, (event, name) =>
        this.#name(directory, String(name), event === 'rename'),
      );
      watcher.on('error', (error) => this.#events.onError(error, errnoOf(error)));
      this.#watched.set(directory, watcher);
      return true;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return true; // it went away
      this.#events.onError(error instanceof Error ? error : new Error(String(error)), errno);
      return false;
    }
  }

  #collect(directories: ReadonlySet<string>): void {
    for (const directory of directories) {
      try {
        this.#children += readdirSync(directory).length;
      } catch {
        // It went away.
      }
    }
    if (this.#children < COLLECT_AFTER) return;
    this.#children = 0;
    collectGarbage();
  }
}
