import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import { Kind } from '../../src/scan/work.ts';
import { Contents } from '../../src/snapshot/contents.ts';
import { createFullSnapshot, createTransactionSnapshot, globMatcher } from '../../src/snapshot/create.ts';
import { Entries, Flag, Origin } from '../../src/snapshot/entries.ts';
import { diffSnapshots } from '../../src/snapshot/inventory.ts';
import {
  expiredSnapshots,
  listSnapshots,
  pruneSnapshots,
  type Snapshot,
} from '../../src/snapshot/snapshots.ts';
import { Root } from '../../src/system/root.ts';
import { HELLO, type TinyRoot } from '../cli/tiny-root.ts';
import { freshRoot, fullSnapshot, settle, stateAt, storeOf } from './rig.ts';

describe('a full snapshot', () => {
  it('knows what packages own, dpkg’s database and what is tracked, each with why', async () => {
    const root = freshRoot();
    root.write('/etc/local.conf', 'mine\n');
    root.write('/usr/local/bin/tool', '#!/bin/sh\n');
    root.write('/srv/data', 'nobody asks for it');
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const entries = new Entries(store);
    const origin = (path: string) => entries.find(path)?.origin;
    expect(origin('/usr/bin/hello')).toBe(Origin.owned);
    expect(origin('/etc/hello.conf')).toBe(Origin.owned | Origin.tracked);
    expect(origin('/etc/local.conf')).toBe(Origin.tracked);
    expect(origin('/usr/local/bin/tool')).toBe(Origin.tracked);
    expect(origin('/var/lib/dpkg/info/hello.list')).toBe(Origin.database);
    expect(origin('/srv/data')).toBeUndefined();
    expect(origin('/var/lib/debmend/state.db')).toBeUndefined();
  });

  it('copies conffiles, /etc and dpkg’s database, and nothing else', async () => {
    const root = freshRoot();
    root.write('/etc/shadow', 'root:*:1::::::\n');
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const entries = new Entries(store);
    const contents = new Contents(store);
    const copy = (path: string) => {
      const content = entries.find(path)?.content;
      return content == null ? undefined : contents.read(content).toString();
    };
    expect(copy('/etc/hello.conf')).toBe('greeting = hello\n');
    expect(copy('/etc/shadow')).toBe('root:*:1::::::\n');
    expect(copy('/var/lib/dpkg/info/hello.list')).toContain('/usr/bin/hello\n');
    expect(copy('/usr/bin/hello')).toBeUndefined();
  });

  it('knows whether a content is what the manifest says', async () => {
    const root = freshRoot();
    root.write('/usr/share/hello/data', 'something else');
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const entries = new Entries(store);
    const sound = (path: string) => ((entries.find(path)?.flags ?? 0) & Flag.sound) !== 0;
    expect(sound('/usr/bin/hello')).toBe(true);
    expect(sound('/etc/hello.conf')).toBe(true);
    expect(sound('/usr/share/hello/data')).toBe(false);
  });

  it('takes down links, and follows none', async () => {
    const root = freshRoot();
    symlinkSync('/etc/passwd', root.at('/etc/link'));
    mkdirSync(root.at('/srv'));
    symlinkSync('/srv', root.at('/etc/directory'));
    root.write('/srv/inside', 'x');
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const entries = new Entries(store);
    expect(entries.find('/etc/link')).toMatchObject({
      kind: Kind.link,
      target: '/etc/passwd',
      content: null,
    });
    expect(entries.find('/etc/directory/inside')).toBeUndefined();
    expect(entries.find('/srv/inside')).toBeUndefined();
  });

  const CHANGES: readonly (readonly [string, (root: TinyRoot) => void, string, readonly string[]])[] = [
    ['other content', (root) => root.write('/usr/bin/hello', 'x'), '/usr/bin/hello', ['content', 'time']],
    [
      'other content of the same size, with the old time put back',
      (root) => {
        execFileSync('cp', ['-p', root.at('/usr/share/hello/data'), root.at('/reference')]);
        root.write('/usr/share/hello/data', 'SOME data\n'.repeat(100));
        execFileSync('touch', ['-r', root.at('/reference'), root.at('/usr/share/hello/data')]);
      },
      '/usr/share/hello/data',
      ['content'],
    ],
    ['another mode', (root) => chmodSync(root.at('/usr/bin/hello'), 0o4755), '/usr/bin/hello', ['mode']],
    [
      'another target',
      (root) => {
        unlinkSync(root.at('/usr/share/hello/link'));
        symlinkSync('other', root.at('/usr/share/hello/link'));
      },
      '/usr/share/hello/link',
      ['target', 'time'],
    ],
    [
      'another type',
      (root) => {
        rmSync(root.at('/usr/share/hello/link'));
        mkdirSync(root.at('/usr/share/hello/link'));
      },
      '/usr/share/hello/link',
      ['type', 'mode', 'target', 'time'],
    ],
  ];
  it.each(CHANGES)('sees %s', async (_, change, path, what) => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    const { snapshot } = await fullSnapshot(root, store);
    change(root);
    await fullSnapshot(root, store);
    const [only, ...more] = diffSnapshots(store, snapshot, snapshot + 1);
    expect(more).toEqual([]);
    expect(only).toMatchObject({ path, change: 'changed' });
    expect(only?.what.filter((name) => name !== 'mode' || what.includes('mode'))).toEqual(what);
  });

  it('sees what came and what went', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const { snapshot } = await fullSnapshot(root, store);
    root.write('/etc/new', 'x');
    unlinkSync(root.at('/usr/bin/hello'));
    const { added, changed, gone } = await fullSnapshot(root, store);
    expect([added, changed, gone]).toEqual([1, 0, 1]);
    expect(diffSnapshots(store, snapshot, snapshot + 1).map(({ change, path }) => [change, path])).toEqual([
      ['added', '/etc/new'],
      ['removed', '/usr/bin/hello'],
    ]);
    expect(diffSnapshots(store, snapshot + 1, snapshot).map(({ change, path }) => [change, path])).toEqual([
      ['removed', '/etc/new'],
      ['added', '/usr/bin/hello'],
    ]);
  });

  it('reads a file again whose inode is another, and keeps no history of the same content', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    const { snapshot } = await fullSnapshot(root, store);
    execFileSync('cp', ['-p', root.at('/usr/bin/hello'), root.at('/usr/bin/copy')]);
    renameSync(root.at('/usr/bin/copy'), root.at('/usr/bin/hello'));
    const { filesRead, changed } = await fullSnapshot(root, store);
    expect([filesRead, changed]).toEqual([1, 0]);
    expect(diffSnapshots(store, snapshot, snapshot + 1)).toEqual([]);
  });

  it('notices that packages changed, and then reads the manifests', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    await fullSnapshot(root, store);
    root.write('/usr/bin/more', 'x');
    root.write('/var/lib/dpkg/info/hello.list', '/.\n/usr\n/usr/bin\n/usr/bin/more\n');
    await fullSnapshot(root, store);
    const entries = new Entries(store);
    expect(entries.find('/usr/bin/more')?.origin).toBe(Origin.owned);
    // No list names it any more, so no snapshot asks for it.
    expect(entries.find('/usr/bin/hello')).toBeUndefined();
  });

  it('leaves a store as it was when dpkg works meanwhile', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const late = createFullSnapshot(store, new Root(root.directory), {
      config: DEFAULT_CONFIG.snapshots,
      head: { kind: 'manual', scope: 'full', transaction: undefined, sealed: true },
      onProgress: () => root.write('/var/lib/dpkg/updates/0001', 'Package: x\n'),
    });
    await expect(late).rejects.toMatchObject({ code: 'database-changed' });
    expect(listSnapshots(store)).toHaveLength(1);
  });

  it('goes on with names that are no UTF-8', async () => {
    const root = freshRoot();
    writeFileSync(Buffer.from(`${root.directory}/etc/caf\xe9`, 'latin1'), 'x');
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    expect(new Entries(store).find('/etc/caf\xe9')?.kind).toBe(Kind.file);
  });

  it('takes a FIFO for what it is, and does not wait for it', async () => {
    const root = freshRoot();
    execFileSync('mkfifo', [root.at('/etc/pipe')]);
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    expect(new Entries(store).find('/etc/pipe')?.kind).toBe(Kind.fifo);
  });

  it('does not read a file in /etc that is larger than what is copied into memory', async () => {
    const root = freshRoot();
    root.write('/etc/large', Buffer.alloc(5 * 1024 * 1024, 'x'));
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const entry = new Entries(store).find('/etc/large');
    expect(entry).toMatchObject({ content: null, size: 5 * 1024 * 1024 });
    expect(entry?.xxh64).toBeInstanceOf(Buffer);
  });
});

describe('a snapshot of a transaction', () => {
  const scope = { packages: new Set(['hello']), owned: [], intended: [] };
  const take = async (root: TinyRoot, store: Awaited<ReturnType<typeof storeOf>>, more = {}) =>
    await createTransactionSnapshot(
      store,
      new Root(root.directory),
      { ...scope, ...more },
      {
        config: DEFAULT_CONFIG.snapshots,
        head: { kind: 'before', scope: 'transaction', transaction: 'T', sealed: true },
      },
    );

  it('looks at its packages and at what is tracked, and leaves all else as it was known', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    const { snapshot } = await fullSnapshot(root, store);
    root.write('/usr/bin/hello', 'x');
    root.write('/etc/new', 'x');
    root.write('/usr/bin/dpkg', 'not looked at');
    await take(root, store);
    expect(diffSnapshots(store, snapshot, snapshot + 1).map(({ change, path }) => [change, path])).toEqual([
      ['added', '/etc/new'],
      ['changed', '/usr/bin/hello'],
    ]);
  });

  it('leaves the control files of a package whose name begins as another’s and goes on after a dot', async () => {
    const root = freshRoot([HELLO, { name: 'hello.1', files: { '/usr/share/hello.1/data': 'data\n' } }]);
    const store = await storeOf(root);
    await settle();
    await fullSnapshot(root, store);
    const before = new Entries(store).find('/var/lib/dpkg/info/hello.1.list');
    await take(root, store);
    expect(before).toBeDefined();
    expect(new Entries(store).find('/var/lib/dpkg/info/hello.1.list')).toEqual(before);
  });

  it('sees the files of a removed package go, its control files too', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    const { snapshot } = await fullSnapshot(root, store);
    const owned = ['/usr/bin/hello', '/usr/share/hello/data', '/usr/share/hello/link'];
    for (const path of owned) unlinkSync(root.at(path));
    for (const kind of ['list', 'md5sums', 'postinst', 'conffiles'])
      unlinkSync(root.at(`/var/lib/dpkg/info/hello.${kind}`));
    root.write('/var/lib/dpkg/status', '');
    await take(root, store, { owned });
    const removed = diffSnapshots(store, snapshot, snapshot + 1)
      .filter(({ change }) => change === 'removed')
      .map(({ path }) => path);
    expect(removed).toEqual([
      '/usr/bin/hello',
      '/usr/share/hello/data',
      '/usr/share/hello/link',
      '/var/lib/dpkg/info/hello.conffiles',
      '/var/lib/dpkg/info/hello.list',
      '/var/lib/dpkg/info/hello.md5sums',
      '/var/lib/dpkg/info/hello.postinst',
    ]);
  });

  it('takes down what stands already where a package is to bring something', async () => {
    const root = freshRoot();
    root.write('/opt/theirs', 'somebody’s');
    const store = await storeOf(root);
    await take(root, store, { intended: ['/opt/theirs', '/opt/not-there'] });
    const entries = new Entries(store);
    expect(entries.find('/opt/theirs')?.origin).toBe(Origin.intended);
    expect(entries.find('/opt/not-there')).toBeUndefined();
  });

  it('keeps what is known of the manifests of packages that it does not look at', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    await fullSnapshot(root, store);
    await take(root, store);
    for (const path of ['/etc/dpkg/dpkg.cfg', '/etc/hello.conf', '/usr/bin/dpkg'])
      expect((new Entries(store).find(path)?.flags ?? 0) & Flag.sound, path).not.toBe(0);
  });

  it('opens no file beyond those that changed (budget, in files read)', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    await fullSnapshot(root, store);
    root.write('/usr/bin/hello', 'x');
    expect((await take(root, store)).filesRead).toBe(1);
  });
});

describe('history', () => {
  it('gives back every snapshot as it was, also after others were pruned', async () => {
    const root = freshRoot([
      HELLO,
      { ...HELLO, name: 'more', files: { '/usr/bin/more': 'more\n' }, conffiles: {}, links: {} },
    ]);
    const store = await storeOf(root);
    const states = new Map<number, ReturnType<typeof stateAt>>();
    const actions: ((at: number) => void)[] = [
      (at) => root.write('/etc/hello.conf', `greeting = ${at}\n${'filler '.repeat(2000)}`),
      (at) => root.write('/usr/bin/more', `version ${at}\n`),
      () => rmSync(root.at('/etc/extra'), { force: true }),
      (at) => root.write('/etc/extra', `extra ${at}\n`),
      () => chmodSync(root.at('/usr/bin/hello'), lstatSync(root.at('/usr/bin/hello')).mode ^ 0o100),
      (at) => root.write('/usr/local/x', `x ${at}`),
      () => rmSync(root.at('/usr/local/x'), { force: true }),
    ];
    for (let at = 0; at < 30; at += 1) {
      actions[(at * 5 + (at >> 2)) % actions.length]?.(at);
      const { snapshot } = await fullSnapshot(root, store);
      states.set(snapshot, stateAt(store, snapshot));
    }
    for (const [snapshot, state] of states) expect(stateAt(store, snapshot)).toEqual(state);

    const ids = [...states.keys()];
    const pruned = ids.filter((id) => id < 12 || id % 3 === 0).filter((id) => id !== ids.at(-1));
    expect(pruneSnapshots(store, pruned).states).toBeGreaterThan(0);
    for (const id of pruned) states.delete(id);
    expect(listSnapshots(store).map(({ id }) => id)).toEqual([...states.keys()]);
    const contents = new Contents(store);
    for (const [snapshot, state] of states) {
      expect(stateAt(store, snapshot)).toEqual(state);
      for (const { content } of state.values())
        if (content != null) expect(contents.isWhole(content)).toBe(true);
    }
    // Nothing is left that no snapshot needs.
    const left = (sql: string) => store.db.prepare(sql).pluck().get();
    expect(
      left(
        'SELECT count(*) FROM history WHERE NOT EXISTS (SELECT 1 FROM snapshot s WHERE s.id >= since AND s.id < until)',
      ),
    ).toBe(0);
  });
});

describe('which snapshots may go', () => {
  const now = new Date('2026-06-30T00:00:00Z');
  const snapshot = (id: number, daysAgo: number, more: Partial<Snapshot> = {}): Snapshot => ({
    id,
    kind: 'manual',
    scope: 'full',
    transaction: undefined,
    sealed: true,
    takenAt: new Date(now.getTime() - daysAgo * 86_400_000).toISOString(),
    boot: undefined,
    entries: 0,
    changed: 0,
    filesRead: 0,
    bytesRead: 0,
    seconds: 0,
    ...more,
  });
  const gone = (all: Snapshot[], keep: number, keepDays: number, open: string[] = []) =>
    expiredSnapshots(all, { keep, keepDays }, new Set(open), now)
      .map(({ id }) => id)
      .sort((a, b) => a - b);

  it('is told by number', () => {
    expect(
      gone(
        [1, 2, 3, 4, 5].map((id) => snapshot(id, 6 - id)),
        3,
        100,
      ),
    ).toEqual([1, 2]);
  });

  it('is told by age', () => {
    expect(gone([snapshot(1, 40), snapshot(2, 31), snapshot(3, 29), snapshot(4, 1)], 100, 30)).toEqual([
      1, 2,
    ]);
  });

  it('spares the newest, and the newest sealed one', () => {
    const all = [
      snapshot(1, 90),
      snapshot(2, 80),
      snapshot(3, 70, { sealed: false }),
      snapshot(4, 60, { sealed: false }),
    ];
    expect(gone(all, 1, 1)).toEqual([1, 3]);
  });

  it('spares those of a transaction that has not ended', () => {
    const all = [
      snapshot(1, 90, { transaction: 'T' }),
      snapshot(2, 80, { transaction: 'U' }),
      snapshot(3, 1),
    ];
    expect(gone(all, 1, 1, ['T'])).toEqual([2]);
  });
});

describe('globs of paths that are copied', () => {
  it.each([
    ['/etc/**', '/etc/passwd', true],
    ['/etc/**', '/etc', true],
    ['/etc/**', '/etcetera', false],
    ['/var/lib/x', '/var/lib/x', true],
    ['/var/lib/x', '/var/lib/x/y', false],
    ['/var/*.dat', '/var/a.dat', true],
    ['/var/*.dat', '/var/b/a.dat', false],
    ['/srv/{a,b}/**', '/srv/b/c/d', true],
    ['/srv/*/conf', '/srv/.hidden/conf', true],
  ])('%s and %s: %s', (glob, path, expected) => {
    expect(globMatcher([glob])(path)).toBe(expected);
  });
});

describe('hard links', () => {
  it('are each known, and read once', async () => {
    const root = freshRoot();
    linkSync(root.at('/usr/bin/hello'), root.at('/usr/local-copy'));
    mkdirSync(root.at('/usr/local'));
    renameSync(root.at('/usr/local-copy'), root.at('/usr/local/hello'));
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    const entries = new Entries(store);
    const [one, other] = [entries.find('/usr/bin/hello'), entries.find('/usr/local/hello')];
    expect(one?.xxh64).toEqual(other?.xxh64);
    expect(one?.ino).toBe(other?.ino);
  });
});
