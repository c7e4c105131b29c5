/**
 * A look into a filesystem that is not mounted: mounted read-only for the time, through a read-only loop device, so that
 * the kernel itself lets nothing be written; with its journal left alone; in a mount namespace that nobody else sees.
 * Only names, dpkg's lists and the content of files that were named are read.
 *
 * The kernel may come upon damage while it does that; `errors=continue` keeps an ext4 that asks for a panic from it.
 * Who does not want to let the kernel of this machine at a damaged filesystem says --no-mount.
 */
import { existsSync, lstatSync } from 'node:fs';
import { type Bytes, bytesFromText, fsPath } from '../../system/bytes.ts';
import { errnoOf, isDeviceErrno, messageOf } from '../../system/errors.ts';
import { withMountNamespace } from '../../system/namespace.ts';
import { type Family, familyOf } from './detect.ts';
import { loopsFreed } from './in-use.ts';
import type { Target } from './target.ts';

export interface View {
  /** The top of the filesystem as a path of this host; it holds while the work goes on. */
  readonly directory: string;
}

/** The journal is not replayed: that would be writing. */
const OPTIONS: Readonly<Record<Family, string>> = {
  ext: 'noload,errors=continue',
  xfs: 'norecovery,nouuid',
  btrfs: 'subvolid=5,rescue=nologreplay',
  vfat: 'errors=continue',
};

/** mount(8), when somebody else took the free loop device at the same moment. */
const LOOP_TAKEN = /loop device/;
const TRIES = 5;
const PAUSE_MS = 200;

/**
 * Does work that looks into a filesystem; the work gets undefined and the reason where it cannot be mounted: it is too
 * damaged, the kernel does not know its type, or the superuser is needed.
 */
export async function withReadOnlyView<T>(
  target: Target,
  work: (view: View | undefined, why: string | undefined) => Promise<T>,
): Promise<T> {
  const family = familyOf(target.type);
  const other = family === 'btrfs' ? mountedTwin(target) : undefined;
  if (other !== undefined) return await work(undefined, other);
  let result: { value: T } | undefined;
  let why: string | undefined;
  try {
    await withMountNamespace(async (namespace) => {
      const options = `ro,loop,nodev,nosuid,noexec,${OPTIONS[family]}`;
      const args = ['-t', target.type, '-o', options, '--', target.file, namespace.directory];
      let mount = await namespace.run('mount', args);
      for (let again = 0; again < TRIES && LOOP_TAKEN.test(mount.stderr); again += 1) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        mount = await namespace.run('mount', args);
      }
      if (mount.code !== 0) {
        why = (mount.stderr.trim().split('\n')[0] ?? '').replace(/^mount: \S+: |\.$/g, '') || 'mount failed';
        return;
      }
      try {
        result = { value: await work({ directory: namespace.seen }, undefined) };
      } finally {
        // Before the namespace goes, so that the loop device is free when this returns.
        await namespace.run('umount', [namespace.directory]);
        await loopsFreed(target);
      }
    });
  } catch (error) {
    if (result === undefined && why === undefined && !isNamespaceError(error)) throw error;
    why ??= messageOf(error);
  }
  return result === undefined ? await work(undefined, why) : result.value;
}

/** What making a namespace throws; everything else is the work's. */
function isNamespaceError(error: unknown): boolean {
  return messageOf(error).startsWith('making a mount namespace');
}

/** The kernel knows a btrfs by its UUID: while one with the same is mounted, a copy of it must not be. */
function mountedTwin({ uuid }: Target): string | undefined {
  if (uuid === undefined || !existsSync(`/sys/fs/btrfs/${uuid}/devices`)) return undefined;
  return `a btrfs with the same UUID (${uuid}) is mounted`;
}

/** Where subvolumes keep a root: Debian's installer and others put it there. */
const TOPS: readonly Bytes[] = ['', '/@rootfs', '/@', '/root'];

/** dpkg's database on a filesystem, and where that filesystem stands in the root that it describes. */
export interface OwnDatabase {
  /** The directory that is mounted as the filesystem: empty, or a subvolume's path. */
  readonly top: Bytes;
  /** From that directory. */
  readonly admindir: Bytes;
  readonly mountPoint: '/' | '/var';
}

/**
 * The database of a root that lies on the filesystem, or of one whose /var it is. @returns undefined when there is none,
 * and a text when damage keeps it from being seen
 */
export function findDatabaseIn({ directory }: View): OwnDatabase | string | undefined {
  const base = bytesFromText(directory);
  let damage: string | undefined;
  const isThere = (path: Bytes): boolean => {
    try {
      return lstatSync(fsPath(`${base}${path}/info`)).isDirectory();
    } catch (error) {
      const errno = errnoOf(error) ?? 'EIO';
      // XFS gives out no inode of a cluster in which one is damaged.
      if (isDeviceErrno(errno)) damage ??= `${path === '' ? '/' : path}: ${errno}`;
      return false;
    }
  };
  const top = TOPS.find((one) => isThere(`${one}/var/lib/dpkg`));
  if (top !== undefined) return { top, admindir: '/var/lib/dpkg', mountPoint: '/' };
  if (isThere('/lib/dpkg')) return { top: '', admindir: '/lib/dpkg', mountPoint: '/var' };
  return damage;
}
