/**
 * A file that a diversion put elsewhere is mended there: at the name that its package calls it by stands another
 * package's file (dpkg-divert(1)).
 */
import { rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { type Report, reportSchema } from '../../src/model/report.ts';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { compareImages } from './lab/judge.ts';
import { debmendRecovery, StatesLab, workloadNamed } from './lab/states.ts';

const PLACE = 'usr/share/lab/greeting.lab-core';

const DAMAGES: readonly { readonly name: string; readonly make: (file: string) => void }[] = [
  { name: 'is gone', make: rmSync },
  { name: 'is empty', make: (file) => truncateSync(file, 0) },
  {
    name: 'holds NUL bytes only',
    make: (file) => writeFileSync(file, Buffer.alloc(statSync(file).size)),
  },
  { name: "holds another file's content", make: (file) => writeFileSync(file, "another file's content\n") },
];

rootDescribe('a diverted file', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  for (const { name, make } of DAMAGES)
    rootTest(`I2: that ${name} comes back where the diversion put it, and nowhere else`, async () => {
      const workload = workloadNamed('upgrade');
      const base = lab.base(workload);
      const overlay = lab.overlay(workload);
      try {
        const { directory } = overlay;
        make(join(directory, PLACE));
        const ended = await debmendRecovery(directory, { workload, boot: undefined });
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
        const { plan }: Report = reportSchema.parse(JSON.parse(ended.stdout));
        expect(plan?.steps.map(({ path }) => path)).toEqual([`/${PLACE}`]);
        expect(compareImages(base, await readImage(directory, base)).differences).toEqual([]);
      } finally {
        overlay.remove();
      }
    });
});
