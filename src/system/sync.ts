/** Waiting until what was written is on disk, with a limit. */
import { closeSync, fsync as fsyncWithCallback, statfsSync, statSync } from 'node:fs';
import { getBuiltinModule } from 'node:process';
import { promisify } from 'node:util';
import { type Bytes, bufferOf, fsPath } from './bytes.ts';
import { openQuietly } from './files.ts';
import { readMounts } from './mounts.ts';
import type { Root } from './root.ts';

/** Filesystems that keep nothing on a disk of this machine (linux/magic.h), by statfs(2)'s type. */
const MEMORY = new Set([
  0x01021994, 0x858458f6, 0x9fa0, 0x62656572, 0x1cd1, 0x27e0eb, 0x63677270, 0x73717368,
]);
/** And those that are someone else's to sync (nfs, cifs, smb2, fuse). */
const REMOTE = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x65735546]);
/** Where packages put files; each may be a filesystem of its own. */
const STANDARD = ['/', '/usr', '/etc', '/var', '/var/lib', '/boot', '/boot/efi', '/opt', '/srv'] as const;

const fsync = promisify(fsyncWithCallback);

export type SyncResult = 'synced' | 'not-waited-for' | 'failed' | 'excluded';

/** Every filesystem of the root that is on a local disk and writable, by a directory on it, inside the root. */
export function diskFilesystems(root: Root): Bytes[] {
  const prefix = root.prefix;
  const mounted = readMounts()
    .filter(({ mountPoint, options }) => mountPoint.startsWith(`${prefix}/`) && !options.includes('ro'))
    .map(({ mountPoint }) => mountPoint.slice(prefix.length));
  const seen = new Set<number>();
  const found: Bytes[] = [];
  for (const directory of [...STANDARD, ...mounted]) {
    try {
      const host = fsPath(root.hostPath(directory));
      const stat = statSync(host);
      if (!stat.isDirectory() || seen.has(stat.dev)) continue;
      seen.add(stat.dev);
      const { type } = statfsSync(host);
      if (!MEMORY.has(type) && !REMOTE.has(type)) found.push(directory);
    } catch {
      // Not there, or not to be reached: nothing was written to it either.
    }
  }
  return found;
}

/**
 * Syncs filesystems side by side (syncfs(2), by sync(1), because Node has no call for it).
 *
 * @param directories as paths of this host
 * @param limit milliseconds after which it is not waited for any more; the kernel goes on by itself
 */
export async function syncFilesystems(directories: readonly Bytes[], limit: number): Promise<SyncResult[]> {
  const deadline = AbortSignal.timeout(limit);
  return await Promise.all(directories.map((directory) => syncOne(directory, deadline)));
}

function syncOne(directory: Bytes, deadline: AbortSignal): Promise<SyncResult> {
  return new Promise((resolve) => {
    // A process that waits for a disk cannot be killed: it is left to itself, and keeps nobody from ending.
    // Loaded here: the hook before an installation syncs nothing, and starts no program (run.ts).
    const child = getBuiltinModule('node:child_process').spawn(
      '/bin/sync',
      ['-f', bufferOf(directory).toString('utf8')],
      {
        stdio: 'ignore',
        detached: true,
        env: { LC_ALL: 'C' },
        cwd: '/',
      },
    );
    child.once('error', () => resolve('failed'));
    child.once('exit', (code) => resolve(code === 0 ? 'synced' : 'failed'));
    deadline.addEventListener('abort', () => {
      child.unref();
      resolve('not-waited-for');
    });
  });
}

export interface FilesSynced {
  readonly synced: number;
  readonly failed: number;
  readonly notWaitedFor: number;
}

/** How many files are synced at a time: as many as Node's threads. */
const AT_ONCE = 4;

/**
 * Syncs files one by one (fsync(2)).
 *
 * @param files as paths of this host
 * @param limit milliseconds after which no further one is begun
 */
export async function syncFiles(files: readonly Bytes[], limit: number): Promise<FilesSynced> {
  const end = performance.now() + limit;
  let next = 0;
  let synced = 0;
  let failed = 0;
  const work = async (): Promise<void> => {
    for (let file = files[next]; file !== undefined && performance.now() < end; file = files[next]) {
      next += 1;
      try {
        const fd = openQuietly(fsPath(file));
        try {
          await fsync(fd);
          synced += 1;
        } finally {
          closeSync(fd);
        }
      } catch {
        failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { synced, failed, notWaitedFor: files.length - synced - failed };
}
