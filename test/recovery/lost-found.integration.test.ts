/** What in lost+found belongs where: by manifests alone, with snapshots, and when nothing proves it. */
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import { inventorySchema } from '../../src/model/inventory.ts';
import type { LostFound } from '../../src/model/lost-found.ts';
import { proposeReturns, returnLost } from '../../src/recovery/lost-found.ts';
import { createFullSnapshot } from '../../src/snapshot/create.ts';
import { openStore, type Store } from '../../src/snapshot/store.ts';
import { holdLocks } from '../../src/system/hold-locks.ts';
import { Root } from '../../src/system/root.ts';
import { debmend } from '../cli/debmend.ts';
import { HELLO, type TinyPackage, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';
import { rootTest } from '../lab/roots.ts';
import { census } from './rig.ts';

const TWINS: TinyPackage = {
  name: 'twins',
  files: {
    '/usr/share/twins/one': 'the very same\n',
    '/usr/share/twins/two': 'the very same\n',
    '/usr/share/twins/empty': '',
    '/usr/share/deep/down/below/file': 'deep down\n',
    '/usr/share/deep/down/other': 'beside it\n',
  },
};

const opened: { root: TinyRoot; stores: Store[] }[] = [];
afterEach(() => {
  for (const { root, stores } of opened.splice(0)) {
    for (const store of stores) store.close();
    root.remove();
  }
});

interface Scene {
  readonly tiny: TinyRoot;
  readonly root: Root;
  /** Takes a file or directory away from its place, as a repair does; its name is its inode's number. */
  lose(path: string): string;
  /** Something that nobody knows. */
  add(name: string, content: string | Buffer): void;
  snapshot(): Promise<Store>;
  look(store?: Store): Promise<LostFound>;
  apply(store?: Store): Promise<LostFound>;
}

function scene(): Scene {
  const tiny = tinyRoot([HELLO, TWINS]);
  const entry = { root: tiny, stores: [] as Store[] };
  opened.push(entry);
  const root = new Root(tiny.directory);
  mkdirSync(tiny.at('/lost+found'), { mode: 0o700 });
  return {
    tiny,
    root,
    lose: (path) => {
      const name = `/lost+found/#${lstatSync(tiny.at(path)).ino}`;
      renameSync(tiny.at(path), tiny.at(name));
      return name;
    },
    add: (name, content) => writeFileSync(tiny.at(`/lost+found/${name}`), content),
    snapshot: async () => {
      const store = await openStore(root);
      entry.stores.push(store);
      await createFullSnapshot(store, root, {
        config: DEFAULT_CONFIG.snapshots,
        head: { kind: 'manual', scope: 'full', transaction: undefined, sealed: true },
      });
      return store;
    },
    look: (store) => proposeReturns({ root, store }),
    apply: (store) => {
      const directory = tiny.at('/var/lib/debmend');
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      return returnLost({ root, store, runs: { directory }, command: ['a test'] });
    },
  };
}

const pairs = ({ returns }: LostFound) => returns.map(({ from, to }) => `${from} -> ${to}`);

describe('by manifests', () => {
  it('a missing file is known by its content; a look changes nothing', async () => {
    const { tiny, lose, look, apply } = scene();
    const from = lose('/usr/bin/hello');
    const before = census(tiny.directory);
    const found = await look();
    expect(census(tiny.directory)).toEqual(before);
    expect(found.returns).toEqual([
      {
        from,
        to: '/usr/bin/hello',
        type: 'file',
        package: 'hello',
        source: "the package's manifest",
        reason: 'no other path that lacks this content is known',
        replaces: false,
        others: [],
        outcome: 'proposed',
      },
    ]);
    const inode = lstatSync(tiny.at(from)).ino;
    expect((await apply()).returns[0]?.outcome).toBe('returned');
    expect(lstatSync(tiny.at('/usr/bin/hello')).ino, 'it is the file itself that returns').toBe(inode);
    expect(readdirSync(tiny.at('/lost+found'))).toEqual([]);
  });

  it('a directory returns with all that is in it, what nobody knows included', async () => {
    const { tiny, lose, apply } = scene();
    tiny.write('/usr/share/deep/down/below/notes', 'a note of the administrator\n');
    const from = lose('/usr/share/deep/down');
    const found = await apply();
    expect(pairs(found)).toEqual([`${from} -> /usr/share/deep/down`]);
    expect(found.returns[0]?.reason).toMatch(/^2 of the \d things in it belong there/);
    expect(readFileSync(tiny.at('/usr/share/deep/down/below/notes'), 'utf8')).toContain('administrator');
  });

  it('what stood in a directory that was made anew returns into it piece by piece', async () => {
    const { tiny, lose, apply } = scene();
    tiny.write('/usr/share/deep/down/notes', 'a note\n');
    lose('/usr/share/deep/down');
    tiny.write('/usr/share/deep/down/other', 'beside it\n');
    const found = await apply();
    expect(found.returns.map(({ to }) => to)).toEqual([
      '/usr/share/deep/down/below',
      '/usr/share/deep/down/notes',
    ]);
    expect(found.stays.map(({ reason }) => reason)).toEqual([
      'its content stands at /usr/share/deep/down/other, too',
    ]);
  });

  it('files whose directories are gone get them made again', async () => {
    const { tiny, lose, apply } = scene();
    lose('/usr/share/deep/down/below/file');
    rmSync(tiny.at('/usr/share/deep'), { recursive: true });
    await apply();
    expect(readFileSync(tiny.at('/usr/share/deep/down/below/file'), 'utf8')).toBe('deep down\n');
    expect(lstatSync(tiny.at('/usr/share/deep/down')).mode & 0o7777).toBe(0o755);
  });

  it('through the links of a merged /usr, though what they lead to is gone', async () => {
    const { tiny, root, add, look } = scene();
    symlinkSync('usr/sbin', tiny.at('/sbin'));
    tiny.write('/var/lib/dpkg/info/hello.list', '/.\n/sbin\n/sbin/tool\n');
    tiny.write('/var/lib/dpkg/info/hello.md5sums', 'f561aaf6ef0bf14d4208bb46a4ccb3ad  sbin/tool\n');
    add('#17', 'xxx');
    expect(existsSync(root.path)).toBe(true);
    expect(pairs(await look())).toEqual(['/lost+found/#17 -> /usr/sbin/tool']);
  });

  it('of two places with the same content the first gets it, and the other is said', async () => {
    const { tiny, lose, look } = scene();
    lose('/usr/share/twins/two');
    rmSync(tiny.at('/usr/share/twins/one'));
    const [one] = (await look()).returns;
    expect(one).toMatchObject({ to: '/usr/share/twins/one', others: ['/usr/share/twins/two'] });
    expect(one?.reason).toContain('2 paths lack this very content');
  });

  it('two equal files go to the two places', async () => {
    const { lose, look } = scene();
    lose('/usr/share/twins/one');
    lose('/usr/share/twins/two');
    expect((await look()).returns.map(({ to }) => to)).toEqual([
      '/usr/share/twins/one',
      '/usr/share/twins/two',
    ]);
  });

  it('an empty file proves nothing', async () => {
    const { lose, look } = scene();
    const name = lose('/usr/share/twins/empty');
    const found = await look();
    expect(found.returns).toEqual([]);
    expect(found.stays).toMatchObject([
      { path: name, looksLike: 'an empty file', hints: ['/usr/share/twins/empty'] },
    ]);
  });

  it('I2: never goes over something else; over what is damaged, which is kept', async () => {
    const { tiny, lose, look, apply } = scene();
    lose('/usr/bin/hello');
    tiny.write('/usr/bin/hello', '#!/bin/sh\nsomebody wrote this\n');
    lose('/usr/share/hello/data');
    tiny.write('/usr/share/hello/data', Buffer.alloc(1000));
    const found = await look();
    expect(found.returns).toMatchObject([{ to: '/usr/share/hello/data', replaces: true }]);
    expect(found.stays).toMatchObject([
      { reason: 'something else stands where it belongs (/usr/bin/hello)' },
    ]);
    const { run } = await apply();
    expect(readFileSync(tiny.at('/usr/share/hello/data'), 'utf8')).toBe('some data\n'.repeat(100));
    const list = debmend(['quarantine', 'list', '--root', tiny.directory, '--json']);
    expect(JSON.parse(list.stdout)).toMatchObject({
      quarantine: { items: [{ run, path: '/usr/share/hello/data' }] },
    });
  });

  it('I3: a conffile is not put over the administrator’s own', async () => {
    const { tiny, lose, look } = scene();
    lose('/etc/hello.conf');
    tiny.write('/etc/hello.conf', 'greeting = mine\n');
    expect((await look()).returns).toEqual([]);
  });

  it('what nobody knows stays, and is described', async () => {
    const { add, look, tiny } = scene();
    add('#12', '#!/usr/bin/python3\nprint()\n');
    add('#13', '\x7fELF and so on');
    add('#14', Buffer.alloc(5000));
    add('#15', Buffer.from([1, 2, 3, 0, 255, 254]));
    add('#16', 'ein paar Wörter\n');
    mkdirSync(tiny.at('/lost+found/#20'));
    chmodSync(tiny.at('/lost+found/#16'), 0o640);
    const { stays, returns } = await look();
    expect(returns).toEqual([]);
    expect(stays.map(({ path, looksLike }) => `${path}: ${looksLike}`)).toEqual([
      '/lost+found/#12: a script for /usr/bin/python3',
      '/lost+found/#13: an ELF program or library',
      '/lost+found/#14: NUL bytes at its beginning',
      '/lost+found/#15: data of no kind that is known here',
      '/lost+found/#16: text',
      '/lost+found/#20: a directory with 0 files',
    ]);
    expect(stays[4]).toMatchObject({ mode: '0640', reason: 'no manifest and no snapshot knows it' });
  });
});

describe('with snapshots', () => {
  it('the inode tells which of two equal files stood where, and links and empty files are known', async () => {
    const { tiny, lose, snapshot, look, apply } = scene();
    const store = await snapshot();
    const two = lose('/usr/share/twins/two');
    const one = lose('/usr/share/twins/one');
    const empty = lose('/usr/share/twins/empty');
    const link = lose('/usr/share/hello/link');
    expect(pairs(await look(store)).sort()).toEqual(
      [
        `${link} -> /usr/share/hello/link`,
        `${empty} -> /usr/share/twins/empty`,
        `${one} -> /usr/share/twins/one`,
        `${two} -> /usr/share/twins/two`,
      ].sort(),
    );
    const returned = await apply(store);
    expect(returned.stays).toEqual([]);
    expect(lstatSync(tiny.at('/usr/share/hello/link')).isSymbolicLink()).toBe(true);
  });

  it('what stands there differs from manifest and snapshot, which agree: it gives way', async () => {
    const { tiny, lose, snapshot, look } = scene();
    const store = await snapshot();
    lose('/usr/bin/hello');
    tiny.write('/usr/bin/hello', 'blocks of another file');
    expect((await look(store)).returns).toMatchObject([{ to: '/usr/bin/hello', replaces: true }]);
  });

  it('an inode number alone is a hint and no proof', async () => {
    const { tiny, lose, snapshot, look } = scene();
    const store = await snapshot();
    const name = lose('/etc/hello.conf');
    writeFileSync(tiny.at(name), 'greeting = another\n');
    expect(await look(store)).toMatchObject({
      returns: [],
      stays: [{ path: name, hints: ['/etc/hello.conf'] }],
    });
  });

  it('a hard link in lost+found and at its place is one file: nothing has to be done', async () => {
    const { tiny, look } = scene();
    linkSync(tiny.at('/usr/bin/hello'), tiny.at('/lost+found/#5'));
    expect(await look()).toMatchObject({
      returns: [],
      stays: [{ reason: 'its content stands at /usr/bin/hello, too' }],
    });
  });
});

describe('debmend fsck return', () => {
  rootTest('I5: touches nothing while another dpkg is at work', async () => {
    const { tiny, lose } = scene();
    const name = lose('/usr/bin/hello');
    const locks = await holdLocks(tiny.at('/var/lib/dpkg'), 0);
    try {
      const done = debmend(['fsck', 'return', '--root', tiny.directory, '--apply']);
      expect(done, done.stderr).toMatchObject({ code: 4 });
      expect(locks.held()).toBe(true);
    } finally {
      locks.release();
    }
    expect(existsSync(tiny.at('/usr/bin/hello'))).toBe(false);
    expect(readdirSync(tiny.at('/lost+found'))).toEqual([name.slice('/lost+found/'.length)]);
  });

  it('says what it would do, does it with --apply, and undo takes it back', () => {
    const { tiny, lose } = scene();
    const name = lose('/usr/bin/hello');
    const page = debmend(['fsck', 'return', '--root', tiny.directory]);
    expect(page).toMatchObject({ code: 1, stderr: '' });
    expect(page.stdout).toContain(`${name} -> /usr/bin/hello (hello): would go back`);
    expect(existsSync(tiny.at('/usr/bin/hello'))).toBe(false);
    expect(existsSync(join(tiny.directory, 'var/lib/debmend'))).toBe(false);
    const done = debmend(['fsck', 'return', '--root', tiny.directory, '--apply', '--json']);
    expect(done.code).toBe(0);
    const { lostFound } = inventorySchema.parse(JSON.parse(done.stdout));
    expect(lostFound).toMatchObject({ applied: true, returns: [{ outcome: 'returned' }], stays: [] });
    expect(existsSync(tiny.at('/usr/bin/hello'))).toBe(true);
    expect(debmend(['undo', lostFound?.run ?? '', '--root', tiny.directory, '--apply']).code).toBe(0);
    expect(readdirSync(tiny.at('/lost+found'))).toEqual([name.slice('/lost+found/'.length)]);
  });
});
