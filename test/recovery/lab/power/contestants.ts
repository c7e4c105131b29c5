/** Who mends the same crash: debmend, the standard playbook, and debmend whose own power is cut. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
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
    case 'debmend':
      return { ended: await mend(debmendRecovery), seconds: since() };
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
