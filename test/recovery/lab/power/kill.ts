/** The system calls at which dpkg can be killed: counted once for each ground. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustInRoot } from '../../../lab/chroot.ts';
import { CALLS, type Point } from '../states.ts';
import type { Case } from './cases.ts';
import type { Ground } from './ground.ts';
import { shareOf } from './random.ts';

const counted = new WeakMap<Ground, Promise<readonly string[]>>();

/** One of all calls that the workload makes, the same for the same case: which call, and the how manieth of its kind. */
export async function callOf({ seed, number }: Case, ground: Ground): Promise<Pick<Point, 'class' | 'at'>> {
  const counting = counted.get(ground) ?? callsOf(ground);
  counted.set(ground, counting);
  const calls = await counting;
  const at = Math.floor(shareOf(seed, number) * calls.length);
  const name = calls[at] ?? 'fsync';
  return { class: name, at: String(calls.slice(0, at + 1).filter((call) => call === name).length) };
}

async function callsOf({ workload, prepared, disk: copy }: Ground): Promise<readonly string[]> {
  const disk = copy(prepared);
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-lab-'));
  try {
    const log = join(scratch, 'calls');
    const under = ['strace', '-qq', '-o', log, '-e', `trace=${CALLS.map((call) => `?${call}`).join(',')}`];
    await mustInRoot(disk.directory, workload.command, { under, offline: true });
    return [...readFileSync(log, 'latin1').matchAll(/^([a-z0-9_]+)\(/gm)].map(([, call = '']) => call);
  } finally {
    rmSync(scratch, { recursive: true });
    disk.remove();
  }
}
