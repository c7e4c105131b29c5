/**
 * Throwaway filesystems on loop files, whose power can be cut.
 *
 *   mkfs, mount ──► in use ── cut() ──► without power ── restore() ──► in use ──► … ── remove() ──► gone
 *
 * A cut is the shutdown ioctl without a flush of the journal: from that instant on nothing reaches the image, and what
 * was not synced, or written back by the kernel in its own time, is lost. The next mount replays the journal, as the
 * first one after an outage does.
 *
 * What a killed test process could leave behind is bounded by construction:
 *
 *  - the loop device is mount(8)'s own, with the autoclear flag: the kernel frees it with the last mount;
 *  - a directory bears its process in its name, and the next throwawayDisk takes away those of dead processes.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { missingPackages } from '../../scripts/debian-packages.ts';
import { bufferOf, bytesFromText, bytesOf } from '../../src/system/bytes.ts';
import { messageOf } from '../../src/system/errors.ts';
import { mountOf, parseMountinfo, readMounts } from '../../src/system/mounts.ts';
import {
  type DebianRootOptions,
  type DebianSuite,
  extractRoot,
  type TestBody,
  testUnless,
  whyNoRoots,
  workDirectory,
} from './roots.ts';

export type DiskType = 'ext4' | 'xfs' | 'btrfs';

export interface DiskOptions {
  readonly type: DiskType;
  /** Bytes; the image is sparse. Default: 4 GiB. */
  readonly size?: number;
  /** For mkfs.ext4(8), mkfs.xfs(8), mkfs.btrfs(8). */
  readonly mkfsOptions?: readonly string[];
  /** For mount(8), as after its -o: `noauto_da_alloc`, `commit=60`. */
  readonly mountOptions?: readonly string[];
  /** The image of another disk of the same type, which is copied; nothing is made anew. */
  readonly copyOf?: string;
  /** Where its directory is made, /dev/shm for a disk that no real one slows down. Default: workDirectory(). */
  readonly home?: string;
}

export interface Disk {
  readonly type: DiskType;
  /** Where it is mounted, as a path of this host without symbolic links. */
  readonly directory: string;
  /** The file below it. */
  readonly image: string;
  /** The loop device: another one, perhaps, after each restore. @throws Error without power */
  readonly device: string;
  /** Unpacks a pristine root and syncs it, so that a cut takes nothing of it away. @throws Error as debianRoot */
  fill(suite: DebianSuite, options?: DebianRootOptions): Promise<void>;
  /** syncfs(2). */
  sync(): void;
  /**
   * The power goes: no write from now on is kept, then what runs in there is killed, and the filesystem unmounted.
   *
   * @throws Error when it has no power already, or when something that is not ours holds it; it is lost then, and
   * remove() takes it away
   */
  cut(): void;
  /** An orderly end: everything is written, and the filesystem unmounted. restore() mounts it again. @throws as cut */
  unmount(): void;
  /** The power is back, and the kernel replays the journal. @throws Error when it has power, or cannot be mounted */
  restore(): void;
  /** Unmounts it, and what is mounted below, and deletes it. A second call does nothing. */
  remove(): void;
}

const DEFAULT_SIZE = 4 * 1024 ** 3;
/** How long processes may take to die, and the kernel to give up a device, under load. */
const PATIENCE_MS = 20_000;

/** The mkfs options of each type: no questions, and nothing that is left for later and written at some other time. */
const MKFS: Readonly<Record<DiskType, readonly string[]>> = {
  ext4: ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
  xfs: ['-q', '-f'],
  btrfs: ['-q', '-f'],
};

/** Disks of this process that are not removed yet. */
const live = new Set<Disk>();
let watching = false;

/** Why throwawayDisk cannot work here, or undefined when it can. */
export function whyNoDisks(): string | undefined {
  const reason = whyNoRoots();
  if (reason !== undefined) return reason;
  const tools = ['e2fsprogs', 'xfsprogs', 'btrfs-progs'];
  const missing = missingPackages().filter(({ name }) => tools.includes(name));
  if (missing.length > 0) {
    return `${missing.map(({ name }) => name).join(', ')} not installed; run scripts/debian-packages.ts`;
  }
  return existsSync('/dev/loop-control') ? undefined : 'there are no loop devices here';
}

/** A test that needs throwawayDisk, as rootTest. */
export function diskTest(name: string, body: TestBody, timeout?: number): void {
  testUnless(whyNoDisks(), name, body, timeout);
}

/**
 * A new, empty filesystem of its own.
 *
 * @throws Error without the superuser or loop devices, and when mkfs or mount fails, with what they said
 */
export function throwawayDisk(options: DiskOptions): Disk {
  const reason = whyNoDisks();
  if (reason !== undefined) throw new Error(reason);
  const { type, size = DEFAULT_SIZE, mkfsOptions = [], mountOptions = [], copyOf } = options;
  const parent = options.home ?? workDirectory();
  sweep(parent);
  const home = mkdtempSync(join(parent, ownPrefix()));
  const directory = join(home, 'disk');
  const image = join(home, 'image');
  const mount = () => {
    must('mount', '-t', type, '-o', ['loop', ...mountOptions].join(','), image, directory);
  };
  const mounted = () => deviceAt(directory) !== undefined;
  const disk: Disk = {
    type,
    directory,
    image,
    get device() {
      const device = deviceAt(directory);
      if (device === undefined) throw new Error(`${directory} has no power`);
      return device;
    },
    fill: async (suite, rootOptions = {}) => {
      await extractRoot(suite, rootOptions, directory);
      disk.sync();
    },
    sync: () => void must('sync', '--file-system', directory),
    cut: () => {
      if (!mounted()) throw new Error(`${directory} has no power`);
      if (type === 'btrfs') imageAsItIs(directory, image);
      else must('xfs_io', '-x', '-c', 'shutdown', directory); // without -f: the journal is not flushed
      release(directory, image);
    },
    unmount: () => {
      if (!mounted()) throw new Error(`${directory} has no power`);
      release(directory, image);
    },
    restore: () => {
      if (mounted()) throw new Error(`${directory} has power`);
      mount();
    },
    remove: () => {
      if (!live.delete(disk)) return;
      discard(home);
    },
  };
  live.add(disk);
  removeAtExit();
  try {
    mkdirSync(directory);
    must('chmod', '0755', home, directory); // for tests that look at it as another user
    if (copyOf !== undefined) must('cp', '--sparse=always', '--reflink=auto', copyOf, image);
    else {
      writeFileSync(image, '');
      truncateSync(image, size);
      must(`mkfs.${type}`, ...MKFS[type], ...mkfsOptions, image);
    }
    mount();
  } catch (error) {
    disk.remove();
    throw error;
  }
  return disk;
}

/**
 * btrfs has the shutdown ioctl since Linux 6.19 only. The image is copied instead, and the copy takes its place. btrfs
 * never overwrites what its superblock leads to (nodatacow aside), so a copy is the disk as it was at an instant when
 * the superblock is the same before and after. Each fsync writes the superblock, and dpkg makes hundreds in a second:
 * what runs in there is stopped first, and never goes on.
 */
function imageAsItIs(directory: string, image: string): void {
  const copy = `${image}.cut`;
  for (let attempt = 0; attempt < 10; attempt += 1) {
    for (const { pid, ours } of holders(directory)) if (ours) signal(pid, 'SIGSTOP');
    const before = superblock(image);
    must('cp', '--sparse=always', '--reflink=auto', image, copy);
    if (!before.equals(superblock(image))) continue;
    renameSync(copy, image);
    return;
  }
  throw new Error(`${image} is written to faster than it can be copied`);
}

/** btrfs(5): the primary superblock lies at 64 KiB and is 4 KiB long. */
function superblock(image: string): Buffer {
  const block = Buffer.alloc(4096);
  const fd = openSync(image, 'r');
  try {
    readSync(fd, block, 0, block.length, 64 * 1024);
  } finally {
    closeSync(fd);
  }
  return block;
}

/**
 * Ends what runs below a mount point, unmounts what is mounted there, in other mount namespaces too, and waits until
 * the kernel has given up the device: a mount that comes earlier would get the dead filesystem again.
 */
function release(directory: string, image: string): void {
  let said = '';
  const released = waitFor(() => {
    for (const { pid, ours } of holders(directory)) if (ours) signal(pid, 'SIGKILL');
    for (const mountPoint of mountsAt(directory).reverse()) said = say('umount', '--', mountPoint).output;
    // unshare(1) copies mounts, and each copy keeps the filesystem alive; some other test's does too.
    const device = loopOf(image);
    for (const pid of device === undefined ? [] : inOtherNamespaces(device)) {
      // umount reads /proc/self, and there /proc is perhaps the one of a PID namespace.
      const enter = [`--mount=/proc/${pid}/ns/mnt`, `--pid=/proc/${pid}/ns/pid_for_children`];
      say('nsenter', ...enter, 'umount', '--lazy', '--', directory);
    }
    return mountsAt(directory).length === 0 && loopOf(image) === undefined;
  });
  if (released) return;
  const names = holders(directory).map(({ pid }) => `${pid} (${textOf(`/proc/${pid}/comm`).trim()})`);
  const who = names.length === 0 ? '' : `; held by process ${names.join(', ')}`;
  throw new Error(`${directory} cannot be unmounted${who}\n${said}`);
}

/** Mount points at and below a directory, in the order of mounting. */
function mountsAt(directory: string): string[] {
  const below = bytesFromText(`${directory}/`);
  const points = readMounts().map(({ mountPoint }) => mountPoint);
  return points
    .filter((point) => `${point}/`.startsWith(below))
    .map((point) => bufferOf(point).toString('utf8'));
}

function deviceAt(directory: string): string | undefined {
  const path = bytesFromText(directory);
  const mount = mountOf(readMounts(), path);
  return mount?.mountPoint === path ? mount.source : undefined;
}

/** The loop device on this file, deleted or not (/sys/block/loopN/loop/backing_file). */
function loopOf(image: string): string | undefined {
  const name = readdirSync('/sys/block').find((block) => {
    const file = textOf(`/sys/block/${block}/loop/backing_file`).trimEnd();
    return file === image || file === `${image} (deleted)`;
  });
  return name === undefined ? undefined : `/dev/${name}`;
}

interface Holder {
  readonly pid: number;
  /** Whether it may be killed: its root is in there, or it descends from this process. A person's shell is not ours. */
  readonly ours: boolean;
}

/** Processes whose root, working directory, program or open file lies at or below a directory; this one never. */
function holders(directory: string): Holder[] {
  const isInside = (link: string) => `${link}/`.startsWith(`${directory}/`);
  return processes().flatMap((pid) => {
    const inside = (name: string) => isInside(linkOf(`/proc/${pid}/${name}`));
    const rooted = inside('root');
    if (!rooted && !['cwd', 'exe', ...openFiles(pid)].some(inside)) return [];
    return pid === process.pid ? [] : [{ pid, ours: rooted || isDescendant(pid) }];
  });
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`);
  } catch {
    return []; // it has ended
  }
}

function isDescendant(pid: number): boolean {
  for (let at = pid; at > 1; at = Number(statOf(at)[1])) if (at === process.pid) return true;
  return false;
}

/** The fields of /proc/PID/stat from the third on, the state; none of a process that is not there. */
function statOf(pid: number | string): string[] {
  return textOf(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .trim()
    .split(' ');
}

function signal(pid: number, name: 'SIGSTOP' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended
  }
}

/** A process of each mount namespace, beside this process's own, in which the device is mounted. */
function inOtherNamespaces(device: string): number[] {
  const seen = new Set([linkOf('/proc/self/ns/mnt')]);
  return processes().flatMap((pid) => {
    const namespace = linkOf(`/proc/${pid}/ns/mnt`);
    if (namespace === '' || seen.has(namespace)) return [];
    const mounts = parseMountinfo(bytesFromText(textOf(`/proc/${pid}/mountinfo`)));
    if (!mounts.some(({ source }) => source === device)) return []; // perhaps only not below this process's root
    seen.add(namespace);
    return [pid];
  });
}

/** A directory for what belongs to disks, which the next throwawayDisk there takes away when this process is dead. */
export function diskScratch(parent: string): string {
  return mkdtempSync(join(parent, ownPrefix()));
}

/**
 * The beginning of this process's directories: its number, its start in clock ticks since boot, so that a later process
 * with the same number is not taken for it, and its PID namespace, in which alone the number means something.
 */
function ownPrefix(): string {
  return `debmend-disk-${pidNamespace()}-${process.pid}-${startOf('self')}-`;
}

const pidNamespace = (): string => /\d+/.exec(linkOf('/proc/self/ns/pid'))?.[0] ?? '0';
/** proc_pid_stat(5), field 22. */
const startOf = (pid: number | string): string => statOf(pid)[19] ?? '';

/** Takes away the disks of processes that are dead. */
function sweep(work: string): void {
  for (const name of readdirSync(work)) {
    const [, namespace, pid = '', start] = /^debmend-disk-(\d+)-(\d+)-(\d+)-/.exec(name) ?? [];
    if (namespace !== pidNamespace() || startOf(pid) === start) continue;
    try {
      discard(join(work, name));
    } catch {
      // Someone else sweeps at this moment, or looks at it; the next one will.
    }
  }
}

/** Unmounts and deletes everything below one of our directories. */
function discard(home: string): void {
  const image = join(home, 'image');
  const directory = join(home, 'disk');
  try {
    release(directory, image);
  } catch (error) {
    // The mount at least goes, and the rest with whoever holds it.
    for (const mountPoint of mountsAt(directory).reverse()) say('umount', '--lazy', '--', mountPoint);
    if (mountsAt(directory).length > 0) throw error;
  }
  // Only its own directory is left, empty: nothing of the filesystem's, whose names need not be UTF-8.
  rmSync(home, { recursive: true, force: true });
}

/** A test that fails before its own remove(), or a script that is ended by process.exit. */
function removeAtExit(): void {
  if (watching) return;
  watching = true;
  process.once('exit', () => {
    for (const disk of live) {
      try {
        disk.remove();
      } catch (error) {
        process.stderr.write(`${messageOf(error)}\n`); // the sweep of the next process comes again
      }
    }
  });
}

/** Asks until it is so, or until patience ends. Synchronous, because a cut is. */
function waitFor(condition: () => boolean): boolean {
  const end = performance.now() + PATIENCE_MS;
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    if (condition()) return true;
    if (performance.now() > end) return false;
    Atomics.wait(clock, 0, 0, 10);
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // it has ended, or it is a thread of the kernel
  }
}

function textOf(path: string): string {
  try {
    return bytesOf(readFileSync(path));
  } catch {
    return '';
  }
}

function say(program: string, ...args: string[]): { code: number | null; output: string } {
  const result = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  if (result.error !== undefined) throw result.error;
  return { code: result.status, output: `${result.stdout}${result.stderr}` };
}

function must(program: string, ...args: string[]): void {
  const { code, output } = say(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${code}\n${output}`);
}
