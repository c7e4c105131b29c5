/**
 * Repairs of real filesystems, and the way back: of the repair, and of what it moved to lost+found. The files there are
 * recognised by their content and return to their places; the audit then finds nothing.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import { audit } from '../../src/audit/audit.ts';
import type { FsckRun } from '../../src/model/fsck-run.ts';
import { undoRun } from '../../src/recovery/actions.ts';
import { runFsck } from '../../src/recovery/filesystem.ts';
import { proposeReturns, returnLost } from '../../src/recovery/lost-found.ts';
import { Root } from '../../src/system/root.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';
import {
  debugfs,
  ext4Image,
  firstCluster,
  garbage,
  type Lab,
  lab,
  mounted,
  mountedHere,
  must,
  setFat,
  stampOf,
  vfatImage,
  xfsImage,
} from './run-lab.ts';

const open: Lab[] = [];
afterAll(() => {
  for (const one of open.splice(0)) one.remove();
});

function newLab(): Lab {
  const made = lab();
  open.push(made);
  mkdirSync(join(made.directory, 'kept'), { mode: 0o700 });
  return made;
}

function repair(one: Lab, path: string, how: 'preen' | 'all'): Promise<FsckRun> {
  return runFsck({
    path,
    type: undefined,
    root: undefined,
    mountPoint: undefined,
    mount: true,
    scratch: undefined,
    repair: how,
    keepIn: join(one.directory, 'kept'),
  });
}

function takeBack({ repair: repaired }: FsckRun): void {
  const [program = '', ...args] = repaired?.wayBack?.command ?? [];
  must(program, ...args);
}

async function findings(directory: string): Promise<string[]> {
  const { findings: found } = await audit({
    root: new Root(directory),
    scope: { packages: [], paths: [] },
    quick: false,
    archives: [],
    leftoverGlobs: [],
    ignoreLock: true,
  });
  return found.filter(({ severity }) => severity !== 'info').map(({ code, path = '-' }) => `${code} ${path}`);
}

/** In a test's own mount namespace nothing is told by mount points: the top is the root. */
const LOST = ['/lost+found'];

describe('ext4', () => {
  diskTest(
    'I1: a directory is lost: its files go to lost+found and return; all of it can be taken back',
    async () => {
      const one = newLab();
      const image = ext4Image(one);
      debugfs(image, 'clri /usr/share/many');
      debugfs(image, 'clri /usr/bin');
      const before = stampOf(image).split(' ').at(-1);
      const preened = await repair(one, image, 'preen');
      expect(preened.repair?.meanings).toContain('errors are left uncorrected');
      expect(preened.after?.state).toBe('damaged');
      takeBack(preened);
      expect(stampOf(image).split(' ').at(-1), 'e2undo brings back every byte').toBe(before);

      const run = await repair(one, image, 'all');
      expect(run.check.state).toBe('damaged');
      expect(run.after).toMatchObject({ state: 'sound', findings: [] });
      expect(run.lostFound?.returns).toHaveLength(302);
      expect(run.lostFound?.stays).toEqual([]);
      expect(readdirSync(run.repair?.kept ?? '').sort()).toEqual(['output', 'repair.json', 'undo.e2undo']);
      takeBack(run);
      expect(stampOf(image).split(' ').at(-1)).toBe(before);

      await repair(one, image, 'all');
      await mountedHere(one, image, async (at) => {
        const root = new Root(at);
        const runs = { directory: join(one.directory, 'kept') };
        expect(await findings(at)).not.toEqual([]);
        const proposed = await proposeReturns({ root, store: undefined, directories: LOST });
        expect(proposed).toMatchObject({ applied: false, problems: [] });
        const returned = await returnLost({
          root,
          store: undefined,
          directories: LOST,
          runs,
          command: ['a test'],
        });
        expect(returned.returns.map(({ outcome }) => outcome)).toEqual(Array(302).fill('returned'));
        expect(returned.returns.map(({ to }) => to)).toContain('/usr/bin/hello');
        expect(await findings(at)).toEqual([]);
        expect(readdirSync(join(at, 'lost+found'))).toEqual([]);

        const undo = undoRun(runs, root, returned.run ?? '', { apply: true });
        expect(undo.actions.every(({ outcome }) => outcome === 'undone')).toBe(true);
        expect(readdirSync(join(at, 'lost+found'))).toHaveLength(302);
        expect(
          (await returnLost({ root, store: undefined, directories: LOST, runs, command: ['again'] })).stays,
        ).toEqual([]);
        expect(await findings(at)).toEqual([]);
      });
    },
  );
});

describe('a sound filesystem', () => {
  diskTest('is left alone', async () => {
    const one = newLab();
    const image = ext4Image(one);
    const before = stampOf(image);
    const run = await repair(one, image, 'all');
    expect(run).toMatchObject({ check: { state: 'sound' } });
    expect(run.repair).toBeUndefined();
    expect(stampOf(image)).toBe(before);
    expect(readdirSync(join(one.directory, 'kept'))).toEqual([]);
  });
});

describe('xfs', () => {
  diskTest('a directory is lost: its files return', async () => {
    const one = newLab();
    const { image, seen: inode } = await xfsImage(one, (at) =>
      must('stat', '-c', '%i', `${at}/usr/share/many`).trim(),
    );
    const said = must('xfs_db', '-r', '-c', `inode ${inode}`, '-c', 'dblock 0', '-c', 'daddr', image);
    garbage(image, Number(/(\d+)\s*$/.exec(said)?.[1]) * 512, 512);
    const run = await repair(one, image, 'all');
    expect(run.repair).toMatchObject({ program: 'xfs_repair', code: 0, wayBack: { kind: 'copy' } });
    expect(run.repair?.args).not.toContain('-L');
    expect(run.after?.state).toBe('sound');
    expect(run.lostFound?.returns.length).toBeGreaterThan(50);
    expect(run.lostFound?.stays).toEqual([]);
    const places = run.lostFound?.returns.map(({ to }) => to) ?? [];
    expect(places.every((to) => to.startsWith('/usr/share/many/a-file-with-a-long-name-'))).toBe(true);
  });
});

describe('vfat', () => {
  diskTest('I1: is repaired, and a copy of all of it is the way back', async () => {
    const one = newLab();
    const path = '/EFI/debian/grubx64.efi';
    const image = vfatImage(one, { [path]: Buffer.alloc(50_000, 'loader') });
    setFat(image, { [firstCluster(image, path) + 4]: 0x0fffffff });
    const before = readFileSync(image);
    const run = await repair(one, image, 'all');
    expect(run.check.state).toBe('damaged');
    expect(run.after).toMatchObject({ state: 'sound', code: 0 });
    takeBack(run);
    expect(readFileSync(image).equals(before)).toBe(true);
  });
});

describe('a real Debian root', () => {
  diskTest('e2fsck -y moves bash and its neighbours to lost+found, and they come back', async () => {
    const one = newLab();
    const disk = throwawayDisk({ type: 'ext4', size: 1024 ** 3 });
    try {
      await disk.fill('bookworm');
      await expect(repair(one, disk.image, 'all')).rejects.toMatchObject({
        code: 'filesystem-in-use',
        message: expect.stringContaining(`it is mounted on ${disk.directory}`) as string,
      });
      disk.cut();
      const image = one.copy(disk.image, 'root.image');
      // The journal first, as a boot would, so that what is destroyed is not in it.
      await mounted(image, () => undefined);
      debugfs(image, 'clri /usr/bin');
      const run = await repair(one, image, 'all');
      expect(run.check.findings[0]).toMatchObject({
        code: 'fsck-directory-damaged',
        severity: 'critical',
        path: '/usr/bin',
      });
      expect(run.after?.state).toBe('sound');
      expect(run.lostFound?.returns.map(({ to }) => to)).toContain('/usr/bin/bash');
      await mountedHere(one, image, async (at) => {
        const root = new Root(at);
        const runs = { directory: join(one.directory, 'kept') };
        const returned = await returnLost({
          root,
          store: undefined,
          directories: LOST,
          runs,
          command: ['a test'],
        });
        expect(returned.returns.filter(({ outcome }) => outcome !== 'returned')).toEqual([]);
        // The rest has no content that a manifest knows: links, whose targets only a snapshot tells.
        expect([...new Set(returned.stays.map(({ type }) => type))]).toEqual(['link']);
        expect(
          must('chroot', at, '/usr/bin/bash', '-c', 'dpkg --verify bash coreutils; echo runs'),
        ).toContain('runs');
      });
    } finally {
      disk.remove();
    }
  });
});
