/**
 * Where actions act (I7). A path is resolved beneath the root, and then its directory is opened component by component
 * without following any link, so that what is acted in is what was resolved, even while someone swaps directories for
 * links. Node has no openat(2): /proc/self/fd/N/NAME is the same, a name in an open directory.
 *
 * And where quarantined things go: `quarantine/RUN/N` of the store where a rename can reach it, otherwise
 * `.debmend-quarantine/RUN/N` at the top of the filesystem that they are on.
 */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import { pathToText, textToPath } from '../../model/path-text.ts';
import { type Bytes, bytesFromText, bytesOf, fsPath } from '../../system/bytes.ts';
import { errnoOf } from '../../system/errors.ts';
import { type Mount, mountOf, readMounts } from '../../system/mounts.ts';
import type { Root } from '../../system/root.ts';
import type { RunStore } from '../journal.ts';
import { refused } from './refusal.ts';

/** linux/fcntl.h, on x86_64 and aarch64: the name is resolved, and nothing is opened (a device does not act). */
export const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** At the top of a filesystem that the store is not on. */
export const ELSEWHERE = '.debmend-quarantine';
const IN_STORE = 'quarantine';

/** What actions work on. */
export interface Site {
  readonly root: Root;
  readonly store: RunStore;
}

/** An open directory; names in it are used as paths of this process. */
export class Directory {
  readonly fd: number;
  /** For messages, and to know mounts by: a path of this host. */
  readonly host: Bytes;

  constructor(fd: number, host: Bytes) {
    this.fd = fd;
    this.host = host;
  }

  /** A name in this directory, for node:fs. The caller never lets a call follow it. */
  entry(name: Bytes): string | Buffer {
    return fsPath(`/proc/self/fd/${this.fd}/${name}`);
  }

  /** @throws the error of open(2): ENOTDIR for a link */
  open(name: Bytes): Directory {
    const fd = openSync(this.entry(name), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    return new Directory(fd, this.host === '/' ? `/${name}` : `${this.host}/${name}`);
  }

  /** Makes its names durable. @throws the error of fsync(2) */
  sync(): void {
    const fd = openSync(`/proc/self/fd/${this.fd}/.`, O_RDONLY | O_DIRECTORY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Directories that are closed when the work with them ends, however it ends. */
export class Opened {
  readonly #all: Directory[] = [];

  static with<T>(work: (opened: Opened) => T): T {
    const opened = new Opened();
    try {
      return work(opened);
    } finally {
      for (const directory of opened.#all) directory.close();
    }
  }

  add(directory: Directory): Directory {
    this.#all.push(directory);
    return directory;
  }

  /** A directory that nobody else can change the way to: the root itself, the store. */
  host(path: Bytes): Directory {
    return this.add(new Directory(openSync(fsPath(path), O_PATH | O_DIRECTORY), path));
  }

  /** A resolved directory inside the root. @throws the error of open(2), and when it lies outside */
  inside(root: Root, inside: Bytes): Directory {
    let at = this.host(root.path);
    for (const name of inside.split('/')) if (name !== '') at = this.add(at.open(name));
    const real = bytesOf(readlinkSync(`/proc/self/fd/${at.fd}`, { encoding: 'buffer' }));
    if (real !== root.path && !real.startsWith(`${root.prefix}/`)) {
      throw refused(
        `opening ${pathToText(at.host)}`,
        `it has become ${pathToText(real)}, outside the root`,
        'see who moves directories about, then run it again',
      );
    }
    return at;
  }
}

/** A name in an open directory. */
export interface Spot {
  readonly directory: Directory;
  readonly name: Bytes;
}

/** The same with its path inside the root, resolved up to the last component. */
export interface Target extends Spot {
  readonly inside: Bytes;
}

/**
 * Opens the directory of a path.
 *
 * @throws DebmendError `action-refused` for what is no path of a thing inside the root, for debmend's own directories,
 * and when the directory is not there; the error of a system call
 */
export function openTarget(opened: Opened, { root, store }: Site, path: Bytes, doing: string): Target {
  const parts = path.split('/');
  if (!path.startsWith('/') || path.includes('\0') || parts.includes('..') || /\/\.?$/.test(path)) {
    throw refused(
      doing,
      'it is no plain absolute path',
      'this is a mistake in debmend, or in a list of files',
    );
  }
  root.forget();
  const found = root.resolve(path);
  if (found.kind === 'unreachable') {
    throw refused(
      doing,
      `its directory cannot be reached: ${found.errno} at ${pathToText(found.at)}`,
      'see what stands there',
    );
  }
  const own = bytesFromText(realpathSync(store.directory));
  if (`${found.host}/`.startsWith(`${own}/`) || found.inside.split('/').includes(ELSEWHERE)) {
    throw refused(doing, 'debmend keeps its own records there', 'leave it where it is');
  }
  const slash = found.inside.lastIndexOf('/');
  const directory = opened.inside(root, found.inside.slice(0, slash));
  return { directory, name: found.inside.slice(slash + 1), inside: found.inside };
}

/** Whether a target holds the store: moving it would move the records of the move. */
export function holdsStore({ root, store }: Site, { inside }: Target): boolean {
  return bytesFromText(realpathSync(store.directory)).startsWith(`${root.hostPath(inside)}/`);
}

/** Mount points at a path of this host or below it: what stands there cannot be moved, or would take them along. */
export function mountsBelow(host: Bytes): Mount[] {
  return readMounts().filter(({ mountPoint }) => `${mountPoint}/`.startsWith(`${host}/`));
}

/** @throws DebmendError `read-only`, or the error of access(2), when names in there cannot be changed */
export function needsWritable(directory: Directory): void {
  accessSync(directory.entry('.'), constants.W_OK);
}

/** Where what stands at a target is quarantined, as the journal says it. */
export function choosePlace({ root, store }: Site, { directory, inside }: Target, id: string): string {
  const mounts = readMounts();
  const pointOf = (host: Bytes): Bytes | undefined => mountOf(mounts, host)?.mountPoint;
  const own = bytesFromText(realpathSync(store.directory));
  const { dev } = fstatSync(directory.fd, { bigint: true });
  const point = pointOf(directory.host);
  if (dev === statSync(fsPath(own), { bigint: true }).dev && point === pointOf(own))
    return `${IN_STORE}/${id}`;
  let top = inside.slice(0, inside.lastIndexOf('/'));
  while (top !== '') {
    const above = top.slice(0, top.lastIndexOf('/'));
    const host = root.hostPath(above === '' ? '/' : above);
    if (pointOf(host) !== point || lstatSync(fsPath(host), { bigint: true }).dev !== dev) break;
    top = above;
  }
  return pathToText(`${top}/${ELSEWHERE}/${id}`);
}

/**
 * Opens the directory of a place.
 *
 * @param make whether the directories on the way are made, durably, when they are missing
 * @returns undefined when they are missing
 * @throws DebmendError `action-refused` when someone else made the quarantine
 */
export function openPlace(opened: Opened, site: Site, place: string, make: boolean): Spot | undefined {
  const parts = splitPlace(place);
  if (parts === undefined)
    throw refused(`opening ${place}`, 'it is no place of a quarantine', 'see the journal');
  const { base, own, name } = parts;
  let directory =
    base === undefined
      ? opened.host(bytesFromText(realpathSync(site.store.directory)))
      : opened.inside(site.root, base);
  for (const part of own) {
    const next = child(directory, part, make);
    if (next === undefined) return undefined;
    directory = opened.add(next);
  }
  return { directory, name };
}

/** Takes the directories of a place away as far as nothing is in them: a run that is undone leaves nothing behind. */
export function dropEmptyPlace(opened: Opened, site: Site, place: string): void {
  const parts = splitPlace(place);
  if (parts === undefined) return;
  const { base, own } = parts;
  const [quarantine = '', run = ''] = own;
  try {
    const above =
      base === undefined
        ? opened.host(bytesFromText(realpathSync(site.store.directory)))
        : opened.inside(site.root, base);
    const directory = opened.add(above.open(quarantine));
    rmdirSync(directory.entry(run));
    if (base !== undefined) rmdirSync(above.entry(quarantine));
  } catch {
    // something is in it still, or it is gone
  }
}

/** A place's path on this host. */
export function placeOnHost({ root, store }: Site, place: string): Bytes {
  return place.startsWith('/') || place.startsWith('file:')
    ? root.hostPath(textToPath(place))
    : `${bytesFromText(store.directory)}/${place}`;
}

function splitPlace(place: string): { base: Bytes | undefined; own: Bytes[]; name: Bytes } | undefined {
  const path = textToPath(place);
  const [, run = '', number = ''] = /\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  if (run === '') return undefined;
  const head = path.slice(0, path.length - run.length - number.length - 2);
  if (head === IN_STORE) return { base: undefined, own: [IN_STORE, run], name: number };
  if (!head.endsWith(`/${ELSEWHERE}`)) return undefined;
  return { base: head.slice(0, -ELSEWHERE.length - 1), own: [ELSEWHERE, run], name: number };
}

function child(directory: Directory, name: Bytes, make: boolean): Directory | undefined {
  if (make) {
    try {
      mkdirSync(directory.entry(name), { mode: 0o700 });
      directory.sync();
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
  }
  let next: Directory;
  try {
    next = directory.open(name);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const { uid, mode } = fstatSync(next.fd);
  if (uid === process.geteuid?.() && (mode & 0o077) === 0) return next;
  next.close();
  throw refused(
    `quarantining in ${pathToText(next.host)}`,
    'the directory belongs to someone else, or is open to others',
    'see who made it, then move it away',
  );
}
