/**
 * Which paths a snapshot is about. A full one knows every path that packages own, all tracked globs and dpkg's own
 * database; one of a transaction only the packages that it touches, and all that is tracked.
 *
 * A full snapshot of a system in which nothing changed does not read the manifests: that they are as they were, by
 * inode, size and times, means that the paths are those of the snapshot before.
 */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import type { Config } from '../config/settings.ts';
import type { Admindir } from '../dpkg/admindir.ts';
import { openAdmindir } from '../dpkg/admindir.ts';
import { DEFAULT_ADMINDIR, databaseStamp, readDatabase, readManifest } from '../dpkg/database.ts';
import { readSelection, type Selection } from '../dpkg/selection.ts';
import { Expectations } from '../manifest/expectations.ts';
import { globPattern } from '../scan/glob-pattern.ts';
import type { Pool } from '../scan/pool.ts';
import { INLINE_ENTRIES, type ScanProgress, startThreads } from '../scan/scan.ts';
import { Want, WorkList } from '../scan/work.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { type Captured, capture } from './capture.ts';
import { Entries, Origin, type Signature } from './entries.ts';
import { firstColumns, Known } from './known.ts';
import { readPack, signatureAt, writePack } from './pack.ts';
import { newestSnapshot, type SnapshotHead } from './snapshots.ts';
import { STORE_DIRECTORY, type Store, trustFromNow } from './store.ts';
import { Subjects } from './subjects.ts';
import { type TrackedPaths, trackedPaths } from './tracked.ts';

export interface CreateOptions {
  readonly config: Config['snapshots'];
  /** Inside the root; dpkg's own place without it. */
  readonly admindir?: Bytes | undefined;
  readonly head: SnapshotHead;
  /** What the tracked globs match, where somebody has looked already. */
  readonly tracked?: TrackedPaths | undefined;
  /** Done in the transaction that writes the snapshot, and so durable with it. */
  readonly also?: ((snapshot: number, subjects: Subjects) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
}

/** Files in the admindir that say nothing of their own: locks, copies of the version before, what dselect wrote. */
const NOT_KEPT = /^(?:lock.*|.*-old|.*-new|available|cmethopt|methlock|triggers\/Lock)$/;
const SUBDIRECTORIES = ['info', 'updates', 'triggers', 'alternatives', 'parts'] as const;
const MANIFEST_STAMP = 'manifest-stamp';

/**
 * Looks at everything, and reads what changed since the newest snapshot.
 *
 * @throws DebmendError `database-changed` when dpkg worked meanwhile, `no-dpkg-database`, `interrupted`, `scan-failed`
 */
export async function createFullSnapshot(
  store: Store,
  root: Root,
  options: CreateOptions,
): Promise<Captured> {
  // They load what they need while the list of their work is made. How long that one will be nobody knows of a first one.
  const threads = (newestSnapshot(store)?.entries ?? 0) > INLINE_ENTRIES ? await startThreads() : undefined;
  try {
    return await captureFull(store, root, options, threads);
  } finally {
    await threads?.close();
  }
}

async function captureFull(
  store: Store,
  root: Root,
  options: CreateOptions,
  threads: Pool | undefined,
): Promise<Captured> {
  const path = options.admindir ?? DEFAULT_ADMINDIR;
  const admindir = openAdmindir(root, path);
  const before = databaseStamp(admindir);
  const stamp = manifestStamp(admindir);
  const entries = new Entries(store);
  const asBefore = store.trusted && store.get(MANIFEST_STAMP) === stamp;
  const { subjects, known } =
    (asBefore ? ownedAsPacked(store, root, entries) : undefined) ??
    (asBefore ? ownedAsBefore(store, root, entries) : ownedByManifests(root, path, entries));
  addDatabase(subjects, admindir);
  await addTracked(subjects, root, options);
  return await capture(store, subjects, {
    head: options.head,
    known,
    trusted: store.trusted,
    copyLimit: options.config.copyLimit,
    inline: false,
    threads,
    signal: options.signal,
    onProgress: options.onProgress,
    also: (snapshot, all) => {
      if (databaseStamp(admindir) !== before) {
        throw new DebmendError(
          'database-changed',
          `taking a snapshot of ${root.path}: dpkg's database was changed meanwhile`,
          'a package was installed or removed; take the snapshot again',
        );
      }
      // Everything was read in this boot: from now on times and sizes may be believed again (I10).
      if (!store.trusted) trustFromNow(store);
      store.set(MANIFEST_STAMP, stamp);
      options.also?.(snapshot, all);
    },
  });
}

/** Packages that a transaction touches. */
export interface TransactionScope {
  /** Their names, without an architecture. */
  readonly packages: ReadonlySet<Bytes>;
  /** Paths that they owned before. */
  readonly owned: Iterable<Bytes>;
  /** Paths that they are to bring. */
  readonly intended: Iterable<Bytes>;
}

/** Looks at what a transaction touches, and at all that is tracked. The options are those of a full snapshot. */
export async function createTransactionSnapshot(
  store: Store,
  root: Root,
  scope: TransactionScope,
  options: CreateOptions,
): Promise<Captured> {
  const selection = readSelection(root, scope.packages, options.admindir ?? DEFAULT_ADMINDIR);
  const subjects = ownedBySelection(root, selection);
  for (const [paths, origin] of [
    [scope.owned, Origin.owned],
    [scope.intended, Origin.intended],
  ] as const) {
    for (const path of paths) {
      const found = root.resolve(path);
      if (found.kind === 'found') subjects.add(found.inside, origin, false);
    }
  }
  const inInfo = (stem: Bytes): boolean => scope.packages.has(stem.split(':', 1)[0] ?? stem);
  const trees = [
    ...(await addTracked(subjects, root, options)),
    ...addDatabase(subjects, selection.admindir, inInfo),
  ];
  const entries = new Entries(store);
  // Below a walked tree, what was not met is gone; so are the control files of a package that is not there any more.
  const info = `${subjects.insidePath(selection.admindir.host)}/info`;
  const known = new Map<number, Signature>();
  for (const signature of entries.signaturesBelow(trees)) known.set(signature[0], signature);
  for (const name of scope.packages) {
    for (const prefix of [`${info}/${name}.`, `${info}/${name}:`])
      for (const signature of entries.signaturesBeginning(prefix))
        if (inInfo(stemOf(signature[1].slice(info.length + 1)))) known.set(signature[0], signature);
  }
  const indexes = new Set([...known.values()].map(([, path]) => subjects.find(path)));
  for (let index = 0; index < subjects.list.count; index += 1) {
    const signature = indexes.has(index) ? undefined : entries.signature(subjects.pathOf(index));
    if (signature !== undefined) known.set(signature[0], signature);
  }
  // A path may be known for reasons that this run did not look into.
  for (const [, path, , , , , , , , , origin] of known.values())
    if (subjects.find(path) !== undefined) subjects.add(path, origin & Origin.owned, false);
  return await capture(store, subjects, {
    head: options.head,
    known: known.values(),
    trusted: store.trusted,
    copyLimit: options.config.copyLimit,
    inline: true,
    signal: options.signal,
    onProgress: options.onProgress,
    also: options.also,
  });
}

/** The paths that packages own, and what the newest snapshot knows beside them, or of all. */
interface Owned {
  readonly subjects: Subjects;
  readonly known: readonly Signature[];
}

/** All paths of all manifests. */
function ownedByManifests(root: Root, admindir: Bytes, entries: Entries): Owned {
  const known = entries.signatures(true);
  const database = readDatabase(root, admindir);
  const expectations = new Expectations(root, database);
  for (const pkg of database.packages) expectations.add(readManifest(database, pkg, true), () => true);
  const subjects = new Subjects(root, expectations.list, 'all', Origin.owned);
  for (const pkg of database.packages) addConffiles(subjects, root, pkg.conffiles);
  return { subjects, known };
}

function ownedBySelection(root: Root, selection: Selection): Subjects {
  const expectations = new Expectations(root, selection);
  for (const pkg of selection.packages) expectations.add(readManifest(selection, pkg, true), () => true);
  const subjects = new Subjects(root, expectations.list, 'some', Origin.owned);
  for (const pkg of selection.packages) addConffiles(subjects, root, pkg.conffiles);
  return subjects;
}

function isOwned([, , , , , , , , , , origin]: Signature): boolean {
  return (origin & Origin.owned) !== 0;
}

/** The paths that packages owned in the snapshot before; the next time they are found packed. */
function ownedAsBefore(store: Store, root: Root, entries: Entries): Owned {
  // Asked for first: what another process writes between, the rows have and the number has not.
  const newest = newestSnapshot(store)?.id;
  const signatures = entries.signatures(false);
  if (newest !== undefined) writePack(store, root.prefix, newest, signatures);
  const subjects = new Subjects(root, new WorkList(signatures.length), 'none');
  for (const signature of signatures)
    if (isOwned(signature)) subjects.addKnown(signature, Origin.owned, signature[12] === 1);
  return { subjects, known: signatures.filter((signature) => !isOwned(signature)) };
}

/** The same from the file that the run before left; undefined when it cannot be used. */
function ownedAsPacked(store: Store, root: Root, entries: Entries): Owned | undefined {
  const pack = readPack(store, root.prefix);
  if (pack === undefined) return undefined;
  const { count, owned, changed, columns } = pack;
  const list = WorkList.of(pack.paths, pack.offsets, pack.hashes, owned, Want.content);
  const first = firstColumns(columns, owned);
  const subjects = new Subjects(root, list, 'none', Origin.owned, new Known(first));
  for (let index = 0; index < owned; index += 1) {
    if (columns.copied[index] === 1) subjects.setCopied(index, true);
    if (!changed.has(columns.id[index] ?? 0)) continue;
    // Owned no more: it would have to leave the list.
    const now = entries.signatureById(columns.id[index] ?? 0);
    if (now === undefined || !isOwned(now)) return undefined;
  }
  // Before anything is added to the list, whose new paths take the place of these.
  const known: Signature[] = [];
  for (let at = owned; at < count; at += 1)
    if (!changed.has(columns.id[at] ?? 0)) known.push(signatureAt(pack, root.prefix, at));
  for (const id of changed) {
    const now = entries.signatureById(id);
    if (now === undefined) continue;
    if (!isOwned(now)) known.push(now);
    else subjects.setCopied(subjects.addKnown(now, Origin.owned, false), now[12] === 1);
  }
  return { subjects, known };
}

/** Conffiles are copied: nobody else has what the administrator wrote into them. */
function addConffiles(subjects: Subjects, root: Root, conffiles: readonly { readonly path: Bytes }[]): void {
  for (const { path } of conffiles) {
    const found = root.resolveFully(path);
    if (found.kind === 'found') subjects.add(found.inside, Origin.owned, true);
  }
}

/**
 * dpkg's own files, all of them copied.
 *
 * @param wants which packages' files of the info directory are wanted, by the name before the dot; without it all
 * @returns directories of which everything is a subject now
 */
function addDatabase(subjects: Subjects, admindir: Admindir, wants?: (stem: Bytes) => boolean): Bytes[] {
  const trees: Bytes[] = [];
  const inside = subjects.insidePath(admindir.host);
  const add = (name: Bytes): void => {
    if (!NOT_KEPT.test(name)) subjects.add(`${inside}/${name}`, Origin.database, true);
  };
  for (const name of admindir.names('.')) add(name);
  for (const directory of SUBDIRECTORIES) {
    const all = directory !== 'info' || wants === undefined;
    if (all) trees.push(`${inside}/${directory}`);
    for (const name of admindir.names(directory)) {
      if (all || wants(stemOf(name))) add(`${directory}/${name}`);
    }
  }
  return trees;
}

/** The package of a control file, maybe qualified: `python3.11.list` is none of python3's. */
function stemOf(file: Bytes): Bytes {
  return file.slice(0, Math.max(0, file.lastIndexOf('.')));
}

/** @returns directories of which everything is a subject now */
async function addTracked(subjects: Subjects, root: Root, options: CreateOptions): Promise<Bytes[]> {
  const { tracked, trackedLimit, copied: globs } = options.config;
  const copied = globMatcher(globs);
  const { paths, trees, truncated } = options.tracked ?? (await trackedPaths(root, tracked, trackedLimit));
  for (const { path } of paths) {
    // Its own store would be known by what it knows.
    if (path === STORE_DIRECTORY || path.startsWith(`${STORE_DIRECTORY}/`)) continue;
    subjects.add(path, Origin.tracked, copied(path));
  }
  // What was not met may lie beyond the limit.
  return truncated ? [] : trees;
}

/** Whether one of the globs matches a path; the kinds that nearly all of them are of cost no pattern matching. */
export function globMatcher(globs: readonly string[]): (path: Bytes) => boolean {
  const exact = new Set<Bytes>();
  const trees: Bytes[] = [];
  const others: RegExp[] = [];
  for (const glob of globs) {
    const bytes = bytesFromText(glob);
    const tree = bytes.endsWith('/**') ? bytes.slice(0, -2) : undefined;
    if (/[*?[\]{}()!+@\\]/.test(tree ?? bytes)) others.push(globPattern(bytes));
    else if (tree === undefined) exact.add(bytes);
    else trees.push(tree);
  }
  return (path) =>
    exact.has(path) ||
    trees.some((tree) => path.startsWith(tree) || `${path}/` === tree) ||
    others.some((pattern) => pattern.test(path));
}

/** Identity, size and times of every file that says which paths packages own; one line of SHA-256. */
function manifestStamp(admindir: Admindir): string {
  const hash = createHash('sha256');
  const files = [
    'status',
    'diversions',
    ...admindir.names('updates').map((name) => `updates/${name}`),
    ...admindir
      .names('info')
      .filter((name) => name === 'format' || name.endsWith('.list') || name.endsWith('.md5sums'))
      .map((name) => `info/${name}`),
  ];
  for (const name of files) {
    const stat = lstatSync(fsPath(`${admindir.host}/${name}`), { throwIfNoEntry: false });
    hash.update(`${name}\0${stat?.ino}:${stat?.size}:${stat?.mtimeMs}:${stat?.ctimeMs}\n`);
  }
  return hash.digest('hex');
}
