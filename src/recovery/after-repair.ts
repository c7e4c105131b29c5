/** What a repair of the filesystem may have left or taken besides what lies in lost+found, said by name. */
import { lstatSync } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import { statePlaces } from '../dpkg/script-places.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed, type Snapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { lostControlFiles } from './control-files.ts';
import { directoriesGone } from './gone-directories.ts';
import { alternativesGone, leadsNowhere, linksToNowhere } from './links.ts';
import { listedThen } from './listed-then.ts';
import { changedSince, type Mended, namesOf, strangersIn, type Tree } from './lost-record.ts';
import { EXTENDED_STATES } from './redo/database.ts';
import { isThere } from './redo/effect.ts';
import type { Redo } from './redo/redo.ts';
import { WRITTEN_BACK_MS } from './redo/state.ts';
import { standardPlacesGone } from './standard-places.ts';
import { asIn } from './tracked-damage.ts';
import { unverifiedSince } from './unverified.ts';

/** What of the time before it a recovery knows. */
export interface Known extends Pick<Mended, 'reinstalled' | 'begun'> {
  /** The last moment that the machine is known to have run, in milliseconds since the epoch. */
  readonly lastAlive: number | undefined;
  /** Whether there are things that nobody knows, and no installation that was brought to its end explains them. */
  readonly isLeft: boolean;
}

/**
 * Where a repair of the filesystem took even the record of an installation: dpkg says something else than the newest
 * sealed snapshot, or nothing of packages whose control files are there, and no transaction tells why. Without the hooks
 * that is nothing strange; after such a repair it is.
 *
 * Without such a sign, and with things left that nobody knows, what was written right before the power went is named all
 * the same: where it took names, it may have taken content too.
 */
export async function unknownInstallation(
  root: Root,
  store: Store,
  database: Database,
  known: Known,
): Promise<LeftAlone[]> {
  const snapshot = newestSealed(store);
  const names = changedSince(store, database.admindir, snapshot, { reinstalled: new Set(), redo: undefined });
  const isOrphaned = database.problems.some(({ code }) => code === 'database-orphan');
  if (snapshot === undefined) return [];
  const unsure = { finding: 'filesystem-lost-found', harmless: false } as const;
  const since = Date.parse(snapshot.takenAt);
  const isKnown = await asIn(root, store, snapshot);
  const unverified = (from: number, reason: string): LeftAlone[] => {
    root.forget();
    const changed = unverifiedSince(root, database, { since: from, until: known.begun, isKnown });
    return changed.map((path) => ({
      ...unsure,
      path: pathToText(path),
      reason: `${reason}, and nothing tells what it should be: look whether it is whole`,
    }));
  };
  // It is apt's own, and no manifest vouches for it.
  const marks = isKnown(EXTENDED_STATES)
    ? []
    : [
        {
          ...unsure,
          path: pathToText(EXTENDED_STATES),
          reason: `the automatic marks are not those of snapshot ${snapshot.id}, and an installation that nobody knows of may be why`,
        },
      ];
  if (names.length === 0 && !isOrphaned) {
    if (!known.isLeft) return [];
    // What is older was on disk by then, also where it is younger than the snapshot.
    const last = (known.lastAlive ?? since) - WRITTEN_BACK_MS;
    const reason = 'it changed shortly before the power went, and the filesystem was repaired';
    return [...marks, ...unverified(last, reason)];
  }
  const whole = namesOf(known.reinstalled);
  return [
    {
      finding: 'transaction-interrupted',
      harmless: false,
      reason: `an installation since snapshot ${snapshot.id}, which nobody knows of, may have been cut, and its record gone with the repair of the filesystem: give its command again`,
    },
    ...names
      .filter((name) => !whole.has(name))
      .map((name) => ({
        ...unsure,
        package: name,
        reason: `dpkg says something else of it than in snapshot ${snapshot.id}, and a repair of the filesystem may have taken the record of why`,
      })),
    ...marks,
    ...listedThen(root, store, database, snapshot, names.map(bytesFromText), {
      finding: 'filesystem-lost-found',
      missing: false,
    }),
    ...unverified(
      since,
      `it changed since snapshot ${snapshot.id}, an installation that nobody knows of may have been at work`,
    ),
  ];
}

/**
 * What a repair of the filesystem may have left of installations that were brought to their end: names of files that came
 * and went meanwhile, with whatever stands under them by now.
 */
export function strangeSinceRepair(
  root: Root,
  store: Store,
  database: Database,
  redone: Iterable<Redo>,
  { unowned, isOwned, isLeft }: Pick<Tree, 'unowned' | 'isOwned'> & Pick<Known, 'isLeft'>,
): LeftAlone[] {
  const named = new Map<Bytes, string>();
  const isNobodys = (path: Bytes): boolean => !isOwned(path);
  for (const { transaction, before, decision, archives } of redone) {
    const names = new Set(decision.packages.map(({ record }) => bytesFromText(record.name)));
    for (const path of strangersIn(root, database, names, isOwned))
      named.set(path, `it lies in a directory of the packages of ${transaction.id}, and no package has it`);
    const then = decision.packages.flatMap(({ record, run }) =>
      before.listedPaths(`${database.admindir.inside}/info`, bytesFromText(record.name), run),
    );
    for (const path of then)
      if (path.startsWith('/usr/') && !isOwned(path) && isThere(root, path))
        named.set(path, `packages of ${transaction.id} had it before, and no package has it now`);
    // Of those that had come to their end as well; what is left in lost+found may be one, or have been in one.
    const had = before.runs.flatMap(({ packages }, run) => packages.map((record) => ({ record, run })));
    if (isLeft)
      for (const [path, reason] of directoriesGone(root, database, before, had, isNobodys))
        named.set(path, reason);
    for (const script of [...archives.values()].flatMap(({ scripts }) => scripts))
      for (const path of statePlaces(script))
        if (leadsNowhere(root, path))
          named.set(path, `the maintainer scripts of ${transaction.id} name it, and it leads nowhere`);
  }
  for (const path of linksToNowhere(root, isOwned))
    named.set(path, 'it leads nowhere, and no package has it');
  const snapshot = newestSealed(store);
  if (snapshot !== undefined) {
    for (const path of unknownTo(root, store, snapshot, unowned))
      named.set(path, `it is older than snapshot ${snapshot.id}, which does not know it`);
    for (const [path, name] of alternativesGone(root, store, snapshot, database.admindir.inside))
      named.set(path, `it is gone with the alternatives ${bytesToText(name)} of snapshot ${snapshot.id}`);
  }
  const strange = [...named].map(([path, reason]) => ({
    finding: 'filesystem-lost-found' as const,
    path: pathToText(path),
    harmless: false,
    reason: `${reason}: a repair of the filesystem may be why`,
  }));
  return [...strange, ...standardPlacesGone(root), ...lostControlFiles(database, 'filesystem-lost-found')];
}

/** Of some tracked paths those that a snapshot would know if they had stood there. */
function unknownTo(root: Root, store: Store, { id, takenAt }: Snapshot, tracked: readonly Bytes[]): Bytes[] {
  const entries = new Entries(store);
  return tracked.filter((path) => {
    const stat = lstatSync(fsPath(root.hostPath(path)), { throwIfNoEntry: false });
    const isOlder = stat !== undefined && stat.ctimeMs < Date.parse(takenAt);
    return isOlder && entries.findAt(id, path) === undefined;
  });
}
