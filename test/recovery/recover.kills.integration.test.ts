/**
 * I4 for a whole recovery: debmend itself is killed at its K-th write, rename, link, unlink or fsync, and run again. The
 * end has to be that of an uninterrupted installation, whatever was half-done. DEBMEND_KILL_STRIDE=1 tries every call
 * (npm run kills); the ordinary run a few of each.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { inRoot } from '../lab/chroot.ts';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { differencesAfter } from './lab/judge.ts';
import { fatesOf } from './lab/nothing-lost.ts';
import { debmendRecovery, interrupt, StatesLab, workloadNamed } from './lab/states.ts';

const CALLS = [
  'write',
  'pwrite64',
  'fsync',
  'fdatasync',
  'rename',
  'link',
  'unlink',
  'symlink',
  'mkdir',
] as const;
const stride = Number(process.env['DEBMEND_KILL_STRIDE'] ?? 0);
/** Of each call, in the ordinary run. */
const FEW = 1;
const COMMAND = ['debmend', 'recover', '--apply', '--json'];

rootDescribe('I4: a recovery that is killed', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  const workload = workloadNamed('upgrade');
  const broken = async () => {
    const overlay = lab.overlay(workload);
    expect(
      await interrupt(overlay.directory, workload, { class: 'script', at: 'postinst-amid-state' }, 0),
    ).toBe(true);
    return overlay;
  };

  /** How often each call is made by the process itself; the programs that it runs are not counted. */
  async function count(): Promise<Map<string, number>> {
    const overlay = await broken();
    const scratch = mkdtempSync(join(tmpdir(), 'debmend-kills-'));
    try {
      const log = join(scratch, 'calls');
      const under = ['strace', '-qq', '-o', log, '-e', `trace=${CALLS.join(',')}`];
      const ended = await inRoot(overlay.directory, COMMAND, { under, offline: true, boot: randomUUID() });
      expect(ended, ended.stderr).toMatchObject({ code: 0 });
      const counts = new Map<string, number>();
      for (const [, call = ''] of readFileSync(log, 'latin1').matchAll(/^([a-z0-9]+)\(/gm))
        counts.set(call, (counts.get(call) ?? 0) + 1);
      return counts;
    } finally {
      rmSync(scratch, { recursive: true });
      overlay.remove();
    }
  }

  rootTest(
    'and run again ends as an uninterrupted installation does, and loses nothing',
    async () => {
      const { expected } = await lab.uninterrupted(workload);
      const base = lab.base(workload);
      let kills = 0;
      for (const [call, times] of await count()) {
        const step = stride > 0 ? stride : Math.ceil(times / FEW);
        for (let at = Math.ceil(step / 2); at <= times; at += step) {
          const overlay = await broken();
          try {
            const { directory } = overlay;
            const before = await readImage(directory, base);
            const boot = randomUUID();
            const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${at}`];
            const under = ['strace', '-qq', '-o', '/dev/null', ...inject];
            const killed = await inRoot(directory, COMMAND, { under, offline: true, boot });
            if (killed.code === 137) kills += 1;
            const ended = await debmendRecovery(directory, { workload, boot });
            const name = `${call} ${at} of ${times}`;
            expect(ended.code, `${name}\n${ended.stdout}${ended.stderr}`).toBe(0);
            const after = await readImage(directory, base);
            expect(differencesAfter(after, { base, before, expected }), name).toEqual([]);
            expect(fatesOf(before, after, { base, expected }).lost, name).toEqual([]);
          } finally {
            overlay.remove();
          }
        }
      }
      expect(kills).toBeGreaterThan(3);
    },
    stride > 0 ? 12 * 60 * 60 * 1000 : undefined,
  );
});
