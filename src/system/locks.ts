/**
 * Who holds dpkg's locks (I5). dpkg and apt take fcntl write locks, which /proc/locks shows to everyone
 * (proc_locks(5)), so that looking neither takes a lock nor disturbs one.
 */
import { lstatSync, readFileSync } from 'node:fs';
import { type Bytes, fsPath } from './bytes.ts';

export interface LockHolder {
  /** Process id, or undefined where the kernel does not tell (another pid namespace). */
  readonly pid: number | undefined;
  /** The name of the process, where it can be read. */
  readonly command: string | undefined;
  readonly file: Bytes;
}

/** The lines of /proc/locks as `device:inode` and pid. Waiters (`->`) and leases are left out. */
export function parseProcLocks(text: string): { device: string; inode: string; pid: number }[] {
  const locks: { device: string; inode: string; pid: number }[] = [];
  for (const line of text.split('\n')) {
    // 1: POSIX  ADVISORY  WRITE 1234 fe:00:393221 0 EOF
    const match = /^\d+: (?:POSIX|OFDLCK)\s+\S+\s+WRITE\s+(-?\d+)\s+([0-9a-f]+:[0-9a-f]+):(\d+)\s/.exec(line);
    if (match === null) continue;
    const [, pid = '', device = '', inode = ''] = match;
    locks.push({ device, inode, pid: Number(pid) });
  }
  return locks;
}

/** `major:minor` of a st_dev as /proc/locks writes it (makedev(3), two hex digits at least). */
export function deviceNumber(dev: bigint): { major: bigint; minor: bigint } {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return { major, minor };
}

/** A file of this host as /proc/locks names it. @throws the error of lstat(2) */
export function lockIdentity(file: Bytes): { device: string; inode: string } {
  const stat = lstatSync(fsPath(file), { bigint: true });
  const { major, minor } = deviceNumber(stat.dev);
  const hex = (n: bigint) => n.toString(16).padStart(2, '0');
  return { device: `${hex(major)}:${hex(minor)}`, inode: String(stat.ino) };
}

/** The first other process that holds a write lock on one of these files (paths of this host). */
export function findLockHolder(files: readonly Bytes[]): LockHolder | undefined {
  let locks: ReturnType<typeof parseProcLocks>;
  try {
    locks = parseProcLocks(readFileSync('/proc/locks', 'latin1'));
  } catch {
    return undefined; // no /proc: nothing can be known, and an audit changes nothing
  }
  if (locks.length === 0) return undefined;
  for (const file of files) {
    let key: { device: string; inode: string };
    try {
      key = lockIdentity(file);
    } catch {
      continue; // no lock file: no one ever locked it
    }
    const held = locks.find(
      (lock) => lock.device === key.device && lock.inode === key.inode && lock.pid !== process.pid,
    );
    if (held === undefined) continue;
    return { pid: held.pid > 0 ? held.pid : undefined, command: commandOf(held.pid), file };
  }
  return undefined;
}

function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}
