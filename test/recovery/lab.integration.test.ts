/** The power-cut lab in short: a few cuts of an upgrade, on real filesystems; `npm run lab` is the long form. */
import { afterAll, beforeAll, expect } from 'vitest';
import { diskTest } from '../lab/disk.ts';
import { rootDescribe } from '../lab/roots.ts';
import { caseNamed } from './lab/power/cases.ts';
import { Lab } from './lab/power/lab.ts';
import { details, row } from './lab/power/lines.ts';
import type { Result } from './lab/power/results.ts';

rootDescribe('the power goes during an upgrade', () => {
  let lab: Lab;
  beforeAll(() => {
    lab = new Lab({ suite: 'bookworm', say: () => {} });
  });
  afterAll(() => lab?.close());

  const said = (result: Result): string => [row(result), ...details(result)].join('\n');

  diskTest('and debmend ends it as if it had not, its own power cut too', async () => {
    const contestants = ['debmend', 'debmend-cut'] as const;
    const results = await lab.run(caseNamed('apt-upgrade/ext4/honest/1.18'), { contestants });
    for (const result of results) expect(result.verdict, said(result)).toBe('equal');
    expect(results.map(({ by }) => by)).toEqual(contestants);
    // And there was something to mend.
    for (const result of results) expect(result.begun, said(result)).toBe(true);
  });

  diskTest('and the disk lies: debmend mends it, or says what is wrong', async () => {
    const [result] = await lab.run(caseNamed('apt-upgrade/ext4/lying/1.8'), { contestants: ['debmend'] });
    if (result === undefined) throw new Error('nobody took part');
    expect(result.lie?.changed.data, said(result)).toBeGreaterThan(0);
    expect(['liar', 'lost', 'failed'], said(result)).not.toContain(result.verdict);
  });
});
