/**
 * `debmend fsck status` on real filesystems: sound, damaged under the kernel's eyes in three ways each, mounted weakly,
 * full, read-only, shut down, and on a device that hangs.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { pathsOfInodes } from '../../src/fsck/status/debugfs.ts';
import { type FilesystemHealth, filesystemHealth } from '../../src/fsck/status.ts';
import type { Filesystem } from '../../src/model/filesystem.ts';
import type { Finding } from '../../src/model/finding.ts';
import { reportSchema } from '../../src/model/report.ts';
import { filesystemsReport } from '../../src/report/filesystems.ts';
import { bytesFromText } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';
import { debmend, LAUNCHER } from '../cli/debmend.ts';
import { tinyRoot } from '../cli/tiny-root.ts';
import { type Disk, type DiskOptions, diskTest, throwawayDisk, whyNoDisks } from '../lab/disk.ts';
import { rootTest, testUnless } from '../lab/roots.ts';

const MEBIBYTE = 1024 ** 2;
/** mkfs.xfs wants 300 MB at least. */
const SIZE = { ext4: 64 * MEBIBYTE, xfs: 320 * MEBIBYTE, btrfs: 256 * MEBIBYTE } as const;
/** One copy of everything, so that btrfs cannot mend what a test breaks. */
const SINGLE = ['-m', 'single', '-d', 'single'];
/** Not to be found anywhere else on a disk. */
const DATA = 'what a test wrote into a file of the package hello\n'.repeat(2000);

const cleanups: (() => void)[] = [];
afterEach(async () => {
  for (const one of cleanups.splice(0).reverse()) one();
  // The next filesystem on this loop device is told from the last one by the second that it was mounted in.
  await new Promise((resolve) => setTimeout(resolve, 1000 - (Date.now() % 1000)));
});

/** A disk that holds a root with the packages dpkg and hello. */
function system(options: DiskOptions): Disk {
  const tiny = tinyRoot();
  cleanups.push(() => tiny.remove());
  tiny.write('/usr/share/hello/data', DATA);
  const mkfsOptions = options.mkfsOptions ?? (options.type === 'btrfs' ? SINGLE : []);
  const disk = throwawayDisk({ size: SIZE[options.type], ...options, mkfsOptions });
  cleanups.push(() => disk.remove());
  must('cp', '-a', `${tiny.directory}/.`, disk.directory);
  disk.sync();
  return disk;
}

function must(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  if (result.status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${result.status}\n${result.stderr}`);
  return result.stdout;
}

const inodeOf = (disk: Disk, path: string): number => lstatSync(join(disk.directory, path)).ino;

/** Changes the image while it is not mounted. */
function offline(disk: Disk, change: () => void): void {
  disk.unmount();
  change();
  disk.restore();
}

function overwrite(file: string, at: number, bytes: Buffer): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

/** Has the kernel meet the damage: it records only what it met. The program may fail, and mostly does. */
const touch = (disk: Disk, program: string, path: string): void =>
  void spawnSync(program, [join(disk.directory, path)]);

async function health(disk: Disk): Promise<FilesystemHealth & { readonly root: Filesystem }> {
  const root = new Root(disk.directory);
  const found = await filesystemHealth(root);
  // Whatever was found, it has to be a report.
  reportSchema.parse(filesystemsReport(root, found, new Date(), 0.1));
  const [first] = found.filesystems;
  if (first === undefined) throw new Error('there is always one for the root');
  return { ...found, root: first };
}

const summary = ({ code, path, package: name }: Finding): string =>
  [code, path, ...(name === undefined ? [] : [name])].join(' ');
/** What needs a hand: a fresh ext4 goes on after errors, which is told and is no fault. */
const wrong = ({ findings }: FilesystemHealth): string[] =>
  findings.filter(({ severity }) => severity !== 'info').map(summary);

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries += 1) {
    if (tries > 50) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

for (const type of ['ext4', 'xfs', 'btrfs'] as const) {
  diskTest(`${type}: a sound filesystem has no finding, and is described`, async () => {
    const disk = system({ type });
    const found = await health(disk);
    expect(wrong(found)).toEqual([]);
    expect(found.filesystems).toHaveLength(1);
    expect(found.root).toMatchObject({
      mountPoint: '/',
      role: 'root',
      holds: ['packages', 'database', 'store'],
      type,
      device: basename(disk.device),
      layers: [{ device: basename(disk.device), kind: 'loop', name: disk.image }],
      readOnly: false,
      state: 'sound',
      errors: [],
      unread: [],
    });
    expect(found.root.uuid).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(found.root.space?.size).toBeGreaterThan(SIZE[type] / 2);
  });
}

// ext4: three kinds of damage.

diskTest('ext4: an inode that was cleared is found by the name that still leads to it', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/bin/hello');
  offline(disk, () => must('debugfs', '-w', '-R', `clri <${inode}>`, disk.image));
  touch(disk, 'cat', '/usr/bin/hello');
  const found = await health(disk);
  expect(wrong(found)).toContain('filesystem-errors /');
  expect(wrong(found)).toContain('filesystem-file-damaged /usr/bin/hello hello');
  expect(found.root).toMatchObject({ state: 'errors', ext4: { errors: 1, state: ['clean', 'errors'] } });
  expect(found.findings.find(({ path }) => path === '/usr/bin/hello')?.version).toBe('2.10-3');
});

diskTest('ext4: many cleared inodes, in directories before and behind theirs, are all found', async () => {
  const disk = system({ type: 'ext4' });
  const names = Array.from({ length: 12 }, (_, n) => `/srv-${n}/file`);
  for (const name of names) {
    mkdirSync(join(disk.directory, name, '..'));
    writeFileSync(join(disk.directory, name), name);
  }
  disk.sync();
  const inodes = names.map((name) => inodeOf(disk, name));
  offline(disk, () => {
    for (const inode of inodes) must('debugfs', '-w', '-R', `clri <${inode}>`, disk.image);
  });
  const { found } = await pathsOfInodes(bytesFromText(disk.device), inodes);
  expect([...found].toSorted(([a], [b]) => a - b)).toEqual(
    inodes.map((inode, at) => [inode, names[at]] as const).toSorted(([a], [b]) => a - b),
  );
  const [alone] = inodes;
  expect((await pathsOfInodes(bytesFromText(disk.device), [alone ?? 0])).found.get(alone ?? 0)).toBe(
    names[0],
  );
});

diskTest('ext4: a file whose map of blocks is damaged', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/share/hello/data');
  offline(disk, () => must('debugfs', '-w', '-R', `sif <${inode}> block[0] 0x1234`, disk.image));
  touch(disk, 'cat', '/usr/share/hello/data');
  const found = await health(disk);
  expect(wrong(found)).toEqual([
    'filesystem-errors /',
    'filesystem-file-damaged /usr/share/hello/data hello',
  ]);
  expect(found.root.errors).toContainEqual(
    expect.objectContaining({
      source: 'superblock',
      inode,
      path: '/usr/share/hello/data',
      packages: ['hello'],
    }),
  );
});

diskTest('ext4: a directory whose block was overwritten', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/share/hello');
  offline(disk, () => {
    const [block] = must('debugfs', '-R', `blocks <${inode}>`, disk.image).trim().split(' ');
    overwrite(disk.image, Number(block) * 1024, Buffer.alloc(1024, 0xff));
  });
  touch(disk, 'ls', '/usr/share/hello');
  expect(wrong(await health(disk))).toEqual([
    'filesystem-errors /',
    'filesystem-file-damaged /usr/share/hello hello',
  ]);
});

diskTest(
  'ext4: a filesystem that turned itself read-only is critical, and is not asked to meet more',
  async () => {
    const disk = system({ type: 'ext4', mountOptions: ['errors=remount-ro'] });
    writeFileSync(`/sys/fs/ext4/${basename(disk.device)}/trigger_fs_error`, 'for a test');
    await until(async () => (await health(disk)).root.ext4?.errors === 1);
    const found = await health(disk);
    expect(wrong(found)).toEqual(['filesystem-read-only /', 'filesystem-errors /']);
    expect(found.findings[0]).toMatchObject({ severity: 'critical', device: basename(disk.device) });
    expect(found.root.state).toBe('read-only');
  },
);

diskTest('ext4: looking does not count: errors are as many after ten looks as before', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/bin/hello');
  offline(disk, () => must('debugfs', '-w', '-R', `clri <${inode}>`, disk.image));
  touch(disk, 'cat', '/usr/bin/hello');
  for (let look = 0; look < 10; look += 1) expect((await health(disk)).root.ext4?.errors).toBe(1);
});

diskTest('a real Debian: /bin/bash is found by its place, and its package named', async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 1024 * MEBIBYTE });
  cleanups.push(() => disk.remove());
  await disk.fill('bookworm');
  expect(wrong(await health(disk))).toEqual([]);
  const inode = inodeOf(disk, '/usr/bin/bash');
  const [block] = must('debugfs', '-R', `blocks <${inodeOf(disk, '/usr/share/doc/dpkg')}>`, disk.device)
    .trim()
    .split(' ');
  offline(disk, () => {
    must('debugfs', '-w', '-R', `sif <${inode}> block[0] 0x1234`, disk.image);
    overwrite(disk.image, Number(block) * 4096, Buffer.alloc(4096, 0xff));
  });
  touch(disk, 'cat', '/usr/bin/bash');
  touch(disk, 'ls', '/usr/share/doc/dpkg');
  const found = await health(disk);
  // The list of bash says /bin/bash: /bin is a link.
  expect(wrong(found)).toEqual([
    'filesystem-errors /',
    'filesystem-file-damaged /usr/bin/bash bash',
    'filesystem-file-damaged /usr/share/doc/dpkg dpkg',
  ]);
  expect(found.findings.find(({ package: name }) => name === 'bash')?.version).toMatch(/^5\.2/);
});

// XFS: three kinds of damage. It keeps no account of its own: what the kernel said of it is known.

/**
 * Files beside the one that is going to be damaged: XFS puts an inode near its directory's, damage to one is damage to its
 * whole chunk of 64, and where dpkg's own directories are in that, nobody's packages can be named.
 */
function withNeighbours(disk: Disk): void {
  for (let n = 0; n < 200; n += 1)
    writeFileSync(join(disk.directory, `usr/share/hello/neighbour-${n}`), `${n}\n`);
}

for (const [how, field] of [
  ['has no magic number', 'core.magic 0'],
  ['has an impossible mode', 'core.mode 0177777'],
] as const) {
  diskTest(`xfs: an inode that ${how}`, async () => {
    const disk = system({ type: 'xfs' });
    withNeighbours(disk);
    must(
      'cp',
      '-a',
      join(disk.directory, 'usr/share/hello/data'),
      join(disk.directory, 'usr/share/hello/new'),
    );
    must('mv', join(disk.directory, 'usr/share/hello/new'), join(disk.directory, 'usr/share/hello/data'));
    disk.sync();
    const inode = inodeOf(disk, '/usr/share/hello/data');
    offline(disk, () => must('xfs_db', '-x', '-c', `inode ${inode}`, '-c', `write -c ${field}`, disk.image));
    touch(disk, 'cat', '/usr/share/hello/data');
    const found = await health(disk);
    expect(wrong(found)).toEqual([
      'filesystem-errors /',
      'filesystem-file-damaged /usr/share/hello/data hello',
    ]);
    expect(found.root.state).toBe('errors');
  });
}

diskTest('xfs: a directory whose block was overwritten', async () => {
  const disk = system({ type: 'xfs' });
  // Too many names for the inode itself.
  for (let n = 0; n < 100; n += 1) writeFileSync(join(disk.directory, `usr/share/hello/more-${n}`), '');
  disk.sync();
  const inode = inodeOf(disk, '/usr/share/hello');
  offline(disk, () => {
    const commands = [`inode ${inode}`, 'dblock 0', 'fsblock', 'daddr'].flatMap((one) => ['-c', one]);
    const said = must('xfs_db', '-r', ...commands, disk.image);
    const daddr = Number(/current daddr is (\d+)/.exec(said)?.[1]);
    overwrite(disk.image, daddr * 512, Buffer.alloc(512, 0xff));
  });
  touch(disk, 'ls', '/usr/share/hello');
  const found = await health(disk);
  expect(wrong(found)).toContain('filesystem-errors /');
  expect(
    found.findings.find(({ code, package: name }) => code === 'filesystem-file-damaged' && name === 'hello'),
  ).toBeDefined();
});

diskTest('xfs: one that was shut down', async () => {
  const disk = system({ type: 'xfs' });
  must('xfs_io', '-x', '-c', 'shutdown', disk.directory);
  const found = await health(disk);
  expect(found.root.state).toBe('shut-down');
  expect(wrong(found)).toContain('filesystem-read-only /');
});

// btrfs: three kinds of damage.

diskTest('btrfs: data that was overwritten is counted, and the file is named', async () => {
  const disk = system({ type: 'btrfs' });
  offline(disk, () => {
    const at = readFileSync(disk.image).indexOf(DATA.slice(0, 200));
    overwrite(disk.image, at, Buffer.alloc(4096, 0x41));
  });
  touch(disk, 'cat', '/usr/share/hello/data');
  const found = await health(disk);
  expect(wrong(found)).toEqual([
    'filesystem-errors /',
    'filesystem-file-damaged /usr/share/hello/data hello',
  ]);
  expect(found.root.deviceStats?.[0]?.corruption).toBeGreaterThan(0);
});

diskTest('btrfs: data in a subvolume of its own, mounted at its place', async () => {
  const disk = system({ type: 'btrfs' });
  const share = join(disk.directory, 'usr/share/hello');
  must('btrfs', 'subvolume', 'create', join(disk.directory, '@hello'));
  writeFileSync(join(disk.directory, '@hello/data'), DATA.replaceAll('hello', 'subvolume'));
  disk.sync();
  offline(disk, () => {
    const at = readFileSync(disk.image).indexOf(DATA.replaceAll('hello', 'subvolume').slice(0, 200));
    overwrite(disk.image, at, Buffer.alloc(4096, 0x41));
  });
  must('mount', '-t', 'btrfs', '-o', 'subvol=@hello', disk.device, share);
  touch(disk, 'cat', '/usr/share/hello/data');
  const found = await health(disk);
  expect(found.filesystems).toHaveLength(1);
  expect(found.root.mountPoints).toEqual(['/', '/usr/share/hello']);
  expect(wrong(found)).toContain('filesystem-file-damaged /usr/share/hello/data hello');
});

diskTest('btrfs: a block of metadata that was overwritten takes its files with it', async () => {
  const disk = system({ type: 'btrfs' });
  // The file's inode is to lie neither in the first leaf, with the root's, nor in the last one: mounting reads both.
  const fill = (name: string) => {
    for (let n = 0; n < 500; n += 1) writeFileSync(join(disk.directory, `var/${name}-${n}`), `${n}\n`);
  };
  const data = join(disk.directory, 'usr/share/hello/data');
  fill('before');
  must('cp', data, `${data}.new`);
  must('mv', `${data}.new`, data);
  fill('after');
  disk.sync();
  const inode = inodeOf(disk, '/usr/share/hello/data');
  offline(disk, () => {
    const tree = must('btrfs', 'inspect-internal', 'dump-tree', '-t', '5', disk.image);
    const own = new RegExp(`^\\titem \\d+ key \\(${inode} INODE_ITEM 0\\)`, 'm');
    const leaves = tree.split(/^(?=leaf \d+ items)/m).filter((leaf) => own.test(leaf));
    expect(leaves).toHaveLength(1);
    const at = Number(/^leaf (\d+)/.exec(leaves[0] ?? '')?.[1]);
    // On one small disk logical addresses are those of the disk; the block says at 48 where it belongs.
    expect(readFileSync(disk.image).readBigUInt64LE(at + 48)).toBe(BigInt(at));
    overwrite(disk.image, at + 200, Buffer.alloc(64, 0xff));
  });
  touch(disk, 'cat', '/usr/share/hello/data');
  const found = await health(disk);
  expect(found.root.state).toBe('errors');
  expect(wrong(found)).toContain('filesystem-errors /');
  expect(wrong(found)).toContain('filesystem-file-damaged /usr/share/hello/data hello');
});

// How it is mounted, and what is left of it.

diskTest('weak options are named, by what they cost', async () => {
  const disk = system({
    type: 'ext4',
    mountOptions: ['nobarrier', 'data=writeback', 'noauto_da_alloc', 'errors=continue'],
  });
  const found = await health(disk);
  expect(found.root.weak.map(({ option }) => option)).toEqual([
    'nobarrier',
    'data=writeback',
    'noauto_da_alloc',
    'errors=continue',
  ]);
  expect(found.findings.map(({ code, severity, found: options }) => [code, severity, options])).toEqual([
    ['filesystem-weak-options', 'warning', 'nobarrier,data=writeback,noauto_da_alloc'],
    ['filesystem-weak-options', 'info', 'errors=continue'],
  ]);
});

diskTest('weak options in the superblock, and a filesystem without a journal', async () => {
  const disk = system({ type: 'ext4' });
  offline(disk, () =>
    must('tune2fs', '-o', 'journal_data_writeback,nobarrier', '-e', 'remount-ro', disk.image),
  );
  expect((await health(disk)).root.weak.map(({ option }) => option)).toEqual(['nobarrier', 'data=writeback']);
  offline(disk, () =>
    must('tune2fs', '-O', '^has_journal', '-o', '^nobarrier,^journal_data_writeback', disk.image),
  );
  expect((await health(disk)).root.weak.map(({ option }) => option)).toEqual(['no journal']);
});

diskTest('a full filesystem, and one without inodes', async () => {
  const disk = system({ type: 'ext4', mkfsOptions: ['-m', '0', '-N', '128'] });
  for (let n = 0; ; n += 1) {
    try {
      writeFileSync(join(disk.directory, `many-${n}`), '');
    } catch {
      break;
    }
  }
  expect((await health(disk)).findings).toContainEqual(
    expect.objectContaining({ code: 'filesystem-space', severity: 'error', found: '0' }),
  );
  must('rm', join(disk.directory, 'many-0'), join(disk.directory, 'many-1'));
  spawnSync('dd', ['if=/dev/zero', `of=${join(disk.directory, 'large')}`, 'bs=64k', 'status=none']);
  const space = (await health(disk)).findings.filter(({ code }) => code === 'filesystem-space');
  expect(space.map(({ severity, message }) => [severity, /(inodes|MB)/.exec(message)?.[1]])).toEqual(
    expect.arrayContaining([
      ['error', 'MB'],
      ['warning', 'inodes'],
    ]),
  );
});

diskTest('package files on a disk of their own are the system’s, other disks are not', async () => {
  const disk = system({ type: 'ext4' });
  const [share, srv] = [join(disk.directory, 'usr/share/hello'), join(disk.directory, 'srv')];
  mkdirSync(srv);
  const own = throwawayDisk({ type: 'ext4', size: SIZE.ext4 });
  cleanups.push(() => own.remove());
  must('cp', '-a', `${share}/.`, own.directory);
  must('mount', '--bind', own.directory, share);
  const other = throwawayDisk({ type: 'ext4', size: SIZE.ext4 });
  cleanups.push(() => other.remove());
  must('mount', '--bind', other.directory, srv);
  try {
    const found = await health(disk);
    expect(found.filesystems.map(({ mountPoint, role, holds }) => [mountPoint, role, holds])).toEqual([
      ['/', 'root', ['packages', 'database', 'store']],
      ['/usr/share/hello', 'usr', ['packages']],
    ]);
    const all = await filesystemHealth(new Root(disk.directory), { all: true });
    expect(all.filesystems.map(({ mountPoint }) => mountPoint)).toContain('/srv');
  } finally {
    must('umount', share);
    must('umount', srv);
  }
});

diskTest('what lies under an overlay is looked at in its place', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/share/hello/data');
  const at = mkdtempSync(join(tmpdir(), 'debmend-overlay-'));
  cleanups.push(() => rmSync(at, { recursive: true }));
  must('mount', '-t', 'tmpfs', 'tmpfs', at);
  cleanups.push(() => must('umount', '--recursive', at));
  for (const name of ['upper', 'work', 'merged']) mkdirSync(join(at, name));
  offline(disk, () => must('debugfs', '-w', '-R', `sif <${inode}> block[0] 0x1234`, disk.image));
  const directories = `lowerdir=${disk.directory},upperdir=${at}/upper,workdir=${at}/work`;
  must('mount', '-t', 'overlay', '-o', directories, 'overlay', join(at, 'merged'));
  spawnSync('cat', [join(at, 'merged/usr/share/hello/data')]);
  const found = await filesystemHealth(new Root(join(at, 'merged')));
  expect(found.filesystems.map(({ type, state }) => [type, state])).toEqual([
    ['overlay', 'not-applicable'],
    ['ext4', 'errors'],
    ['tmpfs', 'not-applicable'],
  ]);
  expect(found.findings.map(({ code }) => code)).toContain('filesystem-errors');
});

/** The program's own: in a mount namespace of its own, with what `prepare` does to it. */
function apart(prepare: string): ReturnType<typeof debmend> {
  const script = `${prepare}\nexec "$0" fsck status --json`;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-ec', script, LAUNCHER], {
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}

const NO_DEVICES = `
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mount -t tmpfs tmpfs /sys`;

for (const [where, prepare] of [
  ['a container without block devices', NO_DEVICES],
  ['a chroot without /proc as well', `${NO_DEVICES}\nmount -t tmpfs tmpfs /proc`],
] as const) {
  rootTest(`in ${where} it is not applicable, which is no error`, () => {
    const { code, stdout, stderr } = apart(prepare);
    expect([code, stderr]).toEqual([0, '']);
    const report = reportSchema.parse(JSON.parse(stdout));
    expect(report.findings).toEqual([]);
    expect(report.filesystems?.map(({ state }) => state)).toEqual(
      report.filesystems?.map(() => 'not-applicable'),
    );
    expect(report.filesystems?.[0]).toMatchObject({
      role: 'root',
      reason: expect.stringContaining('container'),
    });
  });
}

diskTest('without rights it says what it could not read, and what it could', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/bin/hello');
  offline(disk, () => must('debugfs', '-w', '-R', `clri <${inode}>`, disk.image));
  touch(disk, 'cat', '/usr/bin/hello');
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const arguments_ = ['fsck', 'status', '--json', '--root', disk.directory];
  const result = spawnSync('setpriv', [...user, LAUNCHER, ...arguments_], { encoding: 'utf8' });
  expect([result.status, result.stderr]).toEqual([1, '']);
  const report = reportSchema.parse(JSON.parse(result.stdout));
  expect(report.host.privileged).toBe(false);
  expect(report.filesystems?.[0]).toMatchObject({ state: 'errors', ext4: { errors: 1 } });
  expect(report.summary.unchecked.paths.join('\n')).toContain('/: the superblock: EACCES');
});

// A device that hangs, as a disk does that is about to die: reads from it get one byte a second.

const BLKIO = '/sys/fs/cgroup/blkio';
const UNIFIED = '/sys/fs/cgroup';

/** A control group that may hardly read from a device (blkio.throttle of version 1, io.max of version 2). */
function throttled(device: string): string {
  const number = readFileSync(`/sys/block/${basename(device)}/dev`, 'utf8').trim();
  const first = existsSync(`${BLKIO}/blkio.throttle.read_bps_device`);
  const group = `${first ? BLKIO : UNIFIED}/debmend-test-${process.pid}`;
  const [file, slow, free] = first
    ? ['blkio.throttle.read_bps_device', `${number} 1`, `${number} 0`]
    : ['io.max', `${number} rbps=1`, `${number} rbps=max`];
  mkdirSync(group);
  cleanups.push(() => {
    writeFileSync(join(group, file), free); // and what waits goes on, and ends
    for (let tries = 0; tries < 100; tries += 1) {
      try {
        return rmdirSync(group);
      } catch {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      }
    }
    throw new Error(`${group} is still in use`);
  });
  writeFileSync(join(group, file), slow);
  return group;
}

const whyNoThrottle = (): string | undefined => {
  const groups = [`${BLKIO}/blkio.throttle.read_bps_device`, `${UNIFIED}/cgroup.controllers`];
  const controls = groups.some(
    (file) => existsSync(file) && (file.startsWith(BLKIO) || /\bio\b/.test(readFileSync(file, 'utf8'))),
  );
  return whyNoDisks() ?? (controls ? undefined : 'no control group limits what is read here');
};

testUnless(
  whyNoThrottle(),
  'a device that hangs hangs nobody: it is not touched, and that is critical',
  () => {
    const disk = system({ type: 'ext4' });
    const group = throttled(disk.device);
    const script = `echo $$ > ${group}/cgroup.procs && exec "$0" "$@"`;
    const started = performance.now();
    const result = spawnSync(
      'sh',
      ['-c', script, LAUNCHER, 'fsck', 'status', '--json', '--root', disk.directory],
      {
        encoding: 'utf8',
      },
    );
    expect(performance.now() - started).toBeLessThan(20_000);
    expect([result.status, result.stderr]).toEqual([1, '']);
    const report = reportSchema.parse(JSON.parse(result.stdout));
    expect(report.filesystems?.[0]?.state).toBe('not-answering');
    expect(report.findings.map(({ code, severity }) => [code, severity])).toEqual([
      ['filesystem-not-answering', 'critical'],
    ]);
  },
);

diskTest('the page says the worst first, and what to do', async () => {
  const disk = system({ type: 'ext4' });
  const inode = inodeOf(disk, '/usr/share/hello/data');
  offline(disk, () => must('debugfs', '-w', '-R', `sif <${inode}> block[0] 0x1234`, disk.image));
  touch(disk, 'cat', '/usr/share/hello/data');
  const { code, stdout, stderr } = debmend(['fsck', 'status', '--root', disk.directory]);
  expect([code, stderr]).toEqual([1, '']);
  const order = [
    '2 findings',
    'errors  /  ext4',
    'filesystem-errors',
    '/usr/share/hello/data',
    `debmend fsck run ${disk.device}`,
  ];
  const places = order.map((text) => stdout.indexOf(text));
  expect(places).not.toContain(-1);
  expect(places.toSorted((a, b) => a - b)).toEqual(places);
});
