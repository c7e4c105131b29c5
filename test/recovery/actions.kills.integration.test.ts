/**
 * A run, an undo, a settling and a purge, each killed at every system call that writes, names, links or syncs (I4).
 * strace(1) counts each kind of call by itself, so a kill is "the 3rd rename", and the list of them all is taken from a
 * run that nobody kills. Whatever is run again afterwards ends as one uninterrupted run does; and at every instant each
 * file that was there before is in its place or in the quarantine.
 *
 * DEBMEND_KILL_STRIDE=1 kills at every call; the ordinary run leaves some out (npm run kills).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { listQuarantine } from '../../src/recovery/quarantine.ts';
import { rootTest } from '../lab/roots.ts';
import { everyAction, type Mode } from './every-action.ts';
import { census, contents, type Scene, scene } from './rig.ts';

const CALLS =
  'openat,write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chown,fchown,lchown,fchownat,chmod,fchmod,fchmodat,utimensat';
const STORE = ['/var/lib/debmend'];
const PROGRAM = join(import.meta.dirname, 'every-action.ts');
const stride = Number(process.env['DEBMEND_KILL_STRIDE'] ?? 13);

/** The K-th call of a name by the program's first thread. */
interface Point {
  readonly call: string;
  readonly at: number;
}

/** Another one each time: what is killed changes it. */
function broken(): Scene {
  const at = scene();
  mkdirSync(at.at('/etc/tree/below'), { recursive: true });
  writeFileSync(at.at('/etc/tree/below/file'), 'in the tree');
  symlinkSync('below', at.at('/etc/tree/link'));
  for (const name of ['x.dpkg-new', 'link', 'nodir', 'owner', 'from'])
    writeFileSync(at.at(`/etc/${name}`), `old ${name}`);
  writeFileSync(at.at('/etc/zeroed'), '');
  mkdirSync(at.at('/etc/dir'));
  writeFileSync(at.at('/etc/dir/inside'), 'in the directory');
  mkdirSync(at.at('/etc/dirfrom'));
  writeFileSync(at.at('/etc/dirfrom/inside'), 'renamed along');
  mkdirSync(at.at('/home'));
  writeFileSync(at.at('/home/data'), 'of a user');
  return at;
}

function strace(at: Scene, mode: Mode, id: string, options: readonly string[]) {
  const program = [process.execPath, PROGRAM, at.directory, at.store.directory, mode, id];
  return spawnSync('strace', ['-f', '-qq', '-e', `trace=${CALLS}`, ...options, ...program], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
}

/** Every point from where the program's own work begins. */
function pointsOf(at: Scene, mode: Mode, id: string): Point[] {
  const log = join(at.directory, '../calls');
  const run = strace(at, mode, id, ['-o', log]);
  expect(run.status, run.stderr).toBe(0);
  const lines = readFileSync(log, 'utf8').split('\n');
  const [main] = /^\d+/.exec(lines[0] ?? '') ?? [];
  const counts = new Map<string, number>();
  const points: Point[] = [];
  let begun = false;
  for (const line of lines) {
    const [, pid, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (pid === undefined || call === undefined || pid !== main) continue;
    counts.set(call, (counts.get(call) ?? 0) + 1);
    // Of opening only that which makes a file.
    const changes = call !== 'openat' || line.includes('O_CREAT');
    if (begun && changes) points.push({ call, at: counts.get(call) ?? 0 });
    begun ||= line.includes('/begun"');
  }
  return points;
}

function killedAt(at: Scene, mode: Mode, id: string, { call, at: when }: Point): boolean {
  const run = strace(at, mode, id, ['-o', '/dev/null', '-e', `inject=${call}:signal=KILL:when=${when}`]);
  const killed = run.signal === 'SIGKILL' || run.status === 137;
  if (!killed) expect(run.status, run.stderr).toBe(0);
  return killed;
}

/** The content of every file, whatever its name: what must never get lost. */
function hashes(directory: string): Set<string> {
  const files = [...contents(directory)].filter(([, line]) => line.startsWith('100'));
  return new Set(files.map(([, line]) => line.split(' ').at(-1) ?? ''));
}

function untouched(at: Scene): void {
  expect(readFileSync(at.at('/home/data'), 'utf8')).toBe('of a user');
  expect([...census(at.directory, STORE).keys()].filter((path) => path.includes('.debmend'))).toEqual([]);
}

const sampled = (points: readonly Point[], every: number): Point[] =>
  points.filter((_, at) => at % every === 0);
const say = ({ call, at }: Point): string => `killed at ${call} ${at}`;
const runsOf = (at: Scene): string[] => readdirSync(join(at.store.directory, 'runs')).sort();

/** What an uninterrupted run makes of it. */
function wanted(): Map<string, string> {
  const at = broken();
  everyAction(at.directory, at.store, 'act');
  return contents(at.directory, STORE);
}

rootTest(
  'I4: a run killed anywhere, settled and run again, ends as one that was not; undone, as if there was none',
  async () => {
    const end = wanted();
    const points = pointsOf(broken(), 'act', '');
    // Fewer would mean that the calls are not seen.
    expect(points.length).toBeGreaterThan(100);
    for (const name of ['rename', 'link', 'unlink', 'fsync', 'write', 'mkdir', 'symlink', 'chmod', 'chown'])
      expect(points.map(({ call }) => call)).toContain(name);
    let kills = 0;
    for (const point of sampled(points, stride)) {
      const at = broken();
      const old = contents(at.directory, STORE);
      const had = hashes(at.directory);
      had.delete(old.get('/etc/x.dpkg-new')?.split(' ').at(-1) ?? ''); // policy removes it
      if (killedAt(at, 'act', '', point)) kills += 1;
      // Before anything is put right: nothing that was there is lost.
      const now = hashes(at.directory);
      expect(
        [...had].filter((hash) => !now.has(hash)),
        say(point),
      ).toEqual([]);
      everyAction(at.directory, at.store, 'settle');
      untouched(at);
      const settled = contents(at.directory, STORE);
      // Every path is as before or as wanted: nothing is half-done.
      for (const path of new Set([...old.keys(), ...end.keys(), ...settled.keys()])) {
        const is = settled.get(path);
        expect(is === old.get(path) || is === end.get(path), `${say(point)}: ${path} is ${is}`).toBe(true);
      }
      everyAction(at.directory, at.store, 'settle');
      expect(contents(at.directory, STORE), say(point)).toEqual(settled);
      everyAction(at.directory, at.store, 'act');
      expect(contents(at.directory, STORE), say(point)).toEqual(end);
      untouched(at);
      for (const id of runsOf(at).reverse()) everyAction(at.directory, at.store, 'undo', id);
      old.delete('/etc/x.dpkg-new');
      expect(contents(at.directory, STORE), say(point)).toEqual(old);
      rmSync(at.directory, { recursive: true });
    }
    expect(kills).toBe(sampled(points, stride).length);
  },
);

/** A tree whose run has ended, and that run. */
function mended(): { at: Scene; id: string } {
  const at = broken();
  everyAction(at.directory, at.store, 'act');
  return { at, id: runsOf(at)[0] ?? '' };
}

rootTest('I4: an undo killed anywhere, and called again, ends as one that was not', async () => {
  const old = contents(broken().directory, STORE);
  old.delete('/etc/x.dpkg-new');
  const model = mended();
  const points = sampled(pointsOf(model.at, 'undo', model.id), stride);
  for (const point of points) {
    const { at, id } = mended();
    expect(killedAt(at, 'undo', id, point), say(point)).toBe(true);
    everyAction(at.directory, at.store, 'undo', id);
    expect(contents(at.directory, STORE), say(point)).toEqual(old);
    untouched(at);
    rmSync(at.directory, { recursive: true });
  }
  expect(points.length * stride).toBeGreaterThan(100);
});

rootTest('I4: a settling killed anywhere, and run again, ends as one that was not', async () => {
  const end = wanted();
  const cuts = sampled(pointsOf(broken(), 'act', ''), stride * 3);
  let kills = 0;
  for (const cut of cuts) {
    const model = broken();
    killedAt(model, 'act', '', cut);
    for (const point of sampled(pointsOf(model, 'settle', ''), Math.ceil(stride / 2))) {
      const at = broken();
      killedAt(at, 'act', '', cut);
      if (killedAt(at, 'settle', '', point)) kills += 1;
      everyAction(at.directory, at.store, 'act');
      expect(contents(at.directory, STORE), `${say(cut)}, then ${say(point)}`).toEqual(end);
      untouched(at);
      rmSync(at.directory, { recursive: true });
    }
  }
  expect(kills).toBeGreaterThan(3);
});

rootTest(
  'I4: a purge killed anywhere, and called again, leaves nothing, and touches nothing else',
  async () => {
    const end = wanted();
    const points = sampled(pointsOf(mended().at, 'purge', ''), Math.ceil(stride / 2));
    expect(points.length).toBeGreaterThan(3);
    for (const point of points) {
      const { at } = mended();
      expect(killedAt(at, 'purge', '', point), say(point)).toBe(true);
      everyAction(at.directory, at.store, 'purge');
      expect(listQuarantine(at.store, at.root)).toEqual([]);
      expect(readdirSync(join(at.store.directory, 'quarantine')), say(point)).toEqual([]);
      expect(contents(at.directory, STORE)).toEqual(end);
      rmSync(at.directory, { recursive: true });
    }
  },
);
