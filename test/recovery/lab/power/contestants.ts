/** Who mends the same crash: debmend, the standard playbook, and debmend whose own power is cut. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OWN_FILES_DAMAGED } from '../../../../src/cli/failure.ts';
import { run } from '../../../../src/system/run.ts';
import type { Ended } from '../../../lab/chroot.ts';
import type { Disk } from '../../../lab/disk.ts';
import { debmendRecovery, playbook, type Recovery } from '../states.ts';
import { type Case, secondShareOf } from './cases.ts';

/** `debmend-cut`: the power goes again while the recovery runs, and it is begun once more. */
export const CONTESTANTS = ['debmend', 'debmend-cut', 'playbook'] as const;
export type Contestant = (typeof CONTESTANTS)[number];

export interface Attempt {
  readonly ended: Ended;
  /** Until the last recovery ended, the interrupted one included. */
  readonly seconds: number;
  /** Of `debmend-cut`: seconds into the first recovery. */
  readonly secondCut?: number;
  /** Whether debmend itself was what the disk had destroyed, and a sound machine's did it. */
  readonly rescued?: boolean;
}

/**
 * @param wholeSeconds how long a recovery of this crash takes that nobody interrupts
 * @throws Error when the second cut cannot be made, or the disk cannot be mounted after it
 */
export async function attempt(
  by: Contestant,
  one: Case,
  disk: Disk,
  wholeSeconds: number,
  secondAt = wholeSeconds * secondShareOf(one),
): Promise<Attempt> {
  const begun = performance.now();
  const since = () => (performance.now() - begun) / 1000;
  const mend = (recovery: Recovery) =>
    recovery(disk.directory, {
      workload: one.workload,
      // Only a process was killed, or the machine was: in half of those cases somebody starts it again.
      boot: one.disk === 'kill' && one.number % 2 === 0 ? undefined : randomUUID(),
    });
  switch (by) {
    case 'debmend': {
      const ended = await mend(debmendRecovery);
      // What a person does then whose disk is out of order: it is put into another machine (debmend recover --root).
      if (one.disk !== 'lying' || hasReported(ended)) return { ended, seconds: since() };
      return { ended: await rescue(disk.directory), seconds: since(), rescued: true };
    }
    case 'playbook':
      return { ended: await mend(playbook), seconds: since() };
    case 'debmend-cut': {
      const first = mend(debmendRecovery);
      await sleep(secondAt * 1000);
      disk.cut();
      await first;
      disk.restore();
      return { ended: await mend(debmendRecovery), seconds: since(), secondCut: secondAt };
    }
  }
}

/** Whether it ran at all. What it reports itself, a failure among it, is its own; but for its own files. */
function hasReported({ stdout, stderr }: Ended): boolean {
  // The launcher's word for a Node.js that is gone.
  const isGone = stderr.includes(OWN_FILES_DAMAGED) || stderr.includes('debmend: no Node.js ');
  return stdout.startsWith('{') || (/^debmend: /m.test(stderr) && !isGone);
}

/** Its kernel has another boot id than the one on which the power went. */
const ON_ANOTHER_MACHINE = 'set -e; mount --bind "$1" /proc/sys/kernel/random/boot_id; shift; exec "$@"';

const BIN = join(import.meta.dirname, '../../../../bin/debmend');
const RESCUE_TIMEOUT_MS = 10 * 60 * 1000;

async function rescue(directory: string): Promise<Ended> {
  const command = [BIN, 'recover', '--root', directory, '--apply', '--json'];
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-rescue-'));
  try {
    const boot = join(scratch, 'boot_id');
    writeFileSync(boot, `${randomUUID()}\n`);
    const script = ['sh', '-c', ON_ANOTHER_MACHINE, 'sh', boot, ...command];
    const { stdout, failure, ...ended } = await run('unshare', ['--net', '--mount', '--', ...script], {
      timeout: RESCUE_TIMEOUT_MS,
    });
    if (failure !== undefined) throw new Error(`${command.join(' ')}: ${failure}`);
    return { ...ended, stdout: stdout.toString('utf8') };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
