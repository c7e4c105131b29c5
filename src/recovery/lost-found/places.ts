/**
 * Where content belongs, by what manifests and snapshots say, and how it is there now. A place that has no parent any
 * more is a place all the same: the directory may lie in lost+found, too.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { type Database, readManifest } from '../../dpkg/database.ts';
import { displayName } from '../../dpkg/package.ts';
import { Kind } from '../../scan/work.ts';
import type { Xxh64 } from '../../scan/xxh64.ts';
import { Entries, type Entry } from '../../snapshot/entries.ts';
import type { Store } from '../../snapshot/store.ts';
import { type Bytes, bufferOf, bytesOf, compareBytes, fsPath } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { looksDamaged } from '../content.ts';
import { type Lost, readContent } from './collect.ts';

/** What a snapshot knew of a path. */
export type Known = Pick<Entry, 'kind' | 'mode' | 'uid' | 'gid' | 'ino' | 'mtime' | 'xxh64' | 'target'>;

export type PlaceState =
  /** Nothing stands there. */
  | 'missing'
  /** Something stands there that is certainly not what it should be. */
  | 'damaged'
  /** Something else stands there, and nothing says that it is damage. */
  | 'other'
  /** The very same content stands there. */
  | 'sound';

/** One path to which some content belongs. */
export interface Place {
  /** Inside the root, its parents resolved as far as they are there. */
  readonly path: Bytes;
  readonly package: Bytes | undefined;
  readonly conffile: boolean;
  readonly inManifest: boolean;
  /** What the newest snapshot with this content knew. */
  readonly known: Known | undefined;
}

export interface PlaceSources {
  readonly root: Root;
  readonly database: Database | undefined;
  readonly store: Store | undefined;
}

export class Places {
  readonly #root: Root;
  readonly #byMd5 = new Map<string, Place[]>();
  readonly #byXxh64 = new Map<string, Place[]>();
  readonly #byTarget = new Map<Bytes, Place[]>();
  readonly #byInode = new Map<number, { readonly path: Bytes; readonly known: Known }[]>();
  readonly #directories = new Map<Bytes, Known>();

  /** Reads what manifests and snapshots say of what was found; of everything else nothing is kept. */
  constructor(sources: PlaceSources, lost: readonly Lost[]) {
    this.#root = sources.root;
    const wanted = new Wanted(lost);
    if (sources.database !== undefined) this.#readManifests(sources.database, wanted);
    if (sources.store !== undefined) this.#readSnapshots(sources.store, wanted);
  }

  /** The places of a file's content or of a link, in the order of their paths. */
  of(lost: Lost): Place[] {
    const found = new Map<Bytes, Place>();
    const add = (place: Place): void => {
      const other = found.get(place.path);
      found.set(
        place.path,
        other === undefined
          ? place
          : {
              path: place.path,
              package: other.package ?? place.package,
              conffile: other.conffile || place.conffile,
              inManifest: other.inManifest || place.inManifest,
              known: other.known ?? place.known,
            },
      );
    };
    if (lost.content !== undefined) {
      for (const place of this.#byMd5.get(lost.content.md5) ?? []) add(place);
      for (const place of this.#byXxh64.get(lost.content.xxh64.toString('hex')) ?? []) add(place);
    }
    if (lost.target !== undefined) for (const place of this.#byTarget.get(lost.target) ?? []) add(place);
    return [...found.values()].sort((a, b) => compareBytes(a.path, b.path));
  }

  /** Paths that had this inode in a snapshot, of things of the same type. */
  ofInode(ino: number, kind: number): Bytes[] {
    return (this.#byInode.get(ino) ?? []).flatMap(({ path, known }) => (known.kind === kind ? [path] : []));
  }

  directory(path: Bytes): Known | undefined {
    return this.#directories.get(path);
  }

  #readManifests(database: Database, wanted: Wanted): void {
    const diversions = new Map(database.diversions.map((one) => [one.from, one]));
    for (const record of database.packages) {
      if (record.state === 'config-files') continue;
      const { paths, hashes } = readManifest({ ...database, problems: [] }, record, true);
      const display = displayName(record, database.native);
      const listed = new Set(paths);
      const add = (path: Bytes, md5: Bytes, conffile: boolean): void => {
        const diversion = diversions.get(path);
        const placed = diversion === undefined || diversion.package === record.name ? path : diversion.to;
        const inside = resolveLoosely(this.#root, placed);
        if (inside === undefined) return;
        push(this.#byMd5, md5, {
          path: inside,
          package: display,
          conffile,
          inManifest: true,
          known: undefined,
        });
      };
      for (const [path, md5] of hashes) if (wanted.md5.has(md5) && listed.has(path)) add(path, md5, false);
      for (const { path, hash, obsolete } of record.conffiles)
        if (!obsolete && wanted.md5.has(hash)) add(path, hash, true);
    }
  }

  #readSnapshots(store: Store, wanted: Wanted): void {
    const newest = new Set<Bytes>();
    for (const entry of new Entries(store).everyState()) {
      const { path, kind, ino, xxh64, target } = entry;
      const isNewest = !newest.has(path);
      newest.add(path);
      const known: Known = entry;
      if (kind === Kind.directory && isNewest) this.#directories.set(path, known);
      if (isNewest && wanted.inodes.has(ino)) {
        this.#byInode.set(ino, [...(this.#byInode.get(ino) ?? []), { path, known }]);
      }
      const place: Place = { path, package: undefined, conffile: false, inManifest: false, known };
      if (kind === Kind.file && xxh64 !== null && wanted.xxh64.has(xxh64.toString('hex')))
        push(this.#byXxh64, xxh64.toString('hex'), place);
      if (kind === Kind.link && target !== null && wanted.targets.has(target))
        push(this.#byTarget, target, place);
    }
  }
}

class Wanted {
  readonly md5 = new Set<string>();
  readonly xxh64 = new Set<string>();
  readonly targets = new Set<Bytes>();
  readonly inodes = new Set<number>();

  constructor(lost: readonly Lost[]) {
    for (const one of lost) {
      this.inodes.add(one.ino);
      if (one.content !== undefined) {
        this.md5.add(one.content.md5);
        this.xxh64.add(one.content.xxh64.toString('hex'));
      }
      if (one.target !== undefined) this.targets.add(one.target);
    }
  }
}

function push(map: Map<string, Place[]>, key: string, place: Place): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [place]);
  else if (!known.some(({ path }) => path === place.path)) known.push(place);
}

/** How it is at a place now, held against what was lost (I2, I3). */
export function stateOf(root: Root, place: Place, lost: Lost, xxh64: Xxh64): PlaceState {
  const host = root.hostPath(place.path);
  const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
  if (stat === undefined) return 'missing';
  if (lost.type === 'link') {
    const same =
      stat.isSymbolicLink() && bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' })) === lost.target;
    return same ? 'sound' : 'other';
  }
  if (!stat.isFile() || lost.content === undefined) return 'other';
  const now = readContent(host, xxh64);
  if (now?.md5 === lost.content.md5) return 'sound';
  const read = readRegularFile(host);
  // A legitimate file may look so, but this one has a hash, and it is another.
  if (read.kind !== 'read' || looksDamaged(bufferOf(read.data)) !== undefined) return 'damaged';
  // It differs from manifest and snapshot, which agree; of conffiles that alone says nothing.
  return place.inManifest && place.known !== undefined && !place.conffile ? 'damaged' : 'other';
}

/** What the kernel follows at most (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * A path with its parents resolved inside the root, though some of them are missing: what is not there cannot be a link.
 *
 * @returns undefined when a parent is no directory, or links lead in a circle
 */
export function resolveLoosely(root: Root, path: Bytes, links = 0): Bytes | undefined {
  const found = root.resolve(path);
  if (found.kind === 'found') return found.inside;
  if (found.errno !== 'ENOENT' || links > MAX_LINKS) return undefined;
  const slash = path.lastIndexOf('/');
  const parent = resolveLoosely(root, path.slice(0, slash) || '/', links);
  if (parent === undefined) return undefined;
  const stat = lstatSync(fsPath(root.hostPath(parent)), { throwIfNoEntry: false });
  if (stat?.isSymbolicLink() === true) {
    const target = bytesOf(readlinkSync(fsPath(root.hostPath(parent)), { encoding: 'buffer' }));
    const above = target.startsWith('/') ? target : `${parent.slice(0, parent.lastIndexOf('/'))}/${target}`;
    return resolveLoosely(root, `${above}/${path.slice(slash + 1)}`, links + 1);
  }
  if (stat !== undefined && !stat.isDirectory()) return undefined;
  return `${parent === '/' ? '' : parent}/${path.slice(slash + 1)}`;
}
