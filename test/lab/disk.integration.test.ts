import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { bytesFromText } from '../../src/system/bytes.ts';
import { mountOf, readMounts } from '../../src/system/mounts.ts';
import { type Disk, type DiskOptions, type DiskType, diskTest, throwawayDisk } from './disk.ts';

const TYPES: readonly DiskType[] = ['ext4', 'xfs', 'btrfs'];
const MEBIBYTE = 1024 ** 2;
/** mkfs.xfs wants 300 MB at least. */
const SIZE = 512 * MEBIBYTE;

const opened: Disk[] = [];
function open(options: DiskOptions): Disk {
  const disk = throwawayDisk({ size: SIZE, ...options });
  opened.push(disk);
  return disk;
}
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const disk of opened.splice(0)) disk.remove();
});

/** A program that runs until it is killed; it is ready when it has written to standard error. */
async function runs(program: string, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  await once(child.stderr, 'data');
  return child;
}

async function end(child: ChildProcess): Promise<NodeJS.Signals | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.signalCode;
}

function fsync(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

/** Mounts and loop devices of a disk, by the kernel's own account. */
function tracesOf({ directory, image }: Disk): string[] {
  const loops = spawnSync('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'], {
    encoding: 'utf8',
  });
  return [
    ...readMounts().flatMap(({ mountPoint }) => (mountPoint.startsWith(directory) ? [mountPoint] : [])),
    ...loops.stdout.split('\n').filter((line) => line.includes(image)),
  ];
}

for (const type of TYPES) {
  diskTest(`${type}: a cut loses what was not synced, and nothing that was`, () => {
    const disk = open({ type });
    const at = (path: string) => join(disk.directory, path);
    mkdirSync(at('old'));
    writeFileSync(at('old/file'), 'old\n');
    disk.sync();

    mkdirSync(at('new'));
    writeFileSync(at('new/named'), 'its name goes with the next fsync, its content does not\n');
    writeFileSync(at('new/synced'), 'synced\n');
    fsync(at('new/synced'));
    fsync(at('new'));
    // Not even a name: the journal of this instant is lost, too.
    writeFileSync(at('new/unsynced'), 'unsynced\n');
    disk.cut();
    expect(readdirSync(disk.directory)).toEqual([]);
    expect(() => disk.device).toThrow('has no power');
    disk.restore();

    expect(readFileSync(at('old/file'), 'utf8')).toBe('old\n');
    expect(readFileSync(at('new/synced'), 'utf8')).toBe('synced\n');
    expect(statSync(at('new/named'), { throwIfNoEntry: false })?.size ?? 0).toBe(0);
    expect(existsSync(at('new/unsynced'))).toBe(false);
    // and it is a filesystem like any other again
    writeFileSync(at('new/later'), 'later\n');
    disk.sync();
    disk.cut();
    disk.restore();
    expect(readFileSync(at('new/later'), 'utf8')).toBe('later\n');
  });

  diskTest(
    `${type}: a cut ends what runs in there, and nobody's copy of the mount keeps it alive`,
    async () => {
      const disk = open({ type });
      const inside = await runs(
        'sh',
        '-c',
        'cd "$0" && exec > log && echo >&2 && exec sleep 600',
        disk.directory,
      );
      // What any other test does that makes namespaces: all mounts of this host are in there, and stay.
      const apart = ['--mount', '--pid', '--mount-proc', '--kill-child'];
      const beside = await runs('unshare', ...apart, 'sh', '-c', 'echo >&2; exec sleep 600');
      writeFileSync(join(disk.directory, 'unsynced'), 'unsynced\n');
      disk.cut();
      expect(await end(inside)).toBe('SIGKILL');
      expect(tracesOf(disk)).toEqual([]);
      disk.restore();
      expect(statSync(join(disk.directory, 'unsynced'), { throwIfNoEntry: false })?.size ?? 0).toBe(0);
      expect([beside.exitCode, beside.signalCode]).toEqual([null, null]);
    },
  );
}

diskTest('a filesystem is made and mounted as asked', () => {
  const disk = open({ type: 'ext4', mkfsOptions: ['-b', '1024'], mountOptions: ['noauto_da_alloc'] });
  expect(statfsSync(disk.directory).bsize).toBe(1024);
  const path = bytesFromText(disk.directory);
  expect(mountOf(readMounts(), path)).toMatchObject({ mountPoint: path, type: 'ext4', source: disk.device });
  expect(mountOf(readMounts(), path)?.options).toContain('noauto_da_alloc');
  expect(() => throwawayDisk({ type: 'ext4', mountOptions: ['nonsense'] })).toThrow('nonsense');
});

diskTest('power cannot be cut or restored twice', () => {
  const disk = open({ type: 'ext4' });
  expect(() => disk.restore()).toThrow('has power');
  disk.cut();
  expect(() => disk.cut()).toThrow('has no power');
  disk.restore();
});

diskTest('remove takes away what is mounted below, too, and leaves no mount, loop device or file', () => {
  const disk = open({ type: 'xfs' });
  mkdirSync(join(disk.directory, 'proc'));
  spawnSync('mount', ['-t', 'proc', 'proc', join(disk.directory, 'proc')]);
  expect(tracesOf(disk)).toHaveLength(3);
  disk.remove();
  expect(tracesOf(disk)).toEqual([]);
  expect(existsSync(dirname(disk.image))).toBe(false);
  expect(() => disk.remove()).not.toThrow();
});

const MODULE = JSON.stringify(new URL('disk.ts', import.meta.url).href);

diskTest('a disk goes with its process, or with the next disk when that was killed', async () => {
  const source = (then: string) =>
    `const { throwawayDisk } = await import(${MODULE});
     const { directory, image } = throwawayDisk({ type: 'ext4', size: ${SIZE} });
     console.error(JSON.stringify({ directory, image }));
     ${then};`;
  const other = (then: string) => {
    const args = ['--input-type=module', '--eval', source(then)];
    const { stderr, signal } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { disk: JSON.parse(stderr) as Disk, signal };
  };
  const ended = other('process.exit(0)');
  expect(tracesOf(ended.disk)).toEqual([]);
  expect(existsSync(ended.disk.image)).toBe(false);

  const killed = other(`process.kill(process.pid, 'SIGKILL')`);
  expect(killed.signal).toBe('SIGKILL');
  expect(tracesOf(killed.disk)).toHaveLength(2);
  open({ type: 'ext4' });
  expect(tracesOf(killed.disk)).toEqual([]);
  expect(existsSync(dirname(killed.disk.image))).toBe(false);
});
