/**
 * Tracked files, which no manifest vouches for, held against what a snapshot knows of them. Whether other content is
 * damage or somebody's edit nobody can tell from a hash (I3): only what no edit leaves behind counts.
 */
import { lstatSync, type Stats } from 'node:fs';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Kind } from '../scan/work.ts';
import { loadXxh64, type Xxh64, xxh64Of } from '../scan/xxh64.ts';
import { Contents } from '../snapshot/contents.ts';
import { Entries, type Entry, Flag, Origin } from '../snapshot/entries.ts';
import { newestSealed, type Snapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { looksDamaged, lostForm } from './content.ts';
import { EXTENDED_STATES } from './redo/database.ts';
import { targetOf } from './redo/effect.ts';

/** Larger tracked files are not read here, in bytes: their own checks look at them (an initramfs). */
export const TRACKED_READ_LIMIT = 16 * 1024 * 1024;

export interface TrackedContext {
  readonly root: Root;
  readonly contentOf: (entry: Entry) => Buffer | undefined;
  readonly xxh64: Xxh64;
}

/**
 * What stands at a path that was resolved when the snapshot was taken.
 *
 * @returns undefined when nothing does; `elsewhere` when a directory on the way is a link by now, and it is another place
 */
export function standingAt(root: Root, path: Bytes): Stats | 'elsewhere' | undefined {
  const found = root.resolve(path);
  if (found.kind !== 'found') return undefined;
  if (found.inside !== path) return 'elsewhere';
  return lstatSync(fsPath(found.host), { throwIfNoEntry: false });
}

/** @param entry of a regular file @param stat what stands there @returns how it is damaged, as a sentence goes on */
export function damageOf(
  { root, contentOf, xxh64 }: TrackedContext,
  entry: Entry,
  stat: Stats,
): string | undefined {
  // An administrator may have made a link of a file, and never a directory.
  if (!stat.isFile()) return leadsSomewhere(root, entry.path, stat) ? undefined : 'no file any more';
  if (stat.size > TRACKED_READ_LIMIT) return undefined;
  const now = readRegularFile(root.hostPath(entry.path), TRACKED_READ_LIMIT);
  if (now.kind !== 'read') return undefined;
  const data = Buffer.from(now.data, 'latin1');
  if (entry.xxh64?.equals(xxh64Of(xxh64, data))) return undefined;
  // Whoever writes to a file changes its ctime, which nobody can set (inode(7)); a disk that puts another block there
  // does not. dpkg and tar set the other one, and two versions of a file may well have the same.
  const isUntouched =
    stat.ino === entry.ino && stat.ctimeMs === entry.ctime && (entry.flags & Flag.racy) === 0;
  if (entry.xxh64 !== null && isUntouched) return OTHER_CONTENT;
  const damage = looksDamaged(data);
  if (damage !== undefined) return damage;
  const was = contentOf(entry);
  return was === undefined ? undefined : lostForm(entry.path, bytesOf(was), now.data);
}

/** Whether a regular file has the content that a snapshot knows of it; not where it cannot be read. */
export function hasContentOf(root: Root, { path, xxh64: known }: Entry, xxh64: Xxh64): boolean {
  const now = readRegularFile(root.hostPath(path), TRACKED_READ_LIMIT);
  return now.kind === 'read' && known?.equals(xxh64Of(xxh64, Buffer.from(now.data, 'latin1'))) === true;
}

/** Whether a snapshot knows what stands at a path, and it is the same as then. */
export async function asIn(root: Root, store: Store, { id }: Snapshot): Promise<(path: Bytes) => boolean> {
  const entries = new Entries(store);
  const xxh64 = await loadXxh64();
  return (path) => {
    const entry = entries.findAt(id, path);
    const stat = standingAt(root, path);
    if (entry === undefined && stat === undefined) return true;
    if (entry === undefined || stat === undefined || stat === 'elsewhere') return false;
    if (stat.isSymbolicLink()) return entry.target !== null && entry.target === targetOf(root.hostPath(path));
    if (stat.isDirectory()) return entry.kind === Kind.directory;
    return stat.isFile() && entry.kind === Kind.file && hasContentOf(root, entry, xxh64);
  };
}

/** Whether something is a link to something that is there. */
export function leadsSomewhere(root: Root, path: Bytes, stat: Stats): boolean {
  if (!stat.isSymbolicLink()) return false;
  const target = root.resolveFully(path);
  return target.kind === 'found' && lstatSync(fsPath(target.host), { throwIfNoEntry: false }) !== undefined;
}

/** Of one tracked path. */
export interface TrackedDamage {
  readonly entry: Entry;
  readonly snapshot: number;
  /** As a sentence goes on. */
  readonly damage: string;
  /** What it was, read back as it was kept (I6); undefined when there is no copy. */
  readonly content: Buffer | undefined;
}

/**
 * What is damaged of all that the newest sealed snapshot tracks.
 *
 * @param repaired whether a repair of the filesystem took things away: then what is gone is told too, and what anybody
 * could have done is held to be its work. Without one only what no person and no program does counts, and only files that
 * there are copies of are read
 */
export async function trackedDamage(root: Root, store: Store, repaired: boolean): Promise<TrackedDamage[]> {
  const snapshot = newestSealed(store)?.id;
  if (snapshot === undefined) return [];
  const contents = new Contents(store);
  const contentOf = ({ content }: Entry): Buffer | undefined =>
    content === null || !contents.isWhole(content) ? undefined : contents.read(content);
  const context = { root, contentOf, xxh64: await loadXxh64() };
  const entries = new Entries(store);
  const found = goneLock(root, entries, snapshot);
  for (const entry of entries.at(snapshot)) {
    const isTracked = (entry.origin & Origin.tracked) !== 0;
    const isPermanent = isAlwaysThere(entry);
    if (!(isTracked || isPermanent) || (entry.content === null && !repaired)) continue;
    const stat = standingAt(root, entry.path);
    if (stat === 'elsewhere') continue;
    if (stat === undefined) {
      if (isPermanent) found.push({ entry, snapshot, damage: NEVER_GONE, content: contentOf(entry) });
      else if (repaired) found.push({ entry, snapshot, damage: GONE, content: undefined });
    } else if (isTracked && entry.kind === Kind.file) {
      const damage = damageOf(context, entry, stat);
      const isSure = repaired || damage === OTHER_CONTENT;
      if (damage !== undefined && isSure) found.push({ entry, snapshot, damage, content: contentOf(entry) });
    }
  }
  return found;
}

/** By name, where a repair of the filesystem may be what took it; or an installation, which nobody tells from that. */
export function takenByRepair(damaged: readonly TrackedDamage[]): LeftAlone[] {
  return damaged.map(({ entry, snapshot, damage }) => ({
    finding: 'filesystem-lost-found',
    path: pathToText(entry.path),
    harmless: false,
    reason: `it stands in snapshot ${snapshot} and is now ${damage}: the disk, or a repair of the filesystem, may have taken it`,
  }));
}

/** Their own programs only ever put a new one in their place, and nobody else takes them away. */
const isAlwaysThere = ({ path }: Entry): boolean =>
  ['/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow', EXTENDED_STATES, ...OF_DPKG].includes(path);

const ofDpkg = (name: string): Bytes => `${DEFAULT_ADMINDIR}/${name}`;
/** Triggers that are not handed on yet; dpkg replaces it by a rename, even when none is left (lib/dpkg/trigdeferred.c). */
const DEFERRED = ofDpkg('triggers/Unincorp');
/** Nobody writes the one without the other; it holds nothing, and no snapshot keeps locks. */
const DEFERRED_LOCK = ofDpkg('triggers/Lock');

/** To the audit a table without content is as good as none, and so is one that is gone. */
const OF_DPKG = [...['arch', 'diversions', 'statoverride'].map(ofDpkg), DEFERRED];

/** The lock of the deferred triggers, where a snapshot knows these (the mode is dpkg's). */
function goneLock(root: Root, entries: Entries, snapshot: number): TrackedDamage[] {
  const deferred = entries.findAt(snapshot, DEFERRED);
  if (deferred === undefined || standingAt(root, DEFERRED_LOCK) !== undefined) return [];
  const entry = { ...deferred, path: DEFERRED_LOCK, mode: 0o600, size: 0, content: null };
  return [{ entry, snapshot, damage: NEVER_GONE, content: Buffer.alloc(0) }];
}

const NEVER_GONE = 'gone, and nothing takes it away';
const OTHER_CONTENT = 'other content, and nobody touched it';

/** It may as well have been taken away on purpose, and is not put back. */
export const GONE = 'gone';
