/**
 * What should be on disk: every path that a manifest names, with what is known about it, and the list of work that
 * finds out. The rules that keep false findings away stand here:
 *
 * - A path that a sound `.list` does not name is not the package's, even if its `.md5sums` names it: another package
 *   took it over (Replaces).
 * - A path that several packages name is sound when its content is what any of them expects.
 * - A diverted path is looked for where the diversion put it, unless the package is the one that diverted it.
 * - Parents are resolved inside the root (merged /usr), and a listed directory may be a link to one.
 * - A removed package's conffiles belong to the administrator; an obsolete conffile may be missing or changed.
 */
import type { Database, Manifest } from '../dpkg/database.ts';
import type { Diversion } from '../dpkg/diversions.ts';
import type { Conffile, Package } from '../dpkg/package.ts';
import { Want, WorkList } from '../scan/work.ts';
import type { Bytes } from '../system/bytes.ts';
import type { Resolution, Root } from '../system/root.ts';

/** What a manifest says of a path; bits. */
export const Expect = {
  /** Its content is known, so it must be a regular file. */
  file: 1,
  /** Other paths of the manifest lie in it, so it must be a directory or a link to one. */
  directory: 2,
  conffile: 4,
  /** A conffile that its package no longer ships. */
  obsolete: 8,
  diverted: 16,
} as const;

/** One path of one package; kept in columns, because there are a hundred thousand. */
export interface Expectation {
  readonly entry: number;
  readonly package: number;
  readonly flags: number;
  /** The path as the manifest names it. */
  readonly path: Bytes;
}

/** A path whose parents cannot be reached, so that there is nothing to look at. */
export interface Unreachable {
  readonly package: number;
  readonly flags: number;
  readonly path: Bytes;
  readonly errno: Extract<Resolution, { kind: 'unreachable' }>['errno'];
}

export interface ManifestNote {
  readonly record: Package;
  readonly display: Bytes;
  /** Set when an empty `.md5sums` has to be held against the files that the package turns out to own. */
  readonly emptyMd5sums: Bytes | undefined;
}

export class Expectations {
  readonly list = new WorkList();
  readonly packages: ManifestNote[] = [];
  readonly unreachable: Unreachable[] = [];
  readonly #root: Root;
  readonly #diversions: ReadonlyMap<Bytes, Diversion>;
  readonly #entries: number[] = [];
  readonly #owners: number[] = [];
  readonly #flags: number[] = [];
  /** Names that differ from the entry's own path (merged /usr, diversions), by expectation. */
  readonly #names = new Map<number, Bytes>();
  /** Further hashes that make an entry sound, as hexadecimal digits. */
  readonly #alternatives = new Map<number, Set<Bytes>>();

  constructor(root: Root, database: Pick<Database, 'diversions'>) {
    this.#root = root;
    this.#diversions = new Map(database.diversions.map((diversion) => [diversion.from, diversion]));
  }

  get count(): number {
    return this.#entries.length;
  }

  at(index: number): Expectation {
    const entry = this.#entries[index] ?? 0;
    return {
      entry,
      package: this.#owners[index] ?? 0,
      flags: this.#flags[index] ?? 0,
      path: this.#names.get(index) ?? this.insidePath(this.list.path(entry)),
    };
  }

  entryAt(index: number): number {
    return this.#entries[index] ?? 0;
  }

  flagsAt(index: number): number {
    return this.#flags[index] ?? 0;
  }

  ownerAt(index: number): number {
    return this.#owners[index] ?? 0;
  }

  /** A host path as it is called inside the root. */
  insidePath(host: Bytes): Bytes {
    return host.slice(this.#root.prefix.length) || '/';
  }

  /** The hashes beside the one in the list of work that make an entry sound. */
  alternativesOf(entry: number): ReadonlySet<Bytes> | undefined {
    return this.#alternatives.get(entry);
  }

  /** The diversion that sends a package's path elsewhere. */
  diversionOf(pkg: Package, path: Bytes): Diversion | undefined {
    const diversion = this.#diversions.get(path);
    return diversion === undefined || diversion.package === pkg.name ? undefined : diversion;
  }

  /**
   * Takes in a package's manifest.
   *
   * @param accepts which paths are in the scope of this run
   */
  add(manifest: Manifest, accepts: (path: Bytes) => boolean): void {
    const { record } = manifest;
    const owner = this.packages.length;
    this.packages.push({
      record,
      display: manifest.display,
      emptyMd5sums: manifest.md5sumsEmpty ? manifest.md5sumsFile : undefined,
    });
    const removed = record.state === 'config-files';
    const conffiles = new Map<Bytes, Conffile>();
    if (!removed) for (const conffile of record.conffiles) conffiles.set(conffile.path, conffile);
    const parents = parentsOf(manifest.paths);
    for (const path of manifest.paths) {
      if (!accepts(path)) continue;
      if (parents.has(path)) this.#addDirectory(owner, path, removed);
      else if (!removed && !conffiles.has(path))
        this.#addPath(owner, record, path, manifest.hashes.get(path));
    }
    if (!manifest.listSound && !removed) {
      // The list lost names: those that only the hashes still know are the package's all the same.
      const listed = new Set(manifest.paths);
      for (const [path, hash] of manifest.hashes) {
        if (!listed.has(path) && !conffiles.has(path) && accepts(path))
          this.#addPath(owner, record, path, hash);
      }
    }
    for (const conffile of conffiles.values())
      if (accepts(conffile.path)) this.#addConffile(owner, record, conffile);
  }

  #addDirectory(owner: number, path: Bytes, removed: boolean): void {
    const directory = this.#root.resolveDirectory(path);
    // Something else may stand there under its own name: the look at it tells what.
    const found = directory.kind === 'found' ? directory : this.#root.resolve(path);
    if (found.kind === 'unreachable') {
      if (!removed)
        this.unreachable.push({ package: owner, flags: Expect.directory, path, errno: found.errno });
      return;
    }
    const entry = this.list.add(found.host, Want.names);
    if (!removed) this.#push(owner, Expect.directory, entry, path, found.inside);
  }

  #addPath(owner: number, record: Package, path: Bytes, hash: Bytes | undefined): void {
    const diversion = this.diversionOf(record, path);
    const flags = (hash === undefined ? 0 : Expect.file) | (diversion === undefined ? 0 : Expect.diverted);
    const found = this.#root.resolve(diversion?.to ?? path);
    if (found.kind === 'unreachable') {
      this.unreachable.push({ package: owner, flags, path, errno: found.errno });
      return;
    }
    // Asked for its names as well: an empty directory looks like any other path in a manifest.
    const entry = this.list.add(found.host, Want.names);
    this.#push(owner, flags, entry, path, found.inside);
    if (hash !== undefined) this.#expectHash(entry, hash);
  }

  #addConffile(owner: number, record: Package, conffile: Conffile): void {
    // Of an obsolete conffile dpkg keeps the name in the list but not its directories, and leftovers lie beside it.
    const beside = this.#root.resolveDirectory(conffile.path.slice(0, conffile.path.lastIndexOf('/')));
    if (beside.kind === 'found') this.list.add(beside.host, Want.names);
    if (conffile.removeOnUpgrade || !/^[0-9a-f]{32}$/.test(conffile.hash)) return;
    const diversion = this.diversionOf(record, conffile.path);
    const flags =
      Expect.file |
      Expect.conffile |
      (conffile.obsolete ? Expect.obsolete : 0) |
      (diversion === undefined ? 0 : Expect.diverted);
    // dpkg follows a conffile that is a link (src/main/configure.c, conffderef); so do we, inside the root.
    const found = this.#root.resolveFully(diversion?.to ?? conffile.path);
    if (found.kind === 'unreachable') {
      this.unreachable.push({ package: owner, flags, path: conffile.path, errno: found.errno });
      return;
    }
    const entry = this.list.add(found.host, Want.names);
    this.#push(owner, flags, entry, conffile.path, found.inside);
    this.#expectHash(entry, conffile.hash);
  }

  #expectHash(entry: number, hash: Bytes): void {
    if (!this.list.expects(entry)) {
      this.list.expect(entry, hash);
      return;
    }
    const others = this.#alternatives.get(entry);
    if (others === undefined) this.#alternatives.set(entry, new Set([hash]));
    else others.add(hash);
  }

  #push(owner: number, flags: number, entry: number, name: Bytes, inside: Bytes): void {
    if (name !== inside) this.#names.set(this.#entries.length, name);
    this.#entries.push(entry);
    this.#owners.push(owner);
    this.#flags.push(flags);
  }
}

/** The paths of a manifest that others of it lie in. */
function parentsOf(paths: readonly Bytes[]): Set<Bytes> {
  const parents = new Set<Bytes>();
  for (const path of paths) {
    const slash = path.lastIndexOf('/');
    if (slash > 0) parents.add(path.slice(0, slash));
  }
  return parents;
}
