/**
 * A transaction interrupted at every point ends, after `debmend recover --apply` without a network, as an uninterrupted
 * one: tree, database and package states. DEBMEND_STATES_STRIDE=1 tries every point; the ordinary run leaves most out
 * (npm run states is the long form, resumable, and takes one point by its name).
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { debmendRecovery, nameOf, StatesLab, WORKLOADS } from './lab/states.ts';

/** A prime, so that the points of no class are always the same share of it. */
const stride = Number(process.env['DEBMEND_STATES_STRIDE'] ?? 499);

rootDescribe('a transaction interrupted', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  for (const workload of WORKLOADS) {
    rootTest(
      `in ${workload.name} ends as one that was not`,
      async () => {
        const points = (await lab.points(workload)).filter(
          // timed ones have few points, of which each tells as much as any
          (_, at) => at % (workload.timed ? Math.min(stride, 23) : stride) === 0,
        );
        let interrupted = 0;
        for (const point of points) {
          const outcome = await lab.run(point, debmendRecovery);
          expect(outcome, nameOf(point)).toMatchObject({ code: 0, differences: [], lost: [], audit: '' });
          if (outcome.interrupted) interrupted += 1;
        }
        expect(interrupted).toBeGreaterThan(0);
      },
      stride === 1 ? 12 * 60 * 60 * 1000 : undefined,
    );
  }
});
