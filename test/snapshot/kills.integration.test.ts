/**
 * debmend itself killed at every write of the snapshot code (I4): strace(1) ends it at its K-th system call that writes
 * something durable, for K = 1, 2, 3 … until a run ends by itself. After each the store opens, the last sealed snapshot
 * is there as it was, and the same command run again ends in the state of one uninterrupted run.
 *
 * DEBMEND_KILL_STRIDE=1 kills the hooks at every call; the ordinary run leaves some out (npm run kills).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inspectStore } from '../../src/snapshot/inspect.ts';
import { listSnapshots } from '../../src/snapshot/snapshots.ts';
import { listTransactions } from '../../src/snapshot/transaction/record.ts';
import { Root } from '../../src/system/root.ts';
import { LAUNCHER } from '../cli/debmend.ts';
import { inRoot, mustInRoot } from '../lab/chroot.ts';
import { publish } from '../lab/packages.ts';
import { rootTest } from '../lab/roots.ts';
import { hookedRoot } from './lab.ts';
import { freshRoot, fullSnapshot, stateAt, storeOf } from './rig.ts';

/** What makes something durable, or changes a name. write(2) is left out: it also wakes threads, and is never the last. */
const CALLS =
  'pwrite64,pwritev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir';
const MOST = 400;

const strace = (at: number): string[] => [
  'strace',
  '-f',
  '-qq',
  '-o',
  '/dev/null',
  '-e',
  `trace=${CALLS}`,
  '-e',
  `inject=${CALLS}:signal=KILL:when=${at}`,
];

it('I4: a snapshot that is killed at any write leaves the store whole, and the last sealed one in it', async () => {
  const root = freshRoot();
  const first = await storeOf(root);
  const { snapshot: sealed } = await fullSnapshot(root, first);
  const before = stateAt(first, sealed);
  first.close();
  let kills = 0;
  for (let at = 1; ; at += 1) {
    expect(at).toBeLessThan(MOST);
    root.write('/etc/changes', `${at}\n${'filler '.repeat(3000)}`);
    root.write(`/etc/new-${at}`, 'new');
    rmSync(root.at(`/etc/new-${at - 1}`), { force: true });
    const [program = '', ...args] = strace(at);
    const run = spawnSync(program, [...args, LAUNCHER, 'snapshot', 'create', '--root', root.directory], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      encoding: 'utf8',
    });
    const killed = run.signal === 'SIGKILL' || run.status === 137;
    if (!killed) expect(run.status, run.stderr).toBe(0);
    // Reading alone sees a whole store as well.
    expect(await inspectStore(new Root(root.directory))).toMatchObject({ kind: 'read', setAside: undefined });
    const store = await storeOf(root);
    expect(store.setAside).toBeUndefined();
    expect(store.db.pragma('integrity_check', { simple: true })).toBe('ok');
    const snapshots = listSnapshots(store);
    expect(snapshots.every((one) => one.entries > 0)).toBe(true);
    expect(stateAt(store, sealed)).toEqual(before);
    // And again: the end is that of an uninterrupted run.
    const again = await fullSnapshot(root, store);
    expect([...stateAt(store, again.snapshot).keys()].filter((path) => path.startsWith('/etc/new-'))).toEqual(
      [`/etc/new-${at}`],
    );
    store.close();
    if (!killed) break;
    kills += 1;
  }
  // Fewer would mean that the injection missed.
  expect(kills).toBeGreaterThan(10);
});

const stride = Number(process.env['DEBMEND_KILL_STRIDE'] ?? 7);

rootTest(
  'I4: hooks that are killed at any write: apt goes on, the store is whole, and the next start knows',
  async () => {
    const directory = await hookedRoot('bookworm', ['strace']);
    // Under a name that a hook passes over when it looks for its caller.
    await mustInRoot(directory, ['cp', '/usr/bin/strace', '/tmp/timeout']);
    const versions = Array.from({ length: 2 }, (_, at) => `${at + 1}.0`);
    await publish(
      directory,
      ...versions.map((version) => ({
        name: 'tiny',
        version,
        files: { '/usr/share/tiny/data': `of ${version}\n`, '/etc/tiny.conf': `of ${version}\n` },
        conffiles: ['/etc/tiny.conf'],
      })),
    );
    await mustInRoot(directory, ['sh', '-c', 'cp $(find / -xdev -name "tiny_*.deb") /tmp/']);
    await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
    const root = new Root(directory);
    const input = (version: string) =>
      `VERSION 3\n\ntiny 1.0 all none < ${version} all none /tmp/tiny_${version}_all.deb\n`;
    const kills = { 'apt-pre': 0, 'apt-post': 0 };
    for (const hook of ['apt-pre', 'apt-post'] as const) {
      for (let at = 1; ; at += stride) {
        expect(at).toBeLessThan(MOST);
        // In one process, as apt calls them: the hook that is looked at is killed, the other is not. dpkg works between.
        const call = (name: string): string => {
          const program = `/usr/lib/debmend/bin/debmend hook ${name}`;
          return name === hook ? `/tmp/timeout ${strace(at).slice(1).join(' ')} ${program}` : program;
        };
        const version = versions[at % 2] ?? '1.0';
        const script = [
          '$ENV{APT_HOOK_INFO_FD} = 0;',
          `open(my $in, '|-', '${call('apt-pre')}'); print $in ${JSON.stringify(input(version)).replaceAll('$', '\\$')}; close $in;`,
          'my $pre = $?; $ENV{DEBMEND_HOOKS} = "off";',
          `system('dpkg', '--force-confnew', '-i', '/tmp/tiny_${version}_all.deb') == 0 or exit 99;`,
          'delete $ENV{DEBMEND_HOOKS};',
          `system('${call('apt-post')}'); my $post = $?; print "pre $pre post $post\\n";`,
        ].join(' ');
        const run = await inRoot(directory, ['perl', '-e', script]);
        expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
        const [, pre, post] = /pre (\d+) post (\d+)/.exec(run.stdout) ?? [];
        const killed = Number(hook === 'apt-pre' ? pre : post) !== 0;
        expect(await inspectStore(root)).toMatchObject({ kind: 'read', setAside: undefined });
        const { transactions } = JSON.parse(
          await mustInRoot(directory, ['debmend', 'transaction', 'list', '--json']),
        );
        const last = transactions.at(-1);
        if (killed) kills[hook] += 1;
        // Whatever was written of it is whole; and nobody takes it for open, because its process is gone.
        for (const { state } of transactions) expect(['sealed', 'interrupted', 'abandoned']).toContain(state);
        if (!killed) expect(last).toMatchObject({ state: 'sealed', seal: { complete: true, synced: true } });
        const store = join(directory, 'var/lib/debmend');
        for (const name of globSync('*', { cwd: join(store, 'transactions') })) {
          const journal = join(store, 'transactions', name, 'intent.json');
          if (existsSync(journal)) JSON.parse(readFileSync(journal, 'utf8'));
        }
        if (!killed) break;
      }
    }
    expect(kills['apt-pre']).toBeGreaterThan(1);
    expect(kills['apt-post']).toBeGreaterThan(1);
    const store = await storeOf({
      directory,
      at: (path) => join(directory, path),
      write: () => {},
      remove: () => {},
    });
    expect(store.db.pragma('integrity_check', { simple: true })).toBe('ok');
    expect(listTransactions(store, 'open')).toEqual([]);
  },
);
