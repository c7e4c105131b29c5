/**
 * The face of this folder: dpkg's database as it stands on disk, read without its help and without a lock. Reading
 * never fails because of what the files hold: damage becomes a problem, and everything else is still read (I8).
 */
import { lstatSync, readdirSync } from 'node:fs';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { DebmendError, errnoOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { type Alternative, parseAlternative } from './alternatives.ts';
import { type Diversion, parseDiversions } from './diversions.ts';
import { isConfigName, type PathFilter, parseDpkgConfig } from './filters.ts';
import { InfoDirectory } from './info.ts';
import { checkedLines } from './lines.ts';
import { parseList, parseMd5sums } from './manifest.ts';
import { displayName, type Package, qualifiedName } from './package.ts';
import type { DatabaseProblem } from './problem.ts';
import { type Admindir, readRecords } from './records.ts';
import { parseStatoverride, type StatOverride } from './statoverride.ts';
import { parseExplicitInterest, parseTriggersFile, parseUnincorp } from './triggers.ts';

export const DEFAULT_ADMINDIR = '/var/lib/dpkg';
/** _POSIX2_LINE_MAX, the buffer of dpkg_arch_load_list. */
const ARCH_LINE_LIMIT = 2048;

/** What a package's own lists say that it owns. */
export interface Manifest {
  readonly record: Package;
  /** The package's name as dpkg prints it. */
  readonly display: Bytes;
  /** Absolute paths of the `.list`, in its order. */
  readonly paths: readonly Bytes[];
  /** The `.list` is there and whole, so that a path missing from it is not the package's. */
  readonly listSound: boolean;
  /** MD5 by path; empty when content was not asked for. */
  readonly hashes: ReadonlyMap<Bytes, Bytes>;
  /** The `.md5sums` is there and has no byte, which is legal for a package without files. */
  readonly md5sumsEmpty: boolean;
  /** The `.md5sums` as a path inside the root, where there is one. */
  readonly md5sumsFile: Bytes | undefined;
}

export interface Database {
  readonly admindir: Admindir;
  /** The architecture of the root's own dpkg; empty when its record is lost. */
  readonly native: Bytes;
  /** Every package that is at least known by its conffiles, in the order of their qualified names. */
  readonly packages: readonly Package[];
  readonly diversions: readonly Diversion[];
  readonly overrides: readonly StatOverride[];
  readonly filters: readonly PathFilter[];
  readonly alternatives: readonly Alternative[];
  /** Grows while manifests are read. */
  readonly problems: DatabaseProblem[];
  readonly info: InfoDirectory;
  /** Changes whenever dpkg writes its database: held before and after a long look, it tells whether both agree. */
  readonly stamp: string;
}

/**
 * Reads the database of a root; the packages' manifests come one by one, from `readManifest`, because all of them
 * together would be most of the memory that a run needs.
 *
 * @param path the database's directory inside the root
 * @throws DebmendError `no-dpkg-database` when the admindir cannot be reached or is no directory
 */
export function readDatabase(root: Root, path: Bytes = DEFAULT_ADMINDIR): Database {
  const admindir = findAdmindir(root, path);
  const problems: DatabaseProblem[] = [];
  const stamp = databaseStamp(admindir);
  const { packages, native, incomplete } = readRecords(admindir, problems);
  const info = new InfoDirectory(admindir, problems);
  for (const orphan of orphans(info, packages)) {
    packages.set(qualifiedName(orphan), orphan);
    // With stanzas lost it is clear why; one finding for that is enough.
    if (!incomplete) {
      problems.push({
        code: 'database-orphan',
        file: info.path(info.stemOf(orphan), 'list'),
        package: displayName(orphan, native),
        message: 'dpkg’s info directory holds files of a package that the status file does not know',
        blocksDpkg: false,
        likelyOutage: true,
      });
    }
  }
  readArchitectures(admindir, problems);
  readTriggers(admindir, problems);
  return {
    admindir,
    native,
    packages: [...packages.values()]
      .filter((pkg) => pkg.state !== 'not-installed')
      .sort((a, b) => compareBytes(qualifiedName(a), qualifiedName(b))),
    diversions: readDiversions(admindir, problems),
    overrides: readOverrides(admindir, problems),
    filters: readFilters(root),
    alternatives: readAlternatives(admindir, problems),
    problems,
    info,
    stamp,
  };
}

/** Orders byte strings by their bytes. */
export function compareBytes(a: Bytes, b: Bytes): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function findAdmindir(root: Root, path: Bytes): Admindir {
  const found = root.resolveDirectory(path);
  if (found.kind === 'found') return { host: found.host, inside: path.replace(/\/+$/, '') };
  throw new DebmendError(
    'no-dpkg-database',
    `reading dpkg's database ${root.hostPath(path)}: ${found.errno} at ${root.hostPath(found.at)}`,
    root.isHost
      ? 'is this a Debian or Ubuntu system; name another database with --admindir'
      : 'name the root of a Debian or Ubuntu system with --root, or another database inside it with --admindir',
  );
}

/** Identity, size and time of what dpkg replaces when it changes its mind about a package. */
export function databaseStamp(admindir: Admindir): string {
  return ['status', 'updates', 'info', 'diversions']
    .map((name) => {
      try {
        const stat = lstatSync(fsPath(`${admindir.host}/${name}`), { bigint: true });
        return `${stat.ino}:${stat.size}:${stat.mtimeNs}`;
      } catch (error) {
        return errnoOf(error) ?? 'EIO';
      }
    })
    .join(' ');
}

/** Packages that have a `.list` and no record; their state can't be known. */
function orphans(info: InfoDirectory, packages: ReadonlyMap<Bytes, Package>): Package[] {
  const known = new Set<Bytes>();
  for (const pkg of packages.values()) known.add(info.stemOf(pkg));
  const found: Package[] = [];
  for (const stem of info.stems()) {
    if (known.has(stem) || !info.kindsOf(stem).has('list')) continue;
    const [name = stem, architecture = ''] = stem.split(':', 2);
    found.push({
      name,
      architecture,
      version: '',
      want: 'unknown',
      flag: 'ok',
      state: 'unknown',
      multiArch: architecture === '' ? 'no' : 'same',
      vital: false,
      configVersion: '',
      conffiles: [],
      triggersPending: [],
      triggersAwaited: [],
      source: `info/${stem}.list`,
    });
  }
  return found;
}

/** States in which dpkg expects a `.list`: a package is at least unpacked, or has been (configversion). */
function expectsList(pkg: Package): boolean {
  return pkg.state !== 'config-files' && pkg.state !== 'unknown' && pkg.configVersion !== '';
}

/**
 * Reads a package's manifest and looks at its control files; what is wrong with them goes to the database's problems,
 * so this is called once a package.
 *
 * @param wantHashes whether the `.md5sums` is read too
 */
export function readManifest(database: Database, pkg: Package, wantHashes: boolean): Manifest {
  const { info, native, problems } = database;
  const stem = info.stemOf(pkg);
  const display = displayName(pkg, native);
  const { paths, listSound } = readList(info, pkg, stem, display, problems);
  const base = { package: display, file: info.path(stem, 'md5sums'), blocksDpkg: false };
  let hashes: ReadonlyMap<Bytes, Bytes> = new Map();
  let md5sumsEmpty = false;
  const outcome = wantHashes ? info.read(stem, 'md5sums') : ({ kind: 'missing' } as const);
  if (outcome.kind === 'read') {
    const parsed = parseMd5sums(outcome.data);
    hashes = parsed.hashes;
    md5sumsEmpty = parsed.damage === 'empty';
    if (parsed.damage !== 'none' && parsed.damage !== 'empty') {
      problems.push({
        ...base,
        code: `database-md5sums-${parsed.damage}`,
        message: {
          nul: 'the package’s .md5sums holds NUL bytes',
          unterminated: 'the package’s .md5sums ends in the middle of a line',
          malformed: 'the package’s .md5sums has a line that is no hash and name',
        }[parsed.damage],
        dpkgMessage:
          parsed.dpkgSays === undefined
            ? undefined
            : `control file 'md5sums' for package '${display}' is ${parsed.dpkgSays}`,
        likelyOutage: true,
      });
    }
  } else if (outcome.kind === 'unreadable') {
    problems.push({
      ...base,
      code: 'database-unreadable',
      message: `the package’s .md5sums cannot be read (${outcome.errno})`,
      likelyOutage: outcome.errno === 'EIO',
    });
  }
  info.checkControlFiles(pkg, native, problems);
  return {
    record: pkg,
    display,
    paths,
    listSound,
    hashes,
    md5sumsEmpty,
    md5sumsFile: info.kindsOf(stem).has('md5sums') ? base.file : undefined,
  };
}

function readList(
  info: InfoDirectory,
  pkg: Package,
  stem: Bytes,
  display: Bytes,
  problems: DatabaseProblem[],
): { paths: readonly Bytes[]; listSound: boolean } {
  const base = { package: display, file: info.path(stem, 'list'), likelyOutage: true };
  const outcome = info.read(stem, 'list');
  if (outcome.kind === 'unreadable') {
    problems.push({
      ...base,
      code: 'database-unreadable',
      message: `the package’s .list cannot be read (${outcome.errno})`,
      blocksDpkg: true,
      likelyOutage: outcome.errno === 'EIO',
    });
    return { paths: [], listSound: false };
  }
  if (outcome.kind === 'missing') {
    if (expectsList(pkg)) {
      problems.push({
        ...base,
        code: 'database-list-missing',
        message: 'the package’s .list is missing: dpkg takes it for a package without files',
        dpkgMessage: `files list file for package '${display}' missing; assuming package has no files currently installed`,
        blocksDpkg: false,
      });
    }
    return { paths: [], listSound: false };
  }
  const { paths, damage, dpkgSays } = parseList(outcome.data);
  const said = {
    dpkgMessage:
      dpkgSays === undefined
        ? undefined
        : `files list file for package '${display.slice(0, 250)}' ${dpkgSays}`,
    blocksDpkg: dpkgSays !== undefined,
  };
  switch (damage) {
    case 'none':
      return { paths, listSound: true };
    case 'empty':
      // A removed package may rightly own nothing any more.
      if (pkg.state === 'config-files') return { paths, listSound: true };
      problems.push({
        ...base,
        code: 'database-list-empty',
        message: 'the package’s .list is empty: dpkg silently takes it for a package without files',
        blocksDpkg: false,
      });
      break;
    case 'nul':
      problems.push({
        ...base,
        code: 'database-list-nul',
        message: `the package’s .list holds NUL bytes; ${paths.length} names can still be read`,
        ...said,
      });
      break;
    case 'unterminated':
      problems.push({
        ...base,
        code: 'database-list-unterminated',
        message: `the package’s .list ends in the middle of a name, so names after it are lost; ${paths.length} can still be read`,
        ...said,
      });
      break;
    case 'empty-name':
      problems.push({
        ...base,
        code: 'database-list-empty-name',
        message: 'the package’s .list has an empty line',
        ...said,
      });
      break;
  }
  return { paths, listSound: false };
}

/** A file that may rightly be missing; anything but a regular file is a problem. */
function readOptional(admindir: Admindir, name: Bytes, problems: DatabaseProblem[]): Bytes | undefined {
  const outcome = readRegularFile(`${admindir.host}/${name}`);
  if (outcome.kind === 'read') return outcome.data;
  if (outcome.kind === 'unreadable') {
    problems.push({
      code: 'database-unreadable',
      file: `${admindir.inside}/${name}`,
      message: `${name} cannot be read (${outcome.errno})`,
      blocksDpkg: outcome.errno !== 'EACCES',
      likelyOutage: outcome.errno === 'EIO',
    });
  }
  return undefined;
}

function readDiversions(admindir: Admindir, problems: DatabaseProblem[]): readonly Diversion[] {
  const data = readOptional(admindir, 'diversions', problems);
  if (data === undefined) return [];
  const file = `${admindir.inside}/diversions`;
  const { diversions, damaged, message } = parseDiversions(data, file);
  if (damaged) {
    problems.push({
      code: 'database-diversions-damaged',
      file,
      message: `the diversions file is damaged; ${diversions.length} diversions can still be read`,
      dpkgMessage: message,
      blocksDpkg: message !== undefined,
      likelyOutage: true,
    });
  }
  return diversions;
}

function readOverrides(admindir: Admindir, problems: DatabaseProblem[]): readonly StatOverride[] {
  const data = readOptional(admindir, 'statoverride', problems);
  if (data === undefined) return [];
  const { overrides, damaged, message } = parseStatoverride(data);
  if (damaged) {
    problems.push({
      code: 'database-statoverride-damaged',
      file: `${admindir.inside}/statoverride`,
      message: `the statoverride file is damaged; ${overrides.length} overrides can still be read`,
      dpkgMessage: message,
      blocksDpkg: message !== undefined,
      likelyOutage: true,
    });
  }
  return overrides;
}

function readArchitectures(admindir: Admindir, problems: DatabaseProblem[]): void {
  const data = readOptional(admindir, 'arch', problems);
  if (data === undefined) return;
  const file = `${admindir.inside}/arch`;
  const { message } = checkedLines(data, file, ARCH_LINE_LIMIT);
  if (message === undefined) return;
  problems.push({
    code: 'database-arch-damaged',
    file,
    message: 'the list of architectures is damaged',
    dpkgMessage: message,
    blocksDpkg: true,
    likelyOutage: true,
  });
}

function readTriggers(admindir: Admindir, problems: DatabaseProblem[]): void {
  for (const name of listNames(`${admindir.host}/triggers`)) {
    if (name === 'Lock' || name.endsWith('-new') || name.endsWith('.new')) continue;
    const data = readOptional(admindir, `triggers/${name}`, problems);
    if (data === undefined) continue;
    const file = `${admindir.inside}/triggers/${name}`;
    const message =
      name === 'File'
        ? parseTriggersFile(data, file).message
        : name === 'Unincorp'
          ? parseUnincorp(data, file).message
          : parseExplicitInterest(data, file);
    if (message === undefined) continue;
    problems.push({
      code: name === 'Unincorp' ? 'database-triggers-unincorp-damaged' : 'database-triggers-file-damaged',
      file,
      message: `the trigger file ${name} is damaged`,
      dpkgMessage: message,
      blocksDpkg: true,
      likelyOutage: true,
    });
  }
}

function readAlternatives(admindir: Admindir, problems: DatabaseProblem[]): readonly Alternative[] {
  const alternatives: Alternative[] = [];
  for (const name of listNames(`${admindir.host}/alternatives`)) {
    if (name.includes('.dpkg-')) continue;
    const data = readOptional(admindir, `alternatives/${name}`, problems);
    if (data === undefined) continue;
    const alternative = parseAlternative(data, name);
    if (alternative !== undefined) alternatives.push(alternative);
    else {
      problems.push({
        code: 'database-alternatives-damaged',
        file: `${admindir.inside}/alternatives/${name}`,
        message:
          data === ''
            ? `the alternatives entry ${name} is empty`
            : `the alternatives entry ${name} is damaged`,
        blocksDpkg: false,
        likelyOutage: true,
      });
    }
  }
  return alternatives;
}

/** The path filters in the order in which dpkg reads them: the directory's files first, then dpkg.cfg. */
function readFilters(root: Root): readonly PathFilter[] {
  const filters: PathFilter[] = [];
  const directory = root.resolveDirectory('/etc/dpkg/dpkg.cfg.d');
  const files = directory.kind === 'found' ? listNames(directory.host).filter(isConfigName) : [];
  for (const path of [...files.map((name) => `/etc/dpkg/dpkg.cfg.d/${name}`), '/etc/dpkg/dpkg.cfg']) {
    // An administrator may keep these as links; they are followed inside the root.
    const found = root.resolveFully(path);
    const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
    if (outcome?.kind === 'read') filters.push(...parseDpkgConfig(outcome.data));
  }
  return filters;
}

/** The names in a directory of this host, sorted; none when it cannot be read. */
function listNames(host: Bytes): Bytes[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer' }).map(bytesOf).sort(compareBytes);
  } catch {
    return [];
  }
}
