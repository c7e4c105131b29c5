/**
 * A package's manifest as it stands on disk: its `.list` and `.md5sums`, and a look at its other control files. What is
 * wrong with them becomes a problem, and what is whole is still read.
 */
import type { Bytes } from '../system/bytes.ts';
import type { InfoDirectory } from './info.ts';
import { parseList, parseMd5sums } from './manifest.ts';
import { displayName, type Package } from './package.ts';
import type { DatabaseProblem } from './problem.ts';
import type { Interests } from './tables.ts';

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

/** The part of a database that manifests are read from. */
export interface ManifestSource {
  readonly info: InfoDirectory;
  /** The architecture of the root's own dpkg; empty when nothing tells it. */
  readonly native: Bytes;
  /** What triggers/ holds; undefined where it was not read, or is damaged. */
  readonly interests?: Interests | undefined;
  /** Grows while manifests are read. */
  readonly problems: DatabaseProblem[];
}

/**
 * Reads a package's manifest and looks at its control files; what is wrong with them goes to the database's problems,
 * so this is called once a package.
 *
 * @param wantHashes whether the `.md5sums` is read too
 */
export function readManifest(source: ManifestSource, pkg: Package, wantHashes: boolean): Manifest {
  const { info, native, problems } = source;
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
    problems.push({ ...info.unreadable(stem, 'md5sums', outcome.errno, false), package: display });
  }
  info.checkControlFiles(pkg, native, problems, source.interests);
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
    problems.push({ ...info.unreadable(stem, 'list', outcome.errno, true), package: display });
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

/** States in which dpkg expects a `.list`: a package is at least unpacked, or has been (configversion). */
function expectsList(pkg: Package): boolean {
  return pkg.state !== 'config-files' && pkg.state !== 'unknown' && pkg.configVersion !== '';
}
