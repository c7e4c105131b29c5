/**
 * Removals that the disk forgot and dpkg's records remember. dpkg syncs a record when a package's files are gone, and
 * never the directories that it took them from. ext4 and XFS write changes in their order, so that a record on disk
 * means that the files are gone. btrfs writes a synced file ahead of everything else (its log tree), and half a minute of
 * deletions may be lost with the record of them there: dpkg calls a package not installed, and all of it still lies
 * where it was.
 */
import type { Diversion } from '../../dpkg/diversions.ts';
import type { Package } from '../../dpkg/package.ts';
import type { IntendedPackageRecord } from '../../model/transaction.ts';
import { type Bytes, bytesFromText } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import { stillThere } from '../still-there.ts';
import type { Before } from './before.ts';
import { isPurge } from './marks.ts';

export interface RemovalContext {
  /** The present ones. */
  readonly diversions: readonly Diversion[];
  /** dpkg's present records. */
  readonly packages: readonly Package[];
  readonly root: Root;
  readonly before: Before;
  /** Inside the root. */
  readonly admindir: Bytes;
  /** Whether a package owns a path by the present lists. */
  readonly isOwned: (path: Bytes) => boolean;
}

/**
 * Whether a file of a removed package, that no list names any more, stands where it stood before.
 *
 * @param run the run that removed it
 */
export function cameBack(
  { root, before, admindir, isOwned }: RemovalContext,
  { name }: IntendedPackageRecord,
  run: number,
): boolean {
  const paths = before.listedPaths(`${admindir}/info`, bytesFromText(name), run);
  const find = (inside: Bytes) => before.find(inside, run);
  const [first] = stillThere({ root, isOwned, find }, paths);
  return first !== undefined;
}

/**
 * Whether dpkg has no record any more of a package that was removed and not purged, and of which it would have kept one:
 * for its conffiles and its postrm (src/main/remove.c, removal_bulk). A torn status file loses records without a word.
 */
export function recordIsGone(
  { before, admindir, packages }: RemovalContext,
  { name }: IntendedPackageRecord,
  run: number,
): boolean {
  const key = bytesFromText(name);
  const its = before.runs[run];
  if (its === undefined || isPurge(its)) return false;
  if (packages.some((pkg) => pkg.name === key && pkg.state !== 'not-installed')) return false;
  const files = [...before.controlFiles(`${admindir}/info`, key, run).keys()];
  return files.some((file) => /\.(?:conffiles|postrm)$/.test(file));
}

/**
 * Whether a diversion is back that a script of the removed package takes away: dpkg-divert(1) had synced the table. Of a
 * removal that had not come to its end the script may not have come so far.
 */
export function diversionIsBack(
  { before, admindir, diversions, packages }: RemovalContext,
  { name }: IntendedPackageRecord,
  run: number,
): boolean {
  const key = bytesFromText(name);
  if (!diversions.some(({ package: owner }) => owner === key)) return false;
  if (packages.some((pkg) => pkg.name === key && pkg.state === 'half-installed')) return false;
  return [...before.controlFiles(`${admindir}/info`, key, run)].some(([file, entry]) => {
    const script = /\.(?:prerm|postrm)$/.test(file) ? before.contentOf(entry) : undefined;
    return script?.includes('dpkg-divert') === true;
  });
}
