/**
 * Running commands inside a Debian root as the system itself would, and debmend installed in one.
 *
 *   setpriv --pdeathsig ──► unshare ──► sh, the namespace's first process ──► chroot ──► the command
 *
 * /proc, /sys and /dev/pts are there for the command and vanish with it; so does all that it left running, whatever
 * ends it, this process's own end included. The host's kernel settings are read-only, and its name is safe.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { compile as build } from '../../scripts/build.ts';
import { run } from '../../src/system/run.ts';
import { cacheDirectory, proxies } from './roots.ts';

export interface InRootOptions {
  /** Milliseconds until all of it is killed. Default: five minutes. */
  readonly timeout?: number;
  /** Beside PATH, HOME, LC_ALL, DEBIAN_FRONTEND, and this host's proxies. */
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads on standard input, which is closed without it. */
  readonly input?: string;
  /** A program of this host, with its options, that runs the command: strace(1). It writes to this host's files. */
  readonly under?: readonly string[];
  /**
   * What the kernel's boot id is inside (random(4), /proc/sys/kernel/random/boot_id), a UUID: a power cut of the lab
   * does not reboot this host, and a program that asks has to see another boot all the same. Default: this host's.
   */
  readonly boot?: string;
  /** Without any network, the loopback device included. */
  readonly offline?: boolean;
}

export interface Ended {
  /** As a shell has it: 128 and the signal's number for a command that a signal ended. */
  readonly code: number | undefined;
  /** Set when all of it was killed at once: by its time limit, or by a cut of the disk below. */
  readonly signal: NodeJS.Signals | undefined;
  readonly timedOut: boolean;
  readonly stdout: string;
  /** The end of it, 64 KiB at most. */
  readonly stderr: string;
}

const REPOSITORY = join(import.meta.dirname, '../..');
const DEFAULT_TIMEOUT_MS = 5 * 60 * 1000;
/** A compiled debmend that no test has used for this long is one of sources that are no more. */
const STALE_MS = 60 * 60 * 1000;

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C',
  DEBIAN_FRONTEND: 'noninteractive',
};

/**
 * $1: the root; $2: the boot id, or nothing; the command follows. The shell stays, as the namespace's first process: that one takes no signal from
 * within, not even KILL, and has to reap what daemons leave, and the command is to know nothing of either. /dev/pts:
 * without it apt writes no term.log. What the shell itself says goes nowhere: "Killed" is no word of the command's, and
 * in the middle of a cut nobody reads the pipe. The boot id's file lies on a tmpfs that only its bind mount keeps.
 */
const FIRST_PROCESS = `
root=$1; boot=$2; shift 2
set -e
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
for name in sys sysrq-trigger; do
  [ -e "$root/proc/$name" ] || continue # a kernel may have no sysrq
  mount --bind "$root/proc/$name" "$root/proc/$name"
  mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/$name"
done
if [ -n "$boot" ]; then
  mount -t tmpfs -o nosuid,nodev,noexec,mode=0755 tmpfs "$root/sys"
  echo "$boot" > "$root/sys/boot_id"
  chmod 0444 "$root/sys/boot_id"
  mount --bind "$root/sys/boot_id" "$root/proc/sys/kernel/random/boot_id"
  umount "$root/sys"
fi
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t devpts -o nosuid,noexec,newinstance,gid=5,mode=0620,ptmxmode=0666 devpts "$root/dev/pts"
set +e
exec 3>&2 2> /dev/null
"$@" 2>&3 3>&-
exit $?
`;

/** apt-config takes its time; the configuration of this host does not change meanwhile. */
let proxy: Promise<Record<string, string>> | undefined;

/** Runs a command inside a root to its end. @throws Error when it cannot be started at all */
export async function inRoot(
  directory: string,
  command: readonly string[],
  options: InRootOptions = {},
): Promise<Ended> {
  proxy ??= proxies();
  const { timeout = DEFAULT_TIMEOUT_MS, under = [], input, boot = '', offline = false } = options;
  const network = offline ? ['--net'] : [];
  const namespaces = ['--mount', '--pid', '--uts', '--ipc', ...network, '--mount-proc', '--kill-child'];
  const args = [
    ...['--pdeathsig', 'KILL', 'unshare', ...namespaces],
    ...['sh', '-c', FIRST_PROCESS, 'sh', directory, boot],
    ...[...under, 'chroot', directory, ...command],
  ];
  const result = await run('setpriv', args, {
    timeout,
    env: { ...ENVIRONMENT, ...(await proxy), ...options.env },
    ...(input === undefined ? {} : { input: Buffer.from(input) }),
  });
  if (result.failure !== undefined) throw new Error(`${command.join(' ')}: ${result.failure}`);
  const { code, signal, timedOut, stdout, stderr } = result;
  return { code, signal, timedOut, stdout: stdout.toString('utf8'), stderr };
}

/** The same, for what has to succeed. @returns its standard output @throws Error with all that it said */
export async function mustInRoot(
  directory: string,
  command: readonly string[],
  options?: InRootOptions,
): Promise<string> {
  const { code, signal, timedOut, stdout, stderr } = await inRoot(directory, command, options);
  if (code === 0) return stdout;
  const end = timedOut ? 'took too long' : (code ?? signal);
  throw new Error(`${command.join(' ')}: ${end}\n${stdout}${stderr}`);
}

/** No service is started by an installation (invoke-rc.d(8)): daemons of a test would end with its command anyway. */
export function denyServices(directory: string): void {
  writeFileSync(join(directory, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
}

/**
 * Puts this checkout into a root as it is shipped: compiled, with its libraries and the Node.js beside it, at
 * /usr/lib/debmend, and a link to the program in /usr/bin. What was there is replaced. Nothing is synced.
 *
 * @throws Error when the sources do not compile, and when the root lacks a library of that Node.js
 */
export async function installDebmend(directory: string): Promise<void> {
  const home = join(directory, 'usr/lib/debmend');
  const program = join(directory, 'usr/bin/debmend');
  const dist = await compiled();
  rmSync(home, { recursive: true, force: true });
  rmSync(program, { force: true });
  mkdirSync(home);
  // Copies: a hard link would let a test that damages a root damage the checkout.
  const copy = ['-R', '--preserve=mode,timestamps,links', '--reflink=auto', '--target-directory', home];
  await must('cp', [...copy, '--parents', ...shippedFiles(), ...libraries(), ...runtime()]);
  await must('cp', [...copy, dist]);
  renameSync(join(home, dist.slice(dist.lastIndexOf('/') + 1)), join(home, 'dist'));
  symlinkSync('../lib/debmend/bin/debmend', program);

  const node = `/usr/lib/debmend/${runtime()[0]}`;
  const missing = (await mustInRoot(directory, ['ldd', node])).match(/\S+(?= => not found)/g) ?? [];
  if (missing.length > 0) {
    const hint = "debianRoot's include can name their packages (libatomic1, libstdc++6)";
    throw new Error(`Node.js cannot start in ${directory} without ${missing.join(', ')}; ${hint}`);
  }
}

interface Manifest {
  readonly files: readonly string[];
}

/** What package.json ships beside what is compiled. */
function shippedFiles(): string[] {
  const { files } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as Manifest;
  return ['package.json', ...files.filter((name) => name !== 'dist' && existsSync(join(REPOSITORY, name)))];
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly optional?: boolean }>>;
}

/** The directories of production dependencies (package-lock.json). The optional ones are the checkout's own tools. */
function libraries(): string[] {
  const { packages } = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')) as Lock;
  return Object.entries(packages).flatMap(([path, { dev = false, optional = false }]) =>
    // one inside another is copied with it
    /^node_modules\/(?!.*\/node_modules\/)/.test(path) && !dev && !optional ? [path] : [],
  );
}

/** The Node.js that bin/debmend starts on this machine, without its headers and manual (67 MB). */
function runtime(): [program: string, ...others: string[]] {
  const home = `node_modules/node-linux-${process.arch}`;
  return [`${home}/bin/node`, `${home}/package.json`, `${home}/LICENSE`];
}

let building: Promise<string> | undefined;

/** The compiled sources, in the test cache; compiled once for each state of theirs. @returns a directory */
async function compiled(): Promise<string> {
  building ??= compile();
  const dist = await building;
  // A campaign takes hours, and to others it looks as if nobody used this any more.
  if (existsSync(dist)) utimesSync(dist, new Date(), new Date());
  else building = compile();
  return building;
}

async function compile(): Promise<string> {
  const cache = cacheDirectory();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const hash = hashOfSources();
    const dist = join(cache, `debmend-dist-${hash}`);
    if (!existsSync(dist)) {
      // In the name of which process no matter: what a killed one left grows stale like the rest.
      const part = mkdtempSync(join(cache, 'debmend-dist-part-'));
      const wrong = await build(part);
      // Someone may have saved a file meanwhile, and then this is neither the one state nor the other.
      const changed = hashOfSources() !== hash;
      if (wrong !== undefined || changed) rmSync(part, { recursive: true });
      if (changed) continue;
      if (wrong !== undefined) throw new Error(`the sources do not compile: ${wrong}`);
      publish(part, dist);
    }
    utimesSync(dist, new Date(), new Date());
    removeStale(cache);
    return dist;
  }
  throw new Error('the sources change faster than they can be compiled');
}

/** Gives a finished directory its name, unless another process was first. */
function publish(part: string, target: string): void {
  try {
    renameSync(part, target);
  } catch (error) {
    rmSync(part, { recursive: true });
    if (!existsSync(target)) throw error;
  }
}

function removeStale(cache: string): void {
  for (const name of readdirSync(cache).filter((entry) => entry.startsWith('debmend-dist-'))) {
    const used = statSync(join(cache, name), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - used > STALE_MS) rmSync(join(cache, name), { recursive: true, force: true });
  }
}

/** Of all that the compiler reads, the compiler's own version included. */
function hashOfSources(): string {
  const files = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.ts'];
  const hash = createHash('sha256');
  for (const file of [...files, ...globSync('src/**/*.ts', { cwd: REPOSITORY }).sort()]) {
    const content = readFileSync(join(REPOSITORY, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex').slice(0, 20);
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const result = await run(program, args, { timeout: 120_000, cwd: REPOSITORY });
  if (result.code === 0) return;
  const why = result.failure ?? (result.timedOut ? 'took too long' : (result.code ?? result.signal));
  throw new Error(`${program} ${args.join(' ')}: ${why}\n${result.stderr}`);
}
