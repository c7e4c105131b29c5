import { expect, it } from 'vitest';
import { storeSize } from '../../scripts/bench-store.ts';

it('a snapshot costs what changed: 1,000 of 100,000 files, 1 % changed in each, would stay below 300 MB', async () => {
  // The short form; npm run bench:store makes all of them.
  const { first, all, pruned } = await storeSize(14);
  expect(first + ((all - first) / 13) * 999).toBeLessThan(300e6);
  expect(pruned).toBeLessThan(all);
});
