/**
 * I4 for a whole recovery: debmend itself killed at its K-th write, rename, link, unlink or fsync, and run again.
 *
 *   upgrade, cut in a script ─► overlay ─► recovery, killed at K ─► recovery ─► what is there now
 *                                  └────► recovery, uninterrupted ─► the calls it makes
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../../src/system/errors.ts';
import { inRoot } from '../../lab/chroot.ts';
import { readImage } from './image.ts';
import { differencesAfter } from './judge.ts';
import { fatesOf } from './nothing-lost.ts';
import type { Overlay } from './overlay.ts';
import {
  countCalls,
  debmendRecovery,
  interrupt,
  killedAt,
  type Outcome,
  type Point,
  StatesLab,
  workloadNamed,
} from './states.ts';

/** The calls by which debmend and its store's SQLite change what is on a disk. */
export const KILL_CALLS = [
  'write',
  'pwrite64',
  'pwritev',
  'ftruncate',
  'fallocate',
  'fsync',
  'fdatasync',
  'rename',
  'renameat2',
  'link',
  'linkat',
  'unlink',
  'unlinkat',
  'symlink',
  'symlinkat',
  'mkdir',
  'rmdir',
  'mknod',
  'mknodat',
  'chmod',
  'fchmod',
  'chown',
  'lchown',
  'fchown',
  'utimensat',
] as const;

/** The K-th call of a kind: `rename/17`. */
export type Kill = Pick<Point, 'class' | 'at'>;

export const nameOfKill = ({ class: call, at }: Kill): string => `${call}/${at}`;

const COMMAND = ['debmend', 'recover', '--apply', '--json'];
const CUT = { class: 'script', at: 'postinst-amid-state' };
const SAID_CHARACTERS = 2000;

/** What a call changes that no disk keeps, in strace's -y: a pipe to another program, another thread woken. */
const NO_DISK = /^\w+\(\d+<(pipe|socket|anon_inode|[A-Z]+):|^\w+\(\d+<\/dev\//;
const NOTHING_WRITTEN = 'a call that changes nothing on a disk';

export class KillsLab {
  readonly #states: StatesLab;
  readonly #workload = workloadNamed('upgrade');

  private constructor(states: StatesLab) {
    this.#states = states;
  }

  static async open(): Promise<KillsLab> {
    return new KillsLab(await StatesLab.open());
  }

  close(): void {
    this.#states.close();
  }

  sources(): string {
    return this.#states.sources();
  }

  /** All calls of a recovery that nobody kills, in the order of their kinds. @throws Error when that one fails */
  async kills(): Promise<Kill[]> {
    const overlay = await this.#broken();
    try {
      const { directory } = overlay;
      const counts = await countCalls(directory, COMMAND, KILL_CALLS, { offline: true, boot: randomUUID() });
      return [...counts].flatMap(([call, times]) =>
        Array.from({ length: times }, (_, at) => ({ class: call, at: String(at + 1) })),
      );
    } finally {
      overlay.remove();
    }
  }

  /** What goes wrong on the way is an outcome too. */
  async run(kill: Kill): Promise<Outcome> {
    const begun = performance.now();
    const base = this.#states.base(this.#workload);
    const { expected } = await this.#states.uninterrupted(this.#workload);
    const scratch = mkdtempSync(join(tmpdir(), 'debmend-kills-'));
    const head = { point: nameOfKill(kill), differences: [], lost: [], audit: '' };
    const seconds = () => (performance.now() - begun) / 1000;
    const overlay = await this.#broken();
    try {
      const { directory } = overlay;
      const before = await readImage(directory, base);
      const boot = randomUUID();
      const log = join(scratch, 'calls');
      const killed = await inRoot(directory, COMMAND, { under: killedAt(kill, log), offline: true, boot });
      const interrupted = killed.code === 137;
      const call = interrupted ? lastCall(log) : undefined;
      const done = { ...head, interrupted, ...(call === undefined ? {} : { call }) };
      if (call !== undefined && NO_DISK.test(call))
        return { ...done, code: 0, seconds: seconds(), as: NOTHING_WRITTEN };
      const ended = await debmendRecovery(directory, { workload: this.#workload, boot });
      const audit = await inRoot(directory, ['dpkg', '--audit']);
      const after = await readImage(directory, base);
      const { lost, counts } = fatesOf(before, after, { base, expected });
      return {
        ...done,
        code: ended.code,
        seconds: seconds(),
        differences: differencesAfter(after, { base, before, expected }),
        lost,
        fates: counts,
        audit: audit.stdout + audit.stderr,
        ...(ended.code === 0 ? {} : { said: (ended.stdout + ended.stderr).slice(-SAID_CHARACTERS) }),
      };
    } catch (error) {
      return { ...head, interrupted: false, code: undefined, seconds: seconds(), said: messageOf(error) };
    } finally {
      rmSync(scratch, { recursive: true });
      overlay.remove();
    }
  }

  /** Another one each time: what is killed changes it. @throws Error when the upgrade was not cut */
  async #broken(): Promise<Overlay> {
    const overlay = this.#states.overlay(this.#workload);
    try {
      if (await interrupt(overlay.directory, this.#workload, CUT, 0)) return overlay;
      throw new Error(`${this.#workload.name} was over before ${CUT.at}`);
    } catch (error) {
      overlay.remove();
      throw error;
    }
  }
}

/** `rename("/var/lib/…", …) = ?`: the last one that strace(1) began. */
function lastCall(log: string): string | undefined {
  const lines = readFileSync(log, 'latin1').split('\n');
  return lines.findLast((line) => /^\w+\(/.test(line))?.slice(0, 200);
}
