/**
 * A mount namespace of one's own: what is mounted in there nobody else sees, and all of it is gone with the process
 * that keeps it, which ends with this one (its standard input is closed then).
 *
 *   unshare ──► cat, waiting ◄── nsenter: mount, umount … what it sees is read through /proc/PID/root
 */
import { mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getBuiltinModule } from 'node:process';
import { messageOf } from './errors.ts';
import { type RunResult, run } from './run.ts';

export interface Namespace {
  /** An empty directory, as it is called inside: to mount something on. */
  readonly directory: string;
  /** The same as seen from outside, whatever is mounted on it inside. */
  readonly seen: string;
  /** Runs a program inside. */
  run(program: string, args: readonly string[]): Promise<RunResult>;
}

const TIMEOUT_MS = 10 * 60_000;
const STEP_MS = 5;
const PATIENCE_MS = 10_000;

/**
 * Makes a namespace, does the work, and lets it go.
 *
 * @throws Error when none can be made: it takes CAP_SYS_ADMIN; and what the work throws
 */
export async function withMountNamespace<T>(work: (namespace: Namespace) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-mount-'));
  const own = namespaceOf('self');
  const keeper = getBuiltinModule('node:child_process').spawn(
    'unshare',
    ['--mount', '--propagation', 'private', '--', 'cat'],
    {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      cwd: '/',
    },
  );
  let ended: string | undefined;
  const end = new Promise<void>((resolve) => {
    keeper.on('error', (error) => {
      ended = messageOf(error);
      resolve();
    });
    keeper.on('exit', (code, signal) => {
      ended ??= `unshare ended with ${code ?? signal}`;
      resolve();
    });
  });
  try {
    for (let waited = 0; ; waited += STEP_MS) {
      if (ended !== undefined || waited > PATIENCE_MS)
        throw new Error(`making a mount namespace: ${ended ?? 'it takes too long'}`);
      const now = namespaceOf(keeper.pid);
      if (now !== undefined && now !== own) break;
      await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    }
    return await work({
      directory,
      seen: `/proc/${keeper.pid}/root${directory}`,
      run: (program, args) =>
        run('nsenter', [`--mount=/proc/${keeper.pid}/ns/mnt`, '--', program, ...args], {
          timeout: TIMEOUT_MS,
        }),
    });
  } finally {
    keeper.stdin?.end();
    await end;
    rmdirSync(directory);
  }
}

/** The inode of a process's mount namespace: two in the same one have the same. */
function namespaceOf(pid: number | 'self' | undefined): bigint | undefined {
  try {
    return statSync(`/proc/${pid}/ns/mnt`, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}
