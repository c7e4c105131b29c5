/**
 * The face of this folder: dpkg's database as it stands on disk, read without its help and without a lock. Reading
 * never fails because of what the files hold: damage becomes a problem, and everything else is still read (I8).
 */
import { lstatSync } from 'node:fs';
import { type Bytes, compareBytes, fsPath } from '../system/bytes.ts';
import { errnoOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { type Admindir, openAdmindir } from './admindir.ts';
import type { Alternative } from './alternatives.ts';
import type { Diversion } from './diversions.ts';
import type { PathFilter } from './filters.ts';
import { InfoDirectory } from './info.ts';
import type { ManifestSource } from './manifests.ts';
import { displayName, type Package, qualifiedName } from './package.ts';
import type { DatabaseProblem } from './problem.ts';
import { readRecords } from './records.ts';
import type { StatOverride } from './statoverride.ts';
import {
  readAlternatives,
  readArchitectures,
  readDiversions,
  readFilters,
  readOverrides,
  readTriggers,
} from './tables.ts';

export { type Manifest, readManifest } from './manifests.ts';

export const DEFAULT_ADMINDIR = '/var/lib/dpkg';

/** dpkg's database as it stands on disk. */
export interface Database extends ManifestSource {
  readonly admindir: Admindir;
  /** Every package that is at least known by its conffiles, in the order of their qualified names. */
  readonly packages: readonly Package[];
  readonly diversions: readonly Diversion[];
  readonly overrides: readonly StatOverride[];
  readonly filters: readonly PathFilter[];
  readonly alternatives: readonly Alternative[];
  /** Changes whenever dpkg writes its database: held before and after a long look, it tells whether both agree. */
  readonly stamp: string;
}

/**
 * Reads the database of a root; the packages' manifests come one by one, from `readManifest`, because all of them
 * together would be most of the memory that a run needs.
 *
 * @param path the database's directory inside the root
 * @throws DebmendError `no-dpkg-database` when the admindir cannot be reached or is no directory
 */
export function readDatabase(root: Root, path: Bytes = DEFAULT_ADMINDIR): Database {
  const admindir = openAdmindir(root, path);
  const problems: DatabaseProblem[] = [];
  const stamp = databaseStamp(admindir);
  const { packages, native, incomplete } = readRecords(admindir, problems);
  const info = new InfoDirectory(admindir, problems);
  for (const orphan of orphans(info, packages)) {
    packages.set(qualifiedName(orphan), orphan);
    // With stanzas lost it is clear why; one finding for that is enough.
    if (!incomplete) {
      problems.push({
        code: 'database-orphan',
        file: info.path(info.stemOf(orphan), 'list'),
        package: displayName(orphan, native),
        message: 'dpkg’s info directory holds files of a package that the status file does not know',
        blocksDpkg: false,
        likelyOutage: true,
      });
    }
  }
  readArchitectures(admindir, problems);
  const interests = readTriggers(admindir, problems);
  return {
    admindir,
    native,
    packages: [...packages.values()]
      .filter((pkg) => pkg.state !== 'not-installed')
      .sort((a, b) => compareBytes(qualifiedName(a), qualifiedName(b))),
    diversions: readDiversions(admindir, problems),
    overrides: readOverrides(admindir, problems),
    filters: readFilters(root),
    alternatives: readAlternatives(admindir, problems),
    problems,
    info,
    interests,
    stamp,
  };
}

/** Identity, size and time of what dpkg replaces when it changes its mind about a package. */
export function databaseStamp(admindir: Admindir): string {
  return ['status', 'updates', 'info', 'diversions']
    .map((name) => {
      try {
        const stat = lstatSync(fsPath(`${admindir.host}/${name}`), { bigint: true });
        return `${stat.ino}:${stat.size}:${stat.mtimeNs}`;
      } catch (error) {
        return errnoOf(error) ?? 'EIO';
      }
    })
    .join(' ');
}

/** Packages that have a `.list` and no record; their state can't be known. */
function orphans(info: InfoDirectory, packages: ReadonlyMap<Bytes, Package>): Package[] {
  const known = new Set<Bytes>();
  for (const pkg of packages.values()) known.add(info.stemOf(pkg));
  const found: Package[] = [];
  for (const stem of info.stems()) {
    if (known.has(stem) || !info.kindsOf(stem).has('list')) continue;
    const [name = stem, architecture = ''] = stem.split(':', 2);
    found.push({
      name,
      architecture,
      version: '',
      want: 'unknown',
      flag: 'ok',
      state: 'unknown',
      multiArch: architecture === '' ? 'no' : 'same',
      vital: false,
      configVersion: '',
      conffiles: [],
      triggersPending: [],
      triggersAwaited: [],
      source: `info/${stem}.list`,
    });
  }
  return found;
}
