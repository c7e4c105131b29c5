import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect } from 'vitest';
import { openStore } from '../../src/snapshot/store.ts';
import { listTransactions } from '../../src/snapshot/transaction/record.ts';
import { Root } from '../../src/system/root.ts';
import { debmend } from '../cli/debmend.ts';
import { HELLO, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';
import { testUnless } from '../lab/roots.ts';
import { type Agent, killAgents, startAgent } from './agent.ts';

/** A user namespace has limits of its own (namespaces(7), /proc/sys/user), so this machine's stay as they are. */
const limited = (setting: string, value: number): string[] => [
  'unshare',
  '--user',
  '--map-root-user',
  'sh',
  '-ec',
  `echo ${value} > /proc/sys/user/${setting}; exec "$@"`,
  'sh',
];
const [program = '', ...args] = limited('max_inotify_watches', 100);
const tried = spawnSync(program, [...args, 'true'], { encoding: 'utf8' });
const reason = tried.status === 0 ? undefined : `there are no user namespaces here: ${tried.stderr.trim()}`;

let root: TinyRoot;
beforeEach(() => {
  root = tinyRoot([HELLO]);
  mkdirSync(root.at('/var/lib/dpkg/updates'), { recursive: true });
  mkdirSync(root.at('/var/log'), { recursive: true });
  root.write('/config.yaml', 'watch: { heartbeat: 1, poll: 1, sample: 1 }\n');
  expect(debmend(['snapshot', 'create', '--root', root.directory]).stderr).toBe('');
});
afterEach(() => {
  killAgents();
  root.remove();
});
const start = (under: readonly string[]): Promise<Agent> =>
  startAgent(['--root', root.directory, '--config', root.at('/config.yaml')], { under });

/** What dpkg does at the end of a run, without a lock. */
async function changePackages(agent: Agent): Promise<void> {
  const status = root.at('/var/lib/dpkg/status');
  appendFileSync(
    status,
    'Package: other\nStatus: install ok installed\nMaintainer: x <x@y>\nArchitecture: amd64\nVersion: 1\nDescription: x\n\n',
  );
  await agent.event('transaction-ended', ({ packages }) => packages.includes('other'), 20_000);
  const store = await openStore(new Root(root.directory));
  expect(listTransactions(store, 'sealed').map(({ origin }) => origin)).toEqual(['watch']);
  store.close();
}

testUnless(reason, "without inotify at all dpkg's database is looked at, and all of it is said", async () => {
  const agent = await start(limited('max_inotify_instances', 0));
  const sysctl = 'fs.inotify.max_user_instances';
  expect(agent.of('watching-limited')).toMatchObject([
    { sysctl, errno: 'EMFILE', what: 'database', pollSeconds: 1 },
    { sysctl, errno: 'EMFILE', what: 'guarded' },
  ]);
  await changePackages(agent);
  expect(await agent.end()).toMatchObject({ code: 0 });
});

testUnless(reason, "with too few watches for dpkg's database it is looked at instead", async () => {
  const agent = await start(limited('max_inotify_watches', 1));
  const sysctl = 'fs.inotify.max_user_watches';
  expect(agent.of('watching-limited')).toMatchObject([
    { sysctl, errno: 'ENOSPC', what: 'database' },
    { sysctl, errno: 'ENOSPC', what: 'guarded' },
  ]);
  await changePackages(agent);
});

testUnless(reason, 'with too few watches for all that is guarded the rest is watched', async () => {
  for (let at = 0; at < 20; at += 1) mkdirSync(root.at(`/etc/d${at}`));
  // Three for dpkg's database, one for /etc, some of those below it.
  const agent = await start(limited('max_inotify_watches', 10));
  const [event, ...more] = agent.of('watching-limited');
  expect(more).toEqual([]);
  expect(event).toMatchObject({ what: 'guarded', sysctl: 'fs.inotify.max_user_watches' });
  expect(event?.what === 'guarded' && event.directories).toBeGreaterThan(10);
  expect(event?.what === 'guarded' && event.first.startsWith(root.directory)).toBe(true);
  expect(agent.of('started')[0]?.directories).toBeGreaterThan(4);
  writeFileSync(root.at('/etc/hello.conf'), 'x');
  await agent.event('conffile-changed');
  await changePackages(agent);
  expect(agent.of('watching-limited')).toHaveLength(1);
});
