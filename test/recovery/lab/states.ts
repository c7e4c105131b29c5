/**
 * A transaction interrupted at every point, a recovery, and the judge.
 *
 *   prepared root ─► overlay ─► workload, cut at K ─► what is there (before) ─► recovery ─► what is there now (after)
 *                       └────► workload, uninterrupted ─► expected                             │
 *                                        judge(expected, after), fates(before, after), dpkg --audit
 *
 * A point's name is WORKLOAD/CLASS/AT/BOOT: `upgrade/rename/17/reboot`. The classes are the system calls by which dpkg
 * changes a disk: strace(1) kills its main process at the K-th of one; `script`, a place in a maintainer script
 * (packages.ts); and `time`, everything killed at once after a share of the time that an uninterrupted run takes.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Transaction } from '../../../src/model/transaction.ts';
import { type Bytes, bytesFromText, fsPath } from '../../../src/system/bytes.ts';
import { messageOf } from '../../../src/system/errors.ts';
import { type Ended, type InRootOptions, inRoot, mustInRoot } from '../../lab/chroot.ts';
import type { DebianSuite } from '../../lab/roots.ts';
import { APT, ARCHIVES_OF_2, KEEP } from './base.ts';
import { type RootImage, readImage } from './image.ts';
import { differencesAfter } from './judge.ts';
import { type Fates, fatesOf } from './nothing-lost.ts';
import { type Overlay, overlayOver } from './overlay.ts';
import { LAB_PACKAGES, PURGE_CUTS, REMOVAL_CUTS, SCRIPT_CUTS } from './packages.ts';
import { type Base, type PreparedRoots, preparedRoots } from './prepared.ts';

export interface Workload {
  readonly name: string;
  /** Which prepared root it begins with. */
  readonly base: Base;
  readonly command: readonly string[];
  readonly scriptCuts: readonly string[];
  /** A run of apt's: what is killed is its whole process group, at times, not dpkg at a call. */
  readonly timed: boolean;
}

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'upgrade',
    base: 'installed',
    command: ['dpkg', ...KEEP, '-i', ...ARCHIVES_OF_2],
    // the diversion stands already, and is made once more
    scriptCuts: SCRIPT_CUTS,
    timed: false,
  },
  {
    name: 'install',
    base: 'bare',
    command: ['dpkg', ...KEEP, '-i', ...ARCHIVES_OF_2],
    scriptCuts: SCRIPT_CUTS,
    timed: false,
  },
  {
    name: 'remove',
    base: 'installed',
    command: ['dpkg', '-r', ...LAB_PACKAGES.toReversed()],
    scriptCuts: REMOVAL_CUTS,
    timed: false,
  },
  {
    name: 'purge',
    base: 'installed',
    command: ['dpkg', '-P', ...LAB_PACKAGES.toReversed()],
    scriptCuts: PURGE_CUTS,
    timed: false,
  },
  {
    name: 'apt-install',
    base: 'bare',
    command: [...APT, 'install', 'lab-extra'],
    scriptCuts: SCRIPT_CUTS,
    timed: true,
  },
  {
    name: 'apt-upgrade',
    base: 'installed',
    command: [...APT, 'install', '--only-upgrade', ...LAB_PACKAGES],
    scriptCuts: SCRIPT_CUTS,
    timed: true,
  },
  {
    name: 'apt-purge',
    base: 'installed',
    command: [...APT, '--purge', 'remove', 'lab-extra', 'lab-core', 'lab-lib'],
    scriptCuts: PURGE_CUTS,
    timed: true,
  },
];

/** The calls by which dpkg changes what is on a disk, and wait4, at which one of its children is at work. */
export const CALLS = [
  'rename',
  'renameat2',
  'link',
  'symlink',
  'unlink',
  'rmdir',
  'mkdir',
  'mknod',
  'fsync',
  'ftruncate',
  'fchmod',
  'fchown',
  'chmod',
  'chown',
  'lchown',
  'utimensat',
  'sync_file_range',
  'fallocate',
  'wait4',
] as const;

/** A run of apt's is killed at each of these shares of its time. */
const SHARES = 24;

export interface Point {
  readonly workload: string;
  /** A system call, `script` or `time`. */
  readonly class: string;
  /** The call's number, the place's name, or the share of the time in 24ths. */
  readonly at: string;
  /** What is known of a reboot between the cut and the recovery: none, or the kernel has another boot id. */
  readonly boot: 'same' | 'reboot';
}

export const nameOf = ({ workload, class: kind, at, boot }: Point): string =>
  [workload, kind, at, boot].join('/');

export interface Outcome {
  readonly point: string;
  /** How the workload ended: `cut`, or by itself, because it never came to that point. */
  readonly interrupted: boolean;
  /** What the cut left, as a hash (stateOf); absent where the point could not be tried. */
  readonly state?: string;
  /** The point whose cut left the very same, and whose outcome this one is: what follows is decided by the disk alone. */
  readonly as?: string;
  /** Of a recovery that was killed: the system call that never came back, as strace(1) has it. */
  readonly call?: string;
  /** Exit code of the recovery; of the playbook's last command. */
  readonly code: number | undefined;
  readonly seconds: number;
  readonly differences: readonly string[];
  readonly lost: readonly string[];
  readonly fates?: Fates['counts'];
  /** What `dpkg --audit` said, which has to be nothing. */
  readonly audit: string;
  /** The end of what the recovery said, where it failed; or why the point could not be tried. */
  readonly said?: string;
}

export const isMended = ({ code, differences, lost, audit }: Outcome): boolean =>
  code === 0 && differences.length === 0 && lost.length === 0 && audit === '';

export interface Interrupted {
  readonly workload: Pick<Workload, 'command'>;
  /** The boot id after the cut; undefined for that of before. */
  readonly boot: string | undefined;
}

/** What mends a root after a cut. */
export type Recovery = (directory: string, after: Interrupted) => Promise<Ended>;

const RECOVERY_TIMEOUT_MS = 10 * 60 * 1000;

function circumstances({ boot }: Interrupted): InRootOptions {
  return { offline: true, timeout: RECOVERY_TIMEOUT_MS, ...(boot === undefined ? {} : { boot }) };
}

export const debmendRecovery: Recovery = (directory, after) =>
  inRoot(directory, ['debmend', 'recover', '--apply', '--json'], circumstances(after));

/** What the manuals and forums say: configure what is pending, fix what is broken, and give the command again. */
export const playbook: Recovery = async (directory, after) => {
  const options = { ...circumstances(after), env: { DEBMEND_HOOKS: 'off' } };
  const configured = await inRoot(directory, ['dpkg', ...KEEP, '--configure', '-a'], options);
  const fixed = await inRoot(directory, [...APT, '-f', 'install'], options);
  const again = await inRoot(directory, after.workload.command, options);
  const said = [configured, fixed, again].map(({ stderr }) => stderr).join('');
  return { ...again, stderr: said.slice(-64 * 1024) };
};

/** Of this directory. */
const SOURCES = [
  'base.ts',
  'packages.ts',
  'states.ts',
  'kills.ts',
  'judge.ts',
  'ignored.ts',
  'nothing-lost.ts',
  'records.ts',
] as const;

interface Prepared {
  readonly directory: string;
  readonly image: RootImage;
}

interface Uninterrupted {
  readonly expected: RootImage;
  readonly milliseconds: number;
}

/** The prepared roots, and for each workload what an uninterrupted run of it ends with. */
export class StatesLab {
  readonly #roots: PreparedRoots;
  readonly #bases: Readonly<Record<Base, Prepared>>;
  readonly #uninterrupted = new Map<string, Promise<Uninterrupted>>();
  readonly #outcomes = new Map<string, Promise<Outcome>>();

  private constructor(roots: PreparedRoots, bases: Readonly<Record<Base, Prepared>>) {
    this.#roots = roots;
    this.#bases = bases;
  }

  static async open(suite: DebianSuite = 'bookworm'): Promise<StatesLab> {
    const roots = await preparedRoots(suite);
    try {
      const { bare, installed } = roots.directories;
      const read = async (directory: string) => ({ directory, image: await readImage(directory) });
      return new StatesLab(roots, { bare: await read(bare), installed: await read(installed) });
    } catch (error) {
      roots.close();
      throw error;
    }
  }

  close(): void {
    this.#roots.close();
  }

  /** A hash of what an outcome depends on: debmend as it is installed, the packages, how they are cut and judged. */
  sources(): string {
    const hash = createHash('sha256');
    for (const [path, { hash: content }] of this.#bases.installed.image.entries) {
      if (path.startsWith('/usr/lib/debmend/dist/')) hash.update(`${path} ${content}\n`);
    }
    for (const name of SOURCES) hash.update(readFileSync(join(import.meta.dirname, name)));
    return hash.digest('hex').slice(0, 16);
  }

  base(workload: Pick<Workload, 'base'>): RootImage {
    return this.#bases[workload.base].image;
  }

  overlay(workload: Workload): Overlay {
    return overlayOver(this.#bases[workload.base].directory);
  }

  /** What an uninterrupted run ends with; run once. */
  uninterrupted(workload: Workload): Promise<Uninterrupted> {
    const known = this.#uninterrupted.get(workload.name) ?? this.runToTheEnd(workload);
    this.#uninterrupted.set(workload.name, known);
    return known;
  }

  /** A run of its own each time. */
  async runToTheEnd(workload: Workload): Promise<Uninterrupted> {
    const overlay = this.overlay(workload);
    try {
      const begun = performance.now();
      await mustInRoot(overlay.directory, workload.command, { offline: true });
      const milliseconds = performance.now() - begun;
      return { expected: await readImage(overlay.directory, this.base(workload)), milliseconds };
    } finally {
      overlay.remove();
    }
  }

  /** Every point of a workload, both boots, in the order of the classes. */
  async points(workload: Workload): Promise<Point[]> {
    const points: Omit<Point, 'workload' | 'boot'>[] = [];
    if (workload.timed) {
      for (let share = 1; share <= SHARES; share += 1) points.push({ class: 'time', at: String(share) });
    } else {
      for (const [call, count] of await this.#count(workload)) {
        for (let at = 1; at <= count; at += 1) points.push({ class: call, at: String(at) });
      }
    }
    for (const at of workload.scriptCuts) points.push({ class: 'script', at });
    return points.flatMap((point) =>
      (['reboot', 'same'] as const).map((boot) => ({ workload: workload.name, ...point, boot })),
    );
  }

  async #count({ base, command }: Workload): Promise<Map<string, number>> {
    const overlay = overlayOver(this.#bases[base].directory);
    try {
      return await countCalls(overlay.directory, command, CALLS, { offline: true });
    } finally {
      overlay.remove();
    }
  }

  /** What an earlier run of the same sources found, so that no state is recovered twice. */
  remember(outcome: Outcome): void {
    if (outcome.state === undefined || outcome.as !== undefined) return;
    this.#outcomes.set(`${outcome.state} ${outcome.point.split('/').at(-1)}`, Promise.resolve(outcome));
  }

  /**
   * One point, from the cut to the verdict. What goes wrong on the way is an outcome too. A kill between two calls that
   * change nothing leaves what the one before left: such states are made, and recovered once.
   */
  async run(point: Point, recovery: Recovery): Promise<Outcome> {
    const begun = performance.now();
    const workload = workloadNamed(point.workload);
    const { expected, milliseconds } = await this.uninterrupted(workload);
    const overlay = this.overlay(workload);
    try {
      const { directory } = overlay;
      const interrupted = await interrupt(directory, workload, point, milliseconds);
      const before = await readImage(directory, this.base(workload));
      const state = stateOf(workload, before);
      const key = `${state} ${point.boot}`;
      const known = this.#outcomes.get(key);
      if (known !== undefined) {
        const twin = await known;
        const seconds = (performance.now() - begun) / 1000;
        return { ...twin, point: nameOf(point), interrupted, seconds, as: twin.point };
      }
      const outcome = this.#recover(directory, {
        point,
        begun,
        recovery,
        interrupted,
        state,
        before,
        expected,
      });
      this.#outcomes.set(key, outcome);
      return await outcome;
    } catch (error) {
      return unmade(point, begun, error);
    } finally {
      overlay.remove();
    }
  }

  async #recover(
    directory: string,
    {
      point,
      begun,
      recovery,
      interrupted,
      state,
      before,
      expected,
    }: {
      readonly point: Point;
      /** As performance.now() had it. */
      readonly begun: number;
      readonly recovery: Recovery;
      readonly interrupted: boolean;
      readonly state: string;
      readonly before: RootImage;
      readonly expected: RootImage;
    },
  ): Promise<Outcome> {
    const workload = workloadNamed(point.workload);
    try {
      const boot = point.boot === 'reboot' ? randomUUID() : undefined;
      const ended = await recovery(directory, { workload, boot });
      const audit = await inRoot(directory, ['dpkg', '--audit']);
      const after = await readImage(directory, this.base(workload));
      const differences = differencesAfter(after, { base: this.base(workload), before, expected });
      const { lost, counts } = fatesOf(before, after, { base: this.base(workload), expected });
      return {
        point: nameOf(point),
        interrupted,
        state,
        code: ended.code,
        seconds: (performance.now() - begun) / 1000,
        differences,
        lost,
        fates: counts,
        audit: audit.stdout + audit.stderr,
        ...(ended.code === 0 ? {} : { said: (ended.stdout + ended.stderr).slice(-2000) }),
      };
    } catch (error) {
      return unmade(point, begun, error);
    }
  }
}

const unmade = (point: Point, begun: number, error: unknown): Outcome => ({
  point: nameOf(point),
  interrupted: false,
  code: undefined,
  seconds: (performance.now() - begun) / 1000,
  differences: [],
  lost: [],
  audit: '',
  said: messageOf(error),
});

/** Where the times of a run stand in texts: `2026-11-26 06:54:03 status …` in dpkg's log. */
const LOGGED_TIME = /^\d{4}-\d{2}-\d{2} {1,2}\d{2}:\d{2}:\d{2}/gm;

/** A transaction's directory has the second of its beginning as its name. */
const TRANSACTION = /^(\/var\/lib\/debmend\/transactions\/)[^/]+/;

/**
 * A hash of all that a cut left on the disk but times, inode numbers, and the pages of the store's database: of that the
 * transactions' own files tell how far it had come.
 */
function stateOf({ name }: Workload, { directory, entries }: RootImage): string {
  const hash = createHash('sha256').update(name);
  const groups = new Map<string, number>();
  for (const [path, entry] of entries) {
    if (/^\/(proc|sys|dev|run)\/./.test(path)) continue;
    const { type, mode, uid, gid, target, capability, inode } = entry;
    const own = path.startsWith('/var/lib/debmend/');
    if (own && !TRANSACTION.test(path)) continue;
    const group = inode === '' ? 0 : (groups.get(inode) ?? groups.size + 1);
    if (inode !== '') groups.set(inode, group);
    const content = type === 'file' ? contentOf(directory, path, entry.hash) : '';
    const named = path.replace(TRANSACTION, '$1ID');
    hash.update(JSON.stringify([named, type, mode, uid, gid, target, capability, group, content]));
  }
  return hash.digest('hex').slice(0, 32);
}

function contentOf(directory: string, path: Bytes, hash: string): string {
  if (path.startsWith('/var/log/')) return textOf(directory, path).replaceAll(LOGGED_TIME, '');
  if (!TRANSACTION.test(path) || !path.endsWith('/intent.json')) return hash;
  const { state, seal } = JSON.parse(textOf(directory, path)) as Transaction;
  return JSON.stringify([state, seal?.complete, seal?.synced, seal?.packages, seal?.steps]);
}

const textOf = (directory: string, path: Bytes): string =>
  readFileSync(fsPath(bytesFromText(directory) + path), 'latin1');

/** @returns whether it was interrupted, and not over before @throws Error when it failed in another way */
export async function interrupt(
  directory: string,
  workload: Pick<Workload, 'command' | 'timed'>,
  point: Pick<Point, 'class' | 'at'>,
  milliseconds: number,
): Promise<boolean> {
  const ended = await inRoot(directory, workload.command, {
    offline: true,
    ...interruption(point, milliseconds),
  });
  // apt tells of the dpkg that was killed in its own words, and ends with 100
  const killed = ended.code === 137 || ended.timedOut || (workload.timed && ended.code === 100);
  if (!killed && ended.code !== 0) {
    throw new Error(`the workload failed: ${ended.code}\n${ended.stdout}${ended.stderr}`);
  }
  return killed;
}

/** How often a program makes each call itself, in an uninterrupted run. @throws Error when it fails */
export async function countCalls(
  directory: string,
  command: readonly string[],
  calls: readonly string[],
  options: InRootOptions,
): Promise<Map<string, number>> {
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-calls-'));
  try {
    const log = join(scratch, 'calls');
    // a kernel need not have them all
    const under = ['strace', '-qq', '-o', log, '-e', `trace=${calls.map((call) => `?${call}`).join(',')}`];
    await mustInRoot(directory, command, { ...options, under });
    const counts = new Map<string, number>();
    for (const [, call = ''] of readFileSync(log, 'latin1').matchAll(/^([a-z0-9_]+)\(/gm)) {
      counts.set(call, (counts.get(call) ?? 0) + 1);
    }
    return counts;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** strace(1) in front of a program: killed at a call of its own; those of its children do not count. */
export function killedAt({ class: call, at }: Pick<Point, 'class' | 'at'>, log = '/dev/null'): string[] {
  const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${at}`];
  return ['strace', '-qq', '-y', '-o', log, ...inject];
}

function interruption(point: Pick<Point, 'class' | 'at'>, milliseconds: number): InRootOptions {
  switch (point.class) {
    case 'script':
      return { env: { LAB_CUT: point.at } };
    case 'time':
      return { timeout: Math.max(1, Math.round((milliseconds * Number(point.at)) / SHARES)) };
    default:
      return { under: killedAt(point) };
  }
}

export function workloadNamed(name: string): Workload {
  const workload = WORKLOADS.find((one) => one.name === name);
  if (workload === undefined) {
    throw new Error(`no workload ${name}; there are ${WORKLOADS.map((one) => one.name).join(', ')}`);
  }
  return workload;
}
