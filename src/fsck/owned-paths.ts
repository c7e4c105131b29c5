/**
 * Which paths packages own, by dpkg's file lists alone: enough to say what lies on a filesystem and whose an inode is.
 * A damaged list still gives the names that are whole in it (I8).
 */
import type { Admindir } from '../dpkg/admindir.ts';
import { openAdmindir } from '../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import { parseDiversions } from '../dpkg/diversions.ts';
import { InfoDirectory } from '../dpkg/info.ts';
import { parseList } from '../dpkg/manifest.ts';
import { displayName } from '../dpkg/package.ts';
import { readRecords } from '../dpkg/records.ts';
import type { Bytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';

/** A package as dpkg prints it; the version is empty where no record tells it. */
export interface Owner {
  readonly package: Bytes;
  readonly version: Bytes;
}

export class OwnedPaths {
  readonly admindir: Admindir;
  readonly #root: Root;
  readonly #diverted: ReadonlyMap<Bytes, { readonly to: Bytes; readonly package: Bytes | undefined }>;
  #owners: ReadonlyMap<Bytes, Owner> | undefined;
  #directories: ReadonlySet<Bytes> | undefined;

  constructor(root: Root, admindir: Admindir) {
    this.#root = root;
    this.admindir = admindir;
    const file = admindir.read('diversions');
    const diversions =
      file.kind === 'read' ? parseDiversions(file.data, admindir.path('diversions')).diversions : [];
    this.#diverted = new Map(diversions.map((one) => [one.from, { to: one.to, package: one.package }]));
  }

  /**
   * Calls `see` with every path of every list, as it is called inside the root, its parents resolved; a path that
   * cannot be reached is left out. The stem is the list's name without its ending.
   */
  each(see: (path: Bytes, stem: Bytes) => void): void {
    this.#lists((path, stem) => {
      const found = this.#root.resolve(path);
      if (found.kind === 'found') see(found.inside, stem);
    });
  }

  /** The directories, resolved, that anything of a package lies in. */
  directories(): ReadonlySet<Bytes> {
    if (this.#directories !== undefined) return this.#directories;
    const named = new Set<Bytes>();
    this.#lists((path) => named.add(path.slice(0, path.lastIndexOf('/'))));
    const resolved = new Set<Bytes>();
    for (const directory of named) {
      const found = this.#root.resolveDirectory(directory === '' ? '/' : directory);
      if (found.kind === 'found') resolved.add(found.inside);
    }
    this.#directories = resolved;
    return resolved;
  }

  /** The package whose list has this name. */
  owner(stem: Bytes): Owner {
    this.#owners ??= this.#readOwners();
    return this.#owners.get(stem) ?? { package: stem, version: '' };
  }

  #lists(see: (path: Bytes, stem: Bytes) => void): void {
    for (const name of this.admindir.names('info')) {
      if (!name.endsWith('.list') || name.startsWith('.')) continue;
      const list = this.admindir.read(`info/${name}`);
      if (list.kind !== 'read') continue;
      const stem = name.slice(0, -'.list'.length);
      const pkg = stem.replace(/:.*$/, '');
      for (const path of parseList(list.data).paths) {
        const diversion = this.#diverted.get(path);
        see(diversion === undefined || diversion.package === pkg ? path : diversion.to, stem);
      }
    }
  }

  #readOwners(): Map<Bytes, Owner> {
    const { packages, native } = readRecords(this.admindir, []);
    const info = new InfoDirectory(this.admindir, []);
    return new Map(
      [...packages.values()].map((pkg) => [
        info.stemOf(pkg),
        { package: displayName(pkg, native), version: pkg.version },
      ]),
    );
  }
}

/** The paths of a root's packages; undefined where there is no dpkg database. Never throws. */
export function ownedPaths(root: Root): OwnedPaths | undefined {
  try {
    return new OwnedPaths(root, openAdmindir(root, DEFAULT_ADMINDIR));
  } catch {
    return undefined;
  }
}
