/**
 * Exactly these .debs installed, exactly these packages removed, with no network and without apt's indexes: by apt,
 * which knows in what order, and by dpkg alone where apt can't (its own files are broken, or it refuses the set).
 *
 * Seen with apt 2.6 and 3.0 (test/recovery/programs/local.integration.test.ts): fresh installs with dependencies and
 * pre-dependencies among the .debs, upgrades, downgrades, the same version again (only with --reinstall, which does no
 * harm to the others), held packages, both of a multi-arch pair, removals among them, and whatever dpkg calls
 * half-installed or reinst-required, all in one run. A hold goes with it: unpacking sets the selection to `install`, so who
 * mends a held package holds it again. Not: a .deb whose very version is `unpacked` or `half-configured`
 * already. With --reinstall apt ends with `Internal Error, No file name for`, without it nothing is unpacked; dpkg
 * unpacks those before, and apt configures them.
 */

import { openAdmindir } from '../../dpkg/admindir.ts';
import { type ControlArchive, readControlArchive } from '../../dpkg/control-archive.ts';
import { DEFAULT_ADMINDIR } from '../../dpkg/database.ts';
import { type Records, readRecords } from '../../dpkg/records.ts';
import { type Bytes, bytesFromText } from '../../system/bytes.ts';
import { parseSimulation, WITHOUT_INDEXES } from './apt.ts';
import type { PackageResult, ProgramProblem, Programs } from './runner.ts';

export interface LocalInstallation {
  /**
   * .debs, as absolute paths of this host without links. They have to be verified before (I6): here nobody does, and
   * apt has no index to hold them against.
   */
  readonly archives: readonly string[];
  /** Packages, `name` or `name:arch`. */
  readonly remove?: readonly string[];
  readonly purge?: readonly string[];
}

/** Of several runs: all that they wrote, and how the last one ended. */
export interface LocalResult extends PackageResult {
  readonly runs: readonly PackageResult[];
}

/**
 * By apt; by dpkg where apt refuses or does not work. Not where dpkg, run by apt, had its say already: the same .debs
 * would fail again.
 *
 * @throws DebmendError `archive-unreadable` for a .deb that is none, and `locked` as Programs.dpkg
 */
export async function installLocal(
  programs: Programs,
  installation: LocalInstallation,
): Promise<LocalResult> {
  const byApt = await aptLocal(programs, installation);
  const { interrupted, timedOut, problems, failure } = byApt;
  const done = problems.length === 0 && failure === undefined && byApt.code === 0;
  const byDpkg = problems.some(
    (problem) => problem.by === 'dpkg' || /^Sub-process \S*dpkg/.test(problem.message),
  );
  if (done || interrupted || timedOut || byDpkg) return byApt;
  const { runs, ...result } = await dpkgLocal(programs, installation);
  return { ...result, runs: [...byApt.runs, ...runs] };
}

/**
 * Installs and removes by apt.
 *
 * @throws DebmendError `archive-unreadable` for a .deb that is none, and `locked` as Programs.dpkg
 */
export async function aptLocal(programs: Programs, installation: LocalInstallation): Promise<LocalResult> {
  const { archives, remove = [], purge = [] } = installation;
  const runs: PackageResult[] = [];
  const ended = (): boolean => runs.at(-1)?.failure !== undefined;

  const before = recordsOf(programs);
  const contents = await readAll(archives);
  const [again, rest] = split(contents, (archive) => isUnconfigured(before, archive.control));
  let later: readonly string[] = [];
  if (again.length > 0) {
    const files = again.map(({ file }) => file);
    const first = await programs.dpkg(['--unpack', ...files.map((file) => programs.inside(file))], files);
    later = refusedIn(programs, files, first);
    // What it refused comes once more, when apt has met its pre-dependencies: no problem yet.
    const problems = first.problems.filter(({ archive }) => archive === undefined);
    runs.push({ ...first, problems });
    if (ended()) return together(runs);
  }

  const installed = rest.map(({ file }) => programs.inside(file));
  const gone = [...remove, ...purge].map((name) => `${name}-`);
  const args = [
    ...WITHOUT_INDEXES,
    '--reinstall',
    // Who asks for no removal gets none: rather than that, apt refuses.
    ...(gone.length === 0 ? ['--no-remove'] : []),
    // apt purges all that it removes in a run, or nothing of it.
    ...(remove.length === 0 && purge.length > 0 ? ['--purge'] : []),
    ...['install', ...installed, ...gone],
  ];
  const visible = rest.map(({ file }) => file);
  if (gone.length > 0) {
    const simulation = await programs.aptGet(['--simulate', ...args], { visible });
    const wanted = new Set([...remove, ...purge].map((name) => asAptNames(name, before.native)));
    const others = parseSimulation(simulation.stdout).removed.filter(
      (name) => !wanted.has(name) && !wanted.has(name.split(':', 1)[0] ?? name),
    );
    const problems: ProgramProblem[] = others.map((name) => ({
      by: 'apt',
      package: name,
      message: 'apt would remove it too, and nobody asked for that',
    }));
    if (problems.length > 0) return together([...runs, { ...simulation, problems }]);
  }
  runs.push(await programs.aptGet(args, { visible }));
  if (remove.length > 0 && purge.length > 0 && !ended()) {
    runs.push(await programs.dpkg(['--purge', ...purge]));
  }
  if (later.length === 0 || ended()) return together(runs);
  const last = await dpkgLocal(programs, { archives: later });
  return together([...runs, last]);
}

/**
 * The same by dpkg alone. It unpacks what it can and configures what it can until all is unpacked or nothing moves: so
 * pre-dependencies are met in whatever order the .debs are given.
 *
 * @throws DebmendError as `aptLocal`
 */
export async function dpkgLocal(programs: Programs, installation: LocalInstallation): Promise<LocalResult> {
  const { archives, remove = [], purge = [] } = installation;
  const runs: PackageResult[] = [];
  const run = async (args: readonly string[], files: readonly string[] = []): Promise<PackageResult> => {
    const done = await programs.dpkg([...args, ...files.map((file) => programs.inside(file))], files);
    runs.push(done);
    return done;
  };
  const failed: ProgramProblem[] = [];
  if (remove.length > 0) failed.push(...(await run(['--remove', ...remove])).problems);
  if (purge.length > 0) failed.push(...(await run(['--purge', ...purge])).problems);
  let left = [...archives];
  while (left.length > 0) {
    const { problems, failure } = await run(['--unpack'], left);
    if (failure !== undefined) return together(runs);
    const still = refusedIn(programs, left, runs.at(-1));
    // A problem that names no archive stopped the run itself; the next would end the same.
    const stuck = still.length === left.length || (still.length === 0 && problems.length > 0);
    if (stuck || still.length === 0) {
      failed.push(...problems);
      break;
    }
    await run(['--configure', '--pending']);
    left = still;
  }
  const last = await run(['--configure', '--pending']);
  return { ...together(runs), problems: [...failed, ...last.problems] };
}

/** The .debs that a run of dpkg did not unpack, as paths of this host. */
function refusedIn(programs: Programs, files: readonly string[], run: PackageResult | undefined): string[] {
  const refused = new Set(run?.problems.flatMap(({ archive }) => (archive === undefined ? [] : [archive])));
  return files.filter((file) => refused.has(bytesFromText(programs.inside(file))));
}

function together(runs: readonly PackageResult[]): LocalResult {
  const last = runs.at(-1);
  if (last === undefined) throw new Error('no program was run');
  const all = (field: 'stdout' | 'stderr'): Bytes => runs.map((run) => run[field]).join('');
  const problems = runs.flatMap((run) => run.problems);
  return { ...last, stdout: all('stdout'), stderr: all('stderr'), problems, runs };
}

interface Archive {
  readonly file: string;
  readonly control: ControlArchive;
}

/** One after the other: dpkg-deb takes a few milliseconds, and most are read without it. */
async function readAll(files: readonly string[]): Promise<Archive[]> {
  const archives: Archive[] = [];
  for (const file of files) archives.push({ file, control: await readControlArchive(file) });
  return archives;
}

function recordsOf({ root }: Programs): Records {
  root.forget();
  return readRecords(openAdmindir(root, DEFAULT_ADMINDIR), []);
}

function isUnconfigured(
  { packages }: Records,
  { package: name, architecture, version }: ControlArchive,
): boolean {
  return [...packages.values()].some(
    (record) =>
      record.name === name &&
      record.architecture === architecture &&
      record.version === version &&
      record.flag === 'ok' &&
      (record.state === 'unpacked' || record.state === 'half-configured'),
  );
}

function split<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

/** A package as apt's simulation names it: without the root's own architecture. */
function asAptNames(name: Bytes, native: Bytes): Bytes {
  const [bare = name, architecture] = name.split(':', 2);
  return architecture === native || architecture === 'all' ? bare : name;
}
