/**
 * What a power cut leaves: right after the pre hook returned the intent and the snapshot are whole, and seconds after an
 * installation finished nothing that its scripts wrote is empty. `node scripts/cuts.ts` is the long form.
 */
import { expect } from 'vitest';
import { diskTest } from '../lab/disk.ts';
import { mariadbCut, preCuts, VARIANTS } from './cuts.ts';

diskTest('a cut right after the pre hook returned leaves the intent and the snapshot whole', async () => {
  expect(await preCuts(VARIANTS.length)).toEqual({ total: VARIANTS.length, failures: [] });
});

diskTest(
  'a cut 7 s after a MariaDB installation empties files that its scripts wrote, without the hooks',
  async () => {
    const { lost } = await mariadbCut(false);
    const empty = lost.filter(({ what }) => what === 'empty').map(({ path }) => path);
    expect(empty.length).toBeGreaterThan(5);
  },
);

diskTest('and none with them', async () => {
  const { lost, seal } = await mariadbCut(true);
  expect(seal).toMatchObject({ complete: true, synced: true });
  expect(lost).toEqual([]);
});
