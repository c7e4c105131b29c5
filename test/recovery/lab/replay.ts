/**
 * The incident that debmend was made for, once more: MySQL being installed, the power cut, the power back, a recovery.
 *
 *   prepared image ─► copy, mounted ─► apt-get install ─► cut at an instant ─► mounted again, another boot, no network
 *         └─► copy ─► the same to its end: expected                               │
 *                            judge, fates, dpkg --audit, MariaDB answers ◄─ recovery
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../src/system/errors.ts';

import { denyServices, inRoot, installDebmend, mustInRoot } from '../../lab/chroot.ts';
import { type Disk, type DiskType, throwawayDisk } from '../../lab/disk.ts';
import { cacheDirectory, type DebianSuite, workDirectory } from '../../lab/roots.ts';
import { type RootImage, readImage } from './image.ts';
import { compareImages, differencesAfter } from './judge.ts';
import { fatesOf } from './nothing-lost.ts';
import { isMended, type Outcome, type Recovery, type Workload } from './states.ts';

export interface ReplayOptions {
  readonly suite: DebianSuite;
  readonly type: DiskType;
  readonly say: (line: string) => void;
  /** Copies of the images of failing cases stay, and their paths are said. */
  readonly keep: boolean;
}

/** An instant, in seconds from the start of the installation, and what mends the root after it. */
export interface Cut {
  readonly at: number;
  readonly recoveries: Readonly<Record<string, Recovery>>;
}

export interface ReplayOutcome extends Outcome {
  /** The name of the recovery. */
  readonly by: string;
  readonly at: number;
  /** The last thing in dpkg's log when the power went. */
  readonly phase: string;
  /** What is wrong with MariaDB; empty when it answers and its tables are sound. */
  readonly mariadb: string;
}

export const isReplayed = (outcome: ReplayOutcome): boolean => isMended(outcome) && outcome.mariadb === '';

const PACKAGE = 'default-mysql-server';
const COMMAND = ['apt-get', '-y', '--no-download', 'install', PACKAGE];
const WORKLOAD: Workload = { name: 'mysql', base: 'bare', command: COMMAND, scriptCuts: [], timed: true };
/** Where a cut may lie: from here after the start, until there after the end. */
const FROM_SECONDS = 1;
const AFTER_SECONDS = 7;
const INSTALL_TIMEOUT_MS = 10 * 60 * 1000;
const NEEDED = ['libatomic1'];

/** A power cut's file system is read whole, so its image has no lower one (I10). */
export class Replay {
  readonly #options: ReplayOptions;
  readonly #scratch: string;
  readonly #prepared: string;
  readonly #base: RootImage;
  readonly #expected: RootImage;
  readonly #tables: string;
  /** How long an uninterrupted installation takes. */
  readonly seconds: number;

  private constructor(
    options: ReplayOptions,
    scratch: string,
    made: { prepared: string; base: RootImage; expected: RootImage; tables: string; seconds: number },
  ) {
    this.#options = options;
    this.#scratch = scratch;
    this.#prepared = made.prepared;
    this.#base = made.base;
    this.#expected = made.expected;
    this.#tables = made.tables;
    this.seconds = made.seconds;
  }

  /** Prepares the image, and installs once to the end. @throws Error when MariaDB does not even answer then */
  static async open(options: ReplayOptions): Promise<Replay> {
    const scratch = mkdtempSync(join(workDirectory(), 'debmend-replay-'));
    try {
      const prepared = join(scratch, 'prepared');
      const base = await prepare(options, prepared);
      options.say('prepared; an uninterrupted installation comes first');
      const { image: expected, tables, seconds } = await uninterrupted(options, prepared);
      options.say(`uninterrupted: ${seconds.toFixed(1)} s, ${tables.split('\n').length} tables`);
      return new Replay(options, scratch, { prepared, base, expected, tables, seconds });
    } catch (error) {
      rmSync(scratch, { recursive: true });
      throw error;
    }
  }

  close(): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  /** Instants spread over the whole run, one in each share of it, the same for the same seed. */
  instants(count: number, seed: number): number[] {
    const random = generator(seed);
    const span = this.seconds + AFTER_SECONDS - FROM_SECONDS;
    return Array.from({ length: count }, (_, at) => FROM_SECONDS + (span * (at + random())) / count);
  }

  /** Another uninterrupted installation against the first: what the judge says has to be nothing. */
  async again(): Promise<readonly string[]> {
    const { image } = await uninterrupted(this.#options, this.#prepared);
    return compareImages(this.#expected, image).differences;
  }

  /** One cut, and each recovery on a copy of what it left. */
  async cut({ at, recoveries }: Cut): Promise<ReplayOutcome[]> {
    const image = join(this.#scratch, 'cut');
    const phase = await this.#leaveBehind(at, image);
    const outcomes: ReplayOutcome[] = [];
    for (const [by, recovery] of Object.entries(recoveries)) {
      outcomes.push(await this.#mend(at, phase, image, by, recovery));
    }
    rmSync(image);
    return outcomes;
  }

  /** @returns the last line of dpkg's log before the cut */
  async #leaveBehind(at: number, image: string): Promise<string> {
    const disk = this.#disk(this.#prepared);
    try {
      const installing = inRoot(disk.directory, COMMAND, { offline: true, timeout: INSTALL_TIMEOUT_MS });
      await sleep(at * 1000);
      const phase = lastLogLine(disk.directory);
      disk.cut();
      await installing;
      copySparse(disk.image, image);
      return phase;
    } finally {
      disk.remove();
    }
  }

  async #mend(
    at: number,
    phase: string,
    image: string,
    by: string,
    recovery: Recovery,
  ): Promise<ReplayOutcome> {
    const disk = this.#disk(image);
    const begun = performance.now();
    const head = { point: `${at.toFixed(2)} s`, interrupted: true, by, at, phase };
    let outcome: ReplayOutcome;
    try {
      const { directory } = disk;
      const before = await readImage(directory);
      const ended = await recovery(directory, { workload: WORKLOAD, boot: randomUUID() });
      const seconds = (performance.now() - begun) / 1000;
      const audit = await inRoot(directory, ['dpkg', '--audit']);
      const after = await readImage(directory);
      const { lost, counts } = fatesOf(before, after, { base: this.#base, expected: this.#expected });
      outcome = {
        ...head,
        code: ended.code,
        seconds,
        differences: differencesAfter(after, { base: this.#base, before, expected: this.#expected }),
        lost,
        fates: counts,
        audit: audit.stdout + audit.stderr,
        mariadb: existsSync(join(directory, 'usr/sbin/mariadbd'))
          ? await whatIsWrongWithMariadb(directory, this.#tables)
          : whyNoServer(compareImages(this.#base, before).differences.length > 0),
        ...(ended.code === 0 ? {} : { said: (ended.stdout + ended.stderr).slice(-2000) }),
      };
    } catch (error) {
      const seconds = (performance.now() - begun) / 1000;
      outcome = {
        ...head,
        code: undefined,
        seconds,
        differences: [],
        lost: [],
        audit: '',
        mariadb: '',
        said: messageOf(error),
      };
    }
    if (this.#options.keep && !isReplayed(outcome)) this.#keep(disk, image, by, at);
    disk.remove();
    return outcome;
  }

  #keep(disk: Disk, image: string, by: string, at: number): void {
    const kept = mkdtempSync(join(workDirectory(), `debmend-replay-kept-${by}-${at.toFixed(2)}-`));
    disk.sync();
    copySparse(disk.image, join(kept, 'mended'));
    copySparse(image, join(kept, 'cut'));
    this.#options.say(`kept: ${kept}/cut as the power left it, ${kept}/mended after ${by}`);
  }

  #disk(copyOf: string): Disk {
    return throwawayDisk({ type: this.#options.type, copyOf });
  }
}

/** A root with debmend, its hooks, and every .deb of the installation in apt's cache; as an image that was synced. */
async function prepare({ suite, type }: ReplayOptions, image: string): Promise<RootImage> {
  const disk = throwawayDisk({ type });
  const { directory } = disk;
  try {
    await disk.fill(suite, { include: NEEDED });
    denyServices(directory);
    await installDebmend(directory);
    await downloadArchives(directory, suite);
    await mustInRoot(directory, ['debmend', 'hooks', 'install']);
    await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
    const base = await readImage(directory);
    disk.sync();
    disk.cut(); // unmounts it; everything is synced
    copySparse(disk.image, image);
    return base;
  } finally {
    disk.remove();
  }
}

/** From the test cache where they are, and into it: apt downloads what is missing or of another version. */
async function downloadArchives(directory: string, suite: DebianSuite): Promise<void> {
  const cache = join(cacheDirectory(), `replay-archives-${suite}`);
  const archives = join(directory, 'var/cache/apt/archives');
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) {
    if (name.endsWith('.deb')) copyFileSync(join(cache, name), join(archives, name));
  }
  await mustInRoot(directory, ['apt-get', '-y', '--download-only', 'install', PACKAGE], {
    timeout: INSTALL_TIMEOUT_MS,
  });
  await mustInRoot(directory, ['apt-get', '-y', 'autoclean']); // older versions
  for (const name of readdirSync(archives).filter((entry) => entry.endsWith('.deb'))) {
    if (existsSync(join(cache, name))) continue;
    const part = join(cache, `${name}.part-${process.pid}`);
    copyFileSync(join(archives, name), part);
    renameSync(part, join(cache, name));
  }
}

async function uninterrupted(
  { type }: ReplayOptions,
  prepared: string,
): Promise<{ image: RootImage; tables: string; seconds: number }> {
  const disk = throwawayDisk({ type, copyOf: prepared });
  try {
    const begun = performance.now();
    await mustInRoot(disk.directory, COMMAND, { offline: true, timeout: INSTALL_TIMEOUT_MS });
    const seconds = (performance.now() - begun) / 1000;
    const image = await readImage(disk.directory);
    const checked = await checkMariadb(disk.directory);
    if (checked.wrong !== '') throw new Error(`MariaDB does not even work uninterrupted: ${checked.wrong}`);
    return { image, tables: checked.tables, seconds };
  } finally {
    disk.remove();
  }
}

function lastLogLine(directory: string): string {
  const log = join(directory, 'var/log/dpkg.log');
  const line = existsSync(log) ? (readFileSync(log, 'latin1').trimEnd().split('\n').at(-1) ?? '') : '';
  return line.split(' ').slice(2, 5).join(' ');
}

/** Starts the server as its unit does, with a socket alone, asks it, checks all of its own tables, and ends it. */
const CHECK = `
install -d -o mysql -g mysql -m 0755 /run/mysqld
mariadbd --user=mysql --skip-networking --socket=/run/mysqld/lab.sock --pid-file=/run/mysqld/lab.pid > /tmp/mariadbd.log 2>&1 &
server=$!
tries=0
until mariadb --socket=/run/mysqld/lab.sock --skip-column-names -e 'SELECT 1' > /tmp/answer 2> /tmp/refusal; do
  tries=$((tries + 1))
  if [ $tries -gt 240 ] || ! kill -0 $server 2> /dev/null; then
    cat /tmp/refusal; tail -n 15 /tmp/mariadbd.log
    exit 1
  fi
  sleep 0.5
done
echo "answer $(cat /tmp/answer)"
mariadb-check --socket=/run/mysqld/lab.sock --check --databases mysql || exit 1
kill $server
wait $server
`;

async function checkMariadb(directory: string): Promise<{ tables: string; wrong: string }> {
  const { code, stdout, stderr } = await inRoot(directory, ['sh', '-c', CHECK], { offline: true });
  const [answer = '', ...lines] = stdout.trimEnd().split('\n');
  if (code !== 0 || answer !== 'answer 1')
    return { tables: '', wrong: `${stdout}${stderr}`.trim() || `${code}` };
  // A table a line, its name and OK; of a table that is not, or has something to say, lines of their own.
  const sound = lines.flatMap((line) => /^(mysql\.\S+) +OK$/.exec(line)?.[1] ?? []);
  const others = lines.filter((line) => !/^mysql\.\S+ +OK$/.test(line));
  return { tables: sound.sort().join('\n'), wrong: others.join('\n') };
}

/** A cut before anything was changed leaves no server behind, and need not. */
const whyNoServer = (begun: boolean): string => (begun ? 'there is no server' : '');

async function whatIsWrongWithMariadb(directory: string, expected: string): Promise<string> {
  const { tables, wrong } = await checkMariadb(directory);
  if (wrong !== '' || tables === expected) return wrong;
  const found = new Set(tables.split('\n'));
  const missing = expected.split('\n').filter((table) => !found.has(table));
  return missing.length > 0 ? `no table ${missing.join(', ')}` : 'more tables than expected';
}

function copySparse(from: string, to: string): void {
  must('cp', '--sparse=always', '--reflink=auto', '--', from, to);
}

function must(program: string, ...args: string[]): void {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${result.error ?? result.status}\n${result.stderr}`);
  }
}

/** mulberry32: a small generator is enough for instants, and the same seed has to give the same ones. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
