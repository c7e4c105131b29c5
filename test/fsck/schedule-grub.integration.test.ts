/** GRUB's one word for one boot, by a real grub-mkconfig for a data disk that is XFS. Its boot: scripts/fsck-boot.ts. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { inRoot, installDebmend, mustInRoot } from '../lab/chroot.ts';
import { type Disk, diskTest, throwawayDisk } from '../lab/disk.ts';

const remove: (() => void)[] = [];
afterEach(() => {
  for (const one of remove.splice(0).reverse()) one();
});

const PACKAGES = ['libatomic1', 'libstdc++6', 'grub2-common', 'xfsprogs'];

/** A system with GRUB's configuration, a kernel that nothing starts, and a data disk of XFS at /srv. */
async function bootable(): Promise<{ readonly disk: Disk; readonly data: string }> {
  const disk = throwawayDisk({ type: 'ext4', size: 3 * 1024 ** 3 });
  remove.push(() => disk.remove());
  await disk.fill('trixie', { include: PACKAGES });
  await installDebmend(disk.directory);
  const data = throwawayDisk({ type: 'xfs', size: 320 * 1024 ** 2 });
  remove.push(() => data.remove());
  const at = (path: string) => join(disk.directory, path);
  remove.push(() => must('umount', at('srv')));
  must('mount', '--bind', data.directory, at('srv'));
  mkdirSync(at('boot/grub'), { recursive: true });
  writeFileSync(at('boot/vmlinuz-6.12.1-amd64'), 'no kernel');
  writeFileSync(at('boot/initrd.img-6.12.1-amd64'), 'no initramfs');
  writeFileSync(at('etc/fstab'), '/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1 /srv xfs defaults 0 2\n');
  // The devices as they are called outside: grub-probe asks what the root lies on.
  for (const { device } of [disk, data])
    must('mknod', at(device), 'b', '7', (statSync(device).rdev & 0xff).toString());
  // grub-mkconfig looks for the file behind a loop device, which lies outside: here it is a disk like any other.
  writeFileSync(at('usr/sbin/losetup'), '#!/bin/sh\necho "$1: []: ($1)"\n', { mode: 0o755 });
  writeFileSync(at('etc/default/grub'), 'GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n');
  await mustInRoot(disk.directory, ['grub-mkconfig', '-o', '/boot/grub/grub.cfg']);
  return { disk, data: data.device };
}

function must(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status}\n${stderr}`);
}

diskTest('GRUB tells the next boot alone, and nothing of it is left after that', async () => {
  const { disk, data } = await bootable();
  const read = (path: string) => readFileSync(join(disk.directory, path), 'utf8');
  const boot = randomUUID();
  const debmend = (at: string, ...args: string[]) =>
    inRoot(disk.directory, ['debmend', 'fsck', 'schedule', ...args], { boot: at });
  const pristine = read('boot/grub/grub.cfg');

  const dry = await debmend(boot, '/srv', '--dry-run');
  expect(dry.stdout).toContain('grub-editenv /boot/grub/grubenv set debmend_fsck_once=yes');
  expect(dry.stdout).toContain('fsck.repair=yes, and all are told so');
  expect(read('boot/grub/grub.cfg')).toBe(pristine);

  const asked = await debmend(boot, '/srv');
  expect(asked).toMatchObject({ code: 0, stderr: '' });
  expect(asked.stdout).toContain('will be checked at the next boot; GRUB tells the kernel once');
  const configured = read('boot/grub/grub.cfg');
  // Every entry but the one for recovery, in the submenu too, which sees exported variables only.
  const starts = configured.match(/^\s*linux\s.*$/gm) ?? [];
  expect(starts.filter((line) => !line.includes(' single'))).toHaveLength(2);
  const words = /quiet \$\{debmend_fsck_mode\} \$\{debmend_fsck_repair\}$/;
  for (const line of starts) expect(words.test(line)).toBe(!line.includes(' single'));
  expect(configured).toContain('export debmend_fsck_mode debmend_fsck_repair\n');
  expect(configured).toContain('  save_env debmend_fsck_once\n');
  // The block is loaded before the word is taken out of it, and that before the first entry.
  const order = ['load_env\n', 'set debmend_fsck_once=\n', 'menuentry '].map((text) =>
    configured.indexOf(text),
  );
  expect(order.toSorted((a, b) => a - b)).toEqual(order);
  expect(await mustInRoot(disk.directory, ['grub-editenv', '-', 'list'])).toBe('debmend_fsck_once=yes\n');
  await mustInRoot(disk.directory, ['grub-script-check', '/boot/grub/grub.cfg']);

  expect((await debmend(boot, '/srv')).stdout).toContain('was asked for before, and nothing was changed');

  // The next boot, of which no log tells: the word is gone, and that there was no check is said.
  const missed = await debmend(randomUUID());
  expect(missed.code).toBe(1);
  expect(missed.stdout).toContain('/srv (xfs on loop');
  expect(missed.stdout).toContain('was not checked, though it was asked for');
  expect(read('boot/grub/grub.cfg')).toBe(pristine);
  expect(await mustInRoot(disk.directory, ['grub-editenv', '-', 'list'])).toBe('');
  await mustInRoot(disk.directory, ['sh', '-c', '! ls /etc/grub.d/*debmend* /etc/default/grub.d/*debmend*']);

  // Once more, and this time the initramfs' log tells of a check.
  const second = randomUUID();
  await debmend(second, '/srv');
  mkdirSync(join(disk.directory, 'run/initramfs'), { recursive: true });
  writeFileSync(join(disk.directory, 'run/initramfs/fsck.log'), LOG(data));
  const checked = await debmend(randomUUID(), '--json');
  expect(checked.code).toBe(0);
  expect(JSON.parse(checked.stdout).checks.asked).toMatchObject([
    { method: 'command-line', stage: 'checked', restored: true, result: { outcome: 'clean' } },
  ]);
  expect(read('boot/grub/grub.cfg')).toBe(pristine);

  // Taken back, GRUB is as it was; and one whose configuration cannot be made is left alone.
  const third = randomUUID();
  await debmend(third, '/srv');
  expect((await debmend(third, '--cancel')).stdout).toContain('/srv (xfs): is not asked for any more');
  expect(read('boot/grub/grub.cfg')).toBe(pristine);
  expect(await mustInRoot(disk.directory, ['grub-editenv', '-', 'list'])).toBe('');

  writeFileSync(join(disk.directory, 'etc/grub.d/50_broken'), '#!/bin/sh\necho "menuentry {"\n', {
    mode: 0o755,
  });
  const broken = await debmend(third, '/srv');
  expect(broken.code).toBe(3);
  expect(broken.stderr).toContain('[check-not-asked]');
  expect(read('boot/grub/grub.cfg')).toBe(pristine);
  await mustInRoot(disk.directory, ['sh', '-c', '! ls /etc/grub.d/*debmend* /etc/default/grub.d/*debmend*']);
  expect(await mustInRoot(disk.directory, ['grub-editenv', '-', 'list'])).toBe('');
});

/** As fsck.xfs of Debian 13 prints it, in the log of the initramfs: there is no journal here. */
const LOG = (device: string) => `Log of fsck -C -f -y -T -t xfs ${device}
Thu Nov 26 07:00:00 2026

Phase 1 - find and verify superblock...
Phase 2 - using internal log
        - zero log...
        - scan filesystem freespace and inode maps...
Phase 7 - verify and correct link counts...
done
fsck exited with status code 0

Thu Nov 26 07:00:01 2026
----------------
`;
