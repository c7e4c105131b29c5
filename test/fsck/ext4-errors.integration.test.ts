import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { type Ext4Counters, readExt4Counters } from '../../src/fsck/ext4-errors.ts';
import { bytesFromText } from '../../src/system/bytes.ts';
import { type Mount, readMounts } from '../../src/system/mounts.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';

const remove: (() => void)[] = [];
afterEach(() => {
  for (const one of remove.splice(0)) one();
});

/** The kernel writes its counters a moment later, and from another thread. */
async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 50) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

diskTest("a real filesystem's errors are counted, described, and wiped by fsck", async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2 });
  remove.push(() => disk.remove());
  const ours = (): Ext4Counters => {
    const name = basename(disk.device);
    const found = readExt4Counters(readMounts()).find(({ device }) => device === name);
    if (found === undefined) throw new Error(`nothing is known of ${name}`);
    return found;
  };
  const fresh = ours();
  expect(fresh).toMatchObject({
    mountPoints: [bytesFromText(disk.directory)],
    errors: 0,
    warnings: 0,
    first: undefined,
    last: undefined,
  });
  const uuid = spawnSync('dumpe2fs', ['-h', disk.image], { encoding: 'utf8' }).stdout;
  expect(uuid).toContain(`Filesystem UUID:          ${fresh.uuid}\n`);

  const before = Date.now();
  writeFileSync(`/sys/fs/ext4/${fresh.device}/trigger_fs_error`, 'for a test');
  await until(() => ours().errors === 1);
  const { first, last } = ours();
  expect(first?.func).toBe('trigger_test_error');
  expect(first?.line).toBeGreaterThan(0);
  expect(Math.abs((first?.at?.getTime() ?? 0) - before)).toBeLessThan(5000);
  expect(last).toEqual(first);

  writeFileSync(`/sys/fs/ext4/${fresh.device}/trigger_fs_error`, 'and another');
  await until(() => ours().errors === 2);
  expect(ours().uuid).toBe(fresh.uuid);
  // They outlast the mount, but no check.
  disk.sync();
  disk.cut();
  disk.restore();
  expect(ours()).toMatchObject({ uuid: fresh.uuid, errors: 2 });
  disk.cut();
  expect(spawnSync('e2fsck', ['-fy', disk.image]).status).toBeLessThan(2);
  disk.restore();
  expect(ours()).toMatchObject({ uuid: fresh.uuid, errors: 0, last: undefined });
});

it('reads what a kernel says of an inode and a block, and tolerates one that says less', () => {
  const sysfs = mkdtempSync(join(tmpdir(), 'debmend-sysfs-'));
  remove.push(() => rmSync(sysfs, { recursive: true }));
  const write = (device: string, files: Record<string, string>) => {
    mkdirSync(join(sysfs, device));
    for (const [name, value] of Object.entries(files)) writeFileSync(join(sysfs, device, name), value);
  };
  write('features', {});
  write('debmend0', {
    errors_count: '3\n',
    warning_count: '1\n',
    last_error_time: '1767323045\n',
    last_error_func: 'ext4_lookup\n',
    last_error_line: '1787\n',
    last_error_ino: '27\n',
    last_error_block: '143365\n',
    last_error_errcode: '5\n',
  });
  write('debmend1', { errors_count: '0\n' });
  write('debmend2', { errors_count: 'nonsense\n' });
  write('debmend3', { errors_count: '9\n' }); // mounted where we do not see it
  const mount = (device: string, mountPoint: string): Mount => {
    writeFileSync(join(sysfs, `dev-${device}`), '');
    return { mountPoint, type: 'ext4', source: join(sysfs, device), options: [] };
  };
  const mounts = [
    mount('debmend0', '/'),
    mount('debmend0', '/mnt'),
    mount('debmend1', '/srv'),
    mount('debmend2', '/opt'),
    { mountPoint: '/proc', type: 'proc', source: 'proc', options: [] },
  ];
  const nothing = { uuid: undefined, first: undefined };
  expect(readExt4Counters(mounts, sysfs)).toEqual([
    {
      ...nothing,
      device: 'debmend0',
      mountPoints: ['/', '/mnt'],
      errors: 3,
      warnings: 1,
      last: {
        at: new Date(1767323045_000),
        func: 'ext4_lookup',
        line: 1787,
        inode: 27,
        block: 143365,
        errcode: 'EFSCORRUPTED',
      },
    },
    { ...nothing, device: 'debmend1', mountPoints: ['/srv'], errors: 0, warnings: 0, last: undefined },
  ]);
  expect(readExt4Counters(mounts, join(sysfs, 'nowhere'))).toEqual([]);
});

it("finds this machine's own filesystems by the names that the kernel has for them", () => {
  const root = readMounts().find(({ mountPoint, type }) => mountPoint === '/' && type === 'ext4');
  if (root === undefined) return; // another filesystem, or a container's overlay
  const found = readExt4Counters(readMounts()).find(({ mountPoints }) => mountPoints.includes('/'));
  expect(readlinkSync(`/sys/class/block/${found?.device}`)).toContain(found?.device);
});
