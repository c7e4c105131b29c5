/**
 * When the programs that mend a root are what is broken in it: its shell, its C library, its dpkg. They are then put
 * back from verified .debs, file by file, by the host's dpkg-deb; nothing of the root is run for that.
 *
 * An empty program is no error to execvp(3), which hands it to the shell, and so to nothing: a program works when it
 * answers as it should, not when it exits with 0.
 */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { openAdmindir } from '../../dpkg/admindir.ts';
import { type Database, DEFAULT_ADMINDIR, readDatabase, readManifest } from '../../dpkg/database.ts';
import { type TarEntry, TarParser, unpack } from '../../dpkg/deb.ts';
import { isExcluded } from '../../dpkg/filters.ts';
import { displayName, type Package } from '../../dpkg/package.ts';
import { type Bytes, bufferOf, fsPath } from '../../system/bytes.ts';
import { DebmendError, messageOf } from '../../system/errors.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { toolPackages } from './closure.ts';
import type { Programs } from './runner.ts';

export interface BrokenTool {
  readonly program: string;
  readonly why: Bytes;
}

/** What dpkg, apt and most maintainer scripts start, and how each answers when it works. */
const PROBES: readonly (readonly [command: string, answer: RegExp])[] = [
  ['dpkg --version', /^Debian 'dpkg'/],
  ['dpkg-deb --version', /^Debian 'dpkg-deb'/],
  ['dpkg-split --version', /^Debian 'dpkg-split'/],
  ['dpkg-query --version', /^Debian (?:'dpkg-query'|dpkg-query)/],
  ['tar --version', /^tar \(GNU tar\)/],
  ["bash -c 'echo works'", /^works\n$/],
  ['perl -e \'print "works\\n"\'', /^works\n$/],
  ['rm --version', /^rm \(GNU coreutils\)/],
  ['sed --version', /sed \(GNU sed\)/],
  ['grep --version', /grep \(GNU grep\)/],
  ['find --version', /^find \(GNU findutils\)/],
  ['diff --version', /^diff \(GNU diffutils\)/],
];
/** On a line of its own around each answer, with what the command ended with. */
const MARK = '=== debmend ===';
const PROBE_TIMEOUT_MS = 30_000;
/** The largest file of an essential package has 5 MB. */
const MEMBER_LIMIT = 256 * 1024 * 1024;

/** The programs of a root that do not work, by trying each. Without a shell the others are not tried. */
export async function brokenTools(programs: Programs): Promise<BrokenTool[]> {
  const options = { timeout: PROBE_TIMEOUT_MS };
  const shell = await programs.run('sh', ['-c', 'echo works'], options);
  if (shell.stdout !== 'works\n') {
    const why = shell.failure ?? lastLine(shell.stderr);
    return [{ program: 'sh', why: why || `it does not answer (${shell.code ?? shell.signal})` }];
  }
  const script = PROBES.map(([command]) => `${command} 2>&1; code=$?; echo; echo '${MARK}' $code`).join('\n');
  const all = await programs.run('sh', ['-c', script], options);
  const answers = all.stdout.split(new RegExp(`\n${MARK} (\\d+)\n`));
  return PROBES.flatMap(([command, answer], index) => {
    const [said, code] = [answers[2 * index], answers[2 * index + 1]];
    if (said !== undefined && code === '0' && answer.test(said)) return [];
    const [program = command] = command.split(' ');
    const why = all.failure ?? (code === '0' ? '' : lastLine(said ?? ''));
    return [{ program, why: why || `it does not answer (${code ?? 'nothing'})` }];
  });
}

function lastLine(text: Bytes): Bytes {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

export interface Ownership {
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970. */
  readonly mtime: number;
}

/** How things are put in place: durably, journaled, with what stood there put aside. Paths are inside the root. */
export interface Place {
  put(path: Bytes, data: Buffer, attributes: Ownership, source: string): void | Promise<void>;
  link(path: Bytes, target: Bytes, owner: Ownership, source: string): void | Promise<void>;
  directory(path: Bytes, attributes: Ownership, source: string): void | Promise<void>;
}

export interface BroughtBack {
  /** Paths inside the root. */
  readonly restored: readonly Bytes[];
  /** What is damaged still, and why. */
  readonly lacking: readonly {
    readonly package: Bytes;
    readonly paths: readonly Bytes[];
    readonly why: string;
  }[];
  /** What does not work afterwards: none is what was wanted. */
  readonly broken: readonly BrokenTool[];
}

/**
 * Puts back what is missing or differs from its manifest in the essential packages, apt, and what these depend on. What
 * dpkg's records have no hash for is put back only when it is not there.
 *
 * @param archiveOf a verified .deb (I6) of exactly the recorded version, as a path of this host
 * @throws DebmendError what `place` throws, and `no-dpkg-database`
 */
export async function bringBackTools(
  programs: Programs,
  archiveOf: (pkg: Package) => Promise<string | undefined>,
  place: Place,
): Promise<BroughtBack> {
  const { root } = programs;
  root.forget();
  const database = readDatabase(root);
  const names = new Set(toolPackages(openAdmindir(root, DEFAULT_ADMINDIR), ['apt']));
  const restored: Bytes[] = [];
  const lacking: BroughtBack['lacking'][number][] = [];
  for (const pkg of database.packages.filter(({ name }) => names.has(name))) {
    const damaged = damagedPaths(root, database, pkg);
    if (damaged.length === 0) continue;
    const display = displayName(pkg, database.native);
    const lacks = (paths: readonly Bytes[], why: string): void => {
      if (paths.length > 0) lacking.push({ package: display, paths, why });
    };
    const file = await archiveOf(pkg);
    if (file === undefined) {
      lacks(
        damaged.map(({ path }) => path),
        'no archive of its version is at hand',
      );
      continue;
    }
    try {
      const { done, left } = await putBack(root, damaged, file, place);
      restored.push(...done);
      lacks(left, 'the archive of its version does not have it as the manifest knows it');
    } catch (error) {
      if (!isArchiveError(error)) throw error;
      lacks(
        damaged.map(({ path }) => path),
        messageOf(error),
      );
    }
  }
  root.forget();
  return { restored, lacking, broken: await brokenTools(programs) };
}

interface Damaged {
  /** As the archive names it. */
  readonly path: Bytes;
  /** Where it belongs on disk: elsewhere when it is diverted. */
  readonly at: Bytes;
  readonly hash: Bytes | undefined;
}

function damagedPaths(root: Root, database: Database, pkg: Package): Damaged[] {
  const manifest = readManifest({ ...database, problems: [] }, pkg, true);
  const conffiles = new Set(pkg.conffiles.map(({ path }) => path));
  const diverted = new Map(
    database.diversions.filter((one) => one.package !== pkg.name).map(({ from, to }) => [from, to]),
  );
  return manifest.paths.flatMap((path) => {
    if (conffiles.has(path)) return []; // never a tool, and the administrator's (I3)
    const hash = manifest.hashes.get(path);
    const at = diverted.get(path) ?? path;
    if (isSound(root, at, hash) || isExcluded(database.filters, path, false)) return [];
    return [{ path, at, hash }];
  });
}

/** Whether what should be at a path is there, with the content that it should have. */
function isSound(root: Root, path: Bytes, hash: Bytes | undefined): boolean {
  const found = root.resolve(path);
  if (found.kind !== 'found') return false;
  if (hash === undefined) return lstatSync(fsPath(found.host), { throwIfNoEntry: false }) !== undefined;
  const outcome = readRegularFile(found.host, MEMBER_LIMIT);
  return outcome.kind === 'read' && md5(bufferOf(outcome.data)) === hash;
}

async function putBack(
  root: Root,
  damaged: readonly Damaged[],
  file: string,
  place: Place,
): Promise<{ done: Bytes[]; left: Bytes[] }> {
  const names = new TarParser();
  await unpack(file, '--fsys-tarfile', names);
  const entries = new Map(names.entries.map((entry) => [entry.path, entry]));
  // A hard link has its content, mode and owner under the first name.
  const first = (path: Bytes): TarEntry | undefined => {
    const entry = entries.get(path);
    return entry?.type === 'hard-link' ? entries.get(entry.target) : entry;
  };
  const wanted = new Set(damaged.map(({ path }) => first(path)?.path));
  const reader = new TarParser(({ path, size }) => size <= MEMBER_LIMIT && wanted.has(path));
  await unpack(file, '--fsys-tarfile', reader);
  const source = file.slice(file.lastIndexOf('/') + 1);
  const done: Bytes[] = [];
  const left: Bytes[] = [];
  // A manifest names a directory before what is in it.
  for (const { path, at, hash } of damaged) {
    const entry = first(path);
    const isDone = entry !== undefined && (await putEntry(entry, at, hash, reader.contents, place, source));
    (isDone ? done : left).push(at);
    root.forget();
  }
  return { done, left };
}

async function putEntry(
  entry: TarEntry,
  at: Bytes,
  hash: Bytes | undefined,
  contents: ReadonlyMap<Bytes, Bytes>,
  place: Place,
  source: string,
): Promise<boolean> {
  const { mode, uid, gid } = entry;
  const attributes = { mode, uid, gid, mtime: entry.mtime * 1000 };
  switch (entry.type) {
    case 'file': {
      const content = contents.get(entry.path);
      if (content === undefined) return false;
      const data = bufferOf(content);
      if (hash !== undefined && md5(data) !== hash) return false;
      await place.put(at, data, attributes, source);
      return true;
    }
    case 'link':
      await place.link(at, entry.target, attributes, source);
      return true;
    case 'directory':
      await place.directory(at, attributes, source);
      return true;
    case 'hard-link':
    case 'fifo':
    case 'character-device':
    case 'block-device':
      return false; // no essential package has one
  }
}

function md5(data: Buffer): string {
  return createHash('md5').update(data).digest('hex');
}

function isArchiveError(error: unknown): boolean {
  return error instanceof DebmendError && error.code === 'archive-unreadable';
}
