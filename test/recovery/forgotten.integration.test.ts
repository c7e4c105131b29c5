/**
 * A removal whose record is on disk, and whose deletions are not: btrfs writes what dpkg syncs ahead of everything else.
 * A filesystem of its own, so that the cut takes away what a real one does.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { inRoot } from '../lab/chroot.ts';
import { diskTest } from '../lab/disk.ts';
import { readImage } from './lab/image.ts';
import { differencesAfter } from './lab/judge.ts';
import { fatesOf } from './lab/nothing-lost.ts';
import { Grounds } from './lab/power/ground.ts';
import { variantNamed } from './lab/power/variants.ts';
import { powerWorkloadNamed } from './lab/power/workloads.ts';
import { debmendRecovery, interrupt } from './lab/states.ts';

diskTest('a purge that btrfs remembers by its records only comes to its end', async () => {
  const grounds = new Grounds({ suite: 'bookworm', say: () => {} });
  const workload = powerWorkloadNamed('purge');
  const { prepared, base, expected, disk: copyOf } = await grounds.open(workload, variantNamed('btrfs'));
  const disk = copyOf(prepared);
  try {
    const { directory } = disk;
    const point = { class: 'script', at: 'postrm-amid-purge' };
    expect(await interrupt(directory, { ...workload, timed: false }, point, 0)).toBe(true);
    disk.cut();
    disk.restore();
    // This is what the test is about: dpkg's journal has the end of a package whose files lie where they were.
    expect(existsSync(join(directory, 'usr/bin/lab-extra-pager'))).toBe(true);
    expect(globSync('var/lib/dpkg/updates/0*', { cwd: directory }).length).toBeGreaterThan(0);
    const before = await readImage(directory);
    const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
    expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
    expect((await inRoot(directory, ['dpkg', '--audit'])).stdout).toBe('');
    const after = await readImage(directory, before);
    expect(differencesAfter(after, { base, before, expected })).toEqual([]);
    expect(fatesOf(before, after, { base, expected }).lost).toEqual([]);
  } finally {
    disk.remove();
    grounds.close();
  }
});
