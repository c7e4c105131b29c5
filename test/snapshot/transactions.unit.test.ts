import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Config, DEFAULT_CONFIG } from '../../src/config/settings.ts';
import type { IntendedPackage } from '../../src/dpkg/apt-hook.ts';
import { Contents } from '../../src/snapshot/contents.ts';
import { Entries } from '../../src/snapshot/entries.ts';
import { findSnapshot, listSnapshots } from '../../src/snapshot/snapshots.ts';
import type { Store } from '../../src/snapshot/store.ts';
import { beginRun, readFileList, statusLog } from '../../src/snapshot/transaction/begin.ts';
import { endTransaction } from '../../src/snapshot/transaction/end.ts';
import { findTransaction, putTransaction } from '../../src/snapshot/transaction/record.ts';
import { sealTransaction } from '../../src/snapshot/transaction/seal.ts';
import { settleTransactions } from '../../src/snapshot/transaction/settle.ts';
import { readProcess } from '../../src/system/processes.ts';
import { Root } from '../../src/system/root.ts';
import type { TinyRoot } from '../cli/tiny-root.ts';
import { buildPackage } from '../lab/packages.ts';
import { freshRoot, fullSnapshot, settle, storeOf } from './rig.ts';

/** This very process, which lives. */
const SESSION = {
  pid: process.pid,
  startTicks: readProcess(process.pid)?.startTicks,
  command: ['a test'],
  directory: '/',
};

const hello = (more: Partial<IntendedPackage> = {}): IntendedPackage => ({
  name: 'hello',
  architecture: 'amd64',
  multiArch: undefined,
  action: 'upgrade',
  oldVersion: '2.10-3',
  newVersion: '3',
  archive: undefined,
  ...more,
});

async function begin(root: TinyRoot, store: Store, packages = [hello()], config: Config = DEFAULT_CONFIG) {
  const input = { source: 'apt', packages, complete: true, session: SESSION } as const;
  return (await beginRun(store, new Root(root.directory), config, input)).transaction;
}

async function seal(root: TinyRoot, store: Store, id: string, hooks: Partial<Config['hooks']> = {}) {
  const open = findTransaction(store, id);
  if (open === undefined) throw new Error('no transaction');
  const config = { ...DEFAULT_CONFIG, hooks: { ...DEFAULT_CONFIG.hooks, ...hooks } };
  return (await sealTransaction(store, new Root(root.directory), config, open, 'apt')).transaction;
}

const transactionFiles = (root: TinyRoot, id: string) =>
  readdirSync(root.at(`/var/lib/debmend/transactions/${id}`)).sort();

describe('a transaction', () => {
  it('is on disk, in the database and as a file, when it has begun', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const transaction = await begin(root, store);
    expect(findTransaction(store, transaction.id)).toEqual(transaction);
    const journal = root.at(`/var/lib/debmend/transactions/${transaction.id}/intent.json`);
    expect(JSON.parse(readFileSync(journal, 'utf8'))).toEqual(transaction);
    expect(findSnapshot(store, transaction.snapshotBefore ?? 0)).toMatchObject({
      kind: 'before',
      transaction: transaction.id,
    });
  });

  it('keeps the old versions of sound files by a second name, and those of no others (I6)', async () => {
    const root = freshRoot();
    root.write('/usr/share/hello/data', 'damaged by an earlier outage');
    const store = await storeOf(root);
    const { id, replaced } = await begin(root, store);
    // hello and its copyright are sound; the conffile is copied instead.
    expect(replaced).toEqual({ kept: 2, unsound: 1, failed: 0 });
    const names = readdirSync(root.at(`/var/lib/debmend/transactions/${id}/replaced`));
    const inodes = names.map(
      (name) => statSync(root.at(`/var/lib/debmend/transactions/${id}/replaced/${name}`)).ino,
    );
    expect(inodes).toContain(statSync(root.at('/usr/bin/hello')).ino);
    // As dpkg does it: another inode takes the name.
    rmSync(root.at('/usr/bin/hello'));
    root.write('/usr/bin/hello', 'new');
    const kept = names.map((name) =>
      readFileSync(root.at(`/var/lib/debmend/transactions/${id}/replaced/${name}`), 'utf8'),
    );
    expect(kept).toContain('#!/bin/sh\necho hello, world\n');
    expect(
      new Contents(store).read(new Entries(store).find('/etc/hello.conf')?.content ?? 0).toString(),
    ).toBe('greeting = hello\n');
    await seal(root, store, id);
    expect(transactionFiles(root, id)).toEqual(['intent.json']);
  });

  it('reads no file again because it was linked', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    await fullSnapshot(root, store);
    const { id } = await begin(root, store);
    expect((await fullSnapshot(root, store)).filesRead).toBe(0);
    await seal(root, store, id);
  });

  it('keeps the archive under its hash, and what it is to bring', async () => {
    const root = freshRoot();
    const deb = buildPackage(
      {
        name: 'hello',
        version: '3',
        files: { '/usr/bin/hello': 'three\n', '/etc/hello.conf': 'x\n' },
        conffiles: ['/etc/hello.conf'],
      },
      root.directory,
    );
    const store = await storeOf(root);
    const archive = deb.slice(root.directory.length);
    const { id, runs } = await begin(root, store, [hello({ archive, architecture: 'all' })]);
    const record = runs[0]?.packages[0]?.archive;
    const sha256 = execFileSync('sha256sum', [deb], { encoding: 'utf8' }).slice(0, 64);
    expect(record).toMatchObject({ path: archive, sha256, index: 'unknown', files: 2 });
    const kept = root.at(`/var/lib/debmend/transactions/${id}/archives/${record?.kept}`);
    expect(statSync(kept).ino).toBe(statSync(deb).ino);
    expect([...(readFileList(store, id, 'hello', 'all') ?? [])]).toEqual([
      ['/usr/bin/hello', expect.stringMatching(/^[0-9a-f]{32}$/)],
      ['/etc/hello.conf', ''],
    ]);
  });

  it('goes on with an archive that is missing, cut or no archive at all, and says so (I8)', async () => {
    const root = freshRoot();
    const deb = buildPackage({ name: 'cut', files: { '/x': 'x' } }, root.directory);
    writeFileSync(root.at('/cut.deb'), readFileSync(deb).subarray(0, 200));
    root.write('/nul.deb', Buffer.alloc(1000));
    const store = await storeOf(root);
    const { runs } = await begin(root, store, [
      hello({ name: 'gone', archive: '/gone.deb' }),
      hello({ name: 'cut', archive: '/cut.deb' }),
      hello({ name: 'nul', archive: '/nul.deb' }),
    ]);
    const problems = runs[0]?.packages.map(({ name, problem }) => `${name}: ${problem}`);
    expect(problems).toEqual([
      expect.stringMatching(/^gone: the archive cannot be read: ENOENT/),
      expect.stringMatching(/^cut: reading .*cut\.deb: /),
      expect.stringMatching(/^nul: reading .*nul\.deb: /),
    ]);
  });

  it('is not led out of the root by a link in the place of an archive (I7)', async () => {
    const root = freshRoot();
    const outside = freshRoot();
    outside.write('/secret', 'outside');
    execFileSync('ln', ['-s', outside.at('/secret'), root.at('/evil.deb')]);
    const store = await storeOf(root);
    const { id, runs } = await begin(root, store, [hello({ archive: '/evil.deb' })]);
    expect(runs[0]?.packages[0]?.archive).toBeUndefined();
    expect(existsSync(root.at(`/var/lib/debmend/transactions/${id}/archives`))).toBe(false);
    expect(statSync(outside.at('/secret')).nlink).toBe(1);
  });

  it('says in its seal what was not waited for, and syncs the files that it knows of instead', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const first = await begin(root, store);
    root.write('/etc/new', 'written meanwhile');
    const unsynced = await seal(root, store, first.id, { syncLimit: 0 });
    expect(unsynced.seal).toMatchObject({
      synced: false,
      sync: { method: 'none', files: { synced: 0, failed: 0 } },
    });
    expect(unsynced.seal?.sync?.files?.notWaitedFor).toBeGreaterThan(0);
    expect(findSnapshot(store, unsynced.snapshotAfter ?? 0)?.sealed).toBe(false);
    const second = await begin(root, store);
    const synced = await seal(root, store, second.id);
    expect(synced.seal).toMatchObject({ synced: true, sync: { method: 'filesystems' } });
    expect(findSnapshot(store, synced.snapshotAfter ?? 0)?.sealed).toBe(true);
  });

  it('is one with the next run of its process', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const first = await begin(root, store);
    await seal(root, store, first.id);
    const second = await begin(root, store, [hello({ name: 'other', action: 'install' })]);
    expect(second.id).toBe(first.id);
    expect(second.runs).toHaveLength(2);
    expect(second.snapshotBefore).toBe(first.snapshotBefore);
  });

  it('leaves no more snapshots than are wanted, and a few', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const config = { ...DEFAULT_CONFIG, snapshots: { ...DEFAULT_CONFIG.snapshots, keep: 4 } };
    for (let at = 0; at < 12; at += 1) {
      const { id } = await begin(root, store, [hello()], config);
      const open = findTransaction(store, id);
      if (open !== undefined) await sealTransaction(store, new Root(root.directory), config, open, 'apt');
    }
    expect(listSnapshots(store).length).toBeLessThanOrEqual(4 + 10);
  });
});

describe('a transaction that nobody ended', () => {
  const OTHER_BOOT = '11111111-2222-3333-4444-555555555555';

  it('is interrupted when the boot is another, even where dpkg’s database says that nothing happened (I10)', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const { id } = await begin(root, store);
    putTransaction(store, {
      ...(findTransaction(store, id) ?? (await begin(root, store))),
      boot: OTHER_BOOT,
    });
    expect(settleTransactions(store, new Root(root.directory))).toMatchObject([{ id, state: 'interrupted' }]);
    expect(findTransaction(store, id)?.seal?.missed).toEqual(['hello:amd64']);
    // What a recovery needs is still there.
    expect(transactionFiles(root, id)).toContain('replaced');
    // And it is settled once.
    expect(settleTransactions(store, new Root(root.directory))).toEqual([]);
  });

  it('is left alone while its process runs', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await begin(root, store);
    expect(settleTransactions(store, new Root(root.directory))).toEqual([]);
  });

  it('is abandoned when its process is gone and nothing was changed', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const open = await begin(root, store);
    const { id } = open;
    putTransaction(store, { ...open, session: { ...open.session, startTicks: 1 } });
    expect(settleTransactions(store, new Root(root.directory))).toMatchObject([{ id, state: 'abandoned' }]);
    expect(transactionFiles(root, id)).toEqual(['intent.json']);
  });

  it('is not taken for unchanged when dpkg was killed at its first note', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const open = await begin(root, store);
    const { id } = open;
    putTransaction(store, { ...open, session: { ...open.session, startTicks: 1 } });
    root.write('/var/lib/dpkg/updates/tmp.i', '');
    expect(settleTransactions(store, new Root(root.directory))).toMatchObject([{ id, state: 'interrupted' }]);
  });

  it('is interrupted when its front end says that it is over, and dpkg was killed', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const open = await begin(root, store);
    const { id } = open;
    root.write('/var/lib/dpkg/updates/0000', 'Package: new\nStatus: install ok half-installed\n\n');
    const ended = await endTransaction(store, new Root(root.directory), DEFAULT_CONFIG, open, 'apt');
    expect(ended).toMatchObject({ id, state: 'interrupted', seal: { complete: false } });
  });

  it.each([
    { log: 'status: hello: half-configured\n', state: 'interrupted' },
    { log: 'processing: upgrade: hello\n', state: 'interrupted' },
    { log: 'status: hello: unpacked\n', state: 'interrupted' },
    { log: 'status: hello: half-configured\nstatus: hello : error : its postinst failed\n', state: 'sealed' },
    {
      log: 'status: hello : error : its postinst failed\nstatus: other: installed\n',
      state: 'sealed',
    },
  ])('that is over with $log is $state', async ({ log, state }) => {
    const root = freshRoot();
    const store = await storeOf(root);
    const open = await begin(root, store);
    const { id } = open;
    writeFileSync(statusLog(store, id), log);
    const ended = await endTransaction(store, new Root(root.directory), DEFAULT_CONFIG, open, 'apt');
    expect(ended).toMatchObject({ id, state, seal: { complete: false } });
  });

  it.each([
    { log: 'processing: purge: hello\nstatus: hello: config-files\n', state: 'interrupted' },
    // a removal alone ends there
    { log: 'processing: remove: hello\nstatus: hello: config-files\n', state: 'sealed' },
  ])('that left the configuration with $log is $state', async ({ log, state }) => {
    const root = freshRoot();
    const store = await storeOf(root);
    const open = await begin(root, store, [hello({ action: 'remove' })]);
    const status = readFileSync(root.at('/var/lib/dpkg/status'), 'utf8');
    const removed = status.replace(
      /(Package: hello\n(?:.+\n)*?Status: )install ok installed/,
      '$1deinstall ok config-files',
    );
    expect(removed).not.toBe(status);
    root.write('/var/lib/dpkg/status', removed);
    writeFileSync(statusLog(store, open.id), log);
    const ended = await endTransaction(store, new Root(root.directory), DEFAULT_CONFIG, open, 'apt');
    expect(ended).toMatchObject({ state, seal: { missed: [] } });
  });

  it('is not taken for unchanged when a record of another package changed', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const open = await begin(root, store);
    putTransaction(store, { ...open, session: { ...open.session, startTicks: 1 } });
    root.write(
      '/var/lib/dpkg/updates/0001',
      'Package: new\nStatus: install reinstreq half-installed\nArchitecture: all\nVersion: 1\n\n',
    );
    const [settled] = settleTransactions(store, new Root(root.directory));
    expect(settled).toMatchObject({ state: 'interrupted' });
    expect(settled?.seal?.packages).toEqual([
      {
        name: 'new',
        architecture: 'all',
        oldState: 'not-installed',
        newState: 'half-installed',
        newVersion: '1',
        reinstRequired: true,
      },
    ]);
  });
});

it('a hard link of somebody else to a file that is replaced is nobody’s loss', async () => {
  const root = freshRoot();
  root.write('/srv/x', '');
  linkSync(root.at('/usr/bin/hello'), root.at('/srv/link'));
  const store = await storeOf(root);
  const { id } = await begin(root, store);
  await seal(root, store, id);
  expect(readFileSync(root.at('/srv/link'), 'utf8')).toContain('hello');
});
