/** `debmend plan` and `debmend recover` in whole systems, beside what test/recovery/states says of every point. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import { DEFAULT_ADMINDIR } from '../../src/dpkg/database.ts';
import { reportSchema } from '../../src/model/report.ts';
import { holdLocks } from '../../src/system/hold-locks.ts';
import { inRoot, mustInRoot } from '../lab/chroot.ts';
import { buildPackage } from '../lab/packages.ts';
import { rootDescribe, rootTest } from '../lab/roots.ts';
import { readImage } from './lab/image.ts';
import { compareImages, differencesAfter } from './lab/judge.ts';
import { debmendRecovery, interrupt, StatesLab, workloadNamed } from './lab/states.ts';

const BIN = join(import.meta.dirname, '../../bin/debmend');

/** apt has an index of these packages, as they are installed, from a host that no name server knows. */
async function knowFromNowhere(directory: string, names: readonly string[]): Promise<void> {
  const list = 'nowhere.invalid_debian_dists_stable_main_binary-all_Packages';
  const { stdout } = await inRoot(directory, ['dpkg-query', '-s', ...names]);
  const stanzas = stdout.trim().split('\n\n');
  const packages = stanzas.map((stanza, at) =>
    [
      stanza.replace(/^(?:Status|Conffiles):.*\n(?: .*\n)*/gm, ''),
      `Filename: pool/${names[at]}.deb\nSize: 1000\nSHA256: ${'0'.repeat(64)}\n`,
    ].join('\n'),
  );
  const architecture = (await inRoot(directory, ['dpkg', '--print-architecture'])).stdout.trim();
  writeFileSync(
    join(directory, 'var/lib/apt/lists', list.replace('-all_', `-${architecture}_`)),
    packages.join('\n'),
  );
  appendFileSync(
    join(directory, 'etc/apt/sources.list'),
    'deb [trusted=yes] http://nowhere.invalid/debian stable main\n',
  );
}

/** As a block of other content that still parses leaves a package's record in dpkg's status file. */
function garbleRecord(directory: string, name: string): void {
  const status = join(directory, 'var/lib/dpkg/status');
  const text = readFileSync(status, 'utf8');
  const garbled = text.replace(
    new RegExp(`^(Package: ${name}\\n(?:.+\\n)*?Description: )`, 'm'),
    '$1of another ',
  );
  expect(garbled).not.toBe(text);
  writeFileSync(status, garbled);
}

rootDescribe('a recovery', () => {
  let lab: StatesLab;
  beforeAll(async () => {
    lab = await StatesLab.open();
  });
  afterAll(() => lab?.close());

  const cut = async (at: string, name = 'upgrade') => {
    const workload = workloadNamed(name);
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    expect(await interrupt(directory, workload, { class: 'script', at }, 0)).toBe(true);
    return { workload, overlay, directory, base: lab.base(workload) };
  };

  /** Recovers after a reboot, and asks for the end of an uninterrupted run. */
  const endsAsUninterrupted = async ({
    workload,
    directory,
    base,
  }: Pick<Awaited<ReturnType<typeof cut>>, 'workload' | 'directory' | 'base'>): Promise<void> => {
    const { expected } = await lab.uninterrupted(workload);
    const before = await readImage(directory, base);
    const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
    expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
    const after = await readImage(directory, base);
    expect(differencesAfter(after, { base, before, expected })).toEqual([]);
  };

  rootTest('only says what it would do until it is told to do it', async () => {
    const { overlay, directory, base } = await cut('postinst-amid-state');
    try {
      const boot = randomUUID();
      const before = await readImage(directory, base);
      const planned = await inRoot(directory, ['debmend', 'plan', '--json'], { boot, offline: true });
      expect(planned, planned.stderr).toMatchObject({ code: 1 });
      const report = reportSchema.parse(JSON.parse(planned.stdout));
      expect(report.recovery).toMatchObject({ mode: 'dry-run', outcome: 'planned' });
      expect(report.plan?.steps.map(({ what }) => what)).toContain('install-once-more');
      expect(compareImages(before, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('takes an interrupted installation back, where the policy says so', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-amid-state');
    try {
      mkdirSync(join(directory, 'etc/debmend'), { recursive: true });
      writeFileSync(join(directory, 'etc/debmend/config.yaml'), 'recovery:\n  transaction: take-back\n');
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      rmSync(join(directory, 'etc/debmend'), { recursive: true });
      const { differences } = compareImages(base, await readImage(directory, base));
      // Names of one file come back as files of their own.
      expect(differences.filter((line) => !line.includes(': one file with '))).toEqual([]);
      const audit = await inRoot(directory, ['dpkg', '--audit']);
      expect(audit.stdout).toBe('');
    } finally {
      overlay.remove();
    }
  });

  rootTest('mends a system from a sound machine', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-amid-state');
    try {
      const { expected } = await lab.uninterrupted(workload);
      await promisify(execFile)(BIN, ['recover', '--apply', '--json', '--root', directory], {
        maxBuffer: 64 * 1024 * 1024,
      });
      expect(compareImages(expected, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('mends one from there of which a repair took the mount points', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-amid-state');
    try {
      const { expected } = await lab.uninterrupted(workload);
      for (const name of ['proc', 'sys', 'run']) {
        for (const child of readdirSync(join(directory, name)))
          rmSync(join(directory, name, child), { recursive: true });
        rmdirSync(join(directory, name));
      }
      const command = ['recover', '--apply', '--json', '--root', directory];
      const { stdout } = await promisify(execFile)(BIN, command, { maxBuffer: 64 * 1024 * 1024 });
      const { recovery, actions } = reportSchema.parse(JSON.parse(stdout));
      expect(recovery).toMatchObject({ outcome: 'mended', transaction: { end: 'finished' } });
      expect(actions?.slice(0, 3).map(({ path }) => path)).toEqual(['/proc', '/sys', '/run']);
      expect(compareImages(expected, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('I5: touches nothing while another dpkg is at work', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-amid-settings');
    // Looked at before: who reads the lock file and closes it loses the lock (fcntl(2)).
    const before = await readImage(directory, base);
    const locks = await holdLocks(directory + DEFAULT_ADMINDIR, 0);
    try {
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(locks.held()).toBe(true);
      locks.release();
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 4 });
      expect(compareImages(before, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      locks.release();
      overlay.remove();
    }
  });

  rootTest('does the rest without an archive and a network, says so, and is to be tried again', async () => {
    const { workload, overlay, directory } = await cut('postinst-amid-state');
    try {
      const transactions = join(directory, 'var/lib/debmend/transactions');
      for (const id of readdirSync(transactions))
        for (const name of readdirSync(join(transactions, id, 'archives')))
          if (name.includes('lab-extra')) rmSync(join(transactions, id, 'archives', name));
      for (const name of ['srv/lab', 'srv/debmend-archive'])
        rmSync(join(directory, name), { recursive: true });
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 1 });
      const report = reportSchema.parse(JSON.parse(ended.stdout));
      expect(report.recovery).toMatchObject({
        outcome: 'incomplete',
        retry: true,
        transaction: { end: 'open' },
      });
      expect(readFileSync(join(directory, 'var/lib/debmend/retry'), 'utf8')).toBe('\n');
    } finally {
      overlay.remove();
    }
  });

  rootTest('mends dpkg’s database without any transaction, and dpkg says what it said before', async () => {
    const workload = workloadNamed('upgrade');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    const base = lab.base(workload);
    try {
      const at = (name: string) => join(directory, 'var/lib/dpkg', name);
      writeFileSync(at('status'), Buffer.alloc(readFileSync(at('status')).length));
      writeFileSync(at('info/lab-core.list'), readFileSync(at('info/lab-core.list')).subarray(0, 100));
      writeFileSync(at('info/dash.postinst'), '');
      writeFileSync(at('updates/0000'), '');
      const broken = await inRoot(directory, ['dpkg', '-l']);
      expect(broken.code).toBe(2);
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(compareImages(base, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest(
    'without hooks and a store mends by dpkg’s own states, from the archives in apt’s cache',
    async () => {
      const { overlay, directory } = await cut('postinst-amid-settings');
      try {
        rmSync(join(directory, 'var/lib/debmend'), { recursive: true });
        mkdirSync(join(directory, 'var/cache/apt/archives'), { recursive: true });
        for (const name of readdirSync(join(directory, 'srv/debmend-archive')))
          if (name.endsWith('.deb'))
            copyFileSync(
              join(directory, 'srv/debmend-archive', name),
              join(directory, 'var/cache/apt/archives', name),
            );
        const ended = await debmendRecovery(directory, {
          workload: workloadNamed('upgrade'),
          boot: randomUUID(),
        });
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
        const audit = await inRoot(directory, ['dpkg', '--audit']);
        expect(audit.stdout + audit.stderr).toBe('');
      } finally {
        overlay.remove();
      }
    },
  );

  rootTest('I11: calls nothing mended that the second installation left unfinished', async () => {
    const workload = workloadNamed('install');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    try {
      const postinst =
        '#!/bin/sh\nif [ ! -e /root/was-cut ]; then touch /root/was-cut; kill -9 $PPID; sleep 1; fi\nexit 1\n';
      buildPackage(
        { name: 'fails', files: { '/usr/share/fails/file': 'file\n' }, control: { postinst } },
        join(directory, 'root'),
      );
      await inRoot(directory, ['dpkg', '-i', '/root/fails_1.0_all.deb'], { offline: true });
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 1 });
      const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
      expect(recovery).toMatchObject({ outcome: 'incomplete', transaction: { end: 'open' } });
      expect(recovery?.unmended.map(({ finding, package: name }) => [finding, name])).toContainEqual([
        'package-half-configured',
        'fails',
      ]);
      expect(recovery?.problems.join('\n')).toContain('fails');
    } finally {
      overlay.remove();
    }
  });

  rootTest('I2: moves nothing that stood there before, known to the snapshot or not', async () => {
    const { workload, overlay, directory } = await cut('postinst-amid-state');
    try {
      mkdirSync(join(directory, 'etc/debmend'), { recursive: true });
      // Tracked since a minute ago: no snapshot knows what is below.
      writeFileSync(
        join(directory, 'etc/debmend/config.yaml'),
        'snapshots:\n  tracked:\n    - /etc/**\n    - /srv/**\n    - /var/lib/apt/extended_states\n',
      );
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      const { actions } = reportSchema.parse(JSON.parse(ended.stdout));
      expect(actions?.length).toBeGreaterThan(0);
      // Not /srv/lab: what debmend links there an overlay copies up, and so it is born once more.
      expect(actions?.filter(({ path }) => path?.startsWith('/srv/debmend-archive/'))).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('I2: leaves a link that leads nowhere where nothing was tracked before', async () => {
    const workload = workloadNamed('install');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    try {
      const link = join(directory, 'srv/share');
      symlinkSync('/mnt/not-mounted', link);
      await sleep(1500); // file times are coarser than clocks, and that is allowed for
      const postinst =
        '#!/bin/sh\nif [ ! -e /root/was-cut ]; then touch /root/was-cut; kill -9 $PPID; sleep 1; fi\n' +
        'if [ ! -e /srv/share ]; then rm -f /srv/share; echo default > /srv/share; fi\n';
      buildPackage(
        { name: 'wants', files: { '/usr/share/wants/file': 'file\n' }, control: { postinst } },
        join(directory, 'root'),
      );
      await inRoot(directory, ['dpkg', '-i', '/root/wants_1.0_all.deb'], { offline: true });
      mkdirSync(join(directory, 'etc/debmend'), { recursive: true });
      writeFileSync(
        join(directory, 'etc/debmend/config.yaml'),
        'snapshots:\n  tracked:\n    - /etc/**\n    - /srv/**\n    - /var/lib/apt/extended_states\n',
      );
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      const { actions } = reportSchema.parse(JSON.parse(ended.stdout));
      expect(actions?.length).toBeGreaterThan(0);
      expect(actions?.map(({ path }) => path)).not.toContain('/srv/share');
    } finally {
      overlay.remove();
    }
  });

  rootTest(
    'gives things back their names that a repair of the filesystem took, and names what is left',
    async () => {
      const workload = workloadNamed('upgrade');
      const overlay = lab.overlay(workload);
      try {
        const { directory } = overlay;
        const base = lab.base(workload);
        const at = (path: string) => join(directory, path);
        mkdirSync(at('lost+found'), { mode: 0o700 });
        renameSync(at('usr/lib/lab-core'), at('lost+found/#11'));
        renameSync(at('usr/bin/lab-extra-pager'), at('lost+found/#12'));
        renameSync(at('etc/lab/own.conf'), at('lost+found/#13'));
        renameSync(at('var/lib/dpkg/status'), at('lost+found/#14'));
        writeFileSync(at('lost+found/#15'), 'nobody knows it');
        const recovered = async () => {
          const ended = await debmendRecovery(directory, { workload, boot: undefined });
          const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
          return { ended, recovery };
        };
        const first = await recovered();
        expect(first.ended, first.ended.stdout).toMatchObject({ code: 1 });
        // Beside it only what was written in the last minute, which of this young system is much.
        const sure = first.recovery?.unmended.filter(({ reason }) => !reason.includes('shortly before'));
        expect(sure?.map(({ path }) => path)).toEqual(['/lost+found']);
        expect(readdirSync(at('lost+found'))).toEqual(['#15']);
        const { differences } = compareImages(base, await readImage(directory, base));
        expect(differences.filter((line) => !line.startsWith('/lost+found'))).toEqual([]);
        rmSync(at('lost+found/#15'));
        expect((await recovered()).ended).toMatchObject({ code: 0 });
      } finally {
        overlay.remove();
      }
    },
  );

  rootTest('makes the links of alternatives again, slaves too', async () => {
    const workload = workloadNamed('upgrade');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    const base = lab.base(workload);
    try {
      for (const link of ['usr/bin/lab-pager', 'usr/share/lab-pager.txt', 'usr/bin/awk', 'usr/bin/nawk'])
        rmSync(join(directory, link));
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(compareImages(base, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  /** dpkg's database lies in lost+found, as a repair of the filesystem leaves it. */
  const inLostFound = async (
    change: (at: (path: string) => string) => void,
    body: (directory: string, recovered: () => ReturnType<typeof debmendRecovery>) => Promise<void>,
  ): Promise<void> => {
    const workload = workloadNamed('upgrade');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    const at = (path: string) => join(directory, path);
    try {
      mkdirSync(at('lost+found'), { mode: 0o700 });
      renameSync(at('var/lib/dpkg'), at('lost+found/#42'));
      change(at);
      const planned = await inRoot(directory, ['debmend', 'plan'], { offline: true });
      expect(planned.code).toBe(3);
      expect(planned.stderr).toContain('debmend recover --apply');
      expect(readdirSync(at('lost+found'))).toContain('#42');
      await body(directory, () => debmendRecovery(directory, { workload, boot: randomUUID() }));
    } finally {
      overlay.remove();
    }
  };

  rootTest('returns dpkg’s whole database from lost+found', () =>
    inLostFound(
      () => {},
      async (directory, recovered) => {
        const base = lab.base(workloadNamed('upgrade'));
        const ended = await recovered();
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
        expect(compareImages(base, await readImage(directory, base)).differences).toEqual([]);
        expect(readdirSync(join(directory, 'lost+found'))).toEqual([]);
      },
    ),
  );

  rootTest('I11: names what is gone after it, with nothing left in lost+found', () =>
    inLostFound(
      (at) => rmSync(at('etc/hosts')),
      async (_, recovered) => {
        const ended = await recovered();
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 1 });
        const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
        expect(recovery?.unmended.map(({ path }) => path)).toEqual(['/etc/hosts']);
      },
    ),
  );

  rootTest('returns its own store from lost+found, and by it dpkg’s database', () =>
    inLostFound(
      (at) => renameSync(at('var/lib/debmend'), at('lost+found/#43')),
      async (directory, recovered) => {
        const base = lab.base(workloadNamed('upgrade'));
        const ended = await recovered();
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
        expect(ended.stderr).toContain('/lost+found/#43');
        expect(compareImages(base, await readImage(directory, base)).differences).toEqual([]);
        expect(readdirSync(join(directory, 'lost+found'))).toEqual([]);
        // What the first look had made in its place.
        const store = readdirSync(join(directory, 'var/lib/debmend'));
        expect(store.filter((name) => name.startsWith('replaced-'))).toHaveLength(1);
      },
    ),
  );

  const PARTS = [
    {
      how: 'where its store lies in it',
      move: (at: (path: string) => string) => renameSync(at('var/lib'), at('lost+found/#77')),
      // After a repair nobody can tell what an administrator put there.
      unmended: ['/usr/share/lab/own-data'],
      left: [],
    },
    {
      how: 'each directory of it by itself, and names what nobody knows',
      move: (at: (path: string) => string) => {
        for (const name of readdirSync(at('var/lib')))
          renameSync(at(`var/lib/${name}`), at(`lost+found/#${name}`));
        rmdirSync(at('var/lib'));
      },
      unmended: ['/lost+found', '/usr/share/lab/own-data', '/usr/share/lab/gone'],
      // The script has made the second anew.
      left: ['#lab-1', '#lab-2'],
    },
  ];
  for (const { how, move, unmended, left } of PARTS)
    rootTest(`returns all of /var/lib from lost+found, ${how}`, async () => {
      const { workload, overlay, directory, base } = await cut('postinst-amid-state');
      try {
        const at = (path: string) => join(directory, path);
        mkdirSync(at('lost+found'), { mode: 0o700 });
        move(at);
        const before = await readImage(directory, base);
        const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
        const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
        expect(recovery?.unmended.map(({ path }) => path)).toEqual(unmended);
        expect(readdirSync(at('lost+found'))).toEqual(left);
        if (left.length > 0) renameSync(at('lost+found/#lab-1'), at('var/lib/lab-1'));
        const after = await readImage(directory, base);
        const { expected } = await lab.uninterrupted(workload);
        expect(differencesAfter(after, { base, before, expected })).toEqual([]);
      } finally {
        overlay.remove();
      }
    });

  rootTest('I1: takes no store in lost+found for its own that knows another filesystem', () =>
    inLostFound(
      (at) => {
        renameSync(at('var/lib/debmend'), at('lost+found/#43'));
        // As after a copy of the tree: the names are the same, and the inodes are others.
        const files = ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/share', 'etc'];
        for (const name of files) {
          cpSync(at(name), at(`${name}.copy`), { recursive: true, verbatimSymlinks: true });
          rmSync(at(name), { recursive: true });
          renameSync(at(`${name}.copy`), at(name));
        }
      },
      async (directory, recovered) => {
        const ended = await recovered();
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 3 });
        expect(readdirSync(join(directory, 'lost+found')).sort()).toEqual(['#42', '#43']);
      },
    ),
  );

  for (const [what, change] of [
    ['that somebody else owns', (lost: string) => chownSync(lost, 1000, 1000)],
    [
      'behind a link',
      (lost: string) => {
        renameSync(lost, join(lost, '../../srv/of-somebody'));
        symlinkSync('/srv/of-somebody', lost);
      },
    ],
  ] as const)
    rootTest(`I7: takes no store in lost+found for its own ${what}`, () =>
      inLostFound(
        (at) => {
          renameSync(at('var/lib/debmend'), at('lost+found/#43'));
          change(at('lost+found/#43'));
        },
        async (directory, recovered) => {
          const ended = await recovered();
          expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 3 });
          expect(ended.stderr).toContain('no-dpkg-database');
          expect(readdirSync(join(directory, 'lost+found')).sort()).toEqual(['#42', '#43']);
        },
      ),
    );

  rootTest('I1: takes nothing in lost+found for it that no snapshot knows', () =>
    inLostFound(
      (at) => rmSync(at('var/lib/debmend'), { recursive: true }),
      async (directory, recovered) => {
        const ended = await recovered();
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 3 });
        expect(ended.stderr).toContain('/lost+found/#42 looks like one');
        expect(ended.stderr).toContain('move it to /var/lib/dpkg');
        expect(readdirSync(join(directory, 'lost+found'))).toEqual(['#42']);
      },
    ),
  );

  rootTest('moves a link aside that leads nowhere and stands where a script wants a file', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-begun');
    try {
      // What a disk leaves that lost the inode under a new name: an older one, of something else.
      const link = join(directory, 'opt/of-other-times');
      symlinkSync('nowhere', link);
      linkSync(link, join(directory, 'etc/lab-settings-2'));
      rmSync(link);
      await endsAsUninterrupted({ workload, directory, base });
    } finally {
      overlay.remove();
    }
  });

  rootTest('gives a script its way where the disk lost the diversion that it had made', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-begun', 'install');
    try {
      const table = join(directory, 'var/lib/dpkg/diversions');
      const text = readFileSync(table, 'utf8');
      const without = text.replace(/^\/usr\/share\/lab\/greeting\n.*\n.*\n/m, '');
      expect(without).not.toBe(text);
      writeFileSync(table, without);
      expect(existsSync(join(directory, 'usr/share/lab/greeting.lab-core'))).toBe(true);
      await endsAsUninterrupted({ workload, directory, base });
    } finally {
      overlay.remove();
    }
  });

  rootTest(
    'gives packages their records back that a lost block of the status file had, and parses',
    async () => {
      const { workload, overlay, directory, base } = await cut('postinst-amid-state');
      try {
        await mustInRoot(directory, ['sh', '-c', 'echo dash hold | dpkg --set-selections']);
        garbleRecord(directory, 'sed');
        const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
        const status = join(directory, 'var/lib/dpkg/status');
        const text = readFileSync(status, 'utf8');
        expect(text).toMatch(/^Package: dash\n(?:.+\n)*?Status: hold ok installed$/m);
        writeFileSync(status, text.replace('Status: hold ok', 'Status: install ok'));
        const { expected } = await lab.uninterrupted(workload);
        expect(compareImages(expected, await readImage(directory, base)).differences).toEqual([]);
      } finally {
        overlay.remove();
      }
    },
  );

  rootTest('asks a network that is not there once, and names what stands half-done', async () => {
    const { workload, overlay, directory } = await cut('postinst-amid-state');
    try {
      const transactions = join(directory, 'var/lib/debmend/transactions');
      for (const id of readdirSync(transactions))
        rmSync(join(transactions, id, 'archives'), { recursive: true });
      rmSync(join(directory, 'srv/debmend-archive'), { recursive: true });
      rmSync(join(directory, 'srv/lab'), { recursive: true });
      // Damaged too, in packages whose archives only the network has.
      const damaged = ['gpgv', 'ncurses-bin', 'passwd'];
      for (const name of ['gpgv', 'infocmp', 'chage'])
        writeFileSync(join(directory, 'usr/bin', name), Buffer.alloc(4096));
      await knowFromNowhere(directory, damaged);
      writeFileSync(join(directory, 'usr/bin/stranger'), 'of another time\n');
      garbleRecord(directory, 'sed');
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 1 });
      const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
      expect(recovery).toMatchObject({ outcome: 'incomplete', retry: true, transaction: { end: 'open' } });
      expect(recovery?.problems.filter((problem) => problem.includes('resolving'))).toHaveLength(1);
      expect(recovery?.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/usr/bin/stranger', '/var/lib/lab-2']),
      );
      expect(recovery?.unmended.map(({ package: name }) => name)).toContain('sed');
    } finally {
      overlay.remove();
    }
  });

  rootTest('takes away what mkinitramfs and apt were writing, and nothing of anybody else', async () => {
    const { workload, overlay, directory } = await cut('postinst-amid-state');
    try {
      const scratch = join(directory, 'var/tmp/mkinitramfs_Ab12Cd');
      mkdirSync(join(scratch, 'conf'), { recursive: true });
      writeFileSync(join(scratch, 'conf/arch.conf'), '');
      writeFileSync(join(directory, 'var/tmp/mkinitramfs-MAIN_Ab12Cd'), '');
      writeFileSync(join(directory, 'var/tmp/somebody'), "somebody's own\n");
      writeFileSync(join(directory, 'var/lib/apt/extended_states.aB3dEf'), 'Package: hel');
      writeFileSync(join(directory, 'var/lib/apt/extended_states.backup'), "somebody's own\n");
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(readdirSync(join(directory, 'var/tmp'))).toEqual(['somebody']);
      const marks = readdirSync(join(directory, 'var/lib/apt')).filter((name) => name.includes('_states.'));
      expect(marks).toEqual(['extended_states.backup']);
      const listed = await inRoot(directory, ['debmend', 'quarantine', 'list', '--json']);
      expect(listed.stdout).toContain('/var/tmp/mkinitramfs_Ab12Cd');
      expect(listed.stdout).toContain('/var/lib/apt/extended_states.aB3dEf');
    } finally {
      overlay.remove();
    }
  });

  rootTest('names the state of scripts that a missing program kept from their end', async () => {
    const { workload, overlay, directory } = await cut('postinst-after-user');
    try {
      rmSync(join(directory, 'usr/bin/chown'));
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
      expect(recovery?.outcome, ended.stdout + ended.stderr).toBe('incomplete');
      expect(recovery?.unmended.map(({ path }) => path)).toEqual(
        expect.arrayContaining(['/bin/chown', '/var/lib/lab-2']),
      );
      // Made at the first try, and found at the second, which came to its end.
      expect(recovery?.unmended.map(({ package: name }) => name)).not.toContain('lab-core');
      expect(recovery?.unmended.find(({ path }) => path === '/var/lib/lab-2')?.reason).toContain(
        '/bin/chown',
      );
    } finally {
      overlay.remove();
    }
  });

  rootTest('names the state of scripts that failed before they came to their end', async () => {
    const workload = workloadNamed('install');
    const overlay = lab.overlay(workload);
    const { directory } = overlay;
    try {
      const postinst =
        '#!/bin/sh\nif [ ! -e /root/was-cut ]; then touch /root/was-cut; kill -9 $PPID; sleep 1; fi\n' +
        'if [ ! -d /var/lib/fails-once ]; then mkdir /var/lib/fails-once; date > /etc/fails-once.conf; exit 7; fi\n' +
        '[ -e /etc/constant.conf ] || exit 0\n';
      buildPackage(
        { name: 'fails-once', files: { '/usr/share/fails-once/file': 'file\n' }, control: { postinst } },
        join(directory, 'root'),
      );
      await inRoot(directory, ['dpkg', '-i', '/root/fails-once_1.0_all.deb'], { offline: true });
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      const { recovery } = reportSchema.parse(JSON.parse(ended.stdout));
      expect(recovery?.outcome, ended.stdout + ended.stderr).toBe('incomplete');
      expect(recovery?.unmended.map(({ path }) => path).sort()).toEqual([
        '/etc/fails-once.conf',
        '/var/lib/fails-once',
      ]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('makes one file of several names again', async () => {
    const workload = workloadNamed('upgrade');
    const overlay = lab.overlay(workload);
    try {
      const { directory } = overlay;
      const base = lab.base(workload);
      writeFileSync(join(directory, 'usr/bin/lab'), ''); // and so it is under its other name
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(compareImages(base, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest(
    'takes away what programs were writing beside a file, and nothing that only looks like it',
    async () => {
      const { workload, overlay, directory, base } = await cut('postinst-amid-state');
      try {
        const { expected } = await lab.uninterrupted(workload);
        const halves = [
          'boot/initrd.img-6.1.0-1-amd64.new',
          'etc/lab/sedAb12Cd',
          'etc/ld.so.cache~',
          'etc/tmp.Ab12Cd34Ef',
        ];
        const others = ['etc/lab/own.new', 'etc/lab/sedition', 'etc/lab/backup~'];
        for (const path of [...halves, ...others]) writeFileSync(join(directory, path), 'half of it\n');
        const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
        expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
        const { differences } = compareImages(expected, await readImage(directory, base));
        expect(differences.map((line) => line.slice(1, line.indexOf(':'))).sort()).toEqual(others.sort());
      } finally {
        overlay.remove();
      }
    },
  );

  rootTest('gives back what a cut emptied of the notes of deb-systemd-helper', async () => {
    const workload = workloadNamed('upgrade');
    const overlay = lab.overlay(workload);
    try {
      const { directory } = overlay;
      const notes = join(directory, 'var/lib/systemd/deb-systemd-helper-enabled');
      const note = join(notes, 'lab.service.dsh-also');
      // Without it the next configuration takes a service for one that was never seen, and enables it.
      const known = '/etc/systemd/system/multi-user.target.wants/lab.service\n';
      mkdirSync(notes, { recursive: true });
      writeFileSync(note, known);
      const point = { class: 'script', at: 'postinst-amid-state' };
      expect(await interrupt(directory, workload, point, 0)).toBe(true);
      writeFileSync(note, '');
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(readFileSync(note, 'utf8')).toBe(known);
    } finally {
      overlay.remove();
    }
  });

  const linesOf = (directory: string, file: string): string[] =>
    readFileSync(join(directory, 'etc', file), 'utf8').split('\n');

  rootTest('makes an account anew that a cut left in some of its files', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-after-user', 'install');
    try {
      const { expected } = await lab.uninterrupted(workload);
      const gshadow = linesOf(directory, 'gshadow').filter((line) => !line.startsWith('lab:'));
      expect(gshadow.length).toBeLessThan(linesOf(directory, 'gshadow').length);
      writeFileSync(join(directory, 'etc/gshadow'), gshadow.join('\n'));
      // An administrator was making one at the same time, and knows what to do about it.
      appendFileSync(join(directory, 'etc/group'), 'person:x:1000:\n');
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(linesOf(directory, 'group')).toContain('person:x:1000:');
      const others = linesOf(directory, 'group').filter((line) => !line.startsWith('person:'));
      writeFileSync(join(directory, 'etc/group'), others.join('\n'));
      expect(compareImages(expected, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });

  rootTest('takes an account away that a cut took from some of its files', async () => {
    const { workload, overlay, directory, base } = await cut('postrm-amid-purge', 'purge');
    try {
      for (const file of ['passwd', 'shadow']) {
        const kept = linesOf(directory, file).filter((line) => !line.startsWith('lab:'));
        writeFileSync(join(directory, 'etc', file), kept.join('\n'));
      }
      await endsAsUninterrupted({ workload, directory, base });
    } finally {
      overlay.remove();
    }
  });

  rootTest('I6: uses no kept archive that is not what was kept', async () => {
    const { workload, overlay, directory, base } = await cut('postinst-amid-state');
    try {
      const { expected } = await lab.uninterrupted(workload);
      const transactions = join(directory, 'var/lib/debmend/transactions');
      for (const id of readdirSync(transactions))
        for (const name of readdirSync(join(transactions, id, 'archives'))) {
          const file = join(transactions, id, 'archives', name);
          const data = readFileSync(file);
          data.fill(0, data.length - 200);
          rmSync(file); // it is a second name of the one that dpkg was given, and that one stays sound
          writeFileSync(file, data);
        }
      const ended = await debmendRecovery(directory, { workload, boot: randomUUID() });
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 });
      expect(compareImages(expected, await readImage(directory, base)).differences).toEqual([]);
    } finally {
      overlay.remove();
    }
  });
});
