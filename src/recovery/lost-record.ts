/**
 * What nobody knows any more of an installation whose record (origin `rebuilt`) or whose snapshot the disk lost, said by
 * name: its packages, those that it had to do with, and the files that it may have brought or left half-written.
 */
import { lstatSync } from 'node:fs';
import { type Database, DEFAULT_ADMINDIR, readManifest } from '../dpkg/database.ts';
import { displayName } from '../dpkg/package.ts';
import { statePlaces } from '../dpkg/script-places.ts';
import { changedRecords } from '../dpkg/selection.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import type { Transaction } from '../model/transaction.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed, type Snapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { recordsAt, recordsNow } from '../snapshot/transaction/outcome.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import { namesIn, readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { ACCOUNT_FILES } from './accounts.ts';
import { lostControlFiles } from './control-files.ts';
import { linksToNowhere } from './links.ts';
import { listedThen } from './listed-then.ts';
import { ownersBeside } from './owners.ts';
import { EXTENDED_STATES } from './redo/database.ts';
import { bringsFiles, isReached, type RedoPackage } from './redo/decide.ts';
import { isThere } from './redo/effect.ts';
import type { Redo } from './redo/redo.ts';
import { stateThen } from './scripts.ts';
import { touchedSince, unverifiedSince } from './unverified.ts';

/** The packages of an installation that could not be brought to its end. */
export function notEnded(transaction: Transaction): LeftAlone[] {
  const { id } = transaction;
  const names = packagesIn(transaction);
  if (names.length === 0) return [];
  const open = { finding: 'transaction-interrupted', harmless: false } as const;
  return [
    ...names.map((name) => ({
      ...open,
      package: name,
      reason: `the installation ${id} has to do with it, and was not brought to its end`,
    })),
    {
      ...open,
      path: pathToText(EXTENDED_STATES),
      reason: `the automatic marks of the packages of ${id} are not as they will be at its end`,
    },
  ];
}

/** Files that got their content of before an installation that was not done once more: what it did to them is lost. */
export function putBackOnly(redo: Redo | undefined): LeftAlone[] {
  if (redo === undefined || redo.decision.packages.length > 0) return [];
  // dpkg's own files are merged, stanza by stanza, and lose nothing.
  return redo.effects.flatMap(({ action, why }) =>
    action.kind === 'put' && !action.path.startsWith(`${DEFAULT_ADMINDIR}/`)
      ? [
          {
            finding: 'transaction-interrupted' as const,
            path: pathToText(action.path),
            harmless: false,
            reason: `${why.reason}; it has its content of before the installation ${redo.transaction.id}, which had come to its end: what that did to it is lost`,
          },
        ]
      : [],
  );
}

/**
 * What the maintainer scripts of packages make that did not come to their end, and what stands in a tracked place that
 * nobody put there: a person has to look at both.
 *
 * And what changed meanwhile, for which no manifest vouches: a disk that lost names of files has others under them.
 */
export function leftBehind(
  root: Root,
  { transaction, before, decision, archives }: Redo,
  database: Database,
  { unowned, isOwned, changed }: Tree,
): LeftAlone[] {
  const { packages, admindir, info } = database;
  const records = before.records(admindir.inside);
  if (!decision.crashed || records === undefined) return [];
  const named = new Map<Bytes, string>(
    changed.map((path) => [path, `it changed since ${transaction.id} began, and no manifest vouches for it`]),
  );
  const scriptsOf = (pkg: RedoPackage): readonly Bytes[] => {
    const name = bytesFromText(pkg.record.name);
    // Without the archive those that dpkg has unpacked tell.
    const unpacked = packages
      .filter((one) => one.name === name)
      .map((one) => readRegularFile(`${admindir.host}/info/${info.stemOf(one)}.postinst`));
    return (
      archives.get(pkg)?.scripts ?? unpacked.flatMap((read) => (read.kind === 'read' ? [read.data] : []))
    );
  };
  for (const pkg of decision.packages) {
    if (isReached(pkg.record, packages, () => 'gone')) continue;
    for (const { path, type } of archives.get(pkg)?.entries ?? [])
      if (type !== 'directory' && isThere(root, path) && !isOwned(path))
        named.set(path, `it is of ${pkg.record.name}, of which dpkg has no list`);
    const reason = `the maintainer scripts of ${pkg.record.name} make it, and did not come to their end`;
    for (const script of scriptsOf(pkg)) {
      for (const path of statePlaces(script)) named.set(path, reason);
      for (const [, name] of script.matchAll(REGISTRATION))
        named.set(`${admindir.inside}/alternatives/${name}`, reason);
    }
  }
  for (const path of linksToNowhere(root, isOwned))
    named.set(path, 'it leads nowhere, and no package has it');
  for (const path of unowned)
    if (before.find(path) === undefined)
      named.set(path, `it was not there before ${transaction.id}, and no package has it`);
  const names = new Set(decision.packages.map(({ record }) => bytesFromText(record.name)));
  for (const path of strangersIn(root, database, names, isOwned))
    named.set(path, `it lies in a directory of the packages of ${transaction.id}, and no package has it`);
  const open = { finding: 'transaction-interrupted', harmless: false } as const;
  const ours = new Set(packagesIn(transaction));
  const others = [...changedRecords(records, recordsNow(admindir))]
    .map(bytesToText)
    .filter((name) => !ours.has(name));
  return [
    ...others.map((name) => ({
      ...open,
      package: name,
      reason: `dpkg says something else of it than before ${transaction.id}, which has nothing to do with it`,
    })),
    ...[...named].map(([path, reason]) => ({ ...open, path: pathToText(path), reason })),
  ];
}

function packagesIn({ runs }: Transaction): string[] {
  return [...new Set(runs.flatMap(({ packages }) => packages.map(({ name }) => name)))];
}

/** Directories that everybody's packages have, and what they hold is theirs only. */
export function strangersIn(
  root: Root,
  database: Database,
  names: ReadonlySet<Bytes>,
  isOwned: (path: Bytes) => boolean,
): Bytes[] {
  const isOthers = ownersBeside(root, database, names);
  const diverted = new Set(database.diversions.map(({ to }) => to));
  return database.packages
    .filter(({ name }) => names.has(name))
    .flatMap((pkg) => readManifest(database, pkg, false).paths)
    .filter((path) => path.startsWith('/usr/') && !isOthers(path))
    .flatMap((path) => {
      const found = root.resolve(path);
      if (found.kind !== 'found' || !isDirectory(found.host)) return [];
      return namesIn(found.host)
        .map((name) => `${path}/${name}`)
        .filter((child) => !isOwned(child) && !diverted.has(child) && !/\.pyc$|\/__pycache__$/.test(child));
    });
}

const isDirectory = (host: Bytes): boolean =>
  lstatSync(fsPath(host), { throwIfNoEntry: false })?.isDirectory() === true;

/** `update-alternatives --install LINK NAME`, over lines that go on. */
const REGISTRATION = /update-alternatives(?:[^\n]|\\\n)*?--install(?:\s|\\\n)+\/\S+(?:\s|\\\n)+([\w.+-]+)/g;

/** What is known of the files of a root. */
export interface Tree {
  /** What is tracked, and no package's, now. */
  readonly unowned: readonly Bytes[];
  /** Whether a package owns a path by the present lists. */
  readonly isOwned: (path: Bytes) => boolean;
  /** What changed since the installation began, and no manifest vouches for; none where that is named already. */
  readonly changed: readonly Bytes[];
}

export interface Mended {
  /** Packages that the recovery unpacked once more, as dpkg prints them. */
  readonly reinstalled: ReadonlySet<string>;
  /** The installation itself, when it was done once more. */
  readonly redo: Redo | undefined;
  /** When the recovery began, in milliseconds since the epoch. */
  readonly begun: number;
  /** What is tracked, and no package's, now. */
  readonly unowned: readonly Bytes[];
}

/** @param database as it was read after all that could be done */
export function unsureOf(
  root: Root,
  store: Store,
  database: Database,
  transaction: Transaction,
  mended: Mended,
): LeftAlone[] {
  // With its record whole, its packages were all done once more.
  const isRebuilt = transaction.origin === 'rebuilt';
  return [
    ...(isRebuilt ? packagesOf(transaction) : []),
    ...(isRebuilt ? untold(database, transaction, mended.reinstalled) : []),
    ...otherRecords(root, store, database, transaction, mended),
    ...lostControlFiles(database, 'transaction-interrupted'),
    ...accountsOfRemovals(root, transaction),
    ...unverified(root, store, database, transaction, mended),
  ];
}

/**
 * What the scripts of removed packages did to accounts a disk may have taken back, whole, and then nothing tells of it: the
 * scripts are gone with the packages.
 */
function accountsOfRemovals(root: Root, { id, runs }: Transaction): LeftAlone[] {
  if (!runs.some(({ packages }) => packages.some(({ action }) => action === 'remove'))) return [];
  return ACCOUNT_FILES.filter((path) => isThere(root, path)).map((path) => ({
    finding: 'transaction-interrupted',
    path: pathToText(path),
    harmless: false,
    reason: `the installation ${id}, of which the disk lost what was known, removed packages: whether an account of theirs was to go, nothing tells`,
  }));
}

/** What is not known of an installation whose record was lost, said of each of its packages. */
function packagesOf(transaction: Transaction): LeftAlone[] {
  const { id } = transaction;
  const names = packagesIn(transaction);
  const unsure = { finding: 'transaction-interrupted', harmless: false } as const;
  if (names.length === 0)
    return [
      {
        ...unsure,
        reason: `the disk lost what the installation ${id} was going to do: packages are now as dpkg's records say, and files that it brought may be left; give its command again`,
      },
    ];
  return names.map((name) => ({
    ...unsure,
    package: name,
    reason:
      'it is installed, but the record of its installation was damaged: whether it was asked for or came with another, and what else was to be removed, is not known; apt-mark(8) sets it right',
  }));
}

/** Packages that it had to do with, and that nobody could unpack once more. */
function untold(database: Database, transaction: Transaction, reinstalled: ReadonlySet<string>): LeftAlone[] {
  const { id, startedAt } = transaction;
  const known = new Set(packagesIn(transaction));
  return touchedSince(database, Date.parse(startedAt)).flatMap((pkg) => {
    const display = bytesToText(displayName(pkg, database.native));
    if (known.has(bytesToText(pkg.name)) || reinstalled.has(display)) return [];
    const reason = `the installation ${id}, whose record the disk lost, had to do with it, and no archive of ${bytesToText(pkg.version)} is at hand to hold its files against: install it once more`;
    return [{ finding: 'transaction-interrupted' as const, package: display, harmless: false, reason }];
  });
}

/** Of packages as dpkg prints them, without their architectures. */
export function namesOf(displays: Iterable<string>): Set<string> {
  return new Set([...displays].map((display) => display.replace(/:.*/, '')));
}

/** Packages of which dpkg says something else than in a snapshot, beside those that were installed once more since. */
export function changedSince(
  store: Store,
  admindir: Database['admindir'],
  snapshot: Snapshot | undefined,
  { reinstalled, redo }: Pick<Mended, 'reinstalled' | 'redo'>,
): string[] {
  const then = recordsAt(store, admindir.inside, snapshot?.id);
  if (then === undefined) return [];
  const whole = new Set([
    ...namesOf(reinstalled),
    ...(redo?.decision.packages ?? []).filter(bringsFiles).map(({ record }) => record.name),
  ]);
  return [...changedRecords(then, recordsNow(admindir))].map(bytesToText).filter((name) => !whole.has(name));
}

function otherRecords(
  root: Root,
  store: Store,
  database: Database,
  { id, startedAt }: Transaction,
  mended: Mended,
): LeftAlone[] {
  const snapshot = newestSealed(store, startedAt);
  if (snapshot === undefined) return [];
  const finding = 'transaction-interrupted' as const;
  const names = changedSince(store, database.admindir, snapshot, mended);
  return [
    ...names.map((name) => ({
      finding,
      package: name,
      harmless: false,
      reason: `dpkg says something else of it than in snapshot ${snapshot.id}; whether the installation ${id}, of which the disk lost what was known, was to change that, and whether it is whole, nothing tells`,
    })),
    ...listedThen(root, store, database, snapshot, names.map(bytesFromText), { finding, missing: false }),
    ...[...stateThen(store, database, snapshot.id, names.map(bytesFromText))].map(([path, name]) => ({
      finding,
      path: pathToText(path),
      harmless: false,
      reason: `the maintainer scripts that ${bytesToText(name)} had in snapshot ${snapshot.id} name it: what they did to it in the installation ${id}, of which the disk lost what was known, nothing tells`,
    })),
  ];
}

/** What else it may have brought, or left half-written; or what stands where nothing stood, however old it looks. */
function unverified(
  root: Root,
  store: Store,
  database: Database,
  { id, startedAt }: Transaction,
  { begun, unowned }: Mended,
): LeftAlone[] {
  root.forget();
  const snapshot = newestSealed(store, startedAt);
  const entries = new Entries(store);
  const strange =
    snapshot === undefined ? [] : unowned.filter((path) => entries.findAt(snapshot.id, path) === undefined);
  const changed = unverifiedSince(root, database, { since: Date.parse(startedAt), until: begun });
  return [...new Set([...changed, ...strange])].sort().map((path) => ({
    finding: 'transaction-interrupted',
    path: pathToText(path),
    harmless: false,
    reason: `it changed since the installation ${id} began, of which the disk lost what was known, and nothing tells what it should be: look whether it is whole`,
  }));
}
