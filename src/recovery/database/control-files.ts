/**
 * The control files in info/: lists, hashes, maintainer scripts and the rest of each package, from the copy of a time at
 * which it had the same version, or from the archive of that very version. A list is never completed by guessing.
 */
import { lstatSync } from 'node:fs';
import { readManifest } from '../../dpkg/database.ts';
import { parseList, parseMd5sums } from '../../dpkg/manifest.ts';
import { displayName, type Package, qualifiedName } from '../../dpkg/package.ts';
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import { checkDeclarations } from '../../dpkg/triggers.ts';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { listOf, md5sumsOf } from './archive.ts';
import { type RecordSet, readRecordFile } from './record-text.ts';
import { FILE_MODE, type Workbench } from './workbench.ts';

const EXECUTABLE = 0o755;
const SCRIPTS: ReadonlySet<string> = new Set(['preinst', 'postinst', 'prerm', 'postrm', 'config']);

/** A control file with a problem, and whose it is. */
interface Damaged {
  readonly problem: DatabaseProblem;
  readonly pkg: Package;
  readonly stem: Bytes;
  readonly kind: string;
}

/** @param records as they will be once the status file is mended: its present one may know no packages */
export async function mendControlFiles(bench: Workbench, records: RecordSet): Promise<void> {
  const { info, native } = bench.database;
  const lookup = new Lookup(bench, records);
  for (const pkg of records.packages.sort((a, b) => (qualifiedName(a) < qualifiedName(b) ? -1 : 1))) {
    if (pkg.state === 'not-installed') continue;
    const problems: DatabaseProblem[] = [];
    const source = { info, native: native || records.native, problems };
    const manifest = readManifest(source, pkg, true);
    const stem = info.stemOf(pkg);
    for (const problem of problems) {
      const kind = problem.file.slice(problem.file.lastIndexOf('.') + 1);
      await mendControlFile(bench, lookup, { problem, pkg, stem, kind });
    }
    if (manifest.md5sumsEmpty) await mendEmptyMd5sums(bench, lookup, pkg, stem, source.native);
  }
}

async function mendControlFile(bench: Workbench, lookup: Lookup, damaged: Damaged): Promise<void> {
  const { problem, pkg, stem, kind } = damaged;
  const script = SCRIPTS.has(kind);
  const mode = script ? EXECUTABLE : FILE_MODE;
  const outcome = bench.database.info.read(stem, kind);
  const rest = outcome.kind === 'read' ? outcome.data : '';
  const copy = await lookup.copy(pkg, stem, kind, (data) => isSound(kind, data) && agrees(kind, rest, data));
  if (copy !== undefined) {
    const reason = `it is of the time at which ${qualifiedName(pkg)} had its present version, ${pkg.version}`;
    bench.write(problem, copy.data, copy.source, reason, mode);
    return;
  }
  // Of a removed package the list names only what was left of it, which no archive tells.
  const archive =
    kind === 'list' && pkg.state === 'config-files'
      ? undefined
      : await bench.archive(pkg.name, pkg.version, pkg.architecture);
  const data =
    archive === undefined
      ? undefined
      : kind === 'list'
        ? listOf(await archive.data(), obsoleteConffiles(pkg), lookup.takenBy(pkg, rest))
        : kind === 'md5sums'
          ? await md5sumsOf(archive)
          : archive.members.get(kind)?.data;
  if (archive !== undefined && data !== undefined) {
    const reason = `rebuilt from the archive of its version, ${pkg.version}`;
    bench.write(problem, data, archive.source, reason, archive.members.get(kind)?.mode ?? mode);
    return;
  }
  giveUp(bench, damaged, archive !== undefined);
}

function giveUp(bench: Workbench, { problem, pkg, kind }: Damaged, hasArchive: boolean): void {
  const { name, architecture, version } = pkg;
  const lacking = hasArchive
    ? `the archive of ${version} has no such file`
    : `there is no archive of ${version}, and no copy of the time at which the package had that version`;
  if (SCRIPTS.has(kind)) {
    bench.fail(problem, `${lacking}; the package must not be configured before it is reinstalled`);
  } else if ((kind === 'list' && problem.blocksDpkg) || kind === 'triggers') {
    // It stops dpkg altogether, or the package's own reinstallation.
    bench.aside(
      problem,
      `${lacking}; without the file dpkg works, and the package's reinstallation makes it anew`,
    );
    const what = kind === 'list' ? 'files' : 'triggers';
    bench.fail(problem, `${lacking}; until it is reinstalled dpkg does not know the package's ${what}`);
  } else bench.fail(problem, lacking);
  if (pkg.state === 'config-files') return;
  bench.reinstall.push({ name, architecture, version, why: `${problem.message}, and ${lacking}` });
}

/** An .md5sums without a byte is legal; it is damage where the package's version has another. */
async function mendEmptyMd5sums(
  bench: Workbench,
  lookup: Lookup,
  pkg: Package,
  stem: Bytes,
  native: Bytes,
): Promise<void> {
  const problem = {
    code: 'database-md5sums-empty' as const,
    file: bench.database.info.path(stem, 'md5sums'),
    package: displayName(pkg, native),
    message: 'the .md5sums is empty although the package owns files',
  };
  const copy = await lookup.copy(pkg, stem, 'md5sums', () => true);
  if (copy?.data === '') return;
  if (copy !== undefined && isSound('md5sums', copy.data)) {
    bench.write(
      problem,
      copy.data,
      copy.source,
      `it is of the time of ${pkg.version}, and was not empty then`,
    );
    return;
  }
  const archive = await bench.archive(pkg.name, pkg.version, pkg.architecture);
  if (archive !== undefined) {
    const data = await md5sumsOf(archive);
    if (data !== '') bench.write(problem, data, archive.source, `the archive of ${pkg.version} has another`);
  } else if (await ownsFiles(bench, pkg, stem)) {
    bench.fail(problem, `nothing tells whether the .md5sums of ${pkg.version} is rightly empty`);
  }
}

/** Whether a package has a file on disk that is no conffile, and that an .md5sums would name. */
async function ownsFiles(bench: Workbench, pkg: Package, stem: Bytes): Promise<boolean> {
  const { paths } = parseList((await bench.contentOf(`info/${stem}.list`)) ?? '');
  const conffiles = new Set(pkg.conffiles.map(({ path }) => path));
  return paths.some((path) => {
    const found = conffiles.has(path) ? undefined : bench.root.resolve(path);
    if (found?.kind !== 'found') return false;
    try {
      return lstatSync(fsPath(found.host), { throwIfNoEntry: false })?.isFile() === true;
    } catch {
      return false;
    }
  });
}

/** The conffiles that older versions shipped, which dpkg keeps at the list's end. */
function obsoleteConffiles(pkg: Package): Bytes[] {
  return pkg.conffiles.filter(({ obsolete }) => obsolete).map(({ path }) => path);
}

function isSound(kind: string, data: Bytes): boolean {
  switch (kind) {
    case 'list':
      return parseList(data).damage === 'none';
    case 'md5sums':
      return parseMd5sums(data).damage === 'none';
    case 'triggers':
      return checkDeclarations(data, kind) === undefined;
    default:
      return (
        data !== '' &&
        !(SCRIPTS.has(kind) ? data.startsWith('\0') || data.endsWith('\0') : data.includes('\0'))
      );
  }
}

/** What can still be read of a damaged list has to stand in its copy too. */
function agrees(kind: string, rest: Bytes, data: Bytes): boolean {
  if (kind !== 'list') return true;
  const paths = new Set(parseList(data).paths);
  const { paths: left } = parseList(rest);
  // Foreign bytes make names of their own; a list of another version shares less than half.
  return left.filter((path) => paths.has(path)).length * 2 >= left.length;
}

/** Looks for copies of a package's files that are of its present version. */
class Lookup {
  readonly #bench: Workbench;
  readonly #records: RecordSet;
  #versions: Map<string, Map<Bytes, Bytes>> | undefined;

  constructor(bench: Workbench, records: RecordSet) {
    this.#bench = bench;
    this.#records = records;
  }

  /** A copy from a source whose status file names the same version; one without a status file can't show that. */
  async copy(
    pkg: Package,
    stem: Bytes,
    kind: string,
    isUsable: (data: Bytes) => boolean,
  ): Promise<{ data: Bytes; source: string } | undefined> {
    const versions = await this.#versionsBySource();
    const key = qualifiedName(pkg);
    const copies = await this.#bench.copies(`info/${stem}.${kind}`);
    return copies.find(
      ({ source, data }) => versions.get(source)?.get(key) === pkg.version && isUsable(data),
    );
  }

  async #versionsBySource(): Promise<Map<string, Map<Bytes, Bytes>>> {
    if (this.#versions !== undefined) return this.#versions;
    this.#versions = new Map();
    for (const { data, source } of await this.#bench.copies('status')) {
      const { records } = readRecordFile(data, 'status', this.#bench.database.native);
      // While it is half-installed a record has the old version, and info/ may have the files of either.
      const settled = records.filter(({ package: { state } }) => state !== 'half-installed');
      this.#versions.set(source, new Map(settled.map(({ package: p }) => [qualifiedName(p), p.version])));
    }
    return this.#versions;
  }

  /**
   * Whether another package took a file over: dpkg then takes it out of the list of the one that had it. Another's list
   * names it too, the other declares that it replaces this package, and what is left of this list does not name it.
   */
  takenBy(pkg: Package, rest: Bytes): (path: Bytes) => boolean {
    const left = new Set(parseList(rest).paths);
    const taken = this.#pathsOfReplacers(pkg);
    return (path) => !left.has(path) && taken.has(path);
  }

  /** Paths of the packages that declare to replace this one. */
  #pathsOfReplacers(pkg: Package): ReadonlySet<Bytes> {
    const replaces = new RegExp(`(?:^|[\\s,])${pkg.name.replace(/[.+]/g, '\\$&')}(?:$|[\\s,(:])`);
    const paths = new Set<Bytes>();
    for (const { package: other, text } of this.#records.all()) {
      const field = /^Replaces: (.*)$/m.exec(text)?.[1];
      if (other.name === pkg.name || field === undefined || !replaces.test(field)) continue;
      const outcome = this.#bench.database.info.read(this.#bench.database.info.stemOf(other), 'list');
      if (outcome.kind !== 'read' || parseList(outcome.data).damage !== 'none') continue;
      for (const path of parseList(outcome.data).paths) paths.add(path);
    }
    return paths;
  }
}
