/**
 * The power-cut lab: a case is made once, and each contestant gets a copy of what it left.
 *
 *   ground ─► crash image ─┬─► debmend ─────────────────────────────┐
 *                          ├─► debmend, cut, debmend once more ─────┼─► the timer's next run ─► judge ─► verdict
 *                          └─► the standard playbook ───────────────┘
 */
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../../../src/system/errors.ts';
import { inRoot } from '../../../lab/chroot.ts';
import type { Disk } from '../../../lab/disk.ts';
import { type RootImage, readImage } from '../image.ts';
import { compareImages, differencesAfter } from '../judge.ts';
import { fatesOf } from '../nothing-lost.ts';
import { type Case, nameOfCase } from './cases.ts';
import { attempt, type Contestant } from './contestants.ts';
import { type Crash, crash } from './crash.ts';
import { type Ground, Grounds, type GroundsOptions, WORKLOAD_TIMEOUT_MS } from './ground.ts';
import type { Result } from './results.ts';
import { copySparse } from './tools.ts';
import { debmendVerdict, type Judged, playbookVerdict } from './verdict.ts';

const MOST_LINES = 20;
const SAID_CHARACTERS = 2000;

export interface LabOptions extends GroundsOptions {
  /** Where images of cases that are not equal are kept, and how many cases at most; none without it. */
  readonly keep?: { readonly directory: string; readonly most: number };
}

export interface RunOptions {
  readonly contestants: readonly Contestant[];
  /** Overrides the case's instant, in seconds from the start. */
  readonly at?: number;
  /** Overrides the second cut's, in seconds from the start of the recovery. */
  readonly secondAt?: number;
}

export class Lab {
  readonly #options: LabOptions;
  readonly #grounds: Grounds;
  #kept = 0;
  readonly sources = hashOfSources();

  constructor(options: LabOptions) {
    this.#options = options;
    this.#grounds = new Grounds(options);
  }

  close(): void {
    this.#grounds.close();
  }

  /** Another uninterrupted run against the first: how they differ, which has to be in nothing. */
  async again({ workload, variant }: Pick<Case, 'workload' | 'variant'>): Promise<readonly string[]> {
    const ground = await this.#grounds.open(workload, variant);
    const { expected, facts } = await this.#grounds.again(ground);
    const missing = ground.facts.filter((fact) => !facts.includes(fact));
    return [...compareImages(ground.expected, expected).differences, ...missing];
  }

  /** @throws Error when the ground cannot be prepared, or the crash not be made; a contestant's failure is a result */
  async run(one: Case, { contestants, at, secondAt }: RunOptions): Promise<Result[]> {
    const ground = await this.#grounds.open(one.workload, one.variant);
    const made = await crash(one, ground, at);
    try {
      return await this.#contest(one, ground, made, contestants, secondAt);
    } finally {
      rmSync(made.image, { force: true });
    }
  }

  async #contest(
    one: Case,
    ground: Ground,
    made: Crash,
    contestants: readonly Contestant[],
    secondAt?: number,
  ): Promise<Result[]> {
    const head = {
      case: nameOfCase(one),
      at: typeof made.at === 'number' ? rounded(made.at) : made.at,
      of: rounded(ground.seconds),
      phase: made.phase,
      neighbour: made.neighbour,
      ...(made.lie === undefined ? {} : { lie: made.lie }),
      ...(made.beyond === undefined ? {} : { beyond: made.beyond }),
      sources: this.sources,
    };
    const results: Result[] = [];
    const before = made.beyond === undefined ? await ground.image(made.image) : undefined;
    let wholeSeconds = ground.seconds;
    for (const by of contestants) {
      const result =
        before !== undefined
          ? await this.#contestant(by, one, ground, { ...made, before }, wholeSeconds, secondAt)
          : { ...NOTHING, verdict: 'beyond' as const };
      if (by === 'debmend') wholeSeconds = result.seconds;
      results.push({ ...head, by, ...result });
    }
    return results;
  }

  async #contestant(
    by: Contestant,
    one: Case,
    ground: Ground,
    made: Crash & { readonly before: RootImage },
    wholeSeconds: number,
    secondAt: number | undefined,
  ): Promise<Outcome> {
    const begun = performance.now();
    let disk: Disk | undefined;
    try {
      disk = ground.disk(made.image);
      const { directory } = disk;
      const { before } = made;
      const { ended, seconds, secondCut, rescued } = await attempt(by, one, disk, wholeSeconds, secondAt);
      const { timer } = ground.workload;
      // The playbook gives the command again by itself.
      if (timer !== undefined && by !== 'playbook')
        await inRoot(directory, timer, { offline: true, timeout: WORKLOAD_TIMEOUT_MS });
      const audit = await inRoot(directory, ['dpkg', '--audit']);
      // In a copy of an image an untouched file has the inode and the times it had; after another cut all is read again.
      const after = await readImage(directory, by === 'debmend-cut' ? undefined : before);
      const judged: Judged = {
        code: ended.code,
        differences: differencesAfter(after, { base: ground.base, before, expected: ground.expected }),
        ...(one.disk === 'lying'
          ? { fromBefore: compareImages(ground.base, after).differences, base: ground.base }
          : {}),
        lost: fatesOf(undamaged(before, made.truth), after, { base: ground.base, expected: ground.expected })
          .lost,
        audit: audit.stdout + audit.stderr,
        wrong: await whatDoesNotWork(ground, directory, after),
        stdout: ended.stdout,
      };
      const { verdict, unnamed } =
        by === 'playbook' ? { verdict: playbookVerdict(judged), unnamed: [] } : debmendVerdict(judged, after);
      const isEqual = verdict === 'equal';
      if (!isEqual && by !== 'playbook') await this.#keep(nameOfCase(one), by, disk, made);
      return {
        verdict,
        begun: compareImages(ground.base, before).differences.length > 0,
        ...(secondCut === undefined ? {} : { secondCut: rounded(secondCut) }),
        ...(rescued === undefined ? {} : { rescued }),
        ...(ended.code === undefined ? {} : { code: ended.code }),
        seconds: rounded(seconds),
        differs: judged.differences.length,
        differences: judged.differences.slice(0, MOST_LINES),
        ...(unnamed.length === 0 ? {} : { unnamed: unnamed.slice(0, MOST_LINES) }),
        lost: judged.lost.slice(0, MOST_LINES),
        audit: judged.audit.slice(0, SAID_CHARACTERS),
        wrong: judged.wrong.slice(0, SAID_CHARACTERS),
        ...(isEqual ? {} : { said: (ended.stderr + summaryOf(ended.stdout)).slice(-SAID_CHARACTERS) }),
      };
    } catch (error) {
      return {
        ...NOTHING,
        verdict: 'failed',
        seconds: rounded((performance.now() - begun) / 1000),
        said: messageOf(error).slice(-SAID_CHARACTERS),
      };
    } finally {
      disk?.remove();
    }
  }

  async #keep(name: string, by: Contestant, disk: Disk, made: Crash): Promise<void> {
    const { keep, say } = this.#options;
    if (keep === undefined || this.#kept >= keep.most) return;
    this.#kept += 1;
    const directory = join(keep.directory, `${name.replaceAll('/', '-')}-${by}`);
    mkdirSync(directory, { recursive: true });
    await copySparse(made.image, join(directory, 'crash'));
    disk.sync();
    await copySparse(disk.image, join(directory, 'mended'));
    say(`kept: ${directory}/crash as it was found, ${directory}/mended as it was left`);
  }
}

type Outcome = Omit<
  Result,
  'case' | 'by' | 'at' | 'of' | 'phase' | 'neighbour' | 'lie' | 'beyond' | 'sources'
>;

const NOTHING = { begun: true, seconds: 0, differs: 0, differences: [], lost: [], audit: '', wrong: '' };

const rounded = (seconds: number): number => Math.round(seconds * 1000) / 1000;

/** Without the files that the disk itself has changed: of those nobody can lose what they were. */
function undamaged(before: RootImage, truth: RootImage | undefined): RootImage {
  if (truth === undefined) return before;
  const entries = [...before.entries].filter(([path, { type, hash, target }]) => {
    const was = truth.entries.get(path);
    return was?.type === type && was.hash === hash && was.target === target;
  });
  return { ...before, entries: new Map(entries) };
}

/** Where nothing was begun, nothing was to be installed either, and whoever left it so is right. */
async function whatDoesNotWork(ground: Ground, directory: string, after: RootImage): Promise<string> {
  const { workload, base, facts } = ground;
  if (workload.check === undefined || compareImages(base, after).differences.length === 0) return '';
  const check = await workload.check(directory);
  if (check.wrong !== '') return check.wrong;
  const has = new Set(check.facts);
  const missing = facts.filter((fact) => !has.has(fact));
  if (missing.length > 0) return `missing: ${missing.slice(0, 5).join(', ')}`;
  return check.facts.length === facts.length ? '' : 'there is more than there should be';
}

/** Of a report what its recovery says; the rest is long. */
function summaryOf(stdout: string): string {
  try {
    const { recovery } = JSON.parse(stdout) as { recovery?: unknown };
    return JSON.stringify(recovery);
  } catch {
    return stdout;
  }
}

const REPOSITORY = join(import.meta.dirname, '../../../..');

/** Of all that an outcome depends on, but the machine and the packages. */
function hashOfSources(): string {
  const hash = createHash('sha256');
  const files = globSync(['src/**/*.ts', 'bin/*', 'test/lab/*.ts', 'test/recovery/lab/**/*.ts'], {
    cwd: REPOSITORY,
  });
  for (const file of files.filter((name) => !name.endsWith('.test.ts')).sort()) {
    hash.update(`${file}\0`).update(readFileSync(join(REPOSITORY, file)));
  }
  return hash.digest('hex').slice(0, 12);
}
