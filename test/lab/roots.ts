/**
 * Real Debian roots for tests, made by mmdebstrap(1) from the archive that this host itself installs from.
 *
 * A pristine root is built once and kept as a tarball outside the repository; a test gets its own extracted copy, with
 * which it may do what it likes. What a killed test process could leave behind is bounded by construction:
 *
 *   flock ──► setpriv --pdeathsig ──► unshare --mount --pid --kill-child ──► mmdebstrap
 *
 *  - mmdebstrap's mounts live in a mount namespace of its own and vanish with it, whatever ends it;
 *  - it is the namespace's first process and dies with unshare, which dies with this process;
 *  - the lock is the kernel's (flock(2)) and goes with its holder; whoever takes it next clears the scratch directory;
 *  - a tarball appears under its name only by rename(2), whole.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'vitest';
import { missingPackages, underCI } from '../../scripts/debian-packages.ts';
import { bytesFromText } from '../../src/system/bytes.ts';
import { mountOf, readMounts } from '../../src/system/mounts.ts';
import { type RunResult, run } from '../../src/system/run.ts';

export type DebianSuite = 'bookworm' | 'trixie';

/**
 * The suites of tests that take minutes in each: both by `npm run long`, the older one in the ordinary run. What the
 * two have different, paths and tools, is what their short tests are about.
 */
export const LONG_SUITES: readonly DebianSuite[] =
  process.env['DEBMEND_LONG'] === '1' ? ['bookworm', 'trixie'] : ['bookworm'];

/** Every n-th of many cases that take seconds each; all of them by `npm run long`. */
export function someOf<T>(cases: readonly T[], n: number): readonly T[] {
  return process.env['DEBMEND_LONG'] === '1' ? cases : cases.filter((_, at) => at % n === 0);
}

export interface DebianRootOptions {
  /** Packages beside the minimal set (Essential, Priority: required, apt), with their hard dependencies. */
  readonly include?: readonly string[];
  /** Keeps the .deb of every installed package in /var/cache/apt/archives. Default: the directory is empty. */
  readonly keepArchives?: boolean;
}

export interface DebianRoot {
  /** The root, as a path of this host without symbolic links. */
  readonly directory: string;
  /**
   * Deletes it; a second call does nothing.
   * @throws Error when something is still mounted beneath it, before anything is deleted.
   */
  remove(): void;
}

/** Older than this the archive may no longer have the versions that the root's package lists name. */
const MAX_AGE_MS = 7 * 24 * 60 * 60 * 1000;
/** A build takes about 15 s; a slow mirror and MariaDB's dependencies a few minutes. */
const BUILD_TIMEOUT_MS = 9 * 60 * 1000;
const EXTRACT_TIMEOUT_MS = 2 * 60 * 1000;
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** The bit of the capability that mount(2) and unshare(2) ask for (linux/capability.h). */
const CAP_SYS_ADMIN = 21n;
/** The suites that an archive is recognized by when its Release files are not on this host. */
const DEBIAN_SUITES = ['bullseye', 'bookworm', 'trixie', 'forky', 'sid'];

/**
 * What makes mmdebstrap's root one that a user could have. It copies this host's name and resolver with this host's
 * modes, writes no /etc/hosts, and leaves apt's binary caches (86 MB, which apt makes again when it wants them).
 */
const CUSTOMIZE = [
  `printf 'debian\\n' > "$1/etc/hostname"`,
  `printf '127.0.0.1\\tlocalhost\\n127.0.1.1\\tdebian\\n\\n::1\\tlocalhost ip6-localhost ip6-loopback\\n' > "$1/etc/hosts"`,
  `chmod 0644 "$1/etc/hostname" "$1/etc/hosts"`,
  `if [ -f "$1/etc/resolv.conf" ] && [ ! -L "$1/etc/resolv.conf" ]; then chmod 0644 "$1/etc/resolv.conf"; fi`,
  `rm -f "$1/var/cache/apt/pkgcache.bin" "$1/var/cache/apt/srcpkgcache.bin"`,
];

/** Why debianRoot cannot work here, or undefined when it can. */
export function whyNoRoots(): string | undefined {
  if (process.getuid?.() !== 0) return 'a real Debian root needs the superuser';
  // In a container root has no more than what the container was given (capabilities(7), proc_pid_status(5)).
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(textOf('/proc/self/status'))?.[1] ?? '0';
  if (((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 0n) {
    return 'a real Debian root needs CAP_SYS_ADMIN, which this container does not have';
  }
  if (missingPackages().some(({ name }) => name === 'mmdebstrap')) {
    return 'mmdebstrap is not installed; run scripts/debian-packages.ts';
  }
  return undefined;
}

/** A test that needs debianRoot: skipped with the reason where that cannot work, and under CI=true failed. */
export function rootTest(name: string, body: TestBody, timeout?: number): void {
  testUnless(whyNoRoots(), name, body, timeout);
}

export type TestBody = (context: TestContext) => Promise<void> | void;

/** The same for a test with a reason of its own, or none, not to work here. */
export function testUnless(reason: string | undefined, name: string, body: TestBody, timeout?: number): void {
  if (reason === undefined) it(name, body, timeout);
  else if (underCI()) it(name, () => Promise.reject(new Error(reason)));
  else it.skip(`${name} (${reason})`, () => {});
}

/** The same for a whole group, whose beforeAll may call debianRoot. */
export function rootDescribe(name: string, body: () => void): void {
  const reason = whyNoRoots();
  if (reason === undefined) describe(name, body);
  else if (underCI()) describe(name, () => it('has real roots', () => Promise.reject(new Error(reason))));
  else describe.skip(`${name} (${reason})`, body);
}

/**
 * A fresh, private copy of a pristine minimal root: `dpkg --audit` and `dpkg --verify` say nothing about it, the package
 * lists are there (apt can name, and with keepArchives reinstall, everything without a network once), dpkg's and apt's
 * logs tell of the installation, /dev has the device nodes, nothing is mounted. This host's dpkg and apt configuration
 * is not in it. The first call for given parameters builds (about 15 s), later ones extract (2 to 3 s).
 *
 * The environment: DEBMEND_TEST_CACHE names the directory of the tarballs, DEBMEND_TEST_MIRROR the archive, for a host
 * that has no Debian archive among its sources. http_proxy and https_proxy are passed on.
 *
 * @throws Error without the superuser, without a Debian archive among apt's sources, and when mmdebstrap or tar fails;
 * the message has the end of what they wrote.
 */
export async function debianRoot(suite: DebianSuite, options: DebianRootOptions = {}): Promise<DebianRoot> {
  const tarball = await pristineTarball(suite, options);
  const directory = mkdtempSync(join(workDirectory(), 'debmend-root-'));
  const root: DebianRoot = { directory, remove: () => removeTree(directory) };
  try {
    await extract(tarball, directory);
  } catch (error) {
    root.remove();
    throw error;
  }
  return root;
}

/**
 * The same root in a directory that the caller made, on a filesystem of its own for example; what is in it already
 * (lost+found) stays. It is not synced.
 *
 * @throws Error as debianRoot
 */
export async function extractRoot(
  suite: DebianSuite,
  options: DebianRootOptions,
  directory: string,
): Promise<void> {
  await extract(await pristineTarball(suite, options), directory);
}

async function extract(tarball: string, directory: string): Promise<void> {
  // Without --xattrs-include tar takes the user.* attributes only, and a file capability is security.capability.
  const args = [
    '--xattrs',
    '--xattrs-include=*',
    '--acls',
    '--numeric-owner',
    '-xpf',
    tarball,
    '-C',
    directory,
  ];
  const result = await run('tar', args, { timeout: EXTRACT_TIMEOUT_MS });
  if (result.code !== 0) throw failure(`extract ${tarball}`, result);
}

async function pristineTarball(suite: DebianSuite, options: DebianRootOptions): Promise<string> {
  const reason = whyNoRoots();
  if (reason !== undefined) throw new Error(reason);
  const archive = await debianArchive(suite);
  const recipe = (target: string) => mmdebstrapArguments(suite, archive, target, options);
  // All that decides the content: the command line, the resolver that is copied in, the date of this host's index.
  const key = createHash('sha256')
    .update(JSON.stringify([recipe(''), textOf('/etc/resolv.conf'), archive.indexed]))
    .digest('hex');
  const cache = cacheDirectory();
  const base = join(cache, `${suite}-${key.slice(0, 20)}`);
  const tarball = `${base}.tar`;
  if (ageOf(tarball) < MAX_AGE_MS) return tarball;
  await whileLocked(`${base}.lock`, async () => {
    if (ageOf(tarball) < MAX_AGE_MS) return; // someone else built it while we waited
    await build(tarball, `${base}.scratch`, recipe);
  });
  // Twice the age: another process may have found one of these young enough a moment ago.
  for (const name of readdirSync(cache).filter((entry) => entry.endsWith('.tar'))) {
    if (ageOf(join(cache, name)) > 2 * MAX_AGE_MS) rmSync(join(cache, name), { force: true });
  }
  return tarball;
}

async function build(tarball: string, scratch: string, recipe: (target: string) => string[]): Promise<void> {
  removeTree(scratch); // of a build that was killed: the lock is ours, so the directory is no one's
  mkdirSync(scratch);
  try {
    const part = join(scratch, 'root.tar');
    const contained = ['--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--mount-proc', '--kill-child'];
    const args = recipe(part);
    const result = await run('setpriv', [...contained, 'mmdebstrap', ...args], {
      timeout: BUILD_TIMEOUT_MS,
      env: { TMPDIR: scratch, ...(await proxies()) },
    });
    if (result.code !== 0) throw failure(`mmdebstrap ${args.join(' ')}`, result);
    renameSync(part, tarball);
  } finally {
    removeTree(scratch);
  }
}

/** mmdebstrap(1), sections OPTIONS and OPERATION. */
function mmdebstrapArguments(
  suite: DebianSuite,
  archive: DebianArchive,
  target: string,
  { include = [], keepArchives = false }: DebianRootOptions,
): string[] {
  const skip = [
    'cleanup/apt/lists', // without its lists apt knows no package, not even one whose .deb is in its cache
    'cleanup/reproducible', // it would delete dpkg.log and apt's logs, which every real host has
    ...(keepArchives ? ['essential/unlink', 'cleanup/apt/cache'] : []),
  ];
  return [
    '--mode=root',
    '--variant=minbase',
    '--format=tar',
    `--skip=${skip.join(',')}`,
    ...CUSTOMIZE.map((command) => `--customize-hook=${command}`),
    ...(include.length > 0 ? [`--include=${[...include].sort().join(',')}`] : []),
    suite,
    target,
    `deb [signed-by=${KEYRING}] ${archive.uri} ${suite} ${archive.components.join(' ')}`,
  ];
}

interface DebianArchive {
  readonly uri: string;
  readonly components: readonly string[];
  /** When the archive last changed this suite's index, in milliseconds; undefined where this host does not list it. */
  readonly indexed: number | undefined;
}

/** Asked once a process: apt-get takes half a second to read its Release files. */
const archives = new Map<DebianSuite, Promise<DebianArchive>>();
function debianArchive(suite: DebianSuite): Promise<DebianArchive> {
  const known = archives.get(suite) ?? findDebianArchive(suite);
  archives.set(suite, known);
  return known;
}

/** The Debian archive among apt's sources (apt-get(8), indextargets), preferring the one that has the suite. */
async function findDebianArchive(suite: DebianSuite): Promise<DebianArchive> {
  const { DEBMEND_TEST_MIRROR: override } = process.env;
  if (override !== undefined) return { uri: override, components: ['main'], indexed: undefined };
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(LABEL)|$(FILENAME)';
  const list = async (...extra: string[]) => {
    const args = ['indextargets', ...extra, '--format', format, 'Created-By: Packages'];
    const result = await run('apt-get', args, { timeout: 60_000 });
    if (result.code !== 0) throw failure('list the sources of apt', result);
    const lines = result.stdout.toString('utf8').trimEnd().split('\n');
    return lines.map((line) => {
      const [uri = '', release = '', component = '', origin = '', label = '', filename = ''] =
        line.split('|');
      return { uri, release, component, origin, label, filename };
    });
  };
  // Label tells the archive from its security archive. Where the lists were deleted, as in container images, apt
  // shows its targets without what the Release files say, and the suite's name has to do.
  let targets = (await list()).filter(
    ({ origin, label, release }) => origin === 'Debian' && label === 'Debian' && !release.includes('-'),
  );
  if (targets.length === 0) {
    targets = (await list('--no-release-info')).filter(({ release }) => DEBIAN_SUITES.includes(release));
  }
  targets = targets.filter(({ uri }) => /^https?:/.test(uri));
  const chosen = targets.find(({ release }) => release === suite) ?? targets[0];
  if (chosen === undefined) {
    throw new Error('no Debian archive among the sources of apt; name one in DEBMEND_TEST_MIRROR');
  }
  const same = targets.filter(({ uri, release }) => uri === chosen.uri && release === chosen.release);
  return {
    uri: chosen.uri,
    components: [...new Set(same.map(({ component }) => component))].sort(),
    // apt gives a list the time at which the server last modified it.
    indexed:
      chosen.release === suite ? statSync(chosen.filename, { throwIfNoEntry: false })?.mtimeMs : undefined,
  };
}

/** A new root's apt reads only the root's configuration, so a proxy of this host's apt has to go by environment. */
export async function proxies(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const scheme of ['http', 'https']) {
    const args = ['dump', '--format', '%v', `Acquire::${scheme}::Proxy`];
    const configured = (await run('apt-config', args, { timeout: 10_000 })).stdout.toString('utf8');
    const proxy = process.env[`${scheme}_proxy`] ?? configured;
    if (proxy.includes('://')) found[`${scheme}_proxy`] = proxy; // not apt's DIRECT
  }
  const { no_proxy: direct } = process.env;
  return direct === undefined ? found : { ...found, no_proxy: direct };
}

/** Does the work while flock(1) holds an exclusive lock on the file, for as long as this process lives. */
export async function whileLocked(file: string, work: () => Promise<void>): Promise<void> {
  // The holder ends when its standard input does, which the kernel closes with this process.
  const args = ['--exclusive', '--no-fork', file, 'sh', '-c', 'echo held; exec cat'];
  const holder = spawn('flock', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = new Promise<void>((resolve) => holder.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    holder.once('error', reject);
    holder.once('close', (code) => reject(new Error(`cannot lock ${file}: flock ended with ${code}`)));
  });
  try {
    await work();
  } finally {
    holder.stdin.end();
    await closed;
  }
}

/** Where what takes long to make is kept between test runs, outside the repository. */
export function cacheDirectory(): string {
  const { DEBMEND_TEST_CACHE: chosen } = process.env;
  if (chosen !== undefined) {
    mkdirSync(chosen, { recursive: true });
    return realpathSync(chosen);
  }
  const uid = process.getuid?.() ?? 0;
  const directory = join(workDirectory(), `debmend-test-cache-${uid}`);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  // The name can be guessed and the parent is open to all: what another user put here is not unpacked as root.
  const stat = lstatSync(directory);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) {
    throw new Error(`${directory} belongs to someone else; delete it, or name another in DEBMEND_TEST_CACHE`);
  }
  return directory;
}

/**
 * Where roots are unpacked, as a path without symbolic links: mountinfo has none, and remove() compares with it. A /tmp
 * that systemd mounts has `nodev`, and in a chroot there /dev/null cannot be opened.
 */
export function workDirectory(): string {
  const mounts = readMounts();
  const usable = (directory: string) => {
    const options = mountOf(mounts, bytesFromText(realpathSync(directory)))?.options ?? [];
    return !options.includes('nodev') && !options.includes('noexec');
  };
  const directory = [tmpdir(), '/var/tmp'].find(usable);
  if (directory === undefined) {
    throw new Error(`${tmpdir()} and /var/tmp are mounted nodev or noexec; name another directory in TMPDIR`);
  }
  return realpathSync(directory);
}

/** Deletes a directory of ours, if it is there. Uses rm(1): names in a root need not be UTF-8. */
export function removeTree(directory: string): void {
  const beneath = bytesFromText(`${directory}/`);
  const mounted = readMounts().find(({ mountPoint }) => `${mountPoint}/`.startsWith(beneath));
  if (mounted !== undefined) throw new Error(`${mounted.mountPoint} is still mounted; unmount it first`);
  const args = ['-rf', '--one-file-system', '--', directory];
  const result = spawnSync('rm', args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`cannot delete ${directory}: ${result.error ?? result.stderr}`);
}

/** Milliseconds since a file was written; Infinity when it is not there. */
function ageOf(file: string): number {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? Number.POSITIVE_INFINITY : Date.now() - stat.mtimeMs;
}

function textOf(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

function failure(what: string, result: RunResult): Error {
  const end = result.timedOut ? 'took too long' : `ended with ${result.code ?? result.signal}`;
  return new Error(`${what}: ${result.failure ?? end}\n${result.stderr}`);
}
