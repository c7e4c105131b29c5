/**
 * Installs the Debian packages that the tests need, when some are missing and this user may; `npm test` runs it first.
 * With all of them there it looks at a few files and returns, without starting apt.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export interface TestPackage {
  readonly name: string;
  /** A program that only this package brings: where it is found, the package is taken as installed. */
  readonly program: string;
  /** What the tests need it for. */
  readonly reason: string;
}

/** Every Debian package that a test calls and that is not in a minimal installation. */
export const TEST_PACKAGES: readonly TestPackage[] = [
  { name: 'mmdebstrap', program: 'mmdebstrap', reason: 'builds the real Debian roots of test/lab' },
  { name: 'debsums', program: 'debsums', reason: 'a peer that audits are compared with' },
  { name: 'dpkg-dev', program: 'dpkg-source', reason: 'builds and scans small packages' },
  { name: 'libcap2-bin', program: 'setcap', reason: 'gives a file capabilities that a snapshot has to know' },
  { name: 'e2fsprogs', program: 'mke2fs', reason: 'ext4 images, and e2fsck itself' },
  { name: 'xfsprogs', program: 'xfs_io', reason: 'xfs images, and xfs_repair itself' },
  { name: 'btrfs-progs', program: 'btrfs', reason: 'btrfs images, and btrfs check itself' },
  { name: 'dosfstools', program: 'mkfs.vfat', reason: 'vfat images, and fsck.vfat itself' },
  { name: 'mtools', program: 'mcopy', reason: 'fills vfat images where the kernel has no vfat' },
  {
    name: 'strace',
    program: 'strace',
    reason: 'shows the order of writes and fsyncs, and cuts between them',
  },
];

/** Where Debian puts programs; a user's PATH often lacks the sbin directories, where mke2fs is. */
const PROGRAM_DIRECTORIES = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'];

/** The test packages whose program is not on this host. */
export function missingPackages(): TestPackage[] {
  return TEST_PACKAGES.filter(
    ({ program }) => !PROGRAM_DIRECTORIES.some((directory) => existsSync(`${directory}/${program}`)),
  );
}

/** Under CI nothing is skipped: a test that cannot run there is a failure. */
export function underCI(): boolean {
  const { CI } = process.env;
  return CI === 'true';
}

function main(): number {
  const missing = missingPackages();
  if (missing.length === 0) return 0;
  const names = missing.map(({ name }) => name).join(' ');

  if (process.getuid?.() !== 0) {
    for (const { name, reason } of missing) say(`missing: ${name} (${reason})`);
    const hint = `as root: apt-get install --no-install-recommends ${names}`;
    if (underCI()) return fail('the tests need these packages and this user cannot install them', hint);
    say('tests that need them are skipped');
    say(`hint: ${hint}`);
    return 0;
  }

  say(`installing ${names}`);
  const steps = [
    ['update'],
    // On a host that has just booted, unattended-upgrades often holds dpkg's lock for a minute.
    ['-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '--no-install-recommends', ...names.split(' ')],
  ];
  // Kept until the end: apt-get update ends with 0 even when it could fetch nothing, and only its output says why.
  let output = '';
  for (const args of steps) {
    const result = spawnSync('apt-get', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
      maxBuffer: 64 * 1024 * 1024,
    });
    if (result.error !== undefined) {
      return fail(
        `cannot run apt-get: ${result.error.message}`,
        'the tests need Debian or a system made of its packages',
      );
    }
    output += result.stdout + result.stderr;
    if (result.status === 0) continue;
    process.stderr.write(output);
    return fail(
      `apt-get ${args.join(' ')} ended with ${result.status ?? result.signal}`,
      'its output is above; when it is mended, run npm test again',
    );
  }

  // Exit codes are not believed (I11): the host is looked at again.
  const still = missingPackages().map(({ name, program }) => `${name} (no ${program})`);
  if (still.length === 0) return 0;
  return fail(
    `still missing after the installation: ${still.join(', ')}`,
    "does the package still bring this program? the table is at the script's top",
  );
}

function say(line: string): void {
  process.stderr.write(`debian-packages: ${line}\n`);
}

function fail(message: string, hint: string): number {
  say(message);
  say(`hint: ${hint}`);
  return 1;
}

if (import.meta.main) process.exitCode = main();
