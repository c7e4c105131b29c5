import type { Config } from '../../config/settings.ts';
import { type Database, DEFAULT_ADMINDIR, readDatabase } from '../../dpkg/database.ts';
import { displayName, type Package } from '../../dpkg/package.ts';
import { packageOf } from '../../dpkg/selection.ts';
import { parseStatus } from '../../dpkg/status.ts';
import { bytesToText } from '../../model/path-text.ts';
import type { Transaction } from '../../model/transaction.ts';
import { loadXxh64 } from '../../scan/xxh64.ts';
import type { Store } from '../../snapshot/store.ts';
import { trackedPaths } from '../../snapshot/tracked.ts';
import type { Records } from '../../snapshot/transaction/outcome.ts';
import { listTransactions } from '../../snapshot/transaction/record.ts';
import { type Bytes, bufferOf, bytesFromText, bytesOf } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import { ownersBeside } from '../owners.ts';
import { type KeptArchive, keptArchive, readKept, sha256Of } from './archives.ts';
import { Before } from './before.ts';
import { cameBack, diversionIsBack, recordIsGone } from './came-back.ts';
import { rewindEffects } from './database.ts';
import { bringsFiles, type Decision, decideRedo, type RedoPackage, type RemovalEnds } from './decide.ts';
import type { Effect, EffectsInput } from './effect.ts';
import { planDamage, planEffects } from './effects.ts';
import { directoriesToHold, stillHeld } from './held.ts';
import { isPurge } from './marks.ts';
import { merged } from './rewind.ts';
import { staleControlFiles } from './stale-control-files.ts';
import { describeLost, planTakeBack } from './take-back.ts';

const ARCHIVES = '/var/cache/apt/archives';

export interface Redo {
  /** Packages of a removal of which only a record is left that has no reason to stay. */
  readonly husks: readonly string[];
  readonly transaction: Transaction;
  readonly before: Before;
  readonly decision: Decision;
  readonly archives: ReadonlyMap<RedoPackage, KeptArchive>;
  /** Whether it is taken back instead of done once more. */
  readonly takenBack: boolean;
  /** Packages whose .deb is not at hand: the network has to bring it. */
  readonly missing: readonly RedoPackage[];
  /** Directories that a removal had left before it was cut, and that are empty by now (held.ts). */
  readonly held: readonly Bytes[];
  /** What is done to the tree and to dpkg's files before anything is installed, in order. */
  readonly effects: readonly Effect[];
  /** Why it cannot be done; the packages are then mended one by one. */
  readonly impossible: string | undefined;
}

/**
 * Looks at what an interrupted transaction needs. Changes nothing.
 *
 * @param lastAlive the last moment that the machine is known to have run, in milliseconds since the epoch
 */
export async function examineRedo(
  store: Store,
  root: Root,
  config: Config,
  transaction: Transaction,
  lastAlive: number,
): Promise<Redo> {
  const database = readDatabase(root);
  const before = new Before(store, transaction, (records) => agree(records, database, transaction));
  const inside = database.admindir.host.slice(root.prefix.length) || DEFAULT_ADMINDIR;
  const takenBack = config.recovery.transaction === 'take-back';
  const { packages, diversions } = database;
  const removal = {
    root,
    before,
    admindir: inside,
    packages,
    diversions,
    isOwned: ownersOfInstalled(root, database),
  };
  const decided = decideRedo(transaction, {
    runs: before.runs,
    later: laterNames(store, transaction),
    now: database.packages,
    boot: store.boot,
    ends: removalEnds(database),
    isForgotten: (record, run) =>
      [cameBack, recordIsGone, diversionIsBack].some((isSo) => isSo(removal, record, run)),
  });
  // Taken back is all of it, also what came to its end in this very boot.
  const decision = takenBack ? withFinished(decided) : decided;
  const archives = new Map<RedoPackage, KeptArchive>();
  const missing: RedoPackage[] = [];
  for (const pkg of decision.packages) {
    if (!bringsFiles(pkg)) continue;
    const file = findArchive(store, root, transaction.id, pkg);
    if (file === undefined) missing.push(pkg);
    else archives.set(pkg, await readKept(file));
  }
  const records = before.records(inside);
  const base = {
    transaction,
    before,
    decision,
    archives,
    missing: takenBack ? [] : missing,
    takenBack,
    husks: husksOf(database, before, decision),
    held: takenBack ? [] : directoriesToHold(root, database, before, decision),
  };
  const letGo = stillHeld(root, before, inside);
  // With the snapshot lost there is no way back to before; the archives bring its packages to their end all the same.
  const isOver = decision.packages.length === 0;
  if (records === undefined || (isOver && !decision.crashed)) {
    const impossible =
      takenBack && !isOver ? 'the snapshot from before it is lost, so it cannot be taken back' : undefined;
    return { ...base, effects: letGo, impossible };
  }
  const rewound = takenBack ? decision.packages : decision.packages.filter(isRewound);
  const owned = ownedBefore(before, inside, rewound);
  const tracked = await trackedPaths(root, config.snapshots.tracked, config.snapshots.trackedLimit);
  const names = new Set(rewound.map(({ record }) => bytesFromText(record.name)));
  const input: EffectsInput = {
    root,
    before,
    crashed: decision.crashed,
    takenBack,
    packages: rewound,
    archives,
    removalScripts: removalScripts(before, inside, decision),
    ownedBefore: owned,
    diversions: database.diversions,
    tracked: tracked.paths.map(({ path }) => path),
    ownedByOthers: ownersBeside(root, database, names),
    laterSince: laterSince(store, transaction),
    lastAlive,
    xxh64: await loadXxh64(),
  };
  const back = takenBack ? planTakeBack(store, input) : { effects: [], lost: [] };
  const effects = [
    ...letGo,
    // All came to its end, and nothing is done once more; what the cut damaged of tracked files is damaged all the same.
    ...(isOver ? planDamage(input) : planEffects(input)),
    ...back.effects,
    ...(decision.crashed && !takenBack ? staleControlFiles(root, database, before, decision) : []),
    ...rewindEffects(root, database, before, inside, { ...decision, packages: rewound }, names, records),
  ];
  return { ...base, effects: withoutDoubles(effects), impossible: describeLost(back.lost) };
}

/**
 * Whether a path is somebody's. Of a removed package that is its conffiles alone: a disk that brings its files back may
 * bring its list back with them.
 */
function ownersOfInstalled(root: Root, database: Database): (path: Bytes) => boolean {
  const removed = database.packages.filter(({ state }) => state === 'config-files');
  const conffiles = new Set(removed.flatMap((pkg) => pkg.conffiles.map(({ path }) => path)));
  const isOwned = ownersBeside(root, database, new Set(removed.map(({ name }) => name)));
  return (path) => conffiles.has(path) || isOwned(path);
}

/**
 * Where removals end: purged, nothing stays; removed, the record stays as long as there are conffiles or a postrm
 * (src/main/remove.c, removal_bulk). A cut between dpkg's last two steps leaves one that a second `--remove` ignores.
 */
export function removalEnds({ info }: Pick<Database, 'info'>): RemovalEnds {
  return (run) => (pkg) => {
    const kept = pkg.conffiles.length > 0 || info.kindsOf(info.stemOf(pkg)).has('postrm');
    return isPurge(run) || !kept ? 'gone' : 'config-files';
  };
}

/** Whether of every package that a transaction has nothing to do with the records say what dpkg's present ones say. */
function agree(records: Records, { packages }: Database, { runs }: Transaction): boolean {
  const ours = new Set(runs.flatMap((run) => run.packages.map(({ name }) => bytesFromText(name))));
  const others = [...merged(records).values()].filter((stanza) => !ours.has(packageOf(stanza) ?? ''));
  const then = parseStatus(others.map((stanza) => `${stanza}\n`).join('\n'), 'status').packages;
  const versions = (of: readonly Package[]): string =>
    of
      .filter(({ name, state }) => !ours.has(name) && state !== 'not-installed')
      .map(({ name, architecture, version }) => `${name}:${architecture} ${version}`)
      .sort()
      .join('\n');
  return versions(then) === versions(packages);
}

/** A removal is gone on with, from where it is; everything else goes back to before (decide.ts). */
function isRewound({ record, forgotten }: RedoPackage): boolean {
  return record.action !== 'remove' || forgotten;
}

/**
 * Of which nothing has to stay, and a record has. A removal that goes back to before ends where it ends the second time:
 * what the record keeps then (conffiles, a postrm) stays, with all that it stands for.
 */
function husksOf(database: Database, { runs }: Before, { packages }: Decision): string[] {
  const ends = removalEnds(database);
  return database.packages.flatMap((pkg) => {
    const redo = packages.find(
      ({ record }) => record.action === 'remove' && bytesFromText(record.name) === pkg.name,
    );
    const run = redo === undefined ? undefined : runs[redo.run];
    const isHusk =
      pkg.state === 'config-files' &&
      redo?.forgotten === false &&
      run !== undefined &&
      ends(run)(pkg) === 'gone';
    return isHusk ? [bytesToText(displayName(pkg, database.native))] : [];
  });
}

function withFinished(decision: Decision): Decision {
  const more = decision.finished.map(
    (record): RedoPackage => ({ record, run: 0, why: 'suspect', forgotten: false }),
  );
  return { ...decision, packages: [...decision.packages, ...more], finished: [] };
}

/** A path has one end: the first that was decided on. */
function withoutDoubles(effects: readonly Effect[]): Effect[] {
  const seen = new Set<Bytes>();
  return effects.filter(({ action }) => {
    const paths = action.kind === 'rename' ? [action.from, action.to] : [action.path];
    if (paths.some((path) => seen.has(path))) return false;
    for (const path of paths) seen.add(path);
    return true;
  });
}

/** Transactions after this one that came to their end. */
function laterOnes(store: Store, { id }: Transaction): Transaction[] {
  return listTransactions(store, 'sealed').filter((other) => other.id > id && other.seal?.complete === true);
}

/** Names that those brought to their end. */
function laterNames(store: Store, transaction: Transaction): Set<string> {
  return new Set(
    laterOnes(store, transaction).flatMap(({ runs }) =>
      runs.flatMap(({ packages }) => packages.map(({ name }) => name)),
    ),
  );
}

function laterSince(store: Store, transaction: Transaction): number {
  return Math.min(...laterOnes(store, transaction).map(({ startedAt }) => Date.parse(startedAt)));
}

function findArchive(store: Store, root: Root, id: string, { record }: RedoPackage): string | undefined {
  const kept = keptArchive(store, id, record);
  if (kept !== undefined || record.archive === undefined) return kept;
  const name = record.archive.path.slice(record.archive.path.lastIndexOf('/') + 1);
  for (const path of [bytesFromText(record.archive.path), `${ARCHIVES}/${bytesFromText(name)}`]) {
    const found = root.resolveFully(path);
    if (found.kind !== 'found') continue;
    const host = bufferOf(found.host).toString('utf8');
    if (sha256Of(host) === record.archive.sha256) return host;
  }
  return undefined;
}

function removalScripts(before: Before, admindir: Bytes, { packages }: Decision): Bytes {
  const removed = packages.filter(({ record }) => record.action === 'remove');
  return removed
    .flatMap(({ record, run }) => [
      ...before.controlFiles(`${admindir}/info`, bytesFromText(record.name), run),
    ])
    .flatMap(([file, entry]) => (/\.(?:prerm|postrm)$/.test(file) ? (before.contentOf(entry) ?? []) : []))
    .map(bytesOf)
    .join('\n');
}

/** The paths of the lists that the packages had before. */
function ownedBefore(before: Before, admindir: Bytes, packages: readonly RedoPackage[]): Bytes[] {
  const paths = packages.flatMap(({ record, run }) =>
    before.listedPaths(`${admindir}/info`, bytesFromText(record.name), run),
  );
  return [...new Set(paths)];
}
