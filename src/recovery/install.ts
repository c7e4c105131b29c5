/**
 * The ways in which packages are brought to a state during a recovery, each program written down in the run's journal
 * before it is started. What they return is what went wrong, in words; whether the end is right is for the next look
 * at dpkg's database to say (I11).
 */
import { bytesToText } from '../model/path-text.ts';
import { messageOf } from '../system/errors.ts';
import type { Run } from './actions.ts';
import type { LameScripts } from './failed-scripts.ts';
import { installLocal } from './programs/local.ts';
import type { PackageResult, ProgramProblem, ProgramResult, Programs } from './programs/runner.ts';

export interface DpkgOptions {
  readonly forces: readonly string[];
}

const MARK_TIMEOUT_MS = 120_000;
const GENERATE_TIMEOUT_MS = 30 * 60_000;

export class Installer {
  readonly #run: Run;
  readonly #programs: Programs;
  readonly #scripts: LameScripts;

  /** @param scripts is told what went wrong with packages */
  constructor(run: Run, programs: Programs, scripts: LameScripts) {
    this.#run = run;
    this.#programs = programs;
    this.#scripts = scripts;
  }

  /** By apt, offline, from exactly these .debs (paths of this host); by dpkg where apt cannot. */
  async install(
    archives: readonly string[],
    removals: readonly string[],
    { purge }: { readonly purge: boolean },
    why: string,
  ): Promise<string[]> {
    if (archives.length === 0 && removals.length === 0) return [];
    const installation = { archives, ...(purge ? { purge: removals } : { remove: removals }) };
    const record = this.#run.program({
      program: 'apt-get',
      args: ['install', ...archives, ...removals.map((name) => `${name}-`)],
      why: { reason: why },
    });
    try {
      const result = await installLocal(this.#programs, installation);
      const output = result.runs.map(({ stdout, stderr }) => `${stdout}\n${stderr}`).join('\n');
      record.done({ code: result.code, output });
      this.#scripts.sawProblems(result.problems);
      return problemsOf('apt-get', result);
    } catch (error) {
      record.done({ code: undefined, output: messageOf(error) });
      throw error;
    }
  }

  async dpkgInstall(
    archives: readonly string[],
    { unpackOnly, forces }: DpkgOptions & { readonly unpackOnly: boolean },
    why: string,
  ): Promise<string[]> {
    if (archives.length === 0) return [];
    const inside = archives.map((file) => this.#programs.inside(file));
    return await this.#dpkg([...forces, unpackOnly ? '--unpack' : '--install', ...inside], why, archives);
  }

  async dpkgRemove(
    names: readonly string[],
    { purge, forces }: DpkgOptions & { readonly purge: boolean },
    why: string,
  ): Promise<string[]> {
    if (names.length === 0) return [];
    return await this.#dpkg([...forces, purge ? '--purge' : '--remove', ...names], why);
  }

  /** @param packages without any, all that wait */
  async configure(packages: readonly string[], why: string): Promise<string[]> {
    return await this.#dpkg(['--configure', ...(packages.length === 0 ? ['-a'] : packages)], why);
  }

  /** Sets apt's marks; a name that is not installed is left out by apt-mark itself. */
  async mark(automatic: readonly string[], manual: readonly string[]): Promise<string[]> {
    const problems: string[] = [];
    for (const [mark, names] of [
      ['auto', automatic],
      ['manual', manual],
    ] as const) {
      if (names.length === 0) continue;
      problems.push(
        ...(await this.run(
          'apt-mark',
          [mark, ...names],
          'automatic marks as they would have been',
          MARK_TIMEOUT_MS,
        )),
      );
    }
    return problems;
  }

  /** Fetches archives of exact versions into apt's own cache; apt verifies them. */
  async download(packages: readonly string[], why: string): Promise<string[]> {
    const args = ['--download-only', '--reinstall', 'install', ...packages];
    const result = await this.#journaled('apt-get', args, why, () =>
      this.#programs.aptGet(args, { network: true }),
    );
    return problemsOf('apt-get', result);
  }

  /** Runs any program of the root: a generator, for instance. */
  async run(
    program: string,
    args: readonly string[],
    why: string,
    timeout = GENERATE_TIMEOUT_MS,
  ): Promise<string[]> {
    const result = await this.#journaled(program, args, why, () =>
      this.#programs.run(program, args, { timeout }),
    );
    if (result.code === 0) return [];
    return [`${program}: ${endOf(result)}`];
  }

  async #dpkg(args: readonly string[], why: string, visible: readonly string[] = []): Promise<string[]> {
    const result = await this.#journaled('dpkg', args, why, () => this.#programs.dpkg(args, visible));
    this.#scripts.sawProblems(result.problems);
    return problemsOf('dpkg', result);
  }

  async #journaled<T extends ProgramResult>(
    program: string,
    args: readonly string[],
    reason: string,
    work: () => Promise<T>,
  ): Promise<T> {
    const record = this.#run.program({ program, args, why: { reason } });
    let result: T | undefined;
    try {
      result = await work();
      return result;
    } catch (error) {
      record.done({ code: undefined, output: messageOf(error) });
      throw error;
    } finally {
      if (result !== undefined)
        record.done({ code: result.code, output: `${result.stdout}\n${result.stderr}` });
    }
  }
}

function problemsOf(program: string, result: PackageResult): string[] {
  const said = result.problems.map(describe);
  if (said.length > 0 || result.code === 0) return said;
  return [`${program}: ${endOf(result)}`];
}

function describe({ by, package: name, message }: ProgramProblem): string {
  return `${by}${name === undefined ? '' : `, ${bytesToText(name)}`}: ${bytesToText(message)}`;
}

function endOf({ code, signal, timedOut, failure, stderr }: ProgramResult): string {
  if (failure !== undefined) return failure;
  if (timedOut) return 'it took too long and was ended';
  const last = bytesToText(stderr.trimEnd().split('\n').at(-1) ?? '');
  return last !== '' ? last : `it ended with ${code ?? signal ?? 'nothing'}`;
}
