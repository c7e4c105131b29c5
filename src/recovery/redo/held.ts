/**
 * Directories that a removal leaves behind, and that are empty by the time it is gone on with. dpkg deletes a package's
 * files, writes a list of what it could not delete, and only then runs the postrm, which may take the last file out of
 * one of those directories (src/main/remove.c, removal_bulk_remove_files). dpkg does not look again, and the directory
 * stays, with its line in the list. A dpkg that begins anew after a cut does look, and takes it away.
 *
 * The same holds for a removal that had come to its end and is done once more, because the disk forgot a part of it: its
 * record, which says then that the package is installed, or files.
 *
 * A file is put into each of them, until dpkg has been there. It is found again after another cut, because its name says
 * whose it is.
 */

import { lstatSync } from 'node:fs';
import { type Database, readManifest } from '../../dpkg/database.ts';
import type { Package } from '../../dpkg/package.ts';
import { type Bytes, bytesFromText, fsPath } from '../../system/bytes.ts';
import { namesIn } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { ownersBeside } from '../owners.ts';
import type { Before } from './before.ts';
import type { Decision } from './decide.ts';
import { aside, type Effect, isThereAt } from './effect.ts';
import { isPurge } from './marks.ts';

/** What is put into such a directory. */
export const PLACEHOLDER = '.debmend-placeholder';

/** The directories that are to be held, inside the root. */
export function directoriesToHold(
  root: Root,
  database: Database,
  before: Before,
  { packages }: Decision,
): Bytes[] {
  const removals = packages.flatMap(({ record, run, forgotten }) => {
    const its = before.runs[run];
    const leavesSome = record.action === 'remove' && its !== undefined && !isPurge(its);
    return leavesSome ? [{ name: bytesFromText(record.name), run, forgotten }] : [];
  });
  if (removals.length === 0) return [];
  const isOthers = ownersBeside(root, database, new Set(removals.map(({ name }) => name)));
  return removals.flatMap((removal) =>
    leftOf(root, database, before, removal).flatMap((path) => {
      const found = root.resolve(path);
      if (found.kind !== 'found' || isOthers(path) || isOthers(found.inside)) return [];
      return isEmptyDirectory(found.host) ? [found.inside] : [];
    }),
  );
}

interface Removal {
  readonly name: Bytes;
  readonly run: number;
  readonly forgotten: boolean;
}

/** What dpkg's present list has of a package, where dpkg had deleted files of it before and written that list anew. */
function leftOf(root: Root, database: Database, before: Before, { name, run, forgotten }: Removal): Bytes[] {
  const pkg = database.packages.find((one) => one.name === name);
  if (pkg === undefined) return [];
  const now = new Set(readManifest(database, pkg, false).paths);
  const isKnown = pkg.state === 'half-installed' || (forgotten && pkg.state === 'config-files');
  // The record may be of before, and the list not: one without a file is no installed package's.
  if (!isKnown && !holdsNoFiles(root, pkg, now)) return [];
  const { inside } = database.admindir;
  const then = before.listedPaths(`${inside}/info`, name, run);
  return then.some((path) => !now.has(path)) ? [...now] : [];
}

function holdsNoFiles(root: Root, { conffiles }: Package, paths: ReadonlySet<Bytes>): boolean {
  const own = new Set(conffiles.map(({ path }) => path));
  return [...paths].every((path) => {
    const found = root.resolve(path);
    return own.has(path) || (found.kind === 'found' && isDirectory(found.host));
  });
}

const isDirectory = (host: Bytes): boolean =>
  lstatSync(fsPath(host), { throwIfNoEntry: false })?.isDirectory() === true;

function isEmptyDirectory(host: Bytes): boolean {
  if (!isDirectory(host)) return false;
  return namesIn(host).every((name) => name === PLACEHOLDER);
}

/** Those that an earlier recovery held, and did not come to let go. */
export function stillHeld(root: Root, before: Before, admindir: Bytes): Effect[] {
  const directories = before.runs.flatMap(({ packages }, run) =>
    packages
      .filter(({ action }) => action === 'remove')
      .flatMap(({ name }) => before.listedPaths(`${admindir}/info`, bytesFromText(name), run)),
  );
  return [...new Set(directories)].flatMap((path) => {
    const found = root.resolve(`${path}/${PLACEHOLDER}`);
    if (found.kind !== 'found' || !isThereAt(found.host)) return [];
    return [aside(found.inside, 'an earlier recovery held the directory with it')];
  });
}
