/** What e2fsck really prints at boot, kept as the initramfs keeps it, and what is made of that. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { parseExt4Superblock, readExt4Superblock } from '../../src/fsck/ext4-superblock.ts';
import { parseFsckRuns } from '../../src/fsck/fsck-log.ts';
import { findCheck } from '../../src/fsck/status/boot-check.ts';
import { bytesFromText } from '../../src/system/bytes.ts';
import { type Disk, diskTest, throwawayDisk } from '../lab/disk.ts';

const opened: Disk[] = [];
afterEach(() => {
  for (const disk of opened.splice(0)) disk.remove();
});

function must(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
  });
  if (result.status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${result.status}\n${result.stderr}`);
  return result.stdout;
}

/** As Debian's initramfs has it done (initramfs-tools 0.142 and 0.148, scripts/functions, _checkfs_once). */
function check(image: string, log: string): number | null {
  return spawnSync('logsave', ['-a', '-s', log, 'fsck', '-C', '-a', '-T', '-t', 'ext4', image]).status;
}

diskTest('a clean one, a replayed journal, a correction, and errors that are left', () => {
  const disk = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2 });
  opened.push(disk);
  for (const name of ['a', 'b', 'c']) writeFileSync(join(disk.directory, name), `${name}\n`);
  const inode = statSync(join(disk.directory, 'a')).ino;
  const log = join(disk.image, '../fsck.log');
  const found = () => {
    const runs = parseFsckRuns(readFileSync(log, 'latin1')).map((run) => ({ ...run, source: 'log' }));
    // By its path, as it was called; the filesystem itself is not mounted now.
    return findCheck(
      runs.map((run) => ({ ...run, device: '/dev/test1' })),
      filesystem,
      '',
    );
  };
  const filesystem = { role: 'data', uuid: undefined, device: 'test1', source: '/dev/test1' } as const;

  must('xfs_io', '-x', '-c', 'shutdown -f', disk.directory);
  disk.unmount();
  expect(check(disk.image, log)).toBe(0);
  expect(found()).toMatchObject({ outcome: 'recovered', text: `${disk.image}: recovering journal` });
  expect(check(disk.image, log)).toBe(0);
  expect(found()).toMatchObject({ outcome: 'clean' });

  must('debugfs', '-w', '-R', `sif <${inode}> links_count 3`, disk.image);
  must('tune2fs', '-E', 'force_fsck', disk.image);
  expect(check(disk.image, log)).toBe(1);
  expect(found()).toMatchObject({ outcome: 'corrected', status: 1, text: expect.stringContaining('FIXED') });

  // A file whose map of blocks is damaged would be lost: that is not for a program to decide.
  must('debugfs', '-w', '-R', `sif <${inode}> block[0] 0x1234`, disk.image);
  must('tune2fs', '-E', 'force_fsck', disk.image);
  expect(check(disk.image, log)).toBe(4);
  expect(found()).toMatchObject({ outcome: 'errors-left', status: 4 });
  expect(parseFsckRuns(readFileSync(log, 'latin1')).map(({ device }) => device)).toEqual(
    Array.from({ length: 4 }, () => disk.image),
  );
});

diskTest('a run is a filesystem’s by its device, its UUID, its label, or its role', () => {
  const lines = ['rootfs: clean, 11/16384 files, 9513/65536 blocks'];
  const run = (device: string | undefined) => [{ device, lines, source: 'log' }];
  const filesystem = { role: 'data', uuid: 'u-1', device: 'sda1', source: '/dev/sda1' } as const;
  expect(findCheck(run('/dev/sda1'), filesystem, '')?.outcome).toBe('clean');
  expect(findCheck(run('/dev/sda2'), filesystem, '')).toBeUndefined();
  expect(findCheck(run('/dev/disk/by-uuid/u-1'), filesystem, '')?.outcome).toBe('clean');
  expect(findCheck(run('UUID=u-2'), filesystem, '')).toBeUndefined();
  expect(findCheck(run(undefined), filesystem, 'rootfs')?.outcome).toBe('clean');
  expect(findCheck(run(undefined), filesystem, 'other')).toBeUndefined();
  expect(findCheck(run('/'), filesystem, '')).toBeUndefined();
  expect(findCheck(run('/'), { ...filesystem, role: 'root' }, '')?.outcome).toBe('clean');
});

diskTest('the superblock says what dumpe2fs says', async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2, mkfsOptions: ['-L', 'a label'] });
  opened.push(disk);
  must('tune2fs', '-c', '30', '-i', '3d', '-e', 'remount-ro', '-o', 'nobarrier', disk.device);
  writeFileSync(`/sys/fs/ext4/${basename(disk.device)}/trigger_fs_error`, 'for a test');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const said = must('dumpe2fs', '-h', disk.device);
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(said)?.[1];
  const read = readExt4Superblock(bytesFromText(disk.device));
  expect(read).toMatchObject({
    uuid: field('Filesystem UUID'),
    label: 'a label',
    hasErrors: true,
    hasJournal: true,
    behaviour: 'remount-ro',
    defaultOptions: ['nobarrier'],
    blockSize: Number(field('Block size')),
    mountCount: Number(field('Mount count')),
    maxMountCount: 30,
    checkInterval: 3 * 24 * 60 * 60,
    errors: Number(field('FS Error count')),
  });
  const time = (name: string) => Date.parse(`${field(name)} UTC`) / 1000;
  expect(read?.lastCheck).toBe(time('Last checked'));
  expect(read?.lastMount).toBe(time('Last mount time'));
  expect(read?.last).toMatchObject({
    func: field('Last error function'),
    line: Number(field('Last error line #')),
    at: new Date(time('Last error time') * 1000),
  });
  expect(read?.first).toEqual(read?.last);
  expect(parseExt4Superblock(readFileSync(disk.image).subarray(1024, 2048))?.uuid).toBe(read?.uuid);
});
