/** No false alarm where there is no machine: in a chroot of the host, and in a container's namespaces. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { outageReportSchema } from '../../src/model/outage.ts';
import { inRoot } from '../lab/chroot.ts';
import { rootTest } from '../lab/roots.ts';
import { hookedRoot } from '../snapshot/lab.ts';

rootTest(
  'a chroot and a container have no outages of their own, even with a marker that was left',
  async () => {
    const directory = await hookedRoot('bookworm');
    const store = join(directory, 'var/lib/debmend');
    mkdirSync(store, { recursive: true, mode: 0o700 });
    writeFileSync(
      join(store, 'running'),
      'boot=11111111-1111-4111-8111-111111111111 at=2026-01-01T00:00:00.000Z uptime=1\n',
    );

    const contained = await inRoot(directory, ['debmend', 'outage', '--json']);
    const report = outageReportSchema.parse(JSON.parse(contained.stdout));
    expect({ code: contained.code, verdict: report.outage.verdict }).toEqual({
      code: 0,
      verdict: 'not-applicable',
    });
    expect(report.outage.evidence.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['chroot', 'container']),
    );

    // As an image is built: nothing is mounted.
    const bare = spawnSync('chroot', [directory, 'debmend', 'outage'], { encoding: 'utf8' });
    expect(bare).toMatchObject({ status: 0, stdout: expect.stringContaining('/proc is not mounted') });
  },
);
