/**
 * File capabilities (capabilities(7), the extended attribute `security.capability`). Node can't read extended
 * attributes, and a compiled addon would be one more thing that an outage can break. perl-base is essential on every
 * Debian system, and its syscall() reaches lgetxattr(2); one process reads them all.
 */
import { machine } from 'node:os';
import { type Bytes, bufferOf } from './bytes.ts';
import { run } from './run.ts';

/** lgetxattr(2) by machine, from the kernel's tables (arch/x86/entry/syscalls, asm-generic/unistd.h). */
const LGETXATTR: Readonly<Record<string, number>> = { x86_64: 192, aarch64: 9 };
const TIMEOUT_MS = 60_000;
/**
 * An attribute of the newest revision has 24 bytes (linux/capability.h, vfs_ns_cap_data). perl's syscall() takes only
 * variables for strings that the kernel may write to, and only a number for a number.
 */
const READ = `
my $call = 0 + shift; my $name = "security.capability"; binmode STDIN; $/ = "\\0"; my $at = 0;
while (my $path = <STDIN>) {
  chomp $path; my $value = "\\0" x 64;
  my $length = syscall($call, $path, $name, $value, 64);
  print $at, " ", unpack("H*", substr($value, 0, $length)), "\\n" if $length > 0;
  $at++;
}`;

/**
 * Reads the capabilities of files; links are not followed.
 *
 * @param paths as paths of this host
 * @returns the raw attributes by position in `paths`, of those files that have one; undefined when they cannot be read
 * here, because perl is missing or the machine is none that is known
 */
export async function readCapabilities(paths: readonly Bytes[]): Promise<Map<number, Buffer> | undefined> {
  const call = LGETXATTR[machine()];
  if (call === undefined) return undefined;
  const found = new Map<number, Buffer>();
  if (paths.length === 0) return found;
  const input = bufferOf(paths.map((path) => `${path}\0`).join(''));
  const result = await run('perl', ['-e', READ, String(call)], { timeout: TIMEOUT_MS, input });
  if (result.code !== 0) return undefined;
  for (const line of result.stdout.toString('latin1').split('\n')) {
    const [at, hex] = line.split(' ');
    if (at !== undefined && hex !== undefined) found.set(Number(at), Buffer.from(hex, 'hex'));
  }
  return found;
}
