/** Every kind of action on a real filesystem, and its way back. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Action, Run, readHistory, undoRun } from '../../src/recovery/actions.ts';
import { readJournal } from '../../src/recovery/journal.ts';
import { listQuarantine, restoreQuarantined } from '../../src/recovery/quarantine.ts';
import { readCapabilities } from '../../src/system/capabilities.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';
import { rootTest } from '../lab/roots.ts';
import { census, contents, type Scene, scene, scratch, why } from './rig.ts';

const STORE = ['/var/lib/debmend'];
const head = { command: ['test'], policy: undefined };
const FILE = { mode: 0o640, uid: 33, gid: 44, mtime: 1_700_000_000_123.5 };

/** Some of everything that can stand in a tree, odd names included. */
function odds(at: Scene): void {
  const write = (path: string, content = `of ${path}\n`) => {
    mkdirSync(at.at(path.slice(0, path.lastIndexOf('/'))), { recursive: true });
    writeFileSync(at.at(path), content);
  };
  for (const path of [
    '/etc/plain',
    '/etc/new\nline',
    '/etc/caf\xe9',
    '/etc/ blank ',
    '/etc/-rf',
    '/etc/$(x)',
  ])
    write(path);
  write('/etc/deep/er/est', 'deep');
  write('/etc/setuid');
  chownSync(at.at('/etc/setuid'), 7, 8);
  chmodSync(at.at('/etc/setuid'), 0o4711);
  linkSync(at.at('/etc/setuid'), at.at('/etc/second-name'));
  symlinkSync('../nowhere', at.at('/etc/dangling'));
  symlinkSync('file:///odd%20target', at.at('/etc/uri'));
  symlinkSync(Buffer.from('/caf\xe9', 'latin1'), at.at('/etc/latin-target'));
  execFileSync('mkfifo', ['-m', '0622', join(at.directory, 'etc/fifo')]);
  execFileSync('mknod', ['-m', '0640', join(at.directory, 'etc/device'), 'b', '7', '250']);
  execFileSync('mknod', ['-m', '0600', join(at.directory, 'etc/null'), 'c', '1', '3']);
  mkdirSync(at.at('/etc/empty'), { mode: 0o711 });
  chmodSync(at.at('/etc/empty'), 0o3771);
  lutimesSync(at.at('/etc/plain'), 1_600_000_000.25, 1_600_000_000.125);
  execFileSync('setcap', ['cap_net_raw+ep', join(at.directory, 'etc/plain')]);
  write('/home/user/data');
}

const everything = [
  '/etc/plain',
  '/etc/new\nline',
  '/etc/caf\xe9',
  '/etc/ blank ',
  '/etc/-rf',
  '/etc/$(x)',
  '/etc/deep',
  '/etc/setuid',
  '/etc/dangling',
  '/etc/uri',
  '/etc/latin-target',
  '/etc/fifo',
  '/etc/device',
  '/etc/null',
  '/etc/empty',
];

rootTest(
  'I1: what is quarantined comes back with all that belongs to it, by undo and one by one',
  async () => {
    const at = scene();
    odds(at);
    const before = census(at.directory, STORE);
    const capability = await readCapabilities([`${at.directory}/etc/plain`]);
    expect(capability?.size).toBe(1);
    const quarantine = () => {
      const run = Run.begin(at.store, at.root, head);
      const ids = everything.map((path) => run.perform({ kind: 'quarantine', path }, why).id);
      run.end('mended');
      for (const path of everything) expect(existsSync(at.at(path)), path).toBe(false);
      expect(readdirSync(at.at('/etc'))).toEqual(['second-name']);
      return { run: run.id, ids };
    };
    const first = quarantine();
    expect(listQuarantine(at.store, at.root)).toHaveLength(everything.length);
    const undo = undoRun(at.store, at.root, first.run, { apply: true });
    expect(undo.actions.map(({ outcome }) => outcome)).toEqual(everything.map(() => 'undone'));
    expect(census(at.directory, STORE)).toEqual(before);
    const second = quarantine();
    for (const id of second.ids) restoreQuarantined(at.store, at.root, id, ['test']);
    expect(census(at.directory, STORE)).toEqual(before);
    expect(await readCapabilities([`${at.directory}/etc/plain`])).toEqual(capability);
    expect(listQuarantine(at.store, at.root)).toEqual([]);
    // Not even an empty directory is left where things were.
    expect(readdirSync(join(at.store.directory, 'quarantine'))).toEqual([]);
  },
);

/** One of each kind, and over each kind of thing. */
const script: Action[] = [
  { kind: 'quarantine', path: '/etc/deep' },
  { kind: 'put', path: '/etc/plain', data: Buffer.from('good'), attributes: { ...FILE, mode: 0o4755 } },
  { kind: 'put', path: '/etc/new', data: Buffer.alloc(0), attributes: FILE },
  { kind: 'put', path: '/etc/fifo', data: Buffer.from('no pipe'), attributes: FILE },
  { kind: 'put', path: '/etc/device', data: Buffer.from('no device'), attributes: FILE },
  { kind: 'put', path: '/etc/dangling', data: Buffer.from('no link'), attributes: FILE },
  { kind: 'put', path: '/etc/empty', data: Buffer.from('no directory'), attributes: FILE },
  { kind: 'put', path: '/etc/setuid', data: Buffer.from('one name'), attributes: FILE },
  { kind: 'put', path: '/etc/plain', data: Buffer.from('better'), attributes: FILE },
  { kind: 'link', path: '/etc/caf\xe9', target: 'caf\xe8', attributes: { uid: 5, gid: 6 } },
  { kind: 'link', path: '/etc/fresh', target: '/etc/plain', attributes: { uid: 0, gid: 0 } },
  { kind: 'directory', path: '/etc/made', attributes: { mode: 0o2770, uid: 1, gid: 2 } },
  { kind: 'put', path: '/etc/made/inside', data: Buffer.from('inside'), attributes: FILE },
  { kind: 'directory', path: '/etc/ blank ', attributes: { mode: 0o755, uid: 0, gid: 0 } },
  { kind: 'directory', path: '/home/user', attributes: { mode: 0o700, uid: 1000, gid: 1000 } },
  { kind: 'attributes', path: '/home/user/data', attributes: { mode: 0o600, uid: 9, gid: 9, mtime: 12_345 } },
  { kind: 'attributes', path: '/etc/null', attributes: { mode: 0o666, uid: 0, gid: 5 } },
  { kind: 'attributes', path: '/etc/uri', attributes: { mode: 0o777, uid: 12, gid: 13 } },
  { kind: 'rename', from: '/etc/-rf', to: '/etc/made/renamed' },
  { kind: 'rename', from: '/etc/made', to: '/etc/moved' },
];

rootTest('I1, I2: every kind of action does what it says, touches nothing else, and is undone', async () => {
  const at = scene();
  odds(at);
  const before = census(at.directory, STORE);
  const run = Run.begin(at.store, at.root, head);
  for (const action of script) run.perform(action, why);
  run.end('mended');
  const after = contents(at.directory, STORE);
  expect(readFileSync(at.at('/etc/plain'), 'utf8')).toBe('better');
  expect(lstatSync(at.at('/etc/plain'), { bigint: true })).toMatchObject({
    mode: 0o100640n,
    uid: 33n,
    gid: 44n,
    mtimeNs: 1_700_000_000_123_500_000n,
  });
  expect(after.get('/etc/caf\xe9')).toMatch(/^120777 5:6 .* caf\xe8$/);
  expect(after.get('/etc/moved')).toMatch(/^42770 1:2 /);
  expect(after.get('/etc/moved/inside')).toBeDefined();
  expect(after.get('/etc/moved/renamed')).toBeDefined();
  expect(after.get('/etc/ blank ')).toMatch(/^40755 0:0 /);
  expect(lstatSync(at.at('/home/user/data')).mtimeMs).toBe(12_345);
  expect(after.get('/etc/uri')).toMatch(/^120777 12:13 .*file:\/\/\/odd%20target$/);
  const named = new Set(
    script.flatMap((action) => ('to' in action ? [action.from, action.to] : [action.path])),
  );
  const changed = [...before].filter(([path, line]) => census(at.directory, STORE).get(path) !== line);
  for (const [path] of changed) {
    const isOwn = [...named].some((name) => path === name || path.startsWith(`${name}/`));
    // A second name of what was put elsewhere has one name less.
    expect(isOwn || path === '/etc/second-name', path).toBe(true);
  }
  expect([...after.keys()].filter((path) => path.includes('.debmend'))).toEqual([]);
  // Dry first: it says the same, and changes nothing.
  const dry = undoRun(at.store, at.root, run.id, { apply: false });
  expect(dry.actions.map(({ outcome, text }) => [outcome, text])).toEqual(
    dry.actions.map(({ text }) => ['would-undo', text]),
  );
  expect(contents(at.directory, STORE)).toEqual(after);
  const undo = undoRun(at.store, at.root, run.id, { apply: true });
  expect(undo.actions.filter(({ outcome }) => outcome !== 'undone')).toEqual([]);
  expect(census(at.directory, STORE)).toEqual(before);
  // Once more does nothing; and the undo itself can be taken back.
  const again = undoRun(at.store, at.root, run.id, { apply: true });
  expect(again.by).toBeUndefined();
  expect(new Set(again.actions.map(({ outcome }) => outcome))).toEqual(new Set(['undone-before']));
  const redo = undoRun(at.store, at.root, undo.by ?? '', { apply: true });
  // A whole directory that came back is not moved again: what changed in it meanwhile is not known.
  expect(redo.actions.filter(({ outcome }) => outcome !== 'undone').map(({ path }) => path)).toEqual([
    '/etc/deep',
    '/etc/empty',
  ]);
  const rest = [...STORE, '/etc/deep', '/etc/empty'];
  after.delete('/etc/empty');
  expect(contents(at.directory, rest)).toEqual(after);
});

rootTest(
  'I1: a new owner leaves the capability where it is, and an undo brings back the old one',
  async () => {
    const at = scene();
    odds(at);
    const path = `${at.directory}/etc/plain`;
    chmodSync(path, 0o755);
    const had = (await readCapabilities([path]))?.get(0);
    const run = Run.begin(at.store, at.root, head);
    run.perform({ kind: 'attributes', path: '/etc/plain', attributes: { mode: 0o755, uid: 3, gid: 3 } }, why);
    expect((await readCapabilities([path]))?.get(0)).toEqual(had);
    const none = { mode: 0o755, uid: 3, gid: 3, capability: Buffer.alloc(0) };
    run.perform({ kind: 'attributes', path: '/etc/plain', attributes: none }, why);
    expect(await readCapabilities([path])).toEqual(new Map());
    const capability = had ?? Buffer.alloc(0);
    run.perform(
      {
        kind: 'put',
        path: '/etc/new',
        data: Buffer.from('x'),
        attributes: { mode: 0o755, uid: 1, gid: 1, capability },
      },
      why,
    );
    expect((await readCapabilities([`${at.directory}/etc/new`]))?.get(0)).toEqual(had);
    run.end('mended');
    undoRun(at.store, at.root, run.id, { apply: true });
    expect((await readCapabilities([path]))?.get(0)).toEqual(had);
    expect(lstatSync(path)).toMatchObject({ uid: 0, gid: 0 });
  },
);

it('removes by policy: the journal keeps hash, size and attributes, and an undo says that it is gone', () => {
  const at = scene();
  writeFileSync(at.at('/x.dpkg-new'), 'partial');
  symlinkSync('target', at.at('/y.dpkg-new'));
  mkdirSync(at.at('/directory'));
  const run = Run.begin(at.store, at.root, head);
  run.perform({ kind: 'remove', path: '/x.dpkg-new' }, why);
  run.perform({ kind: 'remove', path: '/y.dpkg-new' }, why);
  expect(() => run.perform({ kind: 'remove', path: '/directory' }, why)).toThrow(/it is a directory/);
  run.end('mended');
  expect(readdirSync(at.directory).sort()).toEqual(['directory', 'var']);
  expect(listQuarantine(at.store, at.root)).toEqual([]);
  const [first] = readHistory(at.store, run.id).actions;
  expect(first?.intent).toMatchObject({
    before: { type: 'file', size: 7, mode: '0644' },
    step: { sha256: createHash('sha256').update('partial').digest('hex') },
  });
  const undo = undoRun(at.store, at.root, run.id, { apply: true });
  expect(undo.actions.map(({ outcome }) => outcome)).toEqual(['undone', 'impossible']);
  expect(lstatSync(at.at('/y.dpkg-new')).isSymbolicLink()).toBe(true);
});

it('an undo leaves alone, and names, what someone else changed since', () => {
  const at = scene();
  const put = (path: string): Action => ({
    kind: 'put',
    path,
    data: Buffer.from('good'),
    attributes: { mode: 0o644, uid: 0, gid: 0 },
  });
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) writeFileSync(at.at(`/${name}`), `old ${name}`);
  const run = Run.begin(at.store, at.root, head);
  for (const name of ['a', 'b', 'c', 'd']) run.perform(put(`/${name}`), why);
  run.perform({ kind: 'quarantine', path: '/e' }, why);
  run.perform({ kind: 'directory', path: '/new', attributes: { mode: 0o755, uid: 0, gid: 0 } }, why);
  run.perform({ kind: 'rename', from: '/f', to: '/f2' }, why);
  run.perform({ kind: 'attributes', path: '/g', attributes: { mode: 0o600, uid: 0, gid: 0 } }, why);
  run.end('mended');
  writeFileSync(at.at('/b'), 'edited');
  chmodSync(at.at('/c'), 0o600);
  rmSync(at.at('/d'));
  writeFileSync(at.at('/e'), 'another');
  writeFileSync(at.at('/new/file'), 'of a user');
  writeFileSync(at.at('/f2'), 'edited');
  chmodSync(at.at('/g'), 0o640);
  const before = contents(at.directory, [...STORE, '/a']);
  for (const apply of [false, true]) {
    const { actions } = undoRun(at.store, at.root, run.id, { apply });
    expect(actions.map(({ path, outcome }) => `${path} ${outcome}`)).toEqual([
      '/g changed-since',
      '/f changed-since',
      '/new changed-since',
      '/e changed-since',
      '/d changed-since',
      '/c changed-since',
      '/b changed-since',
      `/a ${apply ? 'undone' : 'would-undo'}`,
    ]);
    expect(contents(at.directory, [...STORE, '/a'])).toEqual(before);
  }
  expect(readFileSync(at.at('/a'), 'utf8')).toBe('old a');
});

it('refuses, before anything is written down, what it must not do', () => {
  const at = scene();
  writeFileSync(at.at('/file'), 'x');
  writeFileSync(at.at('/other'), 'y');
  mkdirSync(at.at('/dir'));
  const run = Run.begin(at.store, at.root, head);
  const data = Buffer.from('z');
  const attributes = { mode: 0o644, uid: 0, gid: 0 };
  const refusals: [Action, RegExp][] = [
    [{ kind: 'quarantine', path: '/' }, /no plain absolute path/],
    [{ kind: 'quarantine', path: 'file' }, /no plain absolute path/],
    [{ kind: 'quarantine', path: '/dir/../file' }, /no plain absolute path/],
    [{ kind: 'quarantine', path: '/dir/' }, /no plain absolute path/],
    [{ kind: 'quarantine', path: '/fi\0le' }, /no plain absolute path/],
    [{ kind: 'quarantine', path: '/missing' }, /nothing stands there/],
    [{ kind: 'quarantine', path: '/file/below' }, /ENOTDIR/],
    [{ kind: 'quarantine', path: '/var' }, /keeps its own records/],
    [{ kind: 'quarantine', path: '/var/lib/debmend' }, /keeps its own records/],
    [{ kind: 'put', path: '/var/lib/debmend/state.db', data, attributes }, /keeps its own records/],
    [{ kind: 'put', path: '/missing/file', data, attributes }, /ENOENT/],
    [{ kind: 'put', path: '/file', data: { file: '/dev/zero' }, attributes }, /no regular file/],
    [{ kind: 'put', path: '/file', data: { file: '/missing' }, attributes }, /ENOENT/],
    [{ kind: 'rename', from: '/file', to: '/other' }, /something stands there already/],
    [{ kind: 'rename', from: '/missing', to: '/x' }, /nothing stands there/],
    [{ kind: 'attributes', path: '/missing', attributes }, /nothing stands there/],
  ];
  const before = census(at.directory, STORE);
  for (const [action, message] of refusals) expect(() => run.perform(action, why)).toThrow(message);
  run.end('failed');
  expect(census(at.directory, STORE)).toEqual(before);
  expect(readJournal(at.store, run.id).records.map(({ kind }) => kind)).toEqual(['begin', 'end']);
});

rootTest('quarantines on the filesystem that a thing is on, and never across a mount', async () => {
  const at = scene();
  const mounted = join(at.directory, 'srv');
  mkdirSync(join(mounted, 'x'), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mounted]);
  try {
    mkdirSync(join(mounted, 'a/b'), { recursive: true });
    writeFileSync(join(mounted, 'a/b/file'), 'of tmpfs');
    const before = census(at.directory, STORE);
    const run = Run.begin(at.store, at.root, head);
    expect(() => run.perform({ kind: 'quarantine', path: '/srv' }, why)).toThrow(/mount point/);
    const { id } = run.perform({ kind: 'quarantine', path: '/srv/a/b/file' }, why);
    run.perform({ kind: 'quarantine', path: '/srv/a/b' }, why);
    const place = `${at.directory}/srv/.debmend-quarantine/${id}`;
    expect(readFileSync(place, 'utf8')).toBe('of tmpfs');
    expect(lstatSync(join(mounted, '.debmend-quarantine')).mode & 0o7777).toBe(0o700);
    expect(listQuarantine(at.store, at.root).map((item) => item.place)).toContain(place);
    expect(() => run.perform({ kind: 'rename', from: '/srv/a', to: '/a' }, why)).toThrow(
      /different filesystems/,
    );
    expect(() => run.perform({ kind: 'quarantine', path: '/srv/.debmend-quarantine' }, why)).toThrow(
      /records/,
    );
    mkdirSync(at.at('/srv2'));
    mkdirSync(at.at('/srv2/inner'));
    execFileSync('mount', ['--bind', mounted, join(at.directory, 'srv2/inner')]);
    try {
      expect(() => run.perform({ kind: 'quarantine', path: '/srv2' }, why)).toThrow(
        /a filesystem is mounted in it/,
      );
    } finally {
      execFileSync('umount', [join(at.directory, 'srv2/inner')]);
      rmSync(at.at('/srv2'), { recursive: true });
    }
    run.end('mended');
    undoRun(at.store, at.root, run.id, { apply: true });
    expect(census(at.directory, [...STORE, '/srv/.debmend-quarantine'])).toEqual(before);
  } finally {
    execFileSync('umount', [mounted]);
  }
});

diskTest('quarantines at the top of the root, and not above it, when the store is elsewhere', async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2 });
  try {
    const root = join(disk.directory, 'some/where/root');
    const at = scene(root, join(scratch(), 'store'));
    mkdirSync(at.at('/etc'));
    writeFileSync(at.at('/etc/file'), 'x');
    const run = Run.begin(at.store, at.root, head);
    const { id } = run.perform({ kind: 'quarantine', path: '/etc/file' }, why);
    run.end('mended');
    expect(readFileSync(`${root}/.debmend-quarantine/${id}`, 'utf8')).toBe('x');
    expect(readdirSync(disk.directory).sort()).toEqual(['lost+found', 'some']);
    // With its journal lost it is still found.
    rmSync(join(at.store.directory, 'runs'), { recursive: true });
    expect(listQuarantine(at.store, at.root)).toMatchObject([{ id, thing: { type: 'file', size: 1 } }]);
  } finally {
    disk.remove();
  }
});

diskTest('a full disk and a read-only one: a clear error, and nothing half-done', async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 32 * 1024 ** 2 });
  const attributes = { mode: 0o644, uid: 0, gid: 0 };
  try {
    const inside = scene(disk.directory);
    // The store elsewhere: there is room for the journal, and none for the file.
    const at = { ...inside, store: { directory: scene().store.directory } };
    writeFileSync(at.at('/old'), 'old');
    const run = Run.begin(at.store, at.root, head);
    const before = census(at.directory, ['/fill']);
    expect(() =>
      run.perform({ kind: 'put', path: '/old', data: Buffer.alloc(64e6), attributes }, why),
    ).toThrow(expect.objectContaining({ code: 'disk-full' }));
    expect(() =>
      execFileSync('dd', ['if=/dev/zero', `of=${at.directory}/fill`, 'bs=64k'], { stdio: 'ignore' }),
    ).toThrow();
    const tiny: Action = { kind: 'put', path: '/old', data: Buffer.from('new'), attributes };
    expect(() => run.perform(tiny, why)).toThrow(expect.objectContaining({ code: 'disk-full' }));
    expect(() => {
      const full = Run.begin(inside.store, at.root, head);
      try {
        full.perform(tiny, why);
      } finally {
        full.end('failed');
      }
    }).toThrow(expect.objectContaining({ code: 'disk-full' }));
    rmSync(join(inside.store.directory, 'runs'), { recursive: true, force: true });
    expect(census(at.directory, ['/fill'])).toEqual(before);
    truncateSync(at.at('/fill'), 0);
    execFileSync('mount', ['-o', 'remount,ro', disk.directory]);
    for (const action of [tiny, { kind: 'quarantine', path: '/old' } as const])
      expect(() => run.perform(action, why)).toThrow(expect.objectContaining({ code: 'read-only' }));
    expect(() => Run.begin(inside.store, at.root, head)).toThrow(
      expect.objectContaining({ code: 'read-only' }),
    );
    expect(census(at.directory, ['/fill'])).toEqual(before);
    execFileSync('mount', ['-o', 'remount,rw', disk.directory]);
    run.perform(tiny, why);
    expect(readFileSync(at.at('/old'), 'utf8')).toBe('new');
    run.end('mended');
  } finally {
    disk.remove();
  }
});

rootTest('an immutable file: a clear error, nothing half-done, and the run goes on', async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 32 * 1024 ** 2 });
  const at = scene(disk.directory);
  writeFileSync(at.at('/immutable'), 'x');
  writeFileSync(at.at('/other'), 'x');
  execFileSync('chattr', ['+i', join(at.directory, 'immutable')]);
  const run = Run.begin(at.store, at.root, head);
  const before = contents(at.directory, STORE);
  const put: Action = {
    kind: 'put',
    path: '/immutable',
    data: Buffer.from('y'),
    attributes: { mode: 0o644, uid: 0, gid: 0 },
  };
  for (const action of [put, { kind: 'quarantine', path: '/immutable' } as const])
    expect(() => run.perform(action, why)).toThrow(/EPERM/);
  expect(contents(at.directory, STORE)).toEqual(before);
  expect(readHistory(at.store, run.id).actions.map(({ state }) => state)).toEqual(['not-begun', 'not-begun']);
  run.perform({ kind: 'quarantine', path: '/other' }, why);
  execFileSync('chattr', ['-i', join(at.directory, 'immutable')]);
  run.end('mended');
  disk.remove();
});
