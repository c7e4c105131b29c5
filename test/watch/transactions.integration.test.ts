import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import type { Transaction } from '../../src/model/transaction.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { findTransaction, listTransactions, putTransaction } from '../../src/snapshot/transaction/record.ts';
import { Root } from '../../src/system/root.ts';
import type { WatchEvent } from '../../src/watch/events.ts';
import { debmend } from '../cli/debmend.ts';
import { inRoot, installDebmend, mustInRoot } from '../lab/chroot.ts';
import { buildPackage, publish, type TinyPackage } from '../lab/packages.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../lab/roots.ts';
import { type Agent, killAgents, startAgent } from './agent.ts';

const cleanUp: (() => void)[] = [];
afterEach(() => {
  killAgents();
  for (const one of cleanUp.splice(0)) one();
});
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function prepared(): Promise<DebianRoot> {
  const root = await debianRoot('bookworm');
  cleanUp.push(() => root.remove());
  const taken = debmend(['snapshot', 'create', '--root', root.directory]);
  expect(taken.stderr).toBe('');
  return root;
}

/** Puts packages where a person would have downloaded them to. @returns their paths inside the root */
function download(root: DebianRoot, ...packages: TinyPackage[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-debs-'));
  cleanUp.push(() => rmSync(directory, { recursive: true }));
  return packages.map((pkg) => {
    const file = buildPackage(pkg, directory);
    const inside = `/root/${pkg.name}_${pkg.version ?? '1.0'}_all.deb`;
    cpSync(file, join(root.directory, inside));
    return inside;
  });
}

async function transactions(root: DebianRoot): Promise<Transaction[]> {
  const store = await openStore(new Root(root.directory));
  const found = listTransactions(store);
  store.close();
  return found;
}

function watchRoot(root: DebianRoot): Promise<Agent> {
  return startAgent(['--root', root.directory]);
}

const tiny: TinyPackage = {
  name: 'tiny',
  files: {
    '/usr/bin/tiny': { content: '#!/bin/sh\necho tiny\n', mode: 0o755 },
    '/etc/tiny.conf': 'a = b\n',
  },
  conffiles: ['/etc/tiny.conf'],
};

rootTest(
  'dpkg without hooks is seen, written down, and sealed; nothing that it did is said',
  async () => {
    const root = await prepared();
    // On a busy machine a dpkg that ends at once is over before anybody can ask for its command.
    const [deb = ''] = download(root, { ...tiny, control: { postinst: '#!/bin/sh\nsleep 1\n' } });
    const agent = await watchRoot(root);
    await mustInRoot(root.directory, ['dpkg', '-i', deb]);
    const begun = await agent.event('transaction-begun');
    const ended = await agent.event('transaction-ended', () => true, 20_000);
    expect(ended).toMatchObject({ transaction: begun.transaction, state: 'sealed', packages: ['tiny'] });
    const [transaction, ...more] = await transactions(root);
    expect(more).toEqual([]);
    expect(transaction).toMatchObject({
      id: begun.transaction,
      origin: 'watch',
      state: 'sealed',
      session: { command: ['dpkg', '-i', deb] },
      snapshotBefore: 1,
      snapshotAfter: 2,
      runs: [
        {
          source: 'watch',
          complete: false,
          packages: [
            {
              name: 'tiny',
              architecture: 'all',
              action: 'install',
              newVersion: '1.0',
              archive: { path: deb, index: expect.any(String), files: 2 },
            },
          ],
        },
      ],
      seal: {
        by: 'watch',
        complete: true,
        synced: true,
        missed: [],
        packages: [{ name: 'tiny', oldState: 'not-installed', newState: 'installed', newVersion: '1.0' }],
      },
    });
    expect(transaction?.seal?.steps).toContain('install tiny:all');
    expect(transaction?.seal?.steps.at(-1)).toBe('status tiny:all installed');

    // The snapshot after it knows the new files, so a change to one of them is said.
    const file = join(root.directory, 'usr/bin/tiny');
    writeFileSync(file, 'x');
    const changed = await agent.event('owned-file-changed');
    expect(changed).toMatchObject({ path: '/usr/bin/tiny', package: 'tiny', changed: ['content'] });
    expect(agent.of('owned-file-changed')).toHaveLength(1);
  },
  180_000,
);

rootTest(
  'runs that follow each other closely are one transaction, an upgrade and a removal too',
  async () => {
    const root = await prepared();
    const debs = download(
      root,
      tiny,
      { ...tiny, version: '2.0' },
      {
        name: 'other',
        control: { prerm: '#!/bin/sh\nsleep 0.3\n' },
      },
    );
    const agent = await watchRoot(root);
    const commands = [...debs.map((deb) => `dpkg -i ${deb}`), 'dpkg -P other'];
    await mustInRoot(root.directory, ['sh', '-ec', commands.join('; sleep 0.5; ')]);
    await agent.event('transaction-ended', () => true, 20_000);
    const found = await transactions(root);
    expect(found).toHaveLength(1);
    expect(found[0]?.runs.map(({ command }) => command.join(' '))).toEqual(commands);
    expect(found[0]?.seal?.packages.map(({ name }) => name)).toEqual(['tiny']);
    expect(agent.of('owned-file-changed')).toEqual([]);
    expect(agent.of('conffile-changed')).toEqual([]);
  },
  180_000,
);

rootTest(
  'a transaction that a hook began is left to the hook',
  async () => {
    const root = await prepared();
    const agent = await watchRoot(root);
    // What a hook of a process that runs writes down (snapshot/transaction/begin.ts).
    const store = await openStore(new Root(root.directory));
    const ticks = readFileSync(`/proc/${process.pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[19];
    const at = new Date().toISOString();
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const session = { pid: process.pid, startTicks: Number(ticks), command: ['apt'] };
    const open: Transaction = {
      id: 'hook',
      state: 'open',
      origin: 'apt',
      startedAt: at,
      boot,
      session,
      runs: [],
    };
    putTransaction(store, open);
    const [deb = ''] = download(root, tiny);
    await mustInRoot(root.directory, ['dpkg', '-i', deb]);
    await pause(3500);
    expect(agent.of('transaction-begun')).toEqual([]);
    expect(findTransaction(store, 'hook')?.state).toBe('open');
    // When its process has ended without a seal, the next run is seen again.
    putTransaction(store, { ...open, state: 'interrupted' });
    store.close();
    await pause(2500);
    await mustInRoot(root.directory, ['dpkg', '-P', 'tiny']);
    const ended = await agent.event('transaction-ended', () => true, 20_000);
    expect(ended).toMatchObject({ state: 'sealed' });
    expect((await transactions(root)).find(({ id }) => id === ended.transaction)?.seal?.steps).toContain(
      'purge tiny:all',
    );
  },
  180_000,
);

rootTest(
  'a failed run is sealed as one that did not do what it was meant to',
  async () => {
    const root = await prepared();
    const broken: TinyPackage = { ...tiny, name: 'broken', control: { postinst: '#!/bin/sh\nexit 1\n' } };
    const [deb = ''] = download(root, broken);
    const agent = await watchRoot(root);
    expect((await inRoot(root.directory, ['dpkg', '-i', deb])).code).toBe(1);
    const ended = await agent.event('transaction-ended', () => true, 20_000);
    expect(ended).toMatchObject({ state: 'sealed', complete: false, packages: ['broken'] });
  },
  180_000,
);

rootTest(
  'an agent that ends meanwhile leaves the transaction open, and the next one ends it',
  async () => {
    const root = await prepared();
    const [deb = ''] = download(root, {
      ...tiny,
      control: { postinst: '#!/bin/sh\nsleep 6\n' },
    });
    const agent = await watchRoot(root);
    const installing = mustInRoot(root.directory, ['dpkg', '-i', deb]);
    const { transaction } = await agent.event('transaction-begun');
    const ended = await agent.end();
    expect(ended.code).toBe(0);
    expect(ended.ms).toBeLessThan(1000);
    expect((await transactions(root)).map(({ id, state }) => [id, state])).toEqual([[transaction, 'open']]);
    const next = await watchRoot(root);
    await installing;
    const event = await next.event('transaction-ended', () => true, 20_000);
    expect(event).toMatchObject({ transaction, state: 'sealed', complete: true, packages: ['tiny'] });
  },
  180_000,
);

rootTest(
  "a rotated log of dpkg's is followed",
  async () => {
    const root = await prepared();
    const agent = await watchRoot(root);
    const log = join(root.directory, 'var/log/dpkg.log');
    mkdirSync(join(root.directory, 'var/log'), { recursive: true });
    renameSync(log, `${log}.1`);
    writeFileSync(log, '');
    await agent.event('transaction-ended', () => true, 20_000);
    const [deb = ''] = download(root, tiny);
    await mustInRoot(root.directory, ['dpkg', '-i', deb]);
    await agent.event('transaction-ended', ({ packages }) => packages.includes('tiny'), 20_000);
    expect((await transactions(root)).at(-1)?.seal?.steps[0]).toBe('install tiny:all');
  },
  180_000,
);

/** Runs a script inside a root, beside an agent there. @returns what the agent said, and all transactions */
async function besideAgent(root: DebianRoot, script: string) {
  await mustInRoot(root.directory, [
    'sh',
    '-ec',
    `debmend watch --json > /root/said & agent=$!
     while ! grep -q started /root/said; do sleep 0.1; done
     ${script}
     sleep 6
     kill $agent
     wait $agent`,
  ]);
  const said = readFileSync(join(root.directory, 'root/said'), 'utf8').trimEnd().split('\n');
  const events = said.map((line) => JSON.parse(line) as WatchEvent);
  return { kinds: events.map(({ kind }) => kind), found: await transactions(root) };
}

rootDescribe('an installed debmend', () => {
  const packages: TinyPackage[] = [{ ...tiny, depends: ['tiny-data'] }, { name: 'tiny-data' }];

  rootTest(
    "sees apt's transactions without hooks, and leaves them alone with hooks",
    async () => {
      const root = await debianRoot('bookworm', { include: ['libatomic1'] });
      cleanUp.push(() => root.remove());
      await publish(root.directory, ...packages);
      await installDebmend(root.directory);
      await mustInRoot(root.directory, ['debmend', 'snapshot', 'create']);
      const without = await besideAgent(root, 'apt-get install -y tiny');
      expect(without.kinds).toEqual(['started', 'transaction-begun', 'transaction-ended', 'stopped']);
      expect(without.found).toMatchObject([
        {
          origin: 'watch',
          state: 'sealed',
          session: { command: ['apt-get', 'install', '-y', 'tiny'] },
          seal: { complete: true, packages: [{ name: 'tiny-data' }, { name: 'tiny' }] },
        },
      ]);

      await mustInRoot(root.directory, ['debmend', 'hooks', 'install']);
      const beside = await besideAgent(root, 'apt-get purge -y tiny tiny-data');
      expect(beside.kinds).toEqual(['started', 'stopped']);
      expect(beside.found.slice(1)).toMatchObject([{ origin: 'apt', state: 'sealed' }]);
    },
    300_000,
  );
});
