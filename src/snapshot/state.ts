/**
 * State that maintainer scripts make outside every manifest and every tracked glob, as it stood at a seal. Nobody holds
 * services to leave it so; it is there to tell later what only a disk can have done to it.
 *
 * Only what was older than the sync is noted: that was on disk. A place that is a mount point by itself is left out, and
 * so is the content of large files, and of what belongs to packages with a service: a database writes in place, and its
 * content may reach the disk long before the time of change does (fdatasync(2)).
 */
import { lstatSync, type Stats } from 'node:fs';
import type { Admindir } from '../dpkg/admindir.ts';
import { statePlaces } from '../dpkg/script-places.ts';
import { kindOf } from '../scan/look.ts';
import { loadXxh64, type Xxh64, xxh64Of } from '../scan/xxh64.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { namesIn, readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { isControlFileOf, SCRIPT, scriptsAt } from './control-files.ts';
import type { Store } from './store.ts';

/** What stood at a path; times in milliseconds since the epoch. */
export interface SealedState {
  /** Inside the root, resolved. */
  readonly path: Bytes;
  /** One of scan/work.ts, Kind; undefined when nothing stood there. */
  readonly kind: number | undefined;
  readonly ino: number;
  /** Of what was not there: when the sync began. */
  readonly ctime: number;
  /** XXH64 of its content, where that was read. */
  readonly xxh64: Buffer | null;
}

export interface SealedScope {
  readonly admindir: Admindir;
  /** Packages that the installation had to do with, without architectures. */
  readonly names: ReadonlySet<Bytes>;
  /** The snapshot that knows the scripts of those that are gone. */
  readonly before: number | undefined;
  /** When the sync began, in milliseconds since the epoch. */
  readonly syncedAt: number;
}

/** The kernel's clock for files moves in steps, in milliseconds. */
const TICK_MS = 20;
/** Paths of one seal. */
const MOST_PATHS = 1000;
/** Larger files are not read, in bytes. */
const CONTENT_LIMIT = 64 * 1024;
/** Of one seal, in bytes: a hook waits for it. */
const MOST_READ = 4 * 1024 * 1024;
const SERVICE = /^(?:\/usr)?\/lib\/systemd\/system\/.|^\/etc\/init\.d\/./m;

/** What was read of some places. */
export interface SealedPlaces {
  readonly places: readonly Bytes[];
  /** Of those and all below them, and of the directories that they are in. */
  readonly rows: readonly SealedState[];
}

/** Reads what the scripts of some packages name. */
export async function readSealedState(store: Store, root: Root, scope: SealedScope): Promise<SealedPlaces> {
  const xxh64 = await loadXxh64();
  const seen = new Map<Bytes, SealedState>();
  const places: Bytes[] = [];
  const spent = { bytes: 0 };
  for (const [place, isRead] of [...placesOf(store, scope)].sort()) {
    const inside = topmost(root, place);
    if (inside === undefined) continue;
    const parent = parentOf(inside);
    const above = statOf(root.hostPath(parent));
    if (above === undefined) continue;
    places.push(inside);
    const reader = {
      root,
      seen,
      spent,
      dev: above.dev,
      until: scope.syncedAt - TICK_MS,
      xxh64: isRead ? xxh64 : undefined,
    };
    // What is gone later was taken by somebody when this has changed.
    note(reader, parent, above);
    walk(reader, inside);
  }
  return { places, rows: [...seen.values()] };
}

const parentOf = (path: Bytes): Bytes => path.slice(0, path.lastIndexOf('/')) || '/';

/** A place, resolved; where the directory that it was in is gone, that, and so on. */
function topmost(root: Root, place: Bytes): Bytes | undefined {
  const found = root.resolve(place);
  const parent = root.resolve(parentOf(place));
  const isParentThere = parent.kind === 'found' && statOf(parent.host) !== undefined;
  if (isParentThere) return found.kind === 'found' ? found.inside : undefined;
  return parentOf(place) === '/' ? undefined : topmost(root, parentOf(place));
}

/** What scripts name, and whether its content counts. */
function placesOf(store: Store, { admindir, names, before }: SealedScope): Map<Bytes, boolean> {
  const places = new Map<Bytes, boolean>();
  const files = admindir.names('info').filter((file) => SCRIPT.test(file) || file.endsWith('.list'));
  const read = (file: Bytes): Bytes[] => {
    const outcome = admindir.read(`info/${file}`);
    return outcome.kind === 'read' ? [outcome.data] : [];
  };
  for (const name of names) {
    const ours = files.filter((file) => isControlFileOf(file, name));
    const now = ours.filter((file) => SCRIPT.test(file)).flatMap(read);
    const isGone = ours.length === 0 && before !== undefined;
    const scripts = isGone ? scriptsAt(store, before, `${admindir.inside}/info`, name) : now;
    const state = scripts.flatMap(statePlaces);
    if (state.length === 0) continue;
    const isRead = !ours
      .filter((file) => file.endsWith('.list'))
      .flatMap(read)
      .some((list) => SERVICE.test(list));
    for (const place of state) places.set(place, (places.get(place) ?? true) && isRead);
  }
  return places;
}

interface Reader {
  readonly root: Root;
  readonly seen: Map<Bytes, SealedState>;
  /** What was read until now. */
  readonly spent: { bytes: number };
  /** Of the filesystem that the place is on. */
  readonly dev: number;
  /** What changed later may not be on disk, in milliseconds since the epoch. */
  readonly until: number;
  /** Undefined where no content is read. */
  readonly xxh64: Xxh64 | undefined;
}

function walk(reader: Reader, path: Bytes): void {
  const { root, seen, dev, until } = reader;
  if (seen.size >= MOST_PATHS || seen.has(path)) return;
  const host = root.hostPath(path);
  const stat = statOf(host);
  if (stat === undefined) {
    seen.set(path, { path, kind: undefined, ino: 0, ctime: until, xxh64: null });
    return;
  }
  if (stat.dev !== dev) return;
  note(reader, path, stat);
  if (stat.isDirectory()) for (const name of namesIn(host)) walk(reader, `${path}/${name}`);
}

function note({ root, seen, spent, until, xxh64 }: Reader, path: Bytes, stat: Stats): void {
  if (stat.ctimeMs > until) return;
  const isSmall = stat.size <= CONTENT_LIMIT && spent.bytes + stat.size <= MOST_READ;
  const isRead = xxh64 !== undefined && stat.isFile() && isSmall;
  if (isRead) spent.bytes += stat.size;
  const content = isRead ? readRegularFile(root.hostPath(path), CONTENT_LIMIT) : undefined;
  seen.set(path, {
    path,
    kind: kindOf(stat),
    ino: stat.ino,
    ctime: stat.ctimeMs,
    xxh64:
      xxh64 !== undefined && content?.kind === 'read'
        ? xxh64Of(xxh64, Buffer.from(content.data, 'latin1'))
        : null,
  });
}

function statOf(host: Bytes): Stats | undefined {
  return lstatSync(fsPath(host), { throwIfNoEntry: false });
}

/** Takes the place of what is known of the same places; in the caller's transaction. */
export function putSealedState(store: Store, { places, rows }: SealedPlaces): void {
  const drop = store.db.prepare('DELETE FROM state WHERE path = ? OR (path > ? AND path < ?)');
  for (const place of places) drop.run(place, `${place}/`, `${place}0`);
  const put = store.db.prepare(
    'INSERT OR REPLACE INTO state (path, kind, ino, ctime, xxh64) VALUES (?, ?, ?, ?, ?)',
  );
  for (const { path, kind, ino, ctime, xxh64 } of rows) put.run(path, kind ?? null, ino, ctime, xxh64);
}

export function sealedState(store: Store): SealedState[] {
  const rows = store.db
    .prepare('SELECT path, kind, ino, ctime, xxh64 FROM state ORDER BY path')
    .all() as (Omit<SealedState, 'kind'> & { readonly kind: number | null })[];
  return rows.map(({ kind, ...row }) => ({ ...row, kind: kind ?? undefined }));
}

/**
 * From now on everything counts as it is.
 *
 * @param from only what had changed after that, in milliseconds since the epoch
 */
export function forgetSealedState(store: Store, from = Number.NEGATIVE_INFINITY): void {
  store.db.prepare('DELETE FROM state WHERE ctime > ?').run(from);
}
