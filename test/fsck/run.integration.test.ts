/**
 * Real filesystems, sound and damaged, and the real checkers: the damage is found, and the package whose file was hit is
 * named. The damage is done by debugfs, xfs_db and by writing garbage over blocks.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FsckRun } from '../../src/model/fsck-run.ts';
import { inventorySchema } from '../../src/model/inventory.ts';
import { runFsck } from '../../src/recovery/filesystem.ts';
import { Root } from '../../src/system/root.ts';
import { debmend } from '../cli/debmend.ts';
import { HELLO, tinyRoot } from '../cli/tiny-root.ts';
import { diskTest } from '../lab/disk.ts';
import {
  btrfsExtent,
  btrfsImage,
  btrfsLeaf,
  debugfs,
  ext4Image,
  firstBlock,
  firstCluster,
  garbage,
  type Lab,
  lab,
  mounted,
  must,
  physical,
  setFat,
  stampOf,
  vfatImage,
  write,
  xfsImage,
} from './run-lab.ts';

const open: Lab[] = [];
afterAll(() => {
  for (const one of open.splice(0)) one.remove();
});

function newLab(...args: Parameters<typeof lab>): Lab {
  const made = lab(...args);
  open.push(made);
  return made;
}

const NOTHING = {
  type: undefined,
  root: undefined,
  mountPoint: undefined,
  mount: true,
  scratch: undefined,
  repair: undefined,
  keepIn: null,
} as const;

async function check(path: string, options: Partial<Parameters<typeof runFsck>[0]> = {}): Promise<FsckRun> {
  const before = stampOf(path);
  const run = await runFsck({
    path,
    ...NOTHING,
    ...options,
  });
  expect(stampOf(path), 'a check writes nothing').toBe(before);
  return run;
}

/** `code package path` of what is more than information. */
function lines({ check: { findings } }: FsckRun): string[] {
  return findings
    .filter(({ severity }) => severity !== 'info')
    .map(({ code, package: pkg = '-', path = '-' }) => `${code} ${pkg} ${path}`);
}

/** The damage that has a path; what kept the packages from being named is among it, so that a test shows it. */
const hit = (run: FsckRun) => [
  ...lines(run).filter((line) => /-(?:file|directory)-damaged /.test(line)),
  ...(run.packages.why === undefined ? [] : [run.packages.why]),
];

describe('ext4', () => {
  let one: Lab;
  let sound: string;
  beforeAll(() => {
    if (process.getuid?.() !== 0) return;
    one = newLab();
    sound = ext4Image(one);
  });

  diskTest('sound: nothing is found, and the database on it is seen', async () => {
    const run = await check(sound);
    expect(run.check).toMatchObject({ state: 'sound', code: 0, findings: [] });
    expect(run.target).toMatchObject({ type: 'ext4', superblock: 'primary', kind: 'image' });
    expect(run.packages).toEqual({ source: 'itself', mountPoint: '/' });
  });

  diskTest('a cleared inode is named by the entry that leads to it', async () => {
    const image = one.copy(sound, 'cleared');
    debugfs(image, 'clri /usr/bin/hello');
    const run = await check(image);
    expect(run.check.state).toBe('damaged');
    expect(hit(run)).toEqual(['fsck-file-damaged hello /usr/bin/hello']);
  });

  diskTest('counts that a cut kept from being written are no damage', async () => {
    const image = one.copy(sound, 'counts');
    debugfs(image, 'ssv free_blocks_count 1');
    const run = await check(image);
    expect(run.check.findings.map(({ code, severity }) => [code, severity])).toContainEqual([
      'fsck-structure-stale',
      'info',
    ]);
    expect(lines(run)).toEqual([]);
  });

  diskTest('a corrupt extent header is named by its inode', async () => {
    const image = one.copy(sound, 'extent');
    debugfs(image, 'sif /usr/lib/large/data block[0] 0x1234');
    const run = await check(image);
    expect(run.check.code).toBe(4);
    expect(hit(run)).toEqual(['fsck-file-damaged large /usr/lib/large/data']);
    expect(run.check.findings[0]?.message).toContain('corrupt extent header');
  });

  diskTest('garbage in a directory: what e2fsck -n gives up on is found on a copy', async () => {
    const image = one.copy(sound, 'directory');
    garbage(image, firstBlock(image, '/usr/share/hello') * blockSize(image), blockSize(image));
    const run = await check(image);
    expect(run.check.code).toBe(12);
    expect(hit(run)).toEqual(['fsck-directory-damaged hello /usr/share/hello']);
    expect(run.check.findings.map(({ code }) => code)).toContain('fsck-orphan');
    expect(run.check.notes.join()).toContain('the rest was found by repairing a copy');
  });

  diskTest('a /var of its own holds the database that names its files', async () => {
    const image = ext4Image(one, '/var');
    debugfs(image, 'clri /lib/large/state');
    const run = await check(image);
    expect(run.packages).toEqual({ source: 'itself', mountPoint: '/var' });
    expect(hit(run)).toEqual(['fsck-file-damaged large /var/lib/large/state']);
  });

  diskTest('a lost superblock: the backup tells', async () => {
    const image = one.copy(sound, 'superblock');
    write(image, 1024, Buffer.alloc(1024));
    const run = await check(image);
    expect(run.target).toMatchObject({ type: 'ext4', superblock: 'backup' });
    expect(run.check.state).toBe('damaged');
  });

  diskTest('a journal that was not replayed is no damage, and nobody replays it', async () => {
    const image = one.copy(sound, 'journal');
    await mounted(image, (at) => {
      for (let n = 0; n < 50; n += 1) must('cp', `${at}/usr/bin/hello`, `${at}/usr/bin/copy${n}`);
      must('rm', '-r', `${at}/usr/share/hello`);
      must('xfs_io', '-x', '-c', 'shutdown -f', at);
    });
    const run = await check(image);
    expect(run.check.state).toBe('sound');
    expect(lines(run)).toEqual(['fsck-journal-pending - -']);
  });
});

function blockSize(image: string): number {
  return Number(/^Block size:\s+(\d+)$/m.exec(must('dumpe2fs', '-h', image))?.[1]);
}

describe('xfs', () => {
  let one: Lab;
  let sound: string;
  let inodes: { hello: string; many: string; file: string };
  /** Of its cluster the kernel gives out no inode: this one has none but its own package's around it. */
  let victim: string;
  beforeAll(async () => {
    if (process.getuid?.() !== 0) return;
    one = newLab();
    const made = await xfsImage(one, (at) => {
      const inode = (path: string) => must('stat', '-c', '%i', at + path).trim();
      const files = must('find', `${at}/usr/share/many`, '-type', 'f', '-printf', '%i %P\n')
        .trim()
        .split('\n');
      const [file = '', name = ''] =
        files.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))[150]?.split(' ') ?? [];
      victim = `/usr/share/many/${name}`;
      return { hello: inode('/usr/bin/hello'), many: inode('/usr/share/many'), file };
    });
    sound = made.image;
    inodes = made.seen;
  });

  const setField = (image: string, inode: string, field: string) =>
    must('xfs_db', '-x', '-c', `inode ${inode}`, '-c', `write -d ${field}`, image);

  diskTest('sound: nothing is found', async () => {
    const run = await check(sound);
    expect(run.check).toMatchObject({ state: 'sound', code: 0, findings: [] });
    expect(run.packages.source).toBe('itself');
  });

  diskTest('an inode that is none', async () => {
    const image = one.copy(sound, 'magic');
    setField(image, inodes.file, 'core.magic 0');
    const run = await check(image);
    expect(run.check.state).toBe('damaged');
    expect(hit(run)).toEqual([`fsck-file-damaged many ${victim}`]);
  });

  diskTest('an inode of a form that it cannot have', async () => {
    const image = one.copy(sound, 'format');
    setField(image, inodes.hello, 'core.format 1');
    expect(hit(await check(image))).toContain('fsck-file-damaged hello /usr/bin/hello');
  });

  diskTest('garbage in a directory', async () => {
    const image = one.copy(sound, 'directory');
    const said = must('xfs_db', '-r', '-c', `inode ${inodes.many}`, '-c', 'dblock 0', '-c', 'daddr', image);
    garbage(image, Number(/(\d+)\s*$/.exec(said)?.[1]) * 512, 512);
    const run = await check(image);
    expect(hit(run)).toContain('fsck-directory-damaged many /usr/share/many');
    expect(run.check.findings.map(({ code }) => code)).toContain('fsck-orphan');
  });

  diskTest('a lost superblock: the copy of the second group tells', async () => {
    const image = one.copy(sound, 'superblock');
    write(image, 0, Buffer.alloc(512));
    const run = await check(image);
    expect(run.target).toMatchObject({ type: 'xfs', superblock: 'backup' });
    expect(run.check.state).toBe('damaged');
    expect(run.check.findings.map(({ code }) => code)).toContain('fsck-unfinished');
  });

  diskTest('a log with changes is no damage, and is neither replayed nor thrown away', async () => {
    const image = one.copy(sound, 'log');
    await mounted(image, (at) => {
      for (let n = 0; n < 100; n += 1) must('touch', `${at}/usr/bin/new${n}`);
      must('mv', `${at}/usr/bin/hello`, `${at}/usr/bin/renamed`);
      must('sync', '-f', at);
      must('xfs_io', '-x', '-c', 'shutdown', at);
    });
    const run = await check(image);
    expect(run.check.state).toBe('sound');
    expect(lines(run)).toEqual(['fsck-journal-pending - -']);
    await expect(check(image, { repair: 'all' })).rejects.toMatchObject({ code: 'repair-refused' });
  });
});

describe('btrfs', () => {
  let one: Lab;
  let sound: string;
  beforeAll(async () => {
    if (process.getuid?.() !== 0) return;
    one = newLab();
    sound = await btrfsImage(one);
  });

  diskTest('sound: nothing is found, and the root in its subvolume is seen', async () => {
    const run = await check(sound);
    expect(run.check).toMatchObject({ state: 'sound', code: 0, findings: [] });
    expect(run.packages).toEqual({ source: 'itself', mountPoint: '/' });
  });

  diskTest('damaged content, which only its checksum tells of', async () => {
    const image = one.copy(sound, 'data');
    const [at = 0] = physical(image, btrfsExtent(image, 200_704));
    garbage(image, at + 8192, 4096);
    const run = await check(image);
    expect(lines(run)).toEqual(['fsck-file-damaged large /usr/lib/large/data']);
    expect(run.check.findings[0]?.message).toContain('it cannot be read (EIO)');
  });

  diskTest(
    'one of two copies of a tree block: the exit code is 0, and it is damage all the same',
    async () => {
      const image = one.copy(sound, 'copy');
      const [at = 0] = physical(image, btrfsLeaf(image, '256'));
      garbage(image, at + 4096, 4096);
      const run = await check(image);
      expect(run.check).toMatchObject({ state: 'damaged', code: 0 });
      expect(lines(run)).toEqual(['fsck-structure-damaged - -']);
      expect(run.check.findings[0]?.message).toContain('a scrub mends it');
    },
  );

  diskTest('both copies: the files that it described are named', async () => {
    const image = one.copy(sound, 'copies');
    for (const at of physical(image, btrfsLeaf(image, '256'))) garbage(image, at + 4096, 4096);
    const run = await check(image);
    expect(run.check.state).toBe('damaged');
    expect(hit(run).length).toBeGreaterThan(5);
    expect(hit(run).join('\n')).toContain('fsck-file-damaged many /usr/share/many/a-file-with-a-long-name-');
    await expect(check(image, { repair: 'all' })).rejects.toMatchObject({
      code: 'repair-refused',
      hint: expect.stringContaining('scrub') as string,
    });
  });

  diskTest('a lost superblock: its mirror tells', async () => {
    const image = one.copy(sound, 'superblock');
    write(image, 65_536, Buffer.alloc(4096));
    const run = await check(image);
    expect(run.target).toMatchObject({ type: 'btrfs', superblock: 'backup' });
    expect(run.check.notes.join()).toContain('super-recover');
  });
});

describe('vfat', () => {
  const loader = Buffer.alloc(100_000, 'a boot loader');
  const [shim, grub] = ['/EFI/debian/shimx64.efi', '/EFI/debian/grubx64.efi'];
  const long = '/EFI/debian/a name that is long.efi';
  let one: Lab;
  let sound: string;
  let system: Root;
  beforeAll(() => {
    if (process.getuid?.() !== 0) return;
    one = newLab([
      HELLO,
      { name: 'shim-signed', files: { '/usr/lib/shim/shimx64.efi.signed': loader } },
      { name: 'grub-signed', files: { '/usr/lib/grub/grubx64.efi.signed': loader } },
    ]);
    sound = vfatImage(one, { [shim]: loader, [grub]: loader, [long]: loader });
    system = new Root(one.root.directory);
    const uuid = must('dosfslabel', '-i', sound).trim();
    one.root.write(
      '/etc/fstab',
      `UUID=${uuid.replace(/^(....)-?(....)$/, '$1-$2')} /boot/efi vfat umask=0077 0 1\n`,
    );
  });

  diskTest('sound: nothing is found, and fstab tells where it belongs', async () => {
    const run = await check(sound, { root: system });
    expect(run.check).toMatchObject({ state: 'sound', code: 0, findings: [] });
    expect(run.packages).toMatchObject({ source: 'root', mountPoint: '/boot/efi' });
  });

  diskTest('a chain of clusters that ends too early', async () => {
    const image = one.copy(sound, 'short');
    setFat(image, { [firstCluster(image, shim) + 4]: 0x0fffffff });
    const run = await check(image, { root: system });
    expect(run.check.state).toBe('damaged');
    expect(hit(run)).toEqual(['fsck-file-damaged shim-signed /boot/efi/EFI/DEBIAN/SHIMX64.EFI']);
  });

  diskTest('two files that share clusters', async () => {
    const image = one.copy(sound, 'shared');
    setFat(image, { [firstCluster(image, shim) + 4]: firstCluster(image, grub) + 3 });
    expect(hit(await check(image, { root: system }))).toEqual([
      'fsck-file-damaged grub-signed /boot/efi/EFI/DEBIAN/GRUBX64.EFI',
      'fsck-file-damaged shim-signed /boot/efi/EFI/DEBIAN/SHIMX64.EFI',
    ]);
  });

  diskTest('a chain that leads to a free cluster, of a file that nobody knows', async () => {
    const image = one.copy(sound, 'free');
    setFat(image, { [firstCluster(image, long) + 4]: 0 });
    expect(hit(await check(image, { root: system }))).toEqual([
      `fsck-file-damaged - /boot/efi${long.replace('debian', 'DEBIAN')}`,
    ]);
  });

  diskTest('a mark that says it was not unmounted', async () => {
    const image = one.copy(sound, 'dirty');
    write(image, 0x41, Buffer.of(1));
    const run = await check(image, { root: system });
    expect(lines(run)).toContain('fsck-unclean - -');
    expect(hit(run)).toEqual([]);
  });

  diskTest('a boot sector that is gone', async () => {
    const image = one.copy(sound, 'sector');
    write(image, 0, Buffer.alloc(512));
    const run = await check(image, { root: system });
    expect(run.target.superblock).toBe('backup');
    expect(run.check.findings.map(({ code }) => code)).toContain('fsck-unfinished');
  });
});

describe('what is used by others', () => {
  let one: Lab;
  let image: string;
  beforeAll(() => {
    if (process.getuid?.() !== 0) return;
    one = newLab([HELLO]);
    image = ext4Image(one);
  });
  const refused = (how: string) => ({
    code: 'filesystem-in-use',
    message: expect.stringContaining(how) as string,
  });
  const attempt = (path: string) => check(path, { mount: false });

  diskTest(
    'is refused while it is mounted, as an image and as a device, though only others see it',
    async () => {
      await mounted(image, async () => {
        const device = must('losetup', '--noheadings', '--output', 'NAME', '--associated', image).trim();
        await expect(attempt(image)).rejects.toMatchObject(refused('in a mount namespace of its own'));
        await expect(runFsck({ ...NOTHING, path: device, mount: false })).rejects.toMatchObject(
          refused('in a mount namespace of its own'),
        );
      });
      expect((await attempt(image)).check.state).toBe('sound');
    },
  );

  diskTest('is refused while a loop device has it, and while someone may write to it', async () => {
    const device = must('losetup', '--find', '--show', image).trim();
    try {
      await expect(attempt(image)).rejects.toMatchObject(refused('has it behind itself'));
      const run = await runFsck({ ...NOTHING, path: device });
      expect(run).toMatchObject({ target: { kind: 'device' }, check: { state: 'sound' } });
    } finally {
      must('losetup', '--detach', device);
    }
    const child = spawn('sh', ['-c', 'exec 9<>"$1"; echo open; exec cat', 'sh', image], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      await expect(attempt(image)).rejects.toMatchObject(refused('has it open for writing'));
    } finally {
      child.stdin.end();
      await once(child, 'exit');
    }
  });

  it('what is no filesystem is said to be none', async () => {
    const root = tinyRoot();
    try {
      root.write('/image', Buffer.alloc(1024 * 1024));
      const path = root.at('/image');
      await expect(runFsck({ ...NOTHING, path })).rejects.toMatchObject({ code: 'filesystem-unknown' });
      await expect(runFsck({ ...NOTHING, path: root.directory })).rejects.toMatchObject({
        code: 'filesystem-unreadable',
      });
    } finally {
      root.remove();
    }
  });
});

describe('debmend fsck run', () => {
  diskTest('prints a page or a document, and exits by what it found', () => {
    const one = newLab([HELLO]);
    const image = ext4Image(one);
    expect(debmend(['fsck', 'run', image])).toMatchObject({ code: 0, stderr: '' });
    debugfs(image, 'clri /usr/bin/hello');
    const page = debmend(['fsck', 'run', image]);
    expect(page.code).toBe(1);
    expect(page.stdout).toContain('/usr/bin/hello (hello)');
    expect(page.stdout).toContain(`debmend fsck run --repair=all ${image}`);
    const json = debmend([
      'fsck',
      'run',
      '--json',
      '--no-mount',
      '--root',
      one.root.directory,
      '--mount-point',
      '/',
      image,
    ]);
    expect(json.code).toBe(1);
    expect(inventorySchema.parse(JSON.parse(json.stdout))).toMatchObject({
      fsck: {
        packages: { source: 'root' },
        check: {
          findings: expect.arrayContaining([expect.objectContaining({ package: 'hello' })]) as unknown,
        },
      },
    });
    const other = debmend(['fsck', 'run', '--repair', '--type', 'vfat', image]);
    expect(other).toMatchObject({ code: 2, stdout: '' });
    expect(other.stderr).toContain('by its superblock it is ext4');
    expect(debmend(['fsck', 'run', '/nonexistent'])).toMatchObject({ code: 3, stdout: '' });
    expect(readFileSync('/proc/mounts', 'latin1')).not.toContain('debmend-mount-');
  });
});
