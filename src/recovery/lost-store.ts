/**
 * debmend's own store in lost+found, where a repair of the filesystem put it: without its snapshots nothing else there is
 * known, dpkg's database neither. It returns before it is opened when it knows this very filesystem, by the inode numbers
 * and times of change (inode(7)) of packages' files: those of a chroot's store, or of a copy, are others.
 *
 *     lost+found/#12            is /var/lib/debmend, whose directories are made where they are gone
 *     lost+found/#12/debmend    #12 is /var/lib, when there is none
 *     lost+found/#12/lib/debmend
 */

import { chmodSync, existsSync, lstatSync, mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { lostDirectories } from '../fsck/lost-directories.ts';
import { Kind } from '../scan/work.ts';
import { withStoreCopy } from '../snapshot/copy.ts';
import { Entries, Origin } from '../snapshot/entries.ts';
import { newestSealed } from '../snapshot/snapshots.ts';
import { STORE_DIRECTORY, STORE_FILE, storeDirectory } from '../snapshot/store.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import { type Bytes, bufferOf, fsPath } from '../system/bytes.ts';
import { syncDirectory } from '../system/durable.ts';
import { namesIn } from '../system/files.ts';
import type { Root } from '../system/root.ts';

/** Of so many files the store has to know the inode: a few may be alike by chance. */
const MIN_KNOWN = 100;
/** And of those that are there so large a share: an upgrade that was cut has replaced the others. */
const MIN_SHARE = 0.5;

export interface ReturnedStore {
  /** Inside the root. */
  readonly from: Bytes;
  readonly to: Bytes;
}

/**
 * Returns it, in one rename; a store without snapshots that was made meanwhile goes into it, as replaced-TIME.
 *
 * @returns undefined where there is none, where it is not known to be this root's, or where the root's own has snapshots
 * @throws the error of the call that failed
 */
export async function returnLostStore(root: Root): Promise<ReturnedStore | undefined> {
  const candidates = lostDirectories(root).flatMap((directory) => storesIn(root, directory));
  if (candidates.length === 0 || (await knowsAnything(root))) return undefined;
  const known: Candidate[] = [];
  for (const one of candidates) if (await knowsThisFilesystem(root, one)) known.push(one);
  const [only] = known;
  if (only === undefined || known.length > 1) return undefined;
  return moveBack(root, only);
}

interface Candidate {
  /** What is moved, and where to; inside the root. */
  readonly from: Bytes;
  readonly to: Bytes;
  /** The store's directory as a path of this host. */
  readonly store: string;
}

function storesIn(root: Root, directory: Bytes): Candidate[] {
  return namesIn(root.hostPath(directory)).flatMap((name) => {
    const from = `${directory}/${name}`;
    return ['', '/debmend', '/lib/debmend'].flatMap((below): Candidate[] => {
      const host = root.hostPath(`${from}${below}`);
      const store = bufferOf(host).toString('utf8');
      if (
        !isOfRoot(root.hostPath(from)) ||
        !isPrivate(host) ||
        statOf(`${host}/${STORE_FILE}`)?.isFile() !== true
      )
        return [];
      return [{ from, to: STORE_DIRECTORY.slice(0, STORE_DIRECTORY.length - below.length), store }];
    });
  });
}

/** What lies in lost+found may be anybody's, and hold whatever he likes (I7): no link, and nobody else may write there. */
function isOfRoot(host: Bytes): boolean {
  const stat = statOf(host);
  return stat?.isDirectory() === true && stat.uid === process.geteuid?.() && (stat.mode & 0o022) === 0;
}

/** As debmend makes its store (snapshot/store.ts, makePrivateDirectory). */
function isPrivate(host: Bytes): boolean {
  return isOfRoot(host) && ((statOf(host)?.mode ?? 0o777) & 0o077) === 0;
}

/** Whether the root's own store has snapshots or transactions, or a journal that `debmend undo` reads: then it stays. */
async function knowsAnything(root: Root): Promise<boolean> {
  const directory = storeDirectory(root);
  const rest = namesIn(directory).filter((name) => !name.startsWith(STORE_FILE));
  if (rest.some((name) => namesIn(`${directory}/${name}`).length > 0)) return true;
  if (!existsSync(`${directory}/${STORE_FILE}`)) return false;
  // One that cannot be read, or is damaged, may have known something.
  return await withStoreCopy(
    root,
    undefined,
    async (store) =>
      store === undefined ||
      store.setAside !== undefined ||
      newestSealed(store) !== undefined ||
      listTransactions(store).length > 0,
  );
}

async function knowsThisFilesystem(root: Root, { store: directory }: Candidate): Promise<boolean> {
  return await withStoreCopy(root, directory, async (store) => {
    const snapshot = store === undefined ? undefined : newestSealed(store);
    if (store === undefined || snapshot === undefined) return false;
    let there = 0;
    let known = 0;
    for (const { path, kind, origin, ino, ctime } of new Entries(store).at(snapshot.id)) {
      if (kind !== Kind.file || (origin & Origin.owned) === 0) continue;
      const stat = statOf(root.hostPath(path));
      if (stat === undefined) continue;
      there += 1;
      if (stat.ino === ino && stat.ctimeMs === ctime) known += 1;
    }
    return known >= MIN_KNOWN && known >= there * MIN_SHARE;
  });
}

function moveBack(root: Root, { from, to, store }: Candidate): ReturnedStore | undefined {
  const source = root.hostPath(from);
  const parent = directoryMade(root, dirname(to));
  if (parent === undefined) return undefined;
  const target = `${parent.host}${to.slice(dirname(to).length)}`;
  const isThere = statOf(target) !== undefined;
  // A directory above it that somebody made again holds more than this.
  if (isThere && to !== STORE_DIRECTORY) return undefined;
  const name = `replaced-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  // Into the one that comes: a cut in between leaves that to be returned, and nothing else.
  if (isThere) renameSync(fsPath(target), `${store}/${name}`);
  renameSync(fsPath(source), fsPath(target));
  for (const directory of [parent.host, root.hostPath(dirname(from))])
    syncDirectory(bufferOf(directory).toString('utf8'));
  root.forget();
  return { from, to };
}

/**
 * A directory in the root, with those above it, made as every system has them where a repair took them apart: what was in
 * them lies in lost+found, each by itself.
 */
function directoryMade(root: Root, path: Bytes): { readonly host: Bytes } | undefined {
  const found = root.resolveDirectory(path);
  if (found.kind === 'found') return found;
  if (found.errno !== 'ENOENT') return undefined;
  const slash = path.lastIndexOf('/');
  const parent = directoryMade(root, path.slice(0, slash) || '/');
  if (parent === undefined) return undefined;
  const host = `${parent.host === '/' ? '' : parent.host}${path.slice(slash)}`;
  // A link to nowhere is nobody's to make whole here.
  if (statOf(host) !== undefined) return undefined;
  mkdirSync(fsPath(host), 0o755);
  chmodSync(fsPath(host), 0o755);
  syncDirectory(bufferOf(parent.host).toString('utf8'));
  root.forget();
  return { host };
}

function statOf(host: Bytes) {
  try {
    return lstatSync(fsPath(host), { throwIfNoEntry: false });
  } catch {
    return undefined; // a file where a directory was
  }
}
