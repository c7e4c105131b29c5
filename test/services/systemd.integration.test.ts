/** What real systemds make of the units: that of bookworm (252) and that of trixie (257). */
import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { installUnits, removeUnits } from '../../src/services/install.ts';
import { Root } from '../../src/system/root.ts';
import { PROJECT } from '../cli/debmend.ts';
import { type Ended, inRoot, mustInRoot } from '../lab/chroot.ts';
import { type DebianRoot, type DebianSuite, debianRoot, rootDescribe, rootTest } from '../lab/roots.ts';

const HOME = '/usr/lib/debmend';
const SYSTEM = 'etc/systemd/system';
const SERVICES = ['audit', 'marker', 'recover', 'retry', 'watch'].map((name) => `debmend-${name}.service`);
const ENABLED = [
  'debmend-audit.timer',
  'debmend-marker.service',
  'debmend-recover.service',
  'debmend-retry.timer',
  'debmend-watch.service',
];

/**
 * systemd itself, asked what it would do at a boot: it loads every unit, with what it adds by itself, works out the jobs,
 * and shows all of it (systemd(1), --test). It wants its cgroups and does not do it as root.
 */
const ASK_SYSTEMD = `
mount -t tmpfs tmpfs /run
mount -t cgroup2 -o ro cgroup2 /sys/fs/cgroup
exec setpriv --reuid 65534 --regid 65534 --clear-groups /lib/systemd/systemd --test --system --log-target=console`;

interface Loaded {
  readonly before: ReadonlySet<string>;
  readonly after: ReadonlySet<string>;
  readonly requires: ReadonlySet<string>;
}

interface Boot {
  readonly units: ReadonlyMap<string, Loaded>;
  /** What is started. */
  readonly jobs: ReadonlySet<string>;
}

function parseBoot(text: string): Boot {
  const units = new Map<string, Loaded>();
  for (const block of text.split(/^\t-> Unit /m).slice(1)) {
    const names = (key: string) =>
      new Set([...block.matchAll(new RegExp(`^\t\t${key}: (\\S+) \\(`, 'gm'))].map(([, name = '']) => name));
    units.set(block.slice(0, block.indexOf(':')), {
      before: names('Before'),
      after: names('After'),
      requires: names('Requires'),
    });
  }
  const jobs = [...text.matchAll(/^\t+Action: (\S+) -> start$/gm)].map(([, name = '']) => name);
  return { units, jobs: new Set(jobs) };
}

/** All that waits for a unit at a boot, or for what waits for it. */
function waitingFor(boot: Boot, unit: string): Set<string> {
  const waiting = new Set<string>();
  const walk = (name: string): void => {
    for (const next of boot.units.get(name)?.before ?? []) {
      if (waiting.has(next) || !boot.jobs.has(next)) continue;
      waiting.add(next);
      walk(next);
    }
  };
  walk(unit);
  return waiting;
}

/** The figures that docs/services.md states: unit → exposure, as systemd-analyze(1) counts it. */
function documented(suite: DebianSuite): Map<string, number> {
  const page = readFileSync(join(PROJECT, 'docs/services.md'), 'utf8');
  const rows = page.matchAll(/^\| `(debmend-\S+\.service)` \| (\d+\.\d) \| (\d+\.\d) \|/gm);
  return new Map(
    [...rows].map(([, name = '', bookworm, trixie]) => [
      name,
      Number(suite === 'bookworm' ? bookworm : trixie),
    ]),
  );
}

for (const suite of ['bookworm', 'trixie'] as const) {
  rootDescribe(`the units of ${suite}`, () => {
    let debian: DebianRoot;
    beforeAll(async () => {
      debian = await debianRoot(suite, { include: ['systemd'] });
      mkdirSync(join(debian.directory, HOME));
      cpSync(join(PROJECT, 'bin'), join(debian.directory, HOME, 'bin'), { recursive: true });
      installUnits(new Root(debian.directory), HOME);
    });
    afterAll(() => debian.remove());

    const at = (...names: string[]) => join(debian.directory, SYSTEM, ...names);
    const sh = (script: string): Promise<Ended> => inRoot(debian.directory, ['sh', '-c', script]);
    const verify = () => sh(`systemd-analyze verify /${SYSTEM}/debmend-*.service /${SYSTEM}/debmend-*.timer`);

    rootTest('systemd-analyze verify finds nothing, and would', async () => {
      expect(await verify()).toMatchObject({ code: 0, stdout: '', stderr: '' });
      const unit = at('debmend-watch.service');
      const text = readFileSync(unit, 'utf8');
      writeFileSync(
        unit,
        text.replace('MemoryMax=768M', 'MemoryMax=much').replace('/bin/debmend ', '/bin/no '),
      );
      const { stderr } = await verify();
      writeFileSync(unit, text);
      expect(stderr).toContain("Invalid memory limit 'much'");
      expect(stderr).toContain(`${HOME}/bin/no`);
    });

    rootTest('systemd-analyze security counts what docs/services.md says', async () => {
      const figures = documented(suite);
      expect([...figures.keys()].sort()).toEqual(SERVICES);
      for (const [name, figure] of figures) {
        // The threshold is in tenths of what is printed.
        const analyze = (threshold: number) =>
          sh(`systemd-analyze security --offline=true --threshold=${threshold} /${SYSTEM}/${name}`);
        const { code, stdout } = await analyze(Math.round(figure * 10));
        expect(stdout).toContain(`Overall exposure level for ${name}: ${figure.toFixed(1)} `);
        expect(code).toBe(0);
        expect((await analyze(Math.round(figure * 10) - 1)).code).not.toBe(0);
      }
    });

    rootTest('systemctl takes the links for its own, and has nothing to add or to take away', async () => {
      const enabled = await mustInRoot(debian.directory, ['systemctl', 'is-enabled', ...ENABLED]);
      expect(enabled).toBe('enabled\n'.repeat(ENABLED.length));
      expect(await sh(`systemctl enable ${ENABLED.join(' ')}`)).toMatchObject({ code: 0, stderr: '' });
      removeUnits(new Root(debian.directory));
      const gone = await sh(`systemctl is-enabled ${ENABLED.join(' ')}; find /${SYSTEM} -name '*debmend*'`);
      expect(gone.stdout.replaceAll('not-found\n', '')).toBe('');
      installUnits(new Root(debian.directory), HOME);
      expect((await sh(`systemctl is-enabled ${ENABLED.join(' ')}`)).stdout).toBe(enabled);
    });

    rootTest('at a boot systemd orders them as they are meant', async () => {
      // A server's: /var on a disk of its own, logins, and what works on packages by itself.
      writeFileSync(at('var.mount'), '[Mount]\nWhat=/dev/disk/by-label/var\nWhere=/var\nType=ext4\n');
      const service = '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n';
      for (const name of ['ssh.service', 'unattended-upgrades.service']) writeFileSync(at(name), service);
      writeFileSync(
        at('cloud-final.service'),
        '[Unit]\nDefaultDependencies=no\nAfter=multi-user.target\n[Service]\nExecStart=/bin/true\n',
      );
      mkdirSync(at('multi-user.target.wants'), { recursive: true });
      appendFileSync(
        at('ssh.service'),
        '[Unit]\nWants=unattended-upgrades.service apt-daily.service dpkg-db-backup.service cloud-final.service\n',
      );
      await mustInRoot(debian.directory, ['systemctl', 'enable', 'ssh.service']);
      const { code, stdout, stderr } = await sh(ASK_SYSTEMD);
      expect({ code, cycle: /ordering cycle/.test(stdout + stderr) }).toEqual({ code: 0, cycle: false });
      const boot = parseBoot(stdout);

      for (const name of ENABLED) expect(boot.jobs).toContain(name);
      const marker = boot.units.get('debmend-marker.service');
      expect([...(marker?.before ?? [])]).toEqual(
        expect.arrayContaining(['sysinit.target', 'umount.target', 'shutdown.target']),
      );
      expect([...(marker?.requires ?? [])]).toContain('var.mount');
      expect([...(marker?.after ?? [])]).toEqual(
        expect.arrayContaining(['var.mount', 'systemd-remount-fs.service']),
      );

      expect([...(boot.units.get('debmend-recover.service')?.after ?? [])]).toEqual(
        expect.arrayContaining(['debmend-marker.service', 'local-fs.target', 'sysinit.target']),
      );
      const waiting = [...waitingFor(boot, 'debmend-recover.service')].sort();
      expect(waiting).toEqual(['apt-daily.service', 'cloud-final.service', 'dpkg-db-backup.service']);
      expect([...waitingFor(boot, 'debmend-watch.service')]).toEqual([]);
      // So it is with a service like any other.
      expect([...waitingFor(boot, 'ssh.service')]).toEqual(expect.arrayContaining(['multi-user.target']));
    });
  });
}
