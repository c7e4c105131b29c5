/** The last step of a recovery, in a real root on a disk of its own whose superblock counts errors. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { readExt4Superblock } from '../../src/fsck/ext4-superblock.ts';
import type { Report } from '../../src/model/report.ts';
import { inRoot, installDebmend } from '../lab/chroot.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';

const remove: (() => void)[] = [];
afterEach(() => {
  for (const one of remove.splice(0).reverse()) one();
});

diskTest(
  'a recovery asks for a check of what recorded errors, where the policy lets it, and tells what came of it',
  async () => {
    const disk = throwawayDisk({ type: 'ext4', size: 2 * 1024 ** 3 });
    remove.push(() => disk.remove());
    await disk.fill('bookworm', { include: ['libatomic1', 'libstdc++6'] });
    await installDebmend(disk.directory);
    disk.unmount();
    for (const [program, ...args] of [
      ['debugfs', '-w', '-R', 'ssv error_count 2', disk.image],
      ['tune2fs', '-T', '20250101', disk.image],
    ] as const)
      expect(spawnSync(program, args).status).toBe(0);
    disk.restore();
    const at = (path: string) => join(disk.directory, path);
    // The device as it is called outside; after each mount it may be another one.
    const makeNode = () => {
      const number = (statSync(disk.device).rdev & 0xff).toString();
      rmSync(at(disk.device), { force: true });
      expect(spawnSync('mknod', [at(disk.device), 'b', '7', number]).status).toBe(0);
    };
    makeNode();
    // As the initramfs leaves it that has checked the root.
    mkdirSync(at('run/initramfs'), { recursive: true });
    writeFileSync(at('run/initramfs/fsck-root'), '');
    mkdirSync(at('etc/debmend'));
    const policy = (schedule: string) =>
      writeFileSync(at('etc/debmend/config.yaml'), `fsck: { schedule: ${schedule} }\n`);
    const recover = async (boot: string, ...args: string[]) => {
      const { stdout, stderr } = await inRoot(disk.directory, ['debmend', 'recover', '--json', ...args], {
        boot,
      });
      expect(stderr).toBe('');
      return JSON.parse(stdout) as Report;
    };
    const boot = randomUUID();

    policy('never');
    expect((await recover(boot, '--apply')).checks).toBeUndefined();
    policy('auto');

    const { checks } = await recover(boot, '--apply');
    expect(checks?.steps).toMatchObject([
      {
        mountPoint: '/',
        decision: 'ask',
        method: 'error-flag',
        reasons: ['the kernel recorded 2 errors in it'],
      },
    ]);
    expect(checks?.asked).toMatchObject([{ mountPoint: '/', stage: 'asked' }]);
    expect(readExt4Superblock(disk.device)?.hasErrors).toBe(true);

    // The next boot, without a check.
    const missed = await recover(randomUUID(), '--apply');
    expect(missed.findings).toContainEqual(expect.objectContaining({ code: 'fsck-check-missed', path: '/' }));

    disk.unmount();
    expect(spawnSync('e2fsck', ['-fp', disk.image]).status).toBeLessThan(2);
    disk.restore();
    makeNode();
    const checked = await recover(randomUUID(), '--apply');
    expect(checked.findings.map(({ code }) => code)).not.toContain('fsck-check-missed');
    expect(checked.checks).toMatchObject({ steps: [], asked: [{ stage: 'checked', restored: true }] });

    // The mark that asks is debmend's own, and no error that the filesystem recorded.
    await inRoot(disk.directory, ['debmend', 'fsck', 'schedule', '/'], { boot });
    expect(readExt4Superblock(disk.device)?.hasErrors).toBe(true);
    const status = await inRoot(disk.directory, ['debmend', 'fsck', 'status', '--json'], { boot });
    const { filesystems, findings } = JSON.parse(status.stdout) as Report;
    expect(filesystems).toMatchObject([{ mountPoint: '/', state: 'sound' }]);
    expect(findings.map(({ code }) => code)).not.toContain('filesystem-errors');
  },
  240_000,
);
