/**
 * I1 and a recovery's "nothing lost", where there is most to lose: a half-made state directory with what somebody put in
 * there, partial files under dpkg's temporary names, files of an administrator's in directories of packages.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { inRoot, mustInRoot } from '../lab/chroot.ts';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { fatesOf, quarantinePaths } from './lab/nothing-lost.ts';
import { debmendRecovery, interrupt, StatesLab, workloadNamed } from './lab/states.ts';

rootDescribe('nothing is lost', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  rootTest('I1: of what stood there when a recovery began', async () => {
    const workload = workloadNamed('upgrade');
    const { expected } = await lab.uninterrupted(workload);
    const base = lab.base(workload);
    const overlay = lab.overlay(workload);
    try {
      const at = (path: string) => join(overlay.directory, path);
      const point = { class: 'script', at: 'postinst-amid-state' };
      expect(await interrupt(overlay.directory, workload, point, 0)).toBe(true);
      // A person was here between the cut and the recovery.
      writeFileSync(at('etc/lab/since.conf'), 'written after the cut\n');
      appendFileSync(at('etc/lab/same.conf'), 'edited after the cut\n');
      appendFileSync(at('var/lib/lab-1/one'), 'state of before the transaction\n');
      mkdirSync(at('srv/data'));
      writeFileSync(at('srv/data/mine.dpkg-new'), 'a name as dpkg would give it\n');
      symlinkSync('../lab', at('etc/lab/loop'));
      writeFileSync(at('usr/share/lab/partial.dpkg-new'), 'nobody knows of this');

      await mustInRoot(overlay.directory, ['apt-mark', 'auto', 'dash']);

      const before = await readImage(overlay.directory, base);
      const ended = await debmendRecovery(overlay.directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      const after = await readImage(overlay.directory, base);
      const { lost, counts } = fatesOf(before, after, { base, expected });
      expect(lost).toEqual([]);
      // The half-made state directory, at the least, was moved aside, and is found by its command.
      expect(counts.quarantined).toBeGreaterThan(0);
      expect(readFileSync(at('etc/lab/since.conf'), 'utf8')).toBe('written after the cut\n');
      expect(readFileSync(at('etc/lab/same.conf'), 'utf8')).toMatch(/edited after the cut\n$/);
      const automatic = await mustInRoot(overlay.directory, ['apt-mark', 'showauto']);
      expect(automatic.split('\n')).toContain('dash');
      expect(readFileSync(at('srv/data/mine.dpkg-new'), 'utf8')).toBe('a name as dpkg would give it\n');
      expect(quarantinePaths(after).length).toBeGreaterThan(0);
      const listed = await inRoot(overlay.directory, ['debmend', 'quarantine', 'list', '--json']);
      expect(listed, listed.stderr).toMatchObject({ code: 0 });
      expect(JSON.stringify(JSON.parse(listed.stdout))).toContain('/var/lib/lab-2');
    } finally {
      overlay.remove();
    }
  });
});
