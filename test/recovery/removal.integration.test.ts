/** Removals that were cut while a postrm ran, which had taken the last file out of a directory that dpkg had left. */
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { PLACEHOLDER } from '../../src/recovery/redo/held.ts';
import { inRoot } from '../lab/chroot.ts';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { differencesAfter } from './lab/judge.ts';
import { fatesOf } from './lab/nothing-lost.ts';
import { debmendRecovery, interrupt, StatesLab, workloadNamed } from './lab/states.ts';

rootDescribe('a removal that was cut in its postrm', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  /** Recovers, and asks for the end of an uninterrupted run. */
  const comesToItsEnd = async (
    name: 'remove' | 'purge',
    boot: string | undefined,
    change: (directory: string) => void = () => {},
  ): Promise<void> => {
    const workload = workloadNamed(name);
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    try {
      const base = lab.base(workload);
      const { expected } = await lab.uninterrupted(workload);
      const point = { class: 'script', at: 'postrm-before-diversion' };
      expect(await interrupt(directory, workload, point, 0)).toBe(true);
      // This is what the test is about.
      expect(existsSync(join(directory, 'var/lib/lab-extra/index'))).toBe(false);
      change(directory);
      const before = await readImage(directory, base);
      const ended = await debmendRecovery(directory, { workload, boot });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect((await inRoot(directory, ['dpkg', '--audit'])).stdout).toBe('');
      const after = await readImage(directory, base);
      expect(differencesAfter(after, { base, before, expected })).toEqual([]);
      expect(fatesOf(before, after, { base, expected }).lost).toEqual([]);
    } finally {
      overlay.remove();
    }
  };

  rootTest('leaves the directory, after a reboot', () => comesToItsEnd('remove', randomUUID()));

  rootTest('leaves it in the same boot', () => comesToItsEnd('remove', undefined));

  rootTest('leaves it, and nothing in it, when another recovery was cut too', () =>
    comesToItsEnd('remove', randomUUID(), (directory) =>
      writeFileSync(join(directory, 'var/lib/lab-extra', PLACEHOLDER), ''),
    ),
  );

  rootTest('needs no directory that somebody took away', async () => {
    const workload = workloadNamed('remove');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    try {
      const point = { class: 'script', at: 'postrm-before-diversion' };
      expect(await interrupt(directory, workload, point, 0)).toBe(true);
      rmSync(join(directory, 'var/lib/lab-extra'), { recursive: true });
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(existsSync(join(directory, 'var/lib/lab-extra'))).toBe(false);
    } finally {
      overlay.remove();
    }
  });

  rootTest('leaves nothing where all is purged', () => comesToItsEnd('purge', randomUUID()));
});
