import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { listFilesystems } from '../../src/fsck/filesystems.ts';
import { parseScrubStatus, type ScrubStatus } from '../../src/fsck/online/btrfs.ts';
import { Root } from '../../src/system/root.ts';
import { debmend, ENVIRONMENT, LAUNCHER } from '../cli/debmend.ts';
import { type Disk, diskTest, throwawayDisk } from '../lab/disk.ts';

const remove: (() => void)[] = [];
afterEach(() => {
  for (const one of remove.splice(0).reverse()) one();
});

const MEBIBYTE = 1024 ** 2;

function btrfs(...mkfsOptions: string[]): Disk {
  const disk = throwawayDisk({ type: 'btrfs', size: 256 * MEBIBYTE, mkfsOptions });
  remove.push(() => disk.remove());
  return disk;
}

/** Content that is found again in the image, and cannot be packed. */
function fill(disk: Disk, name: string, mark: string, mebibytes: number): void {
  writeFileSync(join(disk.directory, name), Buffer.alloc(mebibytes * MEBIBYTE, mark));
  disk.sync();
}

/** Damages every copy of a mark's first block in the image, or one alone. */
function damage(disk: Disk, mark: string, copies: number): void {
  disk.unmount();
  const image = readFileSync(disk.image);
  const fd = openSync(disk.image, 'r+');
  try {
    let at = -1;
    for (let done = 0; done < copies; done += 1) {
      at = image.indexOf(mark.repeat(4), at + 1);
      if (at < 0) throw new Error(`${mark} is not in the image`);
      writeSync(fd, 'damaged', at);
      at += 64 * MEBIBYTE; // the other copy lies in another chunk
    }
  } finally {
    closeSync(fd);
  }
  disk.restore();
}

interface Document {
  readonly scrubs: {
    readonly planned: readonly { readonly command?: string[]; readonly reason?: string }[];
    readonly results: readonly {
      readonly outcome: string;
      readonly bytes?: number;
      readonly paths: readonly string[];
      readonly uncorrectable?: number;
      readonly corrected?: number;
    }[];
  };
  readonly findings: readonly { readonly code: string; readonly path?: string }[];
}

function scrub(disk: Disk, ...args: string[]): { readonly code: number | null; readonly document: Document } {
  const { code, stdout, stderr } = debmend([
    'fsck',
    'scrub',
    '/',
    '--root',
    disk.directory,
    '--json',
    ...args,
  ]);
  expect(stderr).toBe('');
  return { code, document: JSON.parse(stdout) as Document };
}

diskTest('a sound btrfs is read from end to end', () => {
  const disk = btrfs();
  fill(disk, 'file', 'debmend-sound-', 8);
  const { code, document } = scrub(disk);
  expect(code).toBe(0);
  expect(document.findings).toEqual([]);
  expect(document.scrubs.results).toMatchObject([
    { outcome: 'sound', uncorrectable: 0, corrected: 0, paths: [] },
  ]);
  expect(document.scrubs.results[0]?.bytes).toBeGreaterThanOrEqual(8 * MEBIBYTE);
});

diskTest('content that no copy corrects is a finding of the file that it belongs to', () => {
  const disk = btrfs('-m', 'single', '-d', 'single');
  mkdirSync(join(disk.directory, 'etc'));
  fill(disk, 'etc/damaged', 'debmend-damaged-', 1);
  fill(disk, 'etc/whole', 'debmend-whole-', 1);
  damage(disk, 'debmend-damaged-', 1);
  const { code, document } = scrub(disk);
  expect(code).toBe(1);
  expect(document.scrubs.results).toMatchObject([{ outcome: 'uncorrectable', paths: ['/etc/damaged'] }]);
  expect(document.scrubs.results[0]?.uncorrectable).toBeGreaterThan(0);
  expect(document.findings).toMatchObject([
    { code: 'scrub-uncorrectable', path: '/' },
    { code: 'scrub-uncorrectable', path: '/etc/damaged' },
  ]);
});

diskTest('what another copy corrects is said, and is corrected', () => {
  const disk = btrfs('-d', 'dup');
  fill(disk, 'file', 'debmend-twice-', 1);
  damage(disk, 'debmend-twice-', 1);
  const { code, document } = scrub(disk);
  expect(code).toBe(1);
  expect(document.scrubs.results).toMatchObject([{ outcome: 'corrected', uncorrectable: 0 }]);
  expect(document.findings.map(({ code: one }) => one)).toEqual(['scrub-corrected']);
  expect(scrub(disk).document.scrubs.results).toMatchObject([{ outcome: 'sound' }]);
});

diskTest(
  'an interrupted scrub is cancelled, and leaves none running',
  async () => {
    const disk = btrfs('-d', 'single');
    fill(disk, 'file', 'debmend-long-', 64);
    // So slow that it lasts a minute (sysfs, Linux 5.14).
    const uuid = listFilesystems(new Root(disk.directory))[0]?.uuid ?? '';
    writeFileSync(`/sys/fs/btrfs/${uuid}/devinfo/1/scrub_speed_max`, String(MEBIBYTE));
    const child = spawn(LAUNCHER, ['fsck', 'scrub', '/', '--root', disk.directory], {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await until(() => status(disk)?.state === 'running');
    child.kill('SIGTERM');
    const { code, stdout } = await ended(child);
    expect(stdout).toContain(': cancelled after ');
    expect(code).toBe(130);
    expect(status(disk)?.state).toBe('aborted');
  },
  60_000,
);

diskTest('ext4 that is not on LVM is not applicable, and a dry run only tells the command', () => {
  const ext4 = throwawayDisk({ type: 'ext4', size: 32 * MEBIBYTE });
  remove.push(() => ext4.remove());
  const { code, document } = scrub(ext4);
  expect(code).toBe(0);
  expect(document.scrubs.planned[0]?.reason).toContain('only on LVM');
  expect(document.scrubs.results).toEqual([]);

  const disk = btrfs();
  const dry = scrub(disk, '--dry-run').document.scrubs;
  expect(dry.planned[0]?.command).toEqual(['btrfs', 'scrub', 'start', '-B', '-c', '3', disk.directory]);
  expect(dry.results).toEqual([]);
  expect(status(disk)).toBeUndefined();
});

function status(disk: Disk): ScrubStatus | undefined {
  const args = ['scrub', 'status', '-R', disk.directory];
  return parseScrubStatus(spawnSync('btrfs', args, { encoding: 'utf8' }).stdout);
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 100) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string }> {
  let stdout = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  return await new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout })));
}
