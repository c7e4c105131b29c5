/**
 * A case is one crash: WORKLOAD/FILESYSTEM/DISK/SEED.NUMBER, `apt-upgrade/ext4/honest/1.17`. Its name alone says where
 * the cut lies and what the disk does; only how long a program takes is this machine's.
 */

import type { Ground } from './ground.ts';
import { randomOf, shareOf } from './random.ts';
import { VARIANTS, type Variant, variantNamed } from './variants.ts';
import { POWER_WORKLOADS, type PowerWorkload, powerWorkloadNamed } from './workloads.ts';

/**
 * `honest`: what was synced is there. `lying`: of the blocks written in the last seconds some are not, or not whole, or
 * others (lie.ts). `kill`: no cut at all, dpkg is killed at a system call, and everything written is there.
 */
export const DISKS = ['honest', 'lying', 'kill'] as const;
export type DiskKind = (typeof DISKS)[number];

export interface Case {
  readonly workload: PowerWorkload;
  readonly variant: Variant;
  readonly disk: DiskKind;
  readonly seed: number;
  readonly number: number;
}

export const nameOfCase = ({ workload, variant, disk, seed, number }: Case): string =>
  `${workload.name}/${variant.name}/${disk}/${seed}.${number}`;

/** @throws Error that says what a name looks like, or which part of it there is not */
export function caseNamed(name: string): Case {
  const [, workload = '', variant = '', kind = '', seed, number] =
    /^([^/]+)\/([^/]+)\/([^/]+)\/(\d+)\.(\d+)$/.exec(name) ?? [];
  const disk = DISKS.find((one) => one === kind);
  if (disk === undefined) {
    throw new Error(`no case ${name}; one is WORKLOAD/FILESYSTEM/${DISKS.join('|')}/SEED.NUMBER`);
  }
  return {
    workload: powerWorkloadNamed(workload),
    variant: variantNamed(variant),
    disk,
    seed: Number(seed),
    number: Number(number),
  };
}

/** Whether such a case can be made. */
export function isPossible({ workload, variant, disk }: Omit<Case, 'seed' | 'number'>): boolean {
  switch (disk) {
    case 'honest':
      return true;
    case 'lying':
      // btrfs has checksums of data too: what a disk loses is an I/O error there, and not other content.
      return variant.type !== 'btrfs';
    case 'kill':
      // strace(1) counts the calls of the command itself, which is dpkg only where no apt is between.
      return workload.command[0] === 'dpkg';
  }
}

export interface Selection {
  readonly workloads: readonly PowerWorkload[];
  readonly variants: readonly Variant[];
  readonly disks: readonly DiskKind[];
  /** Of each workload, filesystem and disk. */
  readonly cuts: number;
  readonly seed: number;
}

export const EVERYTHING: Pick<Selection, 'workloads' | 'variants' | 'disks'> = {
  workloads: POWER_WORKLOADS,
  variants: VARIANTS,
  disks: DISKS,
};

/** In an order that opens each scene once on each filesystem. */
export function casesOf({ workloads, variants, disks, cuts, seed }: Selection): Case[] {
  const scenes = [...new Set(workloads.map(({ scene }) => scene))];
  const cases: Case[] = [];
  for (const scene of scenes)
    for (const variant of variants)
      for (const workload of workloads.filter((one) => one.scene === scene))
        for (const disk of disks)
          for (let number = 1; number <= cuts; number += 1) {
            const one = { workload, variant, disk, seed, number };
            if (isPossible(one)) cases.push(one);
          }
  return cases;
}

/** Of the cuts, those before dpkg begins, and those until the end; the others come after it. */
const BEFORE = 0.07;
const DURING = 0.78;

/** When the power goes, in seconds from the start of the command. */
export function instantOf(
  { seed, number, workload }: Case,
  { begins, seconds }: Pick<Ground, 'begins' | 'seconds'>,
): number {
  const share = shareOf(seed, number);
  if (share < BEFORE) return (begins * share) / BEFORE;
  if (share < BEFORE + DURING) return begins + ((seconds - begins) * (share - BEFORE)) / DURING;
  return seconds + (workload.afterSeconds * (share - BEFORE - DURING)) / (1 - BEFORE - DURING);
}

/** At which share of a whole recovery the second cut comes; over 1: right after its end. */
export const secondShareOf = (one: Case): number => randomOf(`${nameOfCase(one)} second`).next() * 1.08;
