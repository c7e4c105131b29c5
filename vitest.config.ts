import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** One project a kind of test, so that each can be run alone: `npx vitest run --project unit`. */
const project = (name: string, include: string[], testTimeout: number, globalSetup: string[] = []) => ({
  test: { name, include, testTimeout, hookTimeout: testTimeout, globalSetup },
});

export default defineConfig({
  test: {
    pool: 'forks',
    // Most of what tests wait for is other programs and disks: one worker a processor, and not one fewer.
    maxWorkers: Math.max(2, availableParallelism()),
    setupFiles: [],
    projects: [
      project('layers', ['test/layers.test.ts'], 30_000),
      project('unit', ['test/**/*.unit.test.ts'], 30_000),
      project('property', ['test/**/*.property.test.ts'], 120_000),
      project('integration', ['test/**/*.integration.test.ts'], 600_000, [
        'test/recovery/lab/prepared.setup.ts',
      ]),
    ],
  },
});
