/**
 * Control files of removed packages that a disk left as they were before the removal, while the record is as it is after
 * it. dpkg ignores a second `--remove` of what it calls config-files, and whatever it has no record of: the list is made
 * what it would be, and what should be gone leaves.
 */
import { lstatSync, type Stats } from 'node:fs';
import { type Database, readManifest } from '../../dpkg/database.ts';
import type { Package } from '../../dpkg/package.ts';
import { isControlFileOf } from '../../snapshot/control-files.ts';
import { type Bytes, bufferOf, bytesFromText, fsPath } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import { ownersBeside } from '../owners.ts';
import type { Before } from './before.ts';
import type { Decision } from './decide.ts';
import { aside, type Effect } from './effect.ts';

export function staleControlFiles(
  root: Root,
  database: Database,
  before: Before,
  { packages: redone }: Decision,
): Effect[] {
  const again = new Set(redone.map(({ record }) => bytesFromText(record.name)));
  const removed = new Set(
    before.transaction.runs.flatMap(({ packages }) =>
      packages.filter(({ action }) => action === 'remove').map(({ name }) => bytesFromText(name)),
    ),
  );
  for (const name of again) removed.delete(name);
  return [...staleLists(root, database, before, removed), ...ofNobody(database, removed)];
}

/** Files of the info directory of packages that have no record, and no list that would make one of them. */
function ofNobody({ admindir, packages }: Database, removed: ReadonlySet<Bytes>): Effect[] {
  const known = new Set(packages.map(({ name }) => name));
  const gone = [...removed].filter((name) => !known.has(name));
  if (gone.length === 0) return [];
  return admindir
    .names('info')
    .filter((file) => gone.some((name) => isControlFileOf(file, name)))
    .map((file) =>
      aside(
        `${admindir.inside}/info/${file}`,
        'the removal had taken it away, and the disk had brought it back',
      ),
    );
}

function staleLists(root: Root, database: Database, before: Before, removed: ReadonlySet<Bytes>): Effect[] {
  const { admindir, info } = database;
  return database.packages
    .filter(({ name, state }) => state === 'config-files' && removed.has(name))
    .flatMap((pkg): Effect[] => {
      // One that is gone altogether is nothing that dpkg would miss of a removed package.
      const isGone = !info.kindsOf(info.stemOf(pkg)).has('list');
      const { paths, listSound } = isGone
        ? { paths: before.listedPaths(`${admindir.inside}/info`, pkg.name, 0), listSound: true }
        : readManifest(database, pkg, false);
      if (!listSound || paths.length === 0) return [];
      if (!isGone && paths.every((path) => statOf(root, path) !== undefined)) return [];
      const left = leftover(root, pkg, paths, ownersBeside(root, database, new Set([pkg.name])));
      return [
        {
          action: {
            kind: 'put',
            path: `${admindir.inside}/info/${info.stemOf(pkg)}.list`,
            data: bufferOf(left.map((path) => `${path}\n`).join('')),
            attributes: { mode: 0o644, uid: 0, gid: 0 },
          },
          why: { reason: 'the list of what the removal left: the disk had kept the one of before, or none' },
          comesBack: false,
        },
      ];
    });
}

/** What dpkg would have kept in it, in its order (src/main/remove.c, removal_bulk_remove_files). */
function leftover(
  root: Root,
  pkg: Package,
  paths: readonly Bytes[],
  isOthers: (path: Bytes) => boolean,
): Bytes[] {
  const conffiles = new Set(pkg.conffiles.map(({ path }) => path));
  const kept: Bytes[] = [];
  // From the leaves to the root, as dpkg goes.
  for (const path of [...paths].reverse()) {
    const stat = statOf(root, path);
    const isAbove = kept.some((one) => one.startsWith(path === '/.' ? '/' : `${path}/`));
    const isLeft = stat !== undefined && (stat.isDirectory() ? isAbove || !isOthers(path) : true);
    if (conffiles.has(path) || isLeft) kept.unshift(path);
  }
  return kept;
}

function statOf(root: Root, path: Bytes): Stats | undefined {
  const found = root.resolve(path);
  return found.kind === 'found' ? lstatSync(fsPath(found.host), { throwIfNoEntry: false }) : undefined;
}
