/** A tree that someone prepared, and someone who changes it at the wrong moment (I7): nothing outside is touched. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Action, Run, undoRun } from '../../src/recovery/actions.ts';
import { listQuarantine, purgeQuarantine } from '../../src/recovery/quarantine.ts';
import { DebmendError } from '../../src/system/errors.ts';
import { rootTest } from '../lab/roots.ts';
import { census, scene, scratch, why } from './rig.ts';
import { swapper } from './swapper.ts';

const head = { command: ['test'], policy: undefined };
const attributes = { mode: 0o644, uid: 0, gid: 0 };
const put = (path: string, text = 'good'): Action => ({
  kind: 'put',
  path,
  data: Buffer.from(text),
  attributes,
});

/** A directory outside the root with something in it to be got at. */
function outside(): string {
  const directory = scratch();
  writeFileSync(join(directory, 'file'), 'of others');
  mkdirSync(join(directory, 'sub'));
  return directory;
}

it('I7: a parent that is a link is followed inside the root, and never out of it', () => {
  const at = scene();
  const other = outside();
  const before = census(other);
  mkdirSync(at.at('/real'));
  symlinkSync('/real', at.at('/absolute'));
  symlinkSync('../../../../../../../../real', at.at('/climbing'));
  symlinkSync(other, at.at('/out'));
  symlinkSync(`../..${other}`, at.at('/out2'));
  symlinkSync('loop', at.at('/loop'));
  const run = Run.begin(at.store, at.root, head);
  run.perform(put('/absolute/a'), why);
  run.perform(put('/climbing/b'), why);
  expect(readdirSync(at.at('/real')).sort()).toEqual(['a', 'b']);
  for (const parent of ['/out', '/out2', '/loop']) {
    for (const action of [
      put(`${parent}/file`),
      { kind: 'quarantine', path: `${parent}/file` },
      { kind: 'remove', path: `${parent}/file` },
      { kind: 'attributes', path: `${parent}/file`, attributes: { mode: 0, uid: 1, gid: 1 } },
      { kind: 'rename', from: '/real/a', to: `${parent}/stolen` },
      { kind: 'rename', from: `${parent}/file`, to: '/real/stolen' },
      { kind: 'directory', path: `${parent}/sub`, attributes: { mode: 0, uid: 1, gid: 1 } },
      { kind: 'link', path: `${parent}/link`, target: 'x', attributes: { uid: 1, gid: 1 } },
    ] as const)
      expect(() => run.perform(action, why)).toThrow(expect.objectContaining({ code: 'action-refused' }));
  }
  run.end('mended');
  expect(census(other)).toEqual(before);
});

it('I7: the last component is never followed, whatever is done to it', () => {
  const at = scene();
  const other = outside();
  const before = census(other);
  for (const name of ['a', 'b', 'c', 'd', 'e']) symlinkSync(join(other, 'file'), at.at(`/${name}`));
  symlinkSync(join(other, 'sub'), at.at('/f'));
  const run = Run.begin(at.store, at.root, head);
  run.perform(put('/a'), why);
  run.perform({ kind: 'quarantine', path: '/b' }, why);
  run.perform({ kind: 'remove', path: '/c' }, why);
  run.perform({ kind: 'rename', from: '/d', to: '/d2' }, why);
  run.perform({ kind: 'attributes', path: '/e', attributes: { mode: 0o600, uid: 0, gid: 0 } }, why);
  run.perform({ kind: 'directory', path: '/f', attributes: { mode: 0o700, uid: 0, gid: 0 } }, why);
  run.end('mended');
  expect(lstatSync(at.at('/a')).isFile()).toBe(true);
  expect(lstatSync(at.at('/d2')).isSymbolicLink()).toBe(true);
  expect(lstatSync(at.at('/f')).isDirectory()).toBe(true);
  undoRun(at.store, at.root, run.id, { apply: true });
  expect(census(other)).toEqual(before);
});

rootTest(
  'I7: a second name of a file elsewhere keeps its content, and its mode where others could have made it',
  () => {
    const at = scene();
    mkdirSync(at.at('/open'), { mode: 0o777 });
    chmodSync(at.at('/open'), 0o1777);
    writeFileSync(at.at('/shadow'), 'secret', { mode: 0o600 });
    linkSync(at.at('/shadow'), at.at('/open/trap'));
    const run = Run.begin(at.store, at.root, head);
    expect(() =>
      run.perform(
        { kind: 'attributes', path: '/open/trap', attributes: { mode: 0o666, uid: 1, gid: 1 } },
        why,
      ),
    ).toThrow(/it has 2 names/);
    run.perform(put('/open/trap', 'new'), why);
    run.end('mended');
    expect(readFileSync(at.at('/shadow'), 'utf8')).toBe('secret');
    expect(lstatSync(at.at('/shadow'))).toMatchObject({ uid: 0, mode: 0o100600 });
  },
);

rootTest('I7: FIFOs, endless devices and huge files are moved without being opened', () => {
  const at = scene();
  execFileSync('mkfifo', [at.at('/fifo').toString(), at.at('/fifo2').toString()]);
  execFileSync('mknod', [at.at('/zero').toString(), 'c', '1', '5']);
  writeFileSync(at.at('/huge'), '');
  truncateSync(at.at('/huge'), 2 ** 40);
  writeFileSync(at.at('/huge2'), '');
  truncateSync(at.at('/huge2'), 2 ** 40);
  const begun = performance.now();
  const run = Run.begin(at.store, at.root, head);
  for (const path of ['/fifo', '/zero', '/huge']) run.perform(put(path), why);
  run.perform({ kind: 'quarantine', path: '/fifo2' }, why);
  for (const path of ['/zero', '/fifo'])
    run.perform({ kind: 'attributes', path, attributes: { mode: 0o600, uid: 1, gid: 1 } }, why);
  // Too large to be read first: so it is kept.
  expect(run.perform({ kind: 'remove', path: '/huge2' }, why).step.kind).toBe('quarantine');
  run.end('mended');
  undoRun(at.store, at.root, run.id, { apply: true });
  expect(performance.now() - begun).toBeLessThan(20_000);
  expect(lstatSync(at.at('/fifo')).isFIFO()).toBe(true);
  expect(lstatSync(at.at('/zero')).isCharacterDevice()).toBe(true);
  expect(lstatSync(at.at('/huge')).size).toBe(2 ** 40);
  expect(lstatSync(at.at('/huge2')).size).toBe(2 ** 40);
});

rootTest('I7: a directory that is swapped for a link again and again leads nowhere outside', async () => {
  const at = scene();
  const other = outside();
  const before = census(other);
  mkdirSync(at.at('/dir'));
  symlinkSync(other, at.at('/link'));
  writeFileSync(at.at('/dir/file'), 'inside');
  const run = Run.begin(at.store, at.root, head);
  const child = await swapper(String(at.at('/dir')), String(at.at('/link')));
  const ends = { done: 0, refused: 0 };
  try {
    for (let round = 0; round < 300; round += 1) {
      const actions: Action[] = [
        put('/dir/file', `round ${round}`),
        { kind: 'attributes', path: '/dir/file', attributes: { mode: 0o600, uid: round, gid: 1 } },
        { kind: 'quarantine', path: '/dir/file' },
        put('/dir/new', 'x'),
        { kind: 'remove', path: '/dir/new' },
      ];
      for (const action of actions) {
        try {
          run.perform(action, why);
          ends.done += 1;
        } catch (error) {
          if (!(error instanceof DebmendError)) throw error;
          ends.refused += 1;
        }
      }
    }
  } finally {
    child.kill('SIGKILL');
  }
  run.end('mended');
  expect(census(other)).toEqual(before);
  // Both happened, so the moments were met.
  expect(ends.done).toBeGreaterThan(0);
  expect(ends.refused).toBeGreaterThan(0);
});

rootTest(
  'I1, I7: a file that is swapped for a link at every moment is moved as what it is, and none is lost',
  async () => {
    const at = scene();
    const other = outside();
    const before = census(other);
    mkdirSync(at.at('/tmp'));
    symlinkSync(join(other, 'file'), at.at('/tmp/link'));
    writeFileSync(at.at('/tmp/file'), 'inside');
    const run = Run.begin(at.store, at.root, head);
    const child = await swapper(String(at.at('/tmp/file')), String(at.at('/tmp/link')));
    try {
      for (let round = 0; round < 200; round += 1) {
        try {
          run.perform(
            { kind: 'attributes', path: '/tmp/file', attributes: { mode: 0o600, uid: round, gid: 1 } },
            why,
          );
        } catch (error) {
          if (!(error instanceof DebmendError)) throw error;
        }
      }
      for (let round = 0; round < 20; round += 1) {
        try {
          run.perform({ kind: 'quarantine', path: '/tmp/file' }, why);
          break; // now the swapper has nothing left to swap, and ends
        } catch (error) {
          if (!(error instanceof DebmendError)) throw error;
        }
      }
    } finally {
      child.kill('SIGKILL');
    }
    run.end('mended');
    expect(census(other)).toEqual(before);
    const items = listQuarantine(at.store, at.root).map(({ thing }) => thing?.type);
    const left = readdirSync(at.at('/tmp')).map((name) =>
      lstatSync(at.at(`/tmp/${name}`)).isFile() ? 'file' : 'link',
    );
    expect([...items, ...left].sort()).toEqual(['file', 'link']);
  },
);

rootTest(
  'I7: someone who made the quarantine first, or a link in its place, is not trusted with anything',
  () => {
    const at = scene();
    const mounted = join(at.directory, 'home');
    mkdirSync(mounted);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mounted]);
    try {
      const other = outside();
      writeFileSync(at.at('/home/file'), 'x');
      const run = Run.begin(at.store, at.root, head);
      symlinkSync(other, at.at('/home/.debmend-quarantine'));
      expect(() => run.perform({ kind: 'quarantine', path: '/home/file' }, why)).toThrow(DebmendError);
      renameSync(at.at('/home/.debmend-quarantine'), at.at('/home/was'));
      mkdirSync(at.at('/home/.debmend-quarantine'), { mode: 0o700 });
      chownSync(at.at('/home/.debmend-quarantine'), 1000, 1000);
      expect(() => run.perform({ kind: 'quarantine', path: '/home/file' }, why)).toThrow(
        /belongs to someone else/,
      );
      run.end('failed');
      expect(readFileSync(at.at('/home/file'), 'utf8')).toBe('x');
      expect(readdirSync(other).sort()).toEqual(['file', 'sub']);
    } finally {
      execFileSync('umount', [mounted]);
    }
  },
);

rootTest(
  'I7: a purge deletes what is in the quarantine and follows nothing in it, however deep',
  async () => {
    const at = scene();
    const other = outside();
    const before = census(other);
    mkdirSync(at.at('/tree/a'), { recursive: true });
    symlinkSync(other, at.at('/tree/out'));
    symlinkSync(join(other, 'file'), at.at('/tree/a/out'));
    linkSync(join(other, 'file'), at.at('/tree/a/name'));
    writeFileSync(Buffer.from(`${at.directory}/tree/a/caf\xe9`, 'latin1'), 'x');
    // Deeper than a path may be long.
    execFileSync('perl', [
      '-e',
      'chdir shift; for (1..2500) { mkdir "deep" x 4; chdir "deep" x 4 or die } open F, ">", "end"',
      join(at.directory, 'tree'),
    ]);
    const run = Run.begin(at.store, at.root, head);
    run.perform({ kind: 'quarantine', path: '/tree' }, why);
    run.end('mended');
    const [item] = listQuarantine(at.store, at.root);
    // Someone still works in there.
    const inside = String(item?.place);
    const child = await swapper(join(inside, 'a'), join(inside, 'out'));
    try {
      expect(purgeQuarantine(at.store, at.root, { ids: [] }, ['test'])).toEqual([`${run.id}/1`]);
    } finally {
      child.kill('SIGKILL');
    }
    expect(existsSync(inside)).toBe(false);
    expect(readdirSync(join(at.store.directory, 'quarantine'))).toEqual([]);
    expect([...census(other)].map(([path, line]) => [path, line.split(' ').at(-1)])).toEqual(
      [...before].map(([path, line]) => [path, line.split(' ').at(-1)]),
    );
  },
);
