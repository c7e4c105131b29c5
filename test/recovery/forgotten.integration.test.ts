/**
 * A removal whose record is on disk, and whose deletions are not: btrfs writes what dpkg syncs ahead of everything else.
 * A filesystem of its own, so that the cut takes away what a real one does.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { inRoot } from '../lab/chroot.ts';
import { type Disk, diskTest } from '../lab/disk.ts';
import { readImage } from './lab/image.ts';
import { differencesAfter } from './lab/judge.ts';
import { fatesOf } from './lab/nothing-lost.ts';
import { type Ground, Grounds } from './lab/power/ground.ts';
import { variantNamed } from './lab/power/variants.ts';
import { powerWorkloadNamed } from './lab/power/workloads.ts';
import { countCalls, debmendRecovery, interrupt, type Point } from './lab/states.ts';

const grounds = new Grounds({ suite: 'bookworm', say: () => {} });
afterAll(() => grounds.close());

const open = (workload: string): Promise<Ground> =>
  grounds.open(powerWorkloadNamed(workload), variantNamed('btrfs'));

/** Kills dpkg there, and takes away what only memory knows; then recovers, and asks for all that an end has to be. */
async function comesToItsEnd(
  { workload, prepared, base, expected, disk: copyOf }: Ground,
  point: Pick<Point, 'class' | 'at'>,
  isForgotten: (directory: string) => boolean,
): Promise<void> {
  const disk = copyOf(prepared);
  try {
    const { directory } = disk;
    expect(await interrupt(directory, { ...workload, timed: false }, point, 0)).toBe(true);
    disk.cut();
    disk.restore();
    // This is what the test is about.
    expect(isForgotten(directory)).toBe(true);
    const before = await readImage(directory);
    const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
    expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
    expect((await inRoot(directory, ['dpkg', '--audit'])).stdout).toBe('');
    const after = await readImage(directory, before);
    expect(differencesAfter(after, { base, before, expected })).toEqual([]);
    expect(fatesOf(before, after, { base, expected }).lost).toEqual([]);
  } finally {
    disk.remove();
  }
}

async function fsyncsOf({ workload, prepared, disk: copyOf }: Ground): Promise<number> {
  let disk: Disk | undefined;
  try {
    disk = copyOf(prepared);
    const counts = await countCalls(disk.directory, workload.command, ['fsync'], { offline: true });
    return counts.get('fsync') ?? 0;
  } finally {
    disk?.remove();
  }
}

diskTest('a purge that btrfs remembers by its records only comes to its end', async () => {
  const ground = await open('purge');
  // dpkg's journal has the end of a package whose files lie where they were.
  await comesToItsEnd(ground, { class: 'script', at: 'postrm-amid-purge' }, (directory) => {
    const notes = globSync('var/lib/dpkg/updates/0*', { cwd: directory });
    return existsSync(join(directory, 'usr/bin/lab-extra-pager')) && notes.length > 0;
  });
});

diskTest('I1: a removal that it remembers like that is none that purges', async () => {
  const ground = await open('remove');
  const last = await fsyncsOf(ground);
  await comesToItsEnd(ground, { class: 'fsync', at: String(last - 1) }, (directory) => {
    const notes = globSync('var/lib/dpkg/updates/0*', { cwd: directory }).map((name) =>
      readFileSync(join(directory, name), 'utf8'),
    );
    const isRemoved = notes.some((text) => /^Package: lab-core\nStatus: .* config-files$/m.test(text));
    return existsSync(join(directory, 'usr/bin/lab')) && isRemoved;
  });
});
