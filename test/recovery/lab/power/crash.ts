/** One crash: the workload begun, and the power gone, or dpkg killed; and the image that a contestant finds. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inRoot } from '../../../lab/chroot.ts';
import type { RootImage } from '../image.ts';
import { interrupt } from '../states.ts';
import { type Case, instantOf, nameOfCase } from './cases.ts';
import { type Ground, WORKLOAD_TIMEOUT_MS } from './ground.ts';
import { callOf } from './kill.ts';
import { checkAsBoot, contentBlocks, type Lie, mannerOf, tellLies } from './lie.ts';
import { copySparse } from './tools.ts';

export interface Crash {
  readonly image: string;
  /** Where it was cut: seconds from the start, or a system call and its number. */
  readonly at: number | string;
  /** Whether somebody else on that disk synced files all the time. */
  readonly neighbour: boolean;
  /** The last thing in dpkg's log when it happened. */
  readonly phase: string;
  readonly lie?: Lie & { readonly seconds: number | 'all' };
  /** What would have been there, had the disk told the truth. */
  readonly truth?: RootImage;
  /** Why no filesystem is left to recover anything on. */
  readonly beyond?: string;
}

/** @param at overrides the case's own instant, in seconds @returns the image is the caller's to delete */
export async function crash(one: Case, ground: Ground, at = instantOf(one, ground)): Promise<Crash> {
  switch (one.disk) {
    case 'honest':
      return await powerCut(one, ground, at);
    case 'lying':
      return await lyingCut(one, ground, at);
    case 'kill':
      return await killed(one, ground);
  }
}

async function powerCut(one: Case, ground: Ground, at: number, meanwhile?: Meanwhile): Promise<Crash> {
  const image = ground.file('crash');
  const disk = ground.disk(ground.prepared);
  try {
    const { command } = ground.workload;
    const neighbour = hasNeighbour(one) ? new Neighbour(disk.directory) : undefined;
    const running = inRoot(disk.directory, command, { offline: true, timeout: WORKLOAD_TIMEOUT_MS });
    const begun = performance.now();
    const until = (seconds: number) => sleep(Math.max(0, begun + seconds * 1000 - performance.now()));
    if (meanwhile !== undefined) {
      await until(meanwhile.at);
      await copySparse(disk.image, meanwhile.image);
    }
    await until(at);
    await neighbour?.end();
    const phase = lastLogLine(disk.directory);
    disk.cut();
    await running;
    await copySparse(disk.image, image);
    return { image, at, phase, neighbour: neighbour !== undefined };
  } finally {
    disk.remove();
  }
}

/** A copy of the image that is taken while the workload runs, for a disk that remembers. */
interface Meanwhile {
  readonly at: number;
  readonly image: string;
}

async function lyingCut(one: Case, ground: Ground, at: number): Promise<Crash> {
  const words = nameOfCase(one);
  const manner = mannerOf(words);
  const sinceStart = at - manner.seconds <= 0;
  const old = sinceStart ? ground.prepared : ground.file('old');
  const cut = await powerCut(
    one,
    ground,
    at,
    sinceStart ? undefined : { at: at - manner.seconds, image: old },
  );
  try {
    const data = await contentBlocks(ground, cut.image);
    const truth = await ground.image(cut.image);
    const lie = tellLies(cut.image, old, data, manner, words);
    const beyond = await checkAsBoot(cut.image, ground.variant);
    const seconds = sinceStart ? 'all' : manner.seconds;
    return { ...cut, truth, lie: { ...lie, seconds }, ...(beyond === undefined ? {} : { beyond }) };
  } finally {
    if (!sinceStart) rmSync(old, { force: true });
  }
}

async function killed(one: Case, ground: Ground): Promise<Crash> {
  const image = ground.file('crash');
  const point = await callOf(one, ground);
  const disk = ground.disk(ground.prepared);
  try {
    await interrupt(disk.directory, { ...ground.workload, timed: false }, point, 0);
    const phase = lastLogLine(disk.directory);
    disk.sync();
    disk.cut();
    await copySparse(disk.image, image);
    return { image, at: `${point.class} ${point.at}`, phase, neighbour: false };
  } finally {
    disk.remove();
  }
}

/** Between two syncs, in milliseconds. */
const NEIGHBOUR_MS = 20;

/** In every second case. */
const hasNeighbour = ({ number }: Case): boolean => number % 2 === 0;

/**
 * Another program on the same disk, a database or a mail server, that syncs a file of its own all the time. Each sync
 * commits the filesystem's journal, and with it the names and sizes of files whose content is not written yet: without
 * it a short run leaves nothing behind but what dpkg synced itself.
 */
class Neighbour {
  readonly #file: Promise<FileHandle>;
  readonly #work: Promise<void>;
  #ended = false;

  constructor(directory: string) {
    this.#file = open(join(directory, 'tmp/neighbour'), 'w');
    this.#work = this.#sync();
  }

  async #sync(): Promise<void> {
    const file = await this.#file;
    while (!this.#ended) {
      await file.write('x');
      await file.sync();
      await sleep(NEIGHBOUR_MS);
    }
  }

  /** Before the cut: what this process has open keeps the filesystem mounted. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#work;
    await (await this.#file).close();
  }
}

function lastLogLine(directory: string): string {
  const log = join(directory, 'var/log/dpkg.log');
  const line = existsSync(log) ? (readFileSync(log, 'latin1').trimEnd().split('\n').at(-1) ?? '') : '';
  return line.split(' ').slice(2, 5).join(' ');
}
