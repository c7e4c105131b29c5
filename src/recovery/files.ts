/**
 * Good content for damaged files (I6): every source is held against what the manifest says before it is used.
 *
 *   store     the copy that a snapshot kept
 *   archive   the .deb of the very version that dpkg records
 *
 * A file that merely differs from its manifest is somebody's change until a snapshot says that it was sound after that
 * change could have been made (the three-way diff of docs/design.md).
 */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { type Database, readManifest } from '../dpkg/database.ts';
import { type TarEntry, TarParser, unpack } from '../dpkg/deb.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding } from '../model/finding.ts';
import { textToPath } from '../model/path-text.ts';
import { Kind } from '../scan/work.ts';
import { loadXxh64, type Xxh64, xxh64Of } from '../scan/xxh64.ts';
import { Contents } from '../snapshot/contents.ts';
import { Entries, type Entry, Flag } from '../snapshot/entries.ts';
import { newestSnapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bufferOf, fsPath } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import type { Attributes } from './actions.ts';
import { looksDamaged } from './content.ts';

/** Content is held in memory while it is put in place, in bytes. A larger file comes with its whole package. */
const MEMBER_LIMIT = 512 * 1024 * 1024;

/** What is wrong with the content or the kind of a file that a manifest knows. */
const DAMAGED: ReadonlySet<FindingCode> = new Set<FindingCode>([
  'file-missing',
  'file-zero-length',
  'file-nul-filled',
  'file-nul-tail',
  'file-truncated',
  'file-wrong-type',
  'file-unreadable',
]);
const DAMAGED_CONFFILE: ReadonlySet<FindingCode> = new Set<FindingCode>([
  'conffile-zero-length',
  'conffile-nul-filled',
  'conffile-nul-tail',
]);

export type Solution =
  | {
      readonly kind: 'put';
      readonly path: Bytes;
      readonly data: Buffer;
      readonly attributes: Attributes;
      readonly source: string;
    }
  | {
      readonly kind: 'link';
      readonly path: Bytes;
      readonly target: Bytes;
      readonly attributes: Attributes;
      readonly source: string;
    }
  | {
      readonly kind: 'directory';
      readonly path: Bytes;
      readonly attributes: Attributes;
      readonly source: string;
    }
  /** One file with several names in its archive: only unpacking makes it that again. */
  | { readonly kind: 'reinstall'; readonly archive: string; readonly reason: string }
  /** Changed before the outage, by somebody who may have meant it. */
  | { readonly kind: 'local-change'; readonly reason: string }
  /** No good content is at hand. */
  | { readonly kind: 'none'; readonly package: Package | undefined; readonly reason: string };

export interface FileSources {
  readonly root: Root;
  readonly database: Database;
  readonly store: Store | undefined;
  /** A verified .deb of exactly this version, as a path of this host. */
  readonly archive: (name: Bytes, version: Bytes, architecture: Bytes) => Promise<string | undefined>;
}

/** Whether a finding says that a file is not there, or does not hold what a manifest knows of it, and was no edit. */
export function isDamaged({ code }: Finding): boolean {
  return DAMAGED.has(code);
}

/** Whether a finding is about a file's content or kind, so that `solveFiles` has an answer. */
export function isAboutFile({ code }: Finding): boolean {
  return DAMAGED.has(code) || DAMAGED_CONFFILE.has(code) || code === 'file-modified';
}

/** An answer for each finding that is about a file. Changes nothing. */
export async function solveFiles(
  sources: FileSources,
  findings: readonly Finding[],
): Promise<Map<Finding, Solution>> {
  const solutions = new Map<Finding, Solution>();
  const xxh64 = await loadXxh64();
  const packages = new Map(
    sources.database.packages.map((pkg) => [displayName(pkg, sources.database.native), pkg] as const),
  );
  const fromArchive = new Map<Package, Finding[]>();
  for (const finding of findings) {
    if (!isAboutFile(finding) || finding.path === undefined) continue;
    const pkg = packages.get(finding.package ?? '');
    const file = fileOf(finding);
    const known = lookUp(sources, file.place, xxh64);
    if (finding.code === 'file-modified') {
      const change = changeOf(known);
      if (change !== undefined) {
        solutions.set(finding, change);
        continue;
      }
    }
    const copy = fromStore(sources, pkg, file, known, DAMAGED_CONFFILE.has(finding.code));
    const link = linkOfAlternative(finding);
    if (copy !== undefined) solutions.set(finding, copy);
    else if (link !== undefined) solutions.set(finding, link);
    else if (pkg === undefined)
      solutions.set(finding, { kind: 'none', package: undefined, reason: 'no package is known to own it' });
    else fromArchive.set(pkg, [...(fromArchive.get(pkg) ?? []), finding]);
  }
  for (const [pkg, wanted] of fromArchive)
    for (const [finding, solution] of await solveByArchive(sources, pkg, wanted))
      solutions.set(finding, solution);
  return solutions;
}

/** The only links that dpkg's database knows the targets of (audit/links.ts). */
function linkOfAlternative({ code, knownBy, path, expected }: Finding): Solution | undefined {
  if (code !== 'file-missing' || knownBy !== 'alternatives') return undefined;
  if (path === undefined || expected === undefined) return undefined;
  const attributes = { mode: 0o777, uid: 0, gid: 0 };
  const source = 'the alternatives database';
  return { kind: 'link', path: textToPath(path), target: textToPath(expected), attributes, source };
}

/** A file of a package: a diversion puts it at another place than its manifest, its archive and overrides call it by. */
interface PackageFile {
  readonly name: Bytes;
  readonly place: Bytes;
}

function fileOf({ path = '', divertedTo = path }: Finding): PackageFile {
  return { name: textToPath(path), place: textToPath(divertedTo) };
}

interface Known {
  readonly newest: Entry | undefined;
  /** XXH64 of what stands there now; undefined when it cannot be read. */
  readonly now: Buffer | undefined;
}

function lookUp({ root, store }: FileSources, path: Bytes, xxh64: Xxh64): Known {
  const found = root.resolve(path);
  if (store === undefined || found.kind !== 'found' || newestSnapshot(store) === undefined)
    return { newest: undefined, now: undefined };
  const newest = new Entries(store).find(found.inside);
  const read = newest === undefined ? undefined : readRegularFile(found.host);
  if (read?.kind !== 'read') return { newest, now: undefined };
  return { newest, now: xxh64Of(xxh64, bufferOf(read.data)) };
}

/** What a snapshot says of a file that differs from its manifest; undefined when it was sound then, so is damaged now. */
function changeOf({ newest, now }: Known): Solution | undefined {
  if (newest === undefined || newest.xxh64 === null)
    return {
      kind: 'local-change',
      reason: 'no snapshot knows what it was, and it does not look like outage damage',
    };
  if (now !== undefined && newest.xxh64.equals(now))
    return {
      kind: 'local-change',
      reason: 'it is what the newest snapshot knows: a change older than the outage',
    };
  if ((newest.flags & Flag.sound) === 0)
    return {
      kind: 'local-change',
      reason: 'it had been changed before, and again since; neither is known to be damage',
    };
  return undefined;
}

function fromStore(
  { store, database }: FileSources,
  pkg: Package | undefined,
  { name, place }: PackageFile,
  { newest }: Known,
  conffile: boolean,
): Solution | undefined {
  if (store === undefined || newest === undefined || newest.kind !== Kind.file || newest.content === null)
    return undefined;
  const contents = new Contents(store);
  if (!contents.isWhole(newest.content)) return undefined;
  const data = contents.read(newest.content);
  // The administrator's own version of a conffile is right when it is whole; all else has to be what the manifest says.
  if (conffile ? looksDamaged(data) !== undefined : md5Of(data) !== expectedHash(database, pkg, name))
    return undefined;
  const { mode, uid, gid, mtime, capability } = newest;
  return {
    kind: 'put',
    path: place,
    data,
    attributes: { mode, uid, gid, mtime, ...(capability === null ? {} : { capability }) },
    source: 'the newest snapshot',
  };
}

async function solveByArchive(
  sources: FileSources,
  pkg: Package,
  findings: readonly Finding[],
): Promise<[Finding, Solution][]> {
  const none = (reason: string): [Finding, Solution][] =>
    findings.map((finding) => [finding, { kind: 'none', package: pkg, reason }]);
  const file = await sources.archive(pkg.name, pkg.version, pkg.architecture);
  if (file === undefined) return none('no archive of this version is at hand');
  const wanted = new Set(findings.map((finding) => fileOf(finding).name));
  const read = async (): Promise<TarParser> => {
    const reading = new TarParser(({ path, size }) => size <= MEMBER_LIMIT && wanted.has(path));
    await unpack(file, '--fsys-tarfile', reading);
    return reading;
  };
  let parser: TarParser;
  try {
    parser = await read();
    // A hard link has its content under the first name, which has gone by when the link is met.
    const first = parser.entries.filter(({ type, path }) => type === 'hard-link' && wanted.has(path));
    const further = first.filter(({ target }) => !wanted.has(target));
    for (const { target } of further) wanted.add(target);
    if (further.length > 0) parser = await read();
  } catch (error) {
    return none(messageOf(error));
  }
  const entries = new Map(parser.entries.map((entry) => [entry.path, entry]));
  const shared = new Set(
    parser.entries.flatMap(({ type, path, target }) => (type === 'hard-link' ? [path, target] : [])),
  );
  return findings.map((finding): [Finding, Solution] => {
    const { name, place } = fileOf(finding);
    if (shared.has(name))
      return [finding, { kind: 'reinstall', archive: file, reason: 'it is one file under several names' }];
    return [finding, solutionOf(sources, pkg, { name, place }, entries, parser.contents)];
  });
}

function solutionOf(
  { database, root }: FileSources,
  pkg: Package,
  { name, place }: PackageFile,
  entries: ReadonlyMap<Bytes, TarEntry>,
  contents: ReadonlyMap<Bytes, Bytes>,
): Solution {
  const entry = entries.get(name);
  const source = 'the archive of this version';
  const none = (reason: string): Solution => ({ kind: 'none', package: pkg, reason });
  if (entry === undefined) return none('the archive of this version does not have it');
  const first = entry.type === 'hard-link' ? (entries.get(entry.target) ?? entry) : entry;
  const override = database.overrides.find((one) => one.path === name);
  // An override is the administrator's word on mode and owner (dpkg-statoverride(1)); names were resolved by the audit.
  const owner =
    override === undefined
      ? { uid: first.uid, gid: first.gid, mode: first.mode }
      : overridden(root, place, first);
  const attributes: Attributes = { ...owner, mtime: first.mtime * 1000 };
  switch (first.type) {
    case 'link':
      return { kind: 'link', path: place, target: first.target, attributes, source };
    case 'directory':
      return { kind: 'directory', path: place, attributes, source };
    case 'file':
    case 'hard-link': {
      const content = contents.get(first.path);
      if (content === undefined) return none('it is too large to be put in place by itself');
      const data = bufferOf(content);
      const expected = expectedHash(database, pkg, name);
      if (expected !== undefined && expected !== md5Of(data))
        return none('the archive’s file is not what dpkg’s records say');
      return { kind: 'put', path: place, data, attributes, source };
    }
    case 'fifo':
    case 'character-device':
    case 'block-device':
      return none('it is a special file');
  }
}

/** What stands there tells what the override said when it was applied; a missing file gets the archive's. */
function overridden(root: Root, path: Bytes, entry: TarEntry): { uid: number; gid: number; mode: number } {
  const found = root.resolve(path);
  const stat = found.kind === 'found' ? lstatSync(fsPath(found.host), { throwIfNoEntry: false }) : undefined;
  return stat?.isFile() === true
    ? { uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777 }
    : { uid: entry.uid, gid: entry.gid, mode: entry.mode };
}

function expectedHash(database: Database, pkg: Package | undefined, path: Bytes): Bytes | undefined {
  if (pkg === undefined) return undefined;
  const conffile = pkg.conffiles.find((one) => one.path === path);
  return conffile?.hash ?? readManifest({ ...database, problems: [] }, pkg, true).hashes.get(path);
}

function md5Of(data: Buffer): string {
  return createHash('md5').update(data).digest('hex');
}
