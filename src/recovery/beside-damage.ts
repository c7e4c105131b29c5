/**
 * What was written together with content that is damaged, though every installation had come to its end and was synced: a
 * disk that lost the one may have lost the other, and of state that scripts made no manifest and no snapshot tells.
 */
import { lstatSync } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import { statePlaces } from '../dpkg/script-places.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding } from '../model/finding.ts';
import { bytesToText, pathToText, textToPath } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { listTransactions } from '../snapshot/transaction/record.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { WRITTEN_BACK_MS } from './redo/state.ts';
import { regressedTimes } from './regressed.ts';
import { scriptsOf } from './scripts.ts';
import { asIn, GONE, type TrackedDamage, trackedDamage } from './tracked-damage.ts';
import { unverifiedSince } from './unverified.ts';

/** Content that was looked at before anything was done. */
export interface Damaged {
  /** Undefined of what the snapshot tells of: a tracked file, a time of change. */
  readonly finding: Finding | undefined;
  /** When it was written, in milliseconds since the epoch: nobody can set that (ctime, inode(7)). */
  readonly at: number;
}

/** Files that are there, and damaged by what they hold; and whatever is older than a snapshot saw it. */
export function damagedContent(
  root: Root,
  store: Store,
  findings: readonly Finding[],
  tracked: readonly TrackedDamage[],
): Damaged[] {
  const timeOf = (path: Bytes): number | undefined => {
    const found = root.resolve(path);
    const stat =
      found.kind === 'found' ? lstatSync(fsPath(found.host), { throwIfNoEntry: false }) : undefined;
    return stat?.isFile() === true ? stat.ctimeMs : undefined;
  };
  const add = (finding: Finding | undefined, path: Bytes): Damaged[] => {
    const at = timeOf(path);
    return at === undefined ? [] : [{ finding, at }];
  };
  return [
    ...findings.flatMap((finding) => {
      // At the name that its package calls a diverted file by stands somebody else's.
      const path = finding.divertedTo ?? finding.path;
      const isDamage = finding.severity !== 'info' && isOfContent(finding.code);
      return path !== undefined && isDamage ? add(finding, textToPath(path)) : [];
    }),
    ...tracked.flatMap(({ entry }) => add(undefined, entry.path)),
    ...regressedTimes(root, store).map((at) => ({ finding: undefined, at })),
  ];
}

function isOfContent(code: FindingCode): boolean {
  return (
    /^(?:file|conffile|database|generated|boot|apt)-/.test(code) &&
    !/-(?:missing|leftover|orphan|wrong-mode|wrong-owner|stale|modified|partial)$/.test(code)
  );
}

/** What the recovery knows of itself. */
interface Recovering {
  /** When it began, in milliseconds since the epoch. */
  readonly begun: number;
  /** Whether a repair of the filesystem took things away: then what is gone is told already. */
  readonly repaired: boolean;
}

/**
 * What changed within a minute of that, and neither a manifest nor the newest sealed snapshot vouches for; and what the
 * snapshot tracks and is gone.
 *
 * @param times of the damaged content
 */
export async function besideDamage(
  root: Root,
  store: Store,
  database: Database,
  times: readonly number[],
  { begun, repaired }: Recovering,
): Promise<LeftAlone[]> {
  const snapshot = newestSealed(store);
  // What was written to after the last seal was never synced for anybody.
  const synced = snapshot === undefined ? [] : times.filter((at) => at <= Date.parse(snapshot.takenAt));
  if (snapshot === undefined || synced.length === 0) return [];
  const gone = repaired
    ? []
    : (await trackedDamage(root, store, true)).filter(({ damage }) => damage === GONE);
  const isKnown = await asIn(root, store, snapshot);
  const since = Math.min(...synced) - WRITTEN_BACK_MS;
  const isSuspect = (ctime: number): boolean => synced.some((at) => Math.abs(at - ctime) <= WRITTEN_BACK_MS);
  root.forget();
  const entries = new Entries(store);
  const { inside } = database.admindir;
  const changed = unverifiedSince(root, database, { since, until: begun, isKnown, isSuspect }).filter(
    (path) =>
      !path.startsWith(`${inside}/`) ||
      [...entries.at(snapshot.id, path)].some((entry) => !isKnown(entry.path)),
  );
  const named = (path: Bytes, reason: string): LeftAlone => ({
    finding: 'filesystem-file-damaged',
    path: pathToText(path),
    harmless: false,
    reason,
  });
  return [
    ...stateOfInstallations(store, database, since).map(([path, name]) =>
      named(
        path,
        `the maintainer scripts of ${bytesToText(name)} name it, and the disk lost what was synced at the end of its installation: look whether it is as it should be`,
      ),
    ),
    ...gone.map(({ entry }) =>
      named(
        entry.path,
        `it stands in snapshot ${snapshot.id} and is gone: the disk, which lost content that was synced, may have taken it`,
      ),
    ),
    ...changed.map((path) =>
      named(
        path,
        'it was written together with content that is damaged though it was synced, and nothing tells what it should be: look whether it is whole',
      ),
    ),
  ];
}

/** State that the scripts name of packages whose installations ended since, or were removed; each with its package. */
function stateOfInstallations(store: Store, database: Database, since: number): [path: Bytes, name: Bytes][] {
  const ended = listTransactions(store, 'sealed').filter(
    ({ seal }) => seal !== undefined && Date.parse(seal.at) >= since,
  );
  const places = new Map<Bytes, Bytes>();
  for (const { runs, seal, snapshotBefore, snapshotAfter } of ended) {
    const snapshots = [snapshotBefore, snapshotAfter].flatMap((id) => id ?? []);
    const packages = [...runs.flatMap((run) => run.packages), ...(seal?.packages ?? [])];
    for (const name of new Set(packages.map((one) => bytesFromText(one.name))))
      for (const path of scriptsOf(store, database, name, snapshots).flatMap(statePlaces))
        places.set(path, name);
  }
  return [...places];
}
