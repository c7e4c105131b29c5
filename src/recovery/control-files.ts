/** dpkg's control files (its info directory) that are gone or altered: nothing but its lists is missed by dpkg itself. */
import { type Database, readManifest } from '../dpkg/database.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import { changedRecords } from '../dpkg/selection.ts';
import type { FindingCode } from '../model/codes.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Kind } from '../scan/work.ts';
import { loadXxh64 } from '../scan/xxh64.ts';
import { listedAt } from '../snapshot/control-files.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed, type Snapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { recordsAt, recordsNow } from '../snapshot/transaction/outcome.ts';
import type { Bytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { listedThen } from './listed-then.ts';
import { ownersBeside } from './owners.ts';
import { stateThen } from './scripts.ts';
import { hasContentOf } from './tracked-damage.ts';

/**
 * dpkg's info directory, where packages have lost their list or their checksums: dpkg(1), --audit, asks for both, and for
 * nothing else that may have been there.
 */
export function lostControlFiles(database: Database, finding: FindingCode): LeftAlone[] {
  if (!database.packages.some((pkg) => lacksControlFiles(database, pkg))) return [];
  const path = pathToText(`${database.admindir.inside}/info`);
  const reason = 'control files of packages are missing, and which others were there nobody can tell';
  return [{ finding, path, harmless: false, reason }];
}

function lacksControlFiles({ info }: Database, pkg: Package): boolean {
  if (pkg.state === 'not-installed' || pkg.state === 'config-files') return false;
  const kinds = info.kindsOf(info.stemOf(pkg));
  return !kinds.has('list') || !kinds.has('md5sums');
}

/**
 * dpkg's control files that a snapshot knows, of packages of which dpkg says the same as then, and that are gone or hold
 * something else: only a new version of its package changes one.
 *
 * @param renewed names of packages that were unpacked once more since, whose control files came with that
 */
export async function alteredControlFiles(
  root: Root,
  store: Store,
  database: Database,
  renewed: ReadonlySet<Bytes>,
): Promise<LeftAlone[]> {
  const { admindir, info, packages } = database;
  const snapshot = newestSealed(store);
  const then = recordsAt(store, admindir.inside, snapshot?.id);
  if (snapshot === undefined || then === undefined) return [];
  const changed = changedRecords(then, recordsNow(admindir));
  const same = packages.filter(({ name }) => !changed.has(name));
  const stems = new Map(same.map((pkg) => [info.stemOf(pkg), pkg]));
  const directory = `${admindir.inside}/info`;
  const xxh64 = await loadXxh64();
  const unlisted = new Set<Bytes>();
  const halfGone = new Set<Package>();
  const isOwned = ownersBeside(root, database, new Set());
  // Whoever replaces files of another package takes them out of its list (deb-control(5), Replaces).
  const isTakenOver = (pkg: Package): boolean => {
    const then = new Set(listedAt(store, snapshot.id, directory, pkg.name));
    const { paths } = readManifest(database, pkg, false);
    return paths.every((path) => then.has(path)) && [...then].every(isOwned);
  };
  const altered = [...new Entries(store).at(snapshot.id, directory)].flatMap((entry): LeftAlone[] => {
    const { path, kind } = entry;
    const file = path.slice(directory.length + 1);
    const dot = file.lastIndexOf('.');
    const stem = file.slice(0, Math.max(0, dot));
    const pkg = stems.get(stem);
    if (pkg === undefined || kind !== Kind.file) return [];
    const isThere = info.kindsOf(stem).has(file.slice(dot + 1));
    if (isThere && (renewed.has(pkg.name) || hasContentOf(root, entry, xxh64))) return [];
    if (!isThere || file.endsWith('.list')) {
      const isWhole = isTakenOver(pkg);
      if (isThere && isWhole) return [];
      if (!isWhole) unlisted.add(pkg.name);
    }
    if (!isThere) halfGone.add(pkg);
    const reason = `it stands in snapshot ${snapshot.id}, its package has not changed since, and it ${isThere ? 'holds something else' : 'is gone'}`;
    return [{ finding: 'database-unreadable', path: pathToText(path), harmless: false, reason }];
  });
  const unlistedPaths = listedThen(root, store, database, snapshot, unlisted, {
    finding: 'database-unreadable',
    missing: true,
  });
  return [...altered, ...unlistedPaths, ...ofHalfGone(store, database, snapshot, halfGone)];
}

/** Packages that have lost control files, and the state that their scripts name. */
function ofHalfGone(
  store: Store,
  database: Database,
  { id }: Snapshot,
  packages: ReadonlySet<Package>,
): LeftAlone[] {
  const unsure = { finding: 'database-unreadable', harmless: false } as const;
  const names = [...packages].map(({ name }) => name);
  const state = stateThen(store, database, id, names).keys();
  return [
    ...[...packages].map((pkg) => ({
      ...unsure,
      package: bytesToText(displayName(pkg, database.native)),
      reason: `control files of it are gone that snapshot ${id} knows, as where a removal was cut that nobody knows of: install it once more`,
    })),
    ...[...state].map((path) => ({
      ...unsure,
      path: pathToText(path),
      reason:
        'maintainer scripts of packages whose control files are gone name it, and may have changed it: look whether it is whole',
    })),
  ];
}
