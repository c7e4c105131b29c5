/** I5: who holds dpkg's locks, seen without taking one. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deviceNumber, findLockHolder, parseProcLocks } from '../../src/system/locks.ts';

let directory: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-locks-'));
  for (const name of ['lock', 'lock-frontend']) writeFileSync(join(directory, name), '');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});
const at = (name: string): string => join(directory, name);
const files = (): string[] => [at('lock-frontend'), at('lock')];

/** perl is Essential; its fcntl takes the lock that dpkg takes: a write lock on the whole file (lib/dpkg/file.c). */
const HOLD = `
  use Fcntl;
  my ($type, $start, $wait, $file) = @ARGV;
  open(my $f, "+<", $file) or die $!;
  my $lock = pack("s! s! x![q] q q l! x![q]", eval $type, 0, $start, 0, 0);
  fcntl($f, $wait ? F_SETLKW : F_SETLK, $lock) or die $!;
  $| = 1; print "held\\n"; <STDIN>;`;

async function hold(name: string, type = 'F_WRLCK', start = 0, wait = false): Promise<ChildProcess> {
  const child = spawn('perl', ['-e', HOLD, type, String(start), wait ? '1' : '', at(name)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  if (!wait) {
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the holder ended with ${code}`)));
    });
  }
  return child;
}
const release = async (child: ChildProcess): Promise<void> => {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.end();
  await ended;
};

describe('findLockHolder', () => {
  it('sees no one where no one is', () => {
    expect(findLockHolder(files())).toBeUndefined();
    expect(findLockHolder([at('none')])).toBeUndefined();
    expect(findLockHolder([])).toBeUndefined();
  });

  it.each(['lock', 'lock-frontend'])('I5: sees who holds %s, until it is let go', async (name) => {
    const child = await hold(name);
    expect(findLockHolder(files())).toEqual({ pid: child.pid, command: 'perl', file: at(name) });
    await release(child);
    expect(findLockHolder(files())).toBeUndefined();
  });

  it('takes no lock: the holder’s successor gets it at once', async () => {
    const child = await hold('lock');
    findLockHolder(files());
    await release(child);
    findLockHolder(files());
    await expect(hold('lock')).resolves.toBeDefined();
  });

  it('does not take one who waits for one who holds', async () => {
    const holder = await hold('lock');
    const waiter = await hold('lock', 'F_WRLCK', 0, true);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(findLockHolder(files())?.pid).toBe(holder.pid);
    await release(holder);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(findLockHolder(files())?.pid).toBe(waiter.pid);
  });

  it('does not mind a lock for reading, nor the lock of another file, nor a link', async () => {
    const reader = await hold('lock', 'F_RDLCK');
    expect(findLockHolder(files())).toBeUndefined();
    await release(reader);
    writeFileSync(at('other'), '');
    await hold('other');
    symlinkSync('other', at('link'));
    expect(findLockHolder([...files(), at('link')])).toBeUndefined();
  });

  it('I5: sees dpkg itself', async () => {
    // dpkg holds its lock while it runs a hook, which here does nothing until it is told to.
    const admindir = at('db');
    spawnSync('mkdir', ['-p', join(admindir, 'info'), join(admindir, 'updates'), join(admindir, 'triggers')]);
    writeFileSync(join(admindir, 'status'), '');
    const lock = join(admindir, 'lock');
    const child = spawn(
      'dpkg',
      [
        `--admindir=${admindir}`,
        `--log=${at('log')}`,
        '--force-not-root',
        `--status-logger=while ! [ -e ${at('end')} ]; do sleep 0.05; done`,
        '--configure',
        '-a',
      ],
      { stdio: 'ignore' },
    );
    children.push(child);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const seen = await waitFor(
      () => findLockHolder([join(admindir, 'lock-frontend'), lock]),
      () => child.exitCode !== null,
    );
    writeFileSync(at('end'), '');
    await ended;
    expect(seen).toMatchObject({ pid: child.pid, command: 'dpkg' });
    expect(findLockHolder([lock])).toBeUndefined();
  });
});

async function waitFor<T>(look: () => T | undefined, over: () => boolean): Promise<T | undefined> {
  for (let i = 0; i < 2000; i += 1) {
    const seen = look();
    if (seen !== undefined || over()) return seen;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return undefined;
}

describe('parseProcLocks', () => {
  it('takes write locks of processes and of open files, and nothing else', () => {
    const text = `1: POSIX  ADVISORY  WRITE 1234 fe:00:393221 0 EOF
2: POSIX  ADVISORY  READ 1 fe:00:1 0 EOF
2: -> POSIX  ADVISORY  WRITE 5 fe:00:393221 0 EOF
3: FLOCK  ADVISORY  WRITE 6 fe:00:2 0 EOF
4: OFDLCK ADVISORY  WRITE -1 103:0a:77 0 EOF
5: LEASE  ACTIVE    WRITE 7 fe:00:3 0 EOF
6: POSIX  ADVISORY  WRITE 0 00:2d:9 1073741824 1073742335
`;
    expect(parseProcLocks(text)).toEqual([
      { device: 'fe:00', inode: '393221', pid: 1234 },
      { device: '103:0a', inode: '77', pid: -1 },
      { device: '00:2d', inode: '9', pid: 0 },
    ]);
  });

  it('takes a device number apart as makedev(3) puts it together', () => {
    expect(deviceNumber(0xfe00n)).toEqual({ major: 0xfen, minor: 0n });
    // what Python's os.makedev says of major 1929 and minor 305419777
    expect(deviceNumber(0x12345678901n)).toEqual({ major: 1929n, minor: 305419777n });
    expect(deviceNumber((259n << 8n) | 3n | (1n << 20n))).toEqual({ major: 259n, minor: 259n });
  });
});
