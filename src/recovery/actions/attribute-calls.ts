/**
 * System calls that Node has no function for: extended attributes, and times to the nanosecond. perl makes them, as in
 * system/capabilities.ts; here one at a time and in order with everything else, on an inode that is already held.
 */
import { spawnSync } from 'node:child_process';
import { machine } from 'node:os';
import { DebmendError, messageOf } from '../../system/errors.ts';

/** Numbers of system calls by machine, from the kernel's tables (arch/x86/entry/syscalls, asm-generic/unistd.h). */
const CALLS = {
  x86_64: { setxattr: 188, getxattr: 191, removexattr: 197, utimensat: 280 },
  aarch64: { setxattr: 5, getxattr: 8, removexattr: 14, utimensat: 88 },
} as const;
type Call = keyof (typeof CALLS)['x86_64'];

const NAME = 'security.capability';
const TIMEOUT_MS = 20_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** ENODATA and EOPNOTSUPP (asm-generic/errno.h): there is none, there can't be any. */
const READ = `my ($call, $name) = @ARGV; my $path = "/proc/self/fd/3"; my $value = "\\0" x 64;
my $length = syscall(0 + $call, $path, $name, $value, 64);
if ($length < 0) { exit 0 if $! == 61 || $! == 95; print STDERR $!; exit 1 }
print unpack("H*", substr($value, 0, $length));`;
const WRITE = `my ($call, $name, $hex) = @ARGV; my $path = "/proc/self/fd/3"; my $value = pack("H*", $hex);
syscall(0 + $call, $path, $name, $value, length($value), 0) == 0 or do { print STDERR $!; exit 1 }`;
const REMOVE = `my ($call, $name) = @ARGV; my $path = "/proc/self/fd/3";
syscall(0 + $call, $path, $name) == 0 or $! == 61 or do { print STDERR $!; exit 1 }`;
/** AT_FDCWD is -100; UTIME_OMIT leaves the access time as it is (linux/stat.h). */
const TIME = `my ($call, $seconds, $rest) = @ARGV; my $path = "/proc/self/fd/3";
my $times = pack("q4", 0, (1 << 30) - 2, $seconds, $rest);
syscall(0 + $call, -100, $path, $times, 0) == 0 or do { print STDERR $!; exit 1 }`;

/**
 * @param fd of the inode, which may be held with O_PATH
 * @returns undefined when there is none
 * @throws DebmendError `action-failed`
 */
export function readCapability(fd: number): Buffer | undefined {
  const hex = perl('getxattr', READ, [NAME], fd);
  return hex === '' ? undefined : Buffer.from(hex, 'hex');
}

/** @param capability empty takes it away. @throws DebmendError `action-failed` */
export function writeCapability(fd: number, capability: Buffer): void {
  if (capability.length === 0) perl('removexattr', REMOVE, [NAME], fd);
  else perl('setxattr', WRITE, [NAME, capability.toString('hex')], fd);
}

/** Sets the time of the last change, in nanoseconds since 1970. @returns whether that was possible here */
export function setNanoseconds(fd: number, nanoseconds: bigint): boolean {
  const second = 1_000_000_000n;
  const rest = ((nanoseconds % second) + second) % second;
  try {
    perl('utimensat', TIME, [String((nanoseconds - rest) / second), String(rest)], fd);
    return true;
  } catch {
    return false; // the caller has a coarser way
  }
}

function perl(call: Call, script: string, args: readonly string[], fd: number): string {
  const name = machine();
  const numbers = name === 'x86_64' || name === 'aarch64' ? CALLS[name] : undefined;
  if (numbers === undefined) throw failed(call, `debmend does not know its number on ${name}`);
  const result = spawnSync('perl', ['-e', script, '--', String(numbers[call]), ...args], {
    stdio: ['ignore', 'pipe', 'pipe', fd],
    env: { PATH, LC_ALL: 'C' },
    cwd: '/',
    encoding: 'latin1',
    timeout: TIMEOUT_MS,
  });
  if (result.error !== undefined) throw failed(call, messageOf(result.error), result.error);
  if (result.status !== 0) throw failed(call, result.stderr.trim() || `perl ended with ${result.status}`);
  return result.stdout;
}

function failed(call: Call, why: string, cause?: unknown): DebmendError {
  return new DebmendError(
    'action-failed',
    `calling ${call} through perl: ${why}`,
    "extended attributes need perl-base; 'perl -e 1' tells whether it works",
    cause,
  );
}
