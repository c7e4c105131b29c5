/** What an agent costs: under 80 MB resident, and next to no processor time while nothing happens. */
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { debmend } from '../cli/debmend.ts';
import { mustInRoot } from '../lab/chroot.ts';
import { buildPackage } from '../lab/packages.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../lab/roots.ts';
import { killAgents, startAgent } from './agent.ts';
import { fillStore } from './store.ts';

/** 80 MB, in the KiB that proc_pid_status(5) calls kB. */
const BUDGET_KB = 80_000_000 / 1024;

rootDescribe('an agent of a larger machine', () => {
  let root: DebianRoot;
  let debs: string;
  beforeAll(async () => {
    root = await debianRoot('bookworm');
    debs = mkdtempSync(join(tmpdir(), 'debmend-debs-'));
    // A machine with 400 directories and 4000 files in /etc, 4000 programs, and 100,000 known paths.
    for (let at = 0; at < 400; at += 1) {
      const directory = join(root.directory, `etc/service-${at}`);
      mkdirSync(directory);
      for (let file = 0; file < 10; file += 1) writeFileSync(join(directory, `setting-${file}.conf`), '');
    }
    for (let at = 0; at < 4000; at += 1) writeFileSync(join(root.directory, `usr/bin/program-${at}`), '');
    expect(debmend(['snapshot', 'create', '--root', root.directory]).code).toBe(0);
    await fillStore(root.directory, 100_000);
    // The first start of a checkout compiles its TypeScript, which an installed debmend never does.
    await (await startAgent(['--root', root.directory])).end();
  }, 300_000);
  afterAll(() => {
    killAgents();
    root.remove();
    rmSync(debs, { recursive: true });
  });

  rootTest(
    'stays within 80 MB, and idle costs nothing',
    async () => {
      const agent = await startAgent(['--root', root.directory]);
      const started = agent.kilobytes('VmRSS');
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const before = agent.cpuSeconds();
      await new Promise((resolve) => setTimeout(resolve, 20_000));
      const idle = agent.cpuSeconds() - before;

      appendFileSync(join(root.directory, 'usr/bin/ls'), 'x');
      await agent.event('owned-file-changed');
      const changed = agent.kilobytes('VmRSS');

      const deb = buildPackage({ name: 'tiny', files: { '/usr/bin/tiny': 'x' } }, debs);
      copyFileSync(deb, join(root.directory, 'root/tiny.deb'));
      await mustInRoot(root.directory, ['dpkg', '-i', '/root/tiny.deb']);
      await agent.event('transaction-ended', () => true, 30_000);
      const installed = agent.kilobytes('VmRSS');

      const figures = { started, changed, installed, peak: agent.kilobytes('VmHWM'), idle };
      if (process.env['DEBMEND_FIGURES'] === '1') process.stderr.write(`${JSON.stringify(figures)}\n`);
      expect(idle).toBeLessThan(0.2);
      expect(started).toBeLessThan(BUDGET_KB);
      expect(changed).toBeLessThan(BUDGET_KB);
      expect(installed).toBeLessThan(BUDGET_KB);
    },
    120_000,
  );
});
