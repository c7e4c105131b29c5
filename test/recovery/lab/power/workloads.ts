/** What is being done when the power goes. Each begins with a scene: a root as it is before, prepared once. */
import type { DebianSuite } from '../../../lab/roots.ts';
import { kernel } from './workloads/kernel.ts';
import { mysql } from './workloads/mysql.ts';
import { securityUpgrade, unattended } from './workloads/security.ts';
import { multiarch, SET_WORKLOADS } from './workloads/set.ts';

export interface Scene {
  readonly name: string;
  /** Bytes of its filesystem. */
  readonly size: number;
  /** Packages beside the minimal set and what debmend needs. */
  readonly include: readonly string[];
  /** Everything but debmend, its hooks and its first snapshot, which follow. The network is there. */
  prepare(directory: string, suite: DebianSuite): Promise<void>;
}

export interface PowerWorkload {
  readonly name: string;
  /** One sentence for a table. */
  readonly what: string;
  readonly scene: Scene;
  /** Run without a network. */
  readonly command: readonly string[];
  /**
   * What gives the command again in its own time, as a timer does; after each contestant's recovery it is run, because
   * what the command had not begun to do is nobody's to recover.
   */
  readonly timer?: readonly string[];
  /** Cuts lie from the start until this long after the end of an uninterrupted run, in seconds. */
  readonly afterSeconds: number;
  /** Whether what was installed works: one line for each fact, the same after every sound installation. @throws never */
  check?(directory: string): Promise<Check>;
}

export interface Check {
  readonly facts: readonly string[];
  /** What does not work, for people; empty when all does. */
  readonly wrong: string;
}

export const POWER_WORKLOADS: readonly PowerWorkload[] = [
  ...SET_WORKLOADS,
  multiarch,
  securityUpgrade,
  unattended,
  kernel,
  mysql,
];

/** @throws Error that names those there are */
export function powerWorkloadNamed(name: string): PowerWorkload {
  const found = POWER_WORKLOADS.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(`no workload ${name}; there are ${POWER_WORKLOADS.map((one) => one.name).join(', ')}`);
}
