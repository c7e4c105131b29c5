/**
 * The face of this folder: a root's own dpkg and apt at work for a recovery. In the host's root they run directly; in
 * any other by chroot, with nothing of the host in reach and nothing left behind (sandbox.ts).
 */
import type { Bytes } from '../../system/bytes.ts';
import { DebmendError } from '../../system/errors.ts';
import type { HeldLocks } from '../../system/hold-locks.ts';
import type { Root } from '../../system/root.ts';
import { aptOptions } from './apt.ts';
import { execute, type ProgramResult } from './execute.ts';
import { type ProgramProblem, parseProblems } from './problems.ts';
import { inSandbox, insideName, SETUP_FAILED, withHostDpkg } from './sandbox.ts';

export type { ProgramResult } from './execute.ts';
export type { ProgramProblem } from './problems.ts';

export interface ProgramsOptions {
  /** Ends the program that runs, and lets no other begin. */
  readonly signal?: AbortSignal;
  /** Takes each line that a program writes, as bytes. */
  readonly onOutput?: (line: Bytes) => void;
  /** dpkg's locks, if they are held: they are lent to the dpkg that runs here, and to nobody else. */
  readonly locks?: HeldLocks;
}

export interface RunOptions {
  /** Milliseconds until it and what it started are ended. */
  readonly timeout: number;
  /** Files of this host that it is to see in another root, read-only, as `inside` calls them. */
  readonly visible?: readonly string[];
  /** Whether it has the host's network in another root. Default: no. */
  readonly network?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export interface PackageResult extends ProgramResult {
  /** What dpkg and apt say went wrong. None is no proof: read the database (I11). */
  readonly problems: readonly ProgramProblem[];
}

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C',
  TERM: 'dumb',
  DEBIAN_FRONTEND: 'noninteractive',
  DEBCONF_NONINTERACTIVE_SEEN: 'true',
  DEBMEND_HOOKS: 'off',
  APT_LISTCHANGES_FRONTEND: 'none',
  NEEDRESTART_MODE: 'l',
  NEEDRESTART_SUSPEND: '1',
};
/** Of systemctl(1): in another root there is no manager to talk to, and that is no failure. */
const FOREIGN = { SYSTEMD_OFFLINE: '1' };

/**
 * Conffiles stay as they are (I3). Everything is synced, whatever a container's configuration says: what a recovery
 * writes has to survive the next cut. One broken package does not keep the others from being mended.
 */
const DPKG_OPTIONS = ['--force-confdef', '--force-confold', '--no-force-unsafe-io', '--abort-after=100000'];
/** A large upgrade on a slow machine: a limit that only something that hangs reaches. In milliseconds. */
const PACKAGE_TIMEOUT_MS = 2 * 60 * 60 * 1000;

export class Programs {
  readonly root: Root;
  readonly #options: ProgramsOptions;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<ProgramResult>>();

  private constructor(root: Root, options: ProgramsOptions) {
    this.root = root;
    this.#options = options;
  }

  /**
   * @throws DebmendError `cannot-run-programs` where another root's programs can't be run: without the superuser, in a
   * container that may not mount, or in a directory that is no system's root
   */
  static async open(root: Root, options: ProgramsOptions = {}): Promise<Programs> {
    const programs = new Programs(root, options);
    if (root.isHost) return programs;
    // `chroot` without a program of the root: whether those work is another question (rescue.ts).
    const { program, args } = inSandbox(root, [], { visible: [], network: false });
    const chroot = args.lastIndexOf('setpriv');
    const probe = await programs.#execute(program, [...args.slice(0, chroot), 'true'], 60_000);
    if (probe.code === 0) return programs;
    throw new DebmendError(
      'cannot-run-programs',
      `running programs in ${root.path}: ${probe.failure ?? (lastLine(probe.stderr) || 'it failed')}`,
      'run it as root, where mounting is allowed (in a container that takes CAP_SYS_ADMIN)',
    );
  }

  /** What a file of this host is called for a program that it is `visible` to. */
  inside(file: string): string {
    return insideName(this.root, file);
  }

  /** Runs a program to its end, without questions. Never throws for what the program does. */
  async run(program: string, args: readonly string[], options: RunOptions): Promise<ProgramResult> {
    const env = { ...this.#environment(), ...options.env };
    if (this.root.isHost) return await this.#execute(program, args, options.timeout, env);
    const { visible = [], network = false } = options;
    const sandbox = inSandbox(this.root, [program, ...args], { visible, network });
    const result = await this.#execute(sandbox.program, sandbox.args, options.timeout, env);
    const { code, stderr, failure } = result;
    // chroot's own codes, and its own word before them: 125 it failed, 126 not executable, 127 not found.
    const own = code === SETUP_FAILED || ((code === 126 || code === 127) && /^chroot: /m.test(stderr));
    return own && failure === undefined ? { ...result, failure: lastLine(stderr) || 'it failed' } : result;
  }

  /**
   * Runs the root's dpkg: conffiles stay, everything is synced, nothing is asked.
   *
   * @param visible .debs among the arguments, as paths of this host; in the arguments by `inside`
   * @throws DebmendError `locked` when the lock that dpkg was lent can't be had back
   */
  async dpkg(args: readonly string[], visible: readonly string[] = []): Promise<PackageResult> {
    return await this.#package('dpkg', [...DPKG_OPTIONS, ...args], {
      timeout: PACKAGE_TIMEOUT_MS,
      visible,
    });
  }

  /**
   * Has the host's own dpkg work on another root: the last resort, where nothing of the root can be run, as when it is
   * of a foreign architecture. A package with maintainer scripts then fails at the first of them, as it should.
   *
   * @param args .debs among them as paths of this host
   * @throws DebmendError `locked` as `dpkg`
   */
  async hostDpkg(args: readonly string[]): Promise<PackageResult> {
    const { program, args: all } = withHostDpkg(this.root, [...DPKG_OPTIONS, ...args]);
    const work = (): Promise<ProgramResult> =>
      this.#execute(program, all, PACKAGE_TIMEOUT_MS, this.#environment());
    return await this.#lending(work);
  }

  /**
   * Runs the root's apt-get, which takes no locks: ours keep everyone else out, without a gap.
   *
   * @throws DebmendError `locked` as `dpkg`
   */
  async aptGet(args: readonly string[], options: Partial<RunOptions> = {}): Promise<PackageResult> {
    const locking = this.#options.locks === undefined ? [] : ['-o', 'Debug::NoLocking=1'];
    const all = [...aptOptions(DPKG_OPTIONS), ...locking, ...args];
    return await this.#package('apt-get', all, { timeout: PACKAGE_TIMEOUT_MS, ...options });
  }

  async #package(program: string, args: readonly string[], options: RunOptions): Promise<PackageResult> {
    return await this.#lending(() => this.run(program, args, options));
  }

  async #lending(work: () => Promise<ProgramResult>): Promise<PackageResult> {
    const { locks } = this.#options;
    const result = locks === undefined ? await work() : await locks.aroundDpkg(work);
    return { ...result, problems: parseProblems(result.stdout, result.stderr) };
  }

  #environment(): Record<string, string> {
    return {
      ...ENVIRONMENT,
      ...(this.root.isHost ? {} : FOREIGN),
      ...(this.#options.locks === undefined ? {} : { DPKG_FRONTEND_LOCKED: 'true' }),
    };
  }

  async #execute(
    program: string,
    args: readonly string[],
    timeout: number,
    env: Readonly<Record<string, string>> = ENVIRONMENT,
  ): Promise<ProgramResult> {
    const { signal, onOutput } = this.#options;
    const stop = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    const running = execute(program, args, { env, timeout, signal: stop, onLine: onOutput });
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Ends what still runs, and waits for that. Nothing can be run afterwards. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }
}

function lastLine(text: Bytes): Bytes {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
