/**
 * Small real filesystems with a root on them that dpkg's database describes, and ways to damage them: images only, in a
 * directory of the test's own. Where one has to be mounted to be filled, mount(8) takes a loop device that goes with it.
 */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withMountNamespace } from '../../src/system/namespace.ts';
import { HELLO, type TinyPackage, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

const MIB = 1024 * 1024;
const SMALL = 100 * MIB;

/** A directory whose entries take a block of their own, and more inodes than one leaf of a btrfs tree holds. */
export const MANY: TinyPackage = {
  name: 'many',
  version: '1.2-3',
  files: Object.fromEntries(
    Array.from({ length: 300 }, (_, at) => [
      `/usr/share/many/a-file-with-a-long-name-${at}`,
      `the ${at}. content\n`,
    ]),
  ),
};
/** Large enough not to be kept beside its inode. */
export const LARGE: TinyPackage = {
  name: 'large',
  files: {
    '/usr/lib/large/data': Buffer.alloc(200_000, 'all of it is the same text\n'),
    '/var/lib/large/state': 'a state\n',
  },
};

export interface Lab {
  readonly directory: string;
  readonly root: TinyRoot;
  /** A copy of an image, to be damaged. */
  copy(image: string, name: string): string;
  remove(): void;
}

export function lab(packages: readonly TinyPackage[] = [HELLO, MANY, LARGE]): Lab {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-fsck-lab-'));
  const root = tinyRoot(packages);
  return {
    directory,
    root,
    copy: (image, name) => {
      const copy = join(directory, name);
      must('cp', '--sparse=always', '--reflink=auto', image, copy);
      return copy;
    },
    remove: () => {
      root.remove();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** @param below what of the root it holds */
export function ext4Image({ directory, root }: Lab, below = '/'): string {
  const image = empty(join(directory, `ext4${below.replaceAll('/', '-')}.image`), 64 * MIB);
  must('mkfs.ext4', '-q', '-F', '-d', root.at(below), image);
  return image;
}

/** @param look what is asked while it is mounted */
export async function xfsImage<T>(
  lab: Lab,
  look: (mounted: string) => T,
): Promise<{ image: string; seen: T }> {
  const image = empty(join(lab.directory, 'xfs.image'), 310 * MIB);
  must('mkfs.xfs', '-q', image);
  const seen = await mounted(image, (at) => {
    must('cp', '-a', `${lab.root.directory}/.`, at);
    return look(at);
  });
  return { image, seen };
}

/** The root lies in the subvolume @rootfs, as Debian's installer makes it. */
export async function btrfsImage(lab: Lab): Promise<string> {
  const image = empty(join(lab.directory, 'btrfs.image'), 200 * MIB);
  must('mkfs.btrfs', '-q', '-f', image);
  await mounted(image, (at) => {
    must('btrfs', 'subvolume', 'create', `${at}/@rootfs`);
    must('cp', '-a', `${lab.root.directory}/.`, `${at}/@rootfs`);
  });
  return image;
}

/** An EFI partition: content by path; it is filled without the kernel's help. */
export function vfatImage({ directory }: Lab, files: Readonly<Record<string, Buffer>>): string {
  const image = empty(join(directory, 'vfat.image'), 64 * MIB);
  must('mkfs.vfat', '-F', '32', '-n', 'EFI', image);
  const made = new Set<string>();
  for (const [path, content] of Object.entries(files)) {
    const parts = path.split('/').slice(1, -1);
    parts.forEach((_, at) => {
      const above = `::/${parts.slice(0, at + 1).join('/')}`;
      if (made.has(above)) return;
      made.add(above);
      must('mmd', '-i', image, above);
    });
    const file = join(directory, 'content');
    writeFileSync(file, content);
    must('mcopy', '-i', image, file, `::${path}`);
  }
  return image;
}

/**
 * Mounts an image for the time of some work, in a mount namespace of its own: in the host's, whoever makes a namespace
 * at that moment would get a copy of the mount, and keep it.
 */
export async function mounted<T>(image: string, work: (at: string) => T | Promise<T>): Promise<T> {
  return await withMountNamespace(async ({ directory, seen, run }) => {
    const mount = await run('mount', ['-o', 'loop', image, directory]);
    if (mount.code !== 0) throw new Error(`mount ${image}: ${mount.stderr}`);
    try {
      return await work(seen);
    } finally {
      await run('umount', [directory]); // it goes with the namespace all the same
    }
  });
}

/** The same where everybody sees it, which is what changing something through paths needs. */
export async function mountedHere<T>(
  { directory }: Lab,
  image: string,
  work: (at: string) => Promise<T>,
): Promise<T> {
  const at = must('mktemp', '-d', '-p', directory).trim();
  must('mount', '-o', 'loop', image, at);
  try {
    return await work(at);
  } finally {
    must('umount', at);
  }
}

export function debugfs(image: string, request: string): string {
  return must('debugfs', '-w', '-R', request, image);
}

/** What debugfs says of a file's blocks: the first one's number. */
export function firstBlock(image: string, path: string): number {
  const numbers = must('debugfs', '-R', `blocks ${path}`, image).match(/\d+/);
  if (numbers === null) throw new Error(`${path} has no blocks`);
  return Number(numbers[0]);
}

/** Writes garbage over a part of an image, which stays as long as it is. */
export function garbage(image: string, offset: number, length: number): void {
  write(image, offset, randomBytes(length));
}

export function write(image: string, offset: number, data: Buffer): void {
  const fd = openSync(image, 'r+');
  try {
    writeSync(fd, data, 0, data.length, offset);
  } finally {
    closeSync(fd);
  }
}

/** The places of a btrfs's logical address on its device: one of data, two of metadata that is kept twice. */
export function physical(image: string, logical: number): number[] {
  const said = must('btrfs-map-logical', '-l', String(logical), image);
  return [...said.matchAll(/physical (\d+) /g)].map((match) => Number(match[1]));
}

/** The logical address of the first extent of a file that is this long. */
export function btrfsExtent(image: string, length: number): number {
  const said = must('btrfs', 'inspect-internal', 'dump-tree', '-t', 'extent', image);
  const at = new RegExp(`key \\((\\d+) EXTENT_ITEM ${length}\\)`).exec(said)?.[1];
  if (at === undefined) throw new Error(`there is no extent of ${length} bytes`);
  return Number(at);
}

/** A leaf of a subvolume's tree that begins with the item of an inode, and not with that of its top. */
export function btrfsLeaf(image: string, tree: string): number {
  const said = must('btrfs', 'inspect-internal', 'dump-tree', '-t', tree, image);
  const leaves = [...said.matchAll(/^\tkey \((\d+) INODE_ITEM 0\) block (\d+) /gm)].filter(
    ([, inode]) => inode !== '256',
  );
  const leaf = leaves[Math.floor(leaves.length / 2)]?.[2];
  if (leaf === undefined) throw new Error('the tree has too few leaves');
  return Number(leaf);
}

/** Sets entries of both of FAT32's tables. */
export function setFat(image: string, entries: Readonly<Record<number, number>>): void {
  const fd = openSync(image, 'r+');
  try {
    const boot = Buffer.alloc(512);
    readSync(fd, boot, 0, 512, 0);
    const sector = boot.readUInt16LE(11);
    const [reserved, tables, length] = [boot.readUInt16LE(14), boot.readUInt8(16), boot.readUInt32LE(36)];
    for (const [cluster, value] of Object.entries(entries)) {
      const cell = Buffer.alloc(4);
      cell.writeUInt32LE(value);
      for (let table = 0; table < tables; table += 1)
        writeSync(fd, cell, 0, 4, (reserved + table * length) * sector + Number(cluster) * 4);
    }
  } finally {
    closeSync(fd);
  }
}

/** The first cluster of a file on a vfat image. */
export function firstCluster(image: string, path: string): number {
  const cluster = /<(\d+)/.exec(must('mshowfat', '-i', image, `::${path}`))?.[1];
  if (cluster === undefined) throw new Error(`${path} has no clusters`);
  return Number(cluster);
}

/** What changes with every write to an image: of a small one all of it, of a large one the time of the last. */
export function stampOf(image: string): string {
  const { size, mtimeNs } = statSync(image, { bigint: true });
  const content = size <= SMALL ? createHash('sha256').update(readFileSync(image)).digest('hex') : '';
  return `${size} ${mtimeNs} ${content}`;
}

function empty(file: string, size: number): string {
  writeFileSync(file, '');
  truncateSync(file, size);
  return file;
}

export function must(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, {
    encoding: 'latin1',
    env: { ...process.env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    maxBuffer: 64 * MIB,
    timeout: 60_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (result.status === 0) return result.stdout;
  throw new Error(
    `${program} ${args.join(' ')}: ${result.error ?? result.status}\n${result.stdout}${result.stderr}`,
  );
}
