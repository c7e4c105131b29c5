/**
 * I4 for a whole recovery: debmend itself is killed at its K-th write, rename, link, unlink or fsync, and run again. The
 * end has to be that of an uninterrupted installation, whatever was half-done. DEBMEND_KILL_STRIDE=1 tries every call; the
 * ordinary run one of each (scripts/kills.ts is the long form, resumable, and takes one kill by its name).
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { KillsLab, nameOfKill } from './lab/kills.ts';

const stride = Number(process.env['DEBMEND_KILL_STRIDE'] ?? 0);
const DAY_MS = 24 * 60 * 60 * 1000;

rootDescribe('I4: a recovery that is killed', () => {
  let lab: KillsLab;
  beforeAll(async () => {
    lab = await KillsLab.open();
  });
  afterAll(() => lab?.close());

  rootTest(
    'and run again ends as an uninterrupted installation does, and loses nothing',
    async () => {
      let killed = 0;
      for (const [, kills] of Map.groupBy(await lab.kills(), (kill) => kill.class)) {
        const step = stride > 0 ? stride : kills.length;
        for (let at = Math.floor(step / 2); at < kills.length; at += step) {
          const kill = kills[at];
          if (kill === undefined) continue;
          const outcome = await lab.run(kill);
          expect(outcome, nameOfKill(kill)).toMatchObject({ code: 0, differences: [], lost: [], audit: '' });
          if (outcome.interrupted && outcome.as === undefined) killed += 1;
        }
      }
      expect(killed).toBeGreaterThan(3);
    },
    stride > 0 ? DAY_MS : undefined,
  );
});
