/**
 * debmend beside its peers on this machine's own files: `npm run build && npm run bench`.
 *
 * Each round runs every contender once, one after the other, so that what else the machine does hits all of them; a
 * ratio is taken within a round, and the median of the ratios is what counts. Nothing is written but what --write asks
 * for.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { mountOf, readMounts } from '../src/system/mounts.ts';
import { toolVersion } from '../src/system/tool.ts';

const HOME = join(import.meta.dirname, '..');
const DIST = join(HOME, 'dist/cli/main.js');
const LAUNCHER = join(HOME, 'bin/debmend');
/** The package as it is shipped, without the sources, so that its launcher starts what was compiled. */
const PACKAGE = join(tmpdir(), `debmend-bench-package-${process.pid}`);
const SHIPPED = join(PACKAGE, 'bin/debmend');
/** GNU time: a small process of its own, whose child's ru_maxrss (getrusage(2)) is the peak of all its threads. */
const TIME = '/usr/bin/time';
const DROP_CACHES = '/proc/sys/vm/drop_caches';
const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

const USAGE = `usage: npm run bench -- [options]

  --rounds N        warm rounds (default 5; 0: none)
  --cold-rounds N   rounds with dropped caches, which need root (default 3; 0: none)
  --starts N        starts of --version (default 20; 0: none)
  --only NAMES      these contenders alone, by comma: dist, source, dpkg, debsums
  --write FILE      put the result between the markers of this file (docs/benchmarks.md)`;

interface Contender {
  readonly name: string;
  /** As it stands in the table. */
  readonly label: string;
  readonly argv: readonly [string, ...string[]];
  /** Exit codes of a run that went to its end. */
  readonly codes: readonly number[];
}

const AUDIT = ['audit', '--fail-on', 'never', '--json'];
const CONTENDERS: readonly Contender[] = [
  {
    name: 'dist',
    label: '`debmend audit`',
    argv: [SHIPPED, ...AUDIT],
    codes: [0],
  },
  { name: 'source', label: '`debmend audit`, from source', argv: [LAUNCHER, ...AUDIT], codes: [0] },
  // Both say by 1 or 2 that something differs.
  { name: 'dpkg', label: '`dpkg --verify`', argv: ['dpkg', '--verify'], codes: [0, 1] },
  { name: 'debsums', label: '`debsums -s`', argv: ['debsums', '-s'], codes: [0, 1, 2] },
];

/** One run of one contender. */
interface Sample {
  readonly seconds: number;
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

type Samples = ReadonlyMap<Contender, readonly Sample[]>;

class BenchError extends Error {}

function main(): number {
  const options = readOptions();
  if (options === undefined) return 2;
  const { contenders, write } = options;
  if (!existsSync(TIME)) throw new BenchError(`no ${TIME}; hint: apt-get install time`);
  if (isStale()) throw new BenchError('dist is missing or older than src; hint: npm run build');
  // Found out before an hour of measuring, not after it.
  const page = write === undefined ? undefined : readPage(write);

  const scratch = mkdtempSync(join(tmpdir(), 'debmend-bench-'));
  try {
    layOutPackage();
    const before = loadavg()[0] ?? 0;
    const counts = countFiles(scratch);
    say('warming up');
    if (options.rounds > 0) for (const contender of contenders) measure(contender, scratch);
    const warm = rounds('warm', options.rounds, contenders, scratch, () => {});
    const cold = coldRounds(options.coldRounds, contenders, scratch);
    const starts = startUps(options.starts);
    const result = [
      ...describe(before, counts, options),
      '',
      ...table(contenders, warm, cold),
      ...(starts.length === 0 ? [] : ['', ...starts]),
    ].join('\n');
    process.stdout.write(`${result}\n`);
    if (write !== undefined && page !== undefined) {
      writeFileSync(write, `${page.head}${BEGIN}\n${result}\n${END}${page.tail}`);
    }
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    rmSync(PACKAGE, { recursive: true, force: true });
  }
}

function layOutPackage(): void {
  mkdirSync(join(PACKAGE, 'bin'), { recursive: true });
  copyFileSync(LAUNCHER, SHIPPED);
  for (const name of ['dist', 'node_modules', 'package.json'])
    symlinkSync(join(HOME, name), join(PACKAGE, name));
}

/** Whether what would be measured is not what the sources say. */
function isStale(): boolean {
  const built = statSync(DIST, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return globSync('src/**/*.ts', { cwd: HOME }).some((file) => statSync(join(HOME, file)).mtimeMs > built);
}

interface Options {
  readonly rounds: number;
  readonly coldRounds: number;
  readonly starts: number;
  readonly contenders: readonly Contender[];
  readonly write: string | undefined;
}

function readOptions(): Options | undefined {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      options: { rounds: text, 'cold-rounds': text, starts: text, only: text, write: text },
    });
    const number = (value: string | undefined, otherwise: number): number => {
      if (value !== undefined && !/^\d+$/.test(value)) throw new BenchError(`${value} is no count`);
      return value === undefined ? otherwise : Number(value);
    };
    const names = values.only?.split(',') ?? CONTENDERS.map(({ name }) => name);
    const contenders = names.map((name) => {
      const found = CONTENDERS.find((contender) => contender.name === name);
      if (found === undefined) throw new BenchError(`there is no contender ${name}`);
      return found;
    });
    return {
      rounds: number(values.rounds, 5),
      coldRounds: number(values['cold-rounds'], 3),
      starts: number(values.starts, 20),
      contenders,
      write: values.write,
    };
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n${USAGE}\n`);
    return undefined;
  }
}

function readPage(file: string): { head: string; tail: string } {
  if (!existsSync(file)) throw new BenchError(`there is no ${file}`);
  const text = readFileSync(file, 'utf8');
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new BenchError(`${file} has no ${BEGIN} and ${END} to write between`);
  return { head: text.slice(0, from), tail: text.slice(to + END.length) };
}

function rounds(
  what: string,
  count: number,
  contenders: readonly Contender[],
  scratch: string,
  prepare: () => void,
): Samples {
  const samples = new Map<Contender, Sample[]>(contenders.map((contender) => [contender, []]));
  for (let round = 1; round <= count; round += 1) {
    for (const contender of contenders) {
      prepare();
      const sample = measure(contender, scratch);
      samples.get(contender)?.push(sample);
      say(`${what} ${round} of ${count}: ${contender.name} ${sample.seconds.toFixed(2)} s`);
    }
  }
  return samples;
}

function coldRounds(count: number, contenders: readonly Contender[], scratch: string): Samples {
  if (count > 0 && process.geteuid?.() !== 0) {
    say('cold rounds are left out: only root can drop the caches');
    return rounds('cold', 0, contenders, scratch, () => {});
  }
  return rounds('cold', count, contenders, scratch, () => {
    // Only clean pages are dropped, so the dirty ones have to be written first.
    spawnSync('sync');
    writeFileSync(DROP_CACHES, '3');
  });
}

/** One run to its end, its output thrown away. */
function measure(contender: Contender, scratch: string): Sample {
  const { name, argv, codes } = contender;
  const figures = join(scratch, 'time');
  const started = performance.now();
  const run = spawnSync(TIME, ['-q', '-f', '%M %U %S', '-o', figures, ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 64 * 1024 * 1024, // debsums names every file that differs on standard error
  });
  const seconds = (performance.now() - started) / 1000;
  if (run.status === null || !codes.includes(run.status)) {
    throw new BenchError(`${name} ended with ${run.status ?? run.signal}: ${run.stderr.slice(-2000)}`);
  }
  const [peak = Number.NaN, user = Number.NaN, system = Number.NaN] = readFileSync(figures, 'latin1')
    .trim()
    .split(' ')
    .map(Number);
  return { seconds, cpuSeconds: user + system, peakBytes: peak * 1024 };
}

interface Counts {
  readonly packages: number;
  readonly paths: number;
  readonly hashes: number;
  readonly bytes: number;
}

/** What there is to check, in debmend's own words; the run is not measured. */
function countFiles(scratch: string): Counts {
  const file = join(scratch, 'report.json');
  const out = openSync(file, 'w');
  const run = spawnSync(SHIPPED, AUDIT, { stdio: ['ignore', out, 'inherit'] });
  closeSync(out);
  if (run.status !== 0) throw new BenchError(`debmend audit ended with ${run.status ?? run.signal}`);
  const { summary } = JSON.parse(readFileSync(file, 'utf8')) as {
    summary: { packages: number; files: number; bytesRead: number };
  };
  let hashes = 0;
  for (const list of globSync('/var/lib/dpkg/info/*.md5sums')) {
    hashes += readFileSync(list, 'latin1').split('\n').length - 1;
  }
  return { packages: summary.packages, paths: summary.files, hashes, bytes: summary.bytesRead };
}

function describe(load: number, counts: Counts, options: Options): string[] {
  const processor = cpus()[0]?.model.trim() ?? 'unknown';
  const ask = (program: string, ...args: string[]): string =>
    spawnSync(program, args, { encoding: 'utf8', cwd: HOME }).stdout?.trim() ?? '';
  const commit = ask('git', 'describe', '--always', '--dirty', '--exclude', '*');
  const version = (name: string) =>
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is dpkg-query's own format
    `${name} ${ask('dpkg-query', '-W', '-f', '${Version}', name) || '(not installed)'}`;
  return [
    `Measured on ${new Date().toISOString().slice(0, 10)} with \`${command(options)}\`.`,
    '',
    `- Machine: ${processor}, ${availableParallelism()} processors, ${gigabytes(totalmem())} of memory, Linux ${release()}, ${disk('/usr')}; load before: ${load.toFixed(2)}`,
    `- Versions: debmend ${toolVersion()}${commit === '' ? '' : ` (${commit})`}, Node.js ${process.versions.node}, ${version('dpkg')}, ${version('debsums')}`,
    `- Files: ${counts.packages} packages, ${thousands(counts.paths)} paths, ${thousands(counts.hashes)} hashes in .md5sums, ${gigabytes(counts.bytes)} of content read`,
  ];
}

function command(options: Options): string {
  const { only, rounds, coldRounds, starts } = {
    ...options,
    only: options.contenders.map(({ name }) => name).join(','),
  };
  const all = CONTENDERS.map(({ name }) => name).join(',');
  return [
    'npm run bench --',
    ...(rounds === 5 ? [] : [`--rounds ${rounds}`]),
    ...(coldRounds === 3 ? [] : [`--cold-rounds ${coldRounds}`]),
    ...(starts === 20 ? [] : [`--starts ${starts}`]),
    ...(only === all ? [] : [`--only ${only}`]),
  ]
    .join(' ')
    .replace(/ --$/, '');
}

/** File system, device and kind of disk behind a path. */
function disk(path: string): string {
  const mount = mountOf(readMounts(), realpathSync(path));
  if (mount === undefined) return 'an unknown disk';
  try {
    const device = basename(realpathSync(mount.source));
    const link = realpathSync(`/sys/class/block/${device}`);
    const whole = existsSync(join(link, 'partition')) ? join(link, '..') : link;
    const fact = (name: string): string => {
      const file = join(whole, name);
      return existsSync(file) ? readFileSync(file, 'latin1').trim() : '';
    };
    const kind = fact('queue/rotational') === '1' ? 'reported as rotating' : 'reported as not rotating';
    const model = fact('device/model');
    return `${mount.type} on ${basename(whole)} (${model === '' ? '' : `${model}, `}${kind})`;
  } catch {
    return `${mount.type} on ${mount.source}`; // an overlay, a network: no block device
  }
}

function table(contenders: readonly Contender[], warm: Samples, cold: Samples): string[] {
  const base = contenders[0];
  const rows = contenders.map((contender) => [
    contender.label,
    ...times(contender, base, warm),
    ...times(contender, base, cold),
    ...totals(warm.get(contender)?.length ? (warm.get(contender) ?? []) : (cold.get(contender) ?? [])),
  ]);
  const titles = ['', 'warm', 'range', 'ratio', 'cold', 'range', 'ratio', 'processor time', 'peak memory'];
  return [titles, titles.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map(
    (row) => `| ${row.join(' | ')} |`,
  );
}

/** Median, range, and the median of the ratios to the first contender within each round. */
function times(contender: Contender, base: Contender | undefined, all: Samples): string[] {
  const own = (all.get(contender) ?? []).map(({ seconds }) => seconds);
  const others = (base === undefined ? [] : (all.get(base) ?? [])).map(({ seconds }) => seconds);
  if (own.length === 0) return ['–', '–', '–'];
  const ratios = own.map((seconds, round) => seconds / (others[round] ?? Number.NaN));
  return [
    `${median(own).toFixed(2)} s`,
    `${Math.min(...own).toFixed(2)} to ${Math.max(...own).toFixed(2)} s`,
    contender === base ? '1' : median(ratios).toFixed(2),
  ];
}

function totals(samples: readonly Sample[]): string[] {
  if (samples.length === 0) return ['–', '–'];
  return [
    `${median(samples.map(({ cpuSeconds }) => cpuSeconds)).toFixed(2)} s`,
    // The worst round, not the middle one: memory is a limit.
    `${Math.round(Math.max(...samples.map(({ peakBytes }) => peakBytes)) / 1e6)} MB`,
  ];
}

/** What `--version` takes, beside a program that does nothing on the same runtime. */
function startUps(count: number): string[] {
  if (count === 0) return [];
  const programs: readonly { label: string; argv: readonly [string, ...string[]] }[] = [
    { label: '`debmend --version`', argv: [SHIPPED, '--version'] },
    { label: '`debmend --version`, from source', argv: [LAUNCHER, '--version'] },
    { label: 'Node.js, an empty program', argv: [process.execPath, '--input-type=module', '--eval', ''] },
  ];
  const times = programs.map((): number[] => []);
  // The first round fills the caches, Node's own for compiled code among them.
  for (let round = 0; round <= count; round += 1) {
    for (const [i, { argv }] of programs.entries()) {
      const [program, ...args] = argv;
      const started = performance.now();
      const run = spawnSync(program, args, { stdio: 'ignore' });
      if (run.status !== 0) throw new BenchError(`${argv.join(' ')} ended with ${run.status ?? run.signal}`);
      if (round > 0) times[i]?.push(performance.now() - started);
    }
  }
  return [
    `| start-up, median of ${count} | | range |`,
    '| --- | ---: | ---: |',
    ...programs.map(({ label }, i) => {
      const own = times[i] ?? [];
      const range = `${Math.min(...own).toFixed(0)} to ${Math.max(...own).toFixed(0)} ms`;
      return `| ${label} | ${median(own).toFixed(0)} ms | ${range} |`;
    }),
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  return sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
const thousands = (count: number): string => count.toLocaleString('en-US');

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof BenchError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
