import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { type Ext4Superblock, readExt4Superblock } from '../../src/fsck/ext4-superblock.ts';
import { debmend } from '../cli/debmend.ts';
import { type Disk, type DiskOptions, diskTest, throwawayDisk } from '../lab/disk.ts';

const remove: (() => void)[] = [];
afterEach(() => {
  for (const one of remove.splice(0).reverse()) one();
});

interface Rig {
  readonly disk: Disk;
  readonly store: string;
  /** `debmend fsck schedule` with the disk as the root. */
  schedule(...args: string[]): { code: number | null; stdout: string; stderr: string };
  /** What its --json says. */
  document(...args: string[]): Document;
  superblock(): Ext4Superblock;
}

interface Document {
  readonly checks: {
    readonly steps: readonly {
      readonly decision: string;
      readonly commands: readonly { command: string[] }[];
    }[];
    readonly asked: readonly {
      readonly stage: string;
      readonly restored: boolean;
      readonly problem?: string;
      readonly reasons: readonly string[];
    }[];
  };
}

function rig(options: Partial<DiskOptions> = {}): Rig {
  const disk = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2, ...options });
  const store = mkdtempSync(join(tmpdir(), 'debmend-checks-'));
  remove.push(
    () => rmSync(store, { recursive: true }),
    () => disk.remove(),
  );
  const schedule: Rig['schedule'] = (...args) =>
    debmend(['fsck', 'schedule', ...args, '--root', disk.directory, '--store', store]);
  return {
    disk,
    store,
    schedule,
    document: (...args) => {
      const { stdout, stderr } = schedule(...args, '--json');
      expect(stderr).toBe('');
      return JSON.parse(stdout) as Document;
    },
    superblock: () => {
      const found = readExt4Superblock(disk.image);
      if (found === undefined) throw new Error(`${disk.image} holds no ext4`);
      return found;
    },
  };
}

/** The check of every boot: it passes what its superblock calls clean. */
function bootCheck(disk: Disk): string {
  return spawnSync('e2fsck', ['-p', disk.image], { encoding: 'utf8' }).stdout;
}

/** A filesystem whose last check is long ago, with a number of mounts that the administrator allowed. */
function tuned(disk: Disk, ...options: string[]): void {
  disk.unmount();
  const { status, stderr } = spawnSync('tune2fs', ['-T', '20250101', ...options, disk.image], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  disk.restore();
}

diskTest('a scheduled check is made at the next boot, once, and the settings are as they were', () => {
  const { disk, schedule, document, superblock } = rig();
  tuned(disk, '-c', '77', '-C', '5');

  const { code, stdout } = schedule('/');
  expect(code).toBe(0);
  expect(stdout).toContain('/ (ext4): will be checked at the next boot');
  disk.unmount();
  expect(superblock()).toMatchObject({ maxMountCount: 30, mountCount: 99 });
  expect(bootCheck(disk)).toMatch(/has been mounted 99 times without being checked, check forced\./);
  disk.restore();

  const { asked } = document().checks;
  expect(asked).toMatchObject([{ stage: 'checked', restored: true }]);
  disk.unmount();
  expect(superblock()).toMatchObject({ maxMountCount: 77, mountCount: 1 });
  expect(bootCheck(disk)).toMatch(/: clean, /);
  disk.restore();
  // And settled it is: nothing is done a second time.
  expect(document().checks.asked).toEqual(asked);
});

diskTest('I4: it survives a power cut, and the replay of the journal after it', () => {
  const { disk, schedule, document, superblock } = rig();
  tuned(disk);
  expect(schedule('/').code).toBe(0);
  disk.cut();
  expect(bootCheck(disk)).toContain('check forced.');
  disk.restore();
  expect(document().checks.asked).toMatchObject([{ stage: 'checked', restored: true }]);
  disk.unmount();
  expect(superblock().maxMountCount).toBe(-1);
});

diskTest('it is never asked twice, and the first values are those that come back', () => {
  const { disk, schedule, document, superblock } = rig();
  tuned(disk, '-c', '50', '-C', '3');
  schedule('/');
  expect(schedule('/').stdout).toContain('was asked for before, and nothing was changed');
  // Someone undoes it by hand: it is asked again, and still remembers what was there at first.
  spawnSync('tune2fs', ['-C', '8', disk.device]);
  expect(document('/').checks.steps).toMatchObject([{ decision: 'ask' }]);
  expect(schedule('--cancel').stdout).toContain('is not asked for any more');
  disk.unmount();
  expect(superblock()).toMatchObject({ maxMountCount: 50, mountCount: 4 });
  expect(bootCheck(disk)).toMatch(/: clean, /);
});

diskTest('a dry run prints the very commands and changes nothing', () => {
  const { disk, schedule, document, superblock } = rig();
  const { stdout } = schedule('/', '--dry-run');
  const command = `tune2fs -C 99 -c 30 ${disk.device}`;
  expect(stdout).toContain(`  ${command}\n`);
  expect(superblock().maxMountCount).toBe(-1);
  expect(document().checks.asked).toEqual([]);

  schedule('/');
  const [step] = document('--cancel', '--dry-run').checks.steps;
  expect(step?.commands).toEqual([{ command: ['tune2fs', '-C', '1', '-c', '-1', disk.device] }]);
  expect(document().checks.asked).toMatchObject([{ stage: 'asked' }]);
});

diskTest('without mount points only what recorded errors is asked for, and why', () => {
  const { disk, schedule, document } = rig();
  expect(schedule().stdout).toContain('no filesystem recorded errors');
  disk.unmount();
  spawnSync('debugfs', ['-w', '-R', 'ssv error_count 3', disk.image]);
  disk.restore();
  expect(document('--dry-run').checks.steps).toMatchObject([{ decision: 'ask' }]);
  schedule();
  const [check] = document().checks.asked;
  expect(check?.reasons).toEqual(['the kernel recorded 3 errors in it']);
});

diskTest('I4: what a power cut left between the intention and the asking is asked again', () => {
  const { disk, store, schedule, superblock, document } = rig();
  tuned(disk, '-c', '40');
  schedule('/');
  const file = join(store, 'fsck-scheduled.json');
  const edited = spawnSync('sed', ['-i', 's/"stage": "asked"/"stage": "intended"/', file]);
  expect(edited.status).toBe(0);
  spawnSync('tune2fs', ['-c', '40', '-C', '1', disk.device]);
  expect(document('/').checks.steps).toMatchObject([{ decision: 'ask' }]);
  disk.unmount();
  expect(superblock()).toMatchObject({ maxMountCount: 30, mountCount: 99 });
  bootCheck(disk);
  disk.restore();
  expect(document().checks.asked).toMatchObject([{ stage: 'checked', restored: true }]);
  disk.unmount();
  expect(superblock().maxMountCount).toBe(40);
});

diskTest('I8, I1: a damaged record is set aside, and said', () => {
  const { store, schedule } = rig();
  const file = join(store, 'fsck-scheduled.json');
  schedule('/');
  spawnSync('truncate', ['-s', '30', file]);
  expect(schedule('/').stdout).toMatch(/^what was asked for before cannot be read: /);
  const kept = spawnSync('sh', ['-c', `ls ${store}`], { encoding: 'utf8' }).stdout;
  expect(kept).toMatch(/fsck-scheduled\.json\.damaged-\d+/);
});

diskTest('btrfs is refused with what can be done instead', () => {
  const { schedule } = rig({ type: 'btrfs', size: 256 * 1024 ** 2 });
  const { code, stdout } = schedule('/');
  expect(code).toBe(3);
  expect(stdout).toContain('fsck.btrfs does nothing');
  expect(stdout).toContain('hint: debmend fsck scrub /');
});

diskTest("xfs of another system's root is refused: only its own boot can be told", () => {
  const { schedule } = rig({ type: 'xfs', size: 320 * 1024 ** 2 });
  const { code, stdout } = schedule('/');
  expect(code).toBe(3);
  expect(stdout).toContain('asked for by the boot of its own system');
});
