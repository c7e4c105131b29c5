/**
 * Running one program of a recovery to its end. Unlike system/run.ts it expects programs that start others, run for
 * minutes and must not be hurt by what becomes of debmend:
 *
 * - its output goes to files without a name, not into pipes. A daemon that a maintainer script starts keeps a pipe open
 *   for ever; and without its reader, when debmend is killed, dpkg would die of the next word it says, and its
 *   maintainer script go on with no lock held.
 * - it has a session of its own: no terminal to ask questions on, and a process group that is ended as a whole.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Bytes } from '../../system/bytes.ts';
import { messageOf } from '../../system/errors.ts';

export interface ProgramResult {
  /** The exit code; as a shell has it where the program ran in another root: 128 and the signal's number. */
  readonly code: number | undefined;
  readonly signal?: NodeJS.Signals;
  readonly timedOut: boolean;
  /** Whether the caller's signal ended it, or kept it from being started. */
  readonly interrupted: boolean;
  /** The last 8 MiB of it. */
  readonly stdout: Bytes;
  /** The last 8 MiB of it. */
  readonly stderr: Bytes;
  /** Why it could not be started, or was ended before its time. */
  readonly failure: string | undefined;
}

export interface ExecuteOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds until it and what it started are ended. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** Takes each line that it writes, of both outputs, as bytes. */
  readonly onLine?: ((line: Bytes) => void) | undefined;
}

const KEPT_BYTES = 8 * 1024 * 1024;
const POLL_MS = 100;
/** From SIGTERM to SIGKILL: dpkg has no use for more, and a script may want to take its temporary files away. */
const GRACE_MS = 2_000;

/** Never throws: what can't be started is a result with `failure`. */
export async function execute(
  program: string,
  args: readonly string[],
  options: ExecuteOptions,
): Promise<ProgramResult> {
  const outputs: Output[] = [];
  try {
    const stdout = new Output(options.onLine);
    outputs.push(stdout);
    const stderr = new Output(options.onLine);
    outputs.push(stderr);
    const end = await untilEnd(program, args, options, [stdout, stderr]);
    return { ...end, stdout: stdout.end(), stderr: stderr.end() };
  } catch (error) {
    const failure = messageOf(error);
    return { ...NOT_STARTED, stdout: '', stderr: '', failure };
  } finally {
    for (const output of outputs) output.close();
  }
}

type End = Omit<ProgramResult, 'stdout' | 'stderr'>;

const NOT_STARTED = { code: undefined, timedOut: false, interrupted: false } as const;
const INTERRUPTED = 'it was interrupted';

function untilEnd(
  program: string,
  args: readonly string[],
  { env, timeout, signal }: ExecuteOptions,
  outputs: readonly [Output, Output],
): Promise<End> {
  if (signal.aborted) {
    return Promise.resolve({ ...NOT_STARTED, interrupted: true, failure: INTERRUPTED });
  }
  return new Promise((resolve) => {
    let timedOut = false;
    let failure: string | undefined;
    const child = spawn(program, args, {
      stdio: ['ignore', outputs[0].fd, outputs[1].fd],
      env,
      cwd: '/',
      detached: true,
    });
    let grace: NodeJS.Timeout | undefined;
    const end = (why: string): void => {
      failure ??= why;
      killGroup(child.pid, 'SIGTERM');
      grace ??= setTimeout(() => killGroup(child.pid, 'SIGKILL'), GRACE_MS);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end(`it took longer than ${Math.round(timeout / 1000)} seconds`);
    }, timeout);
    const interrupt = (): void => end(INTERRUPTED);
    signal.addEventListener('abort', interrupt);
    const poll = setInterval(() => {
      for (const output of outputs) output.read();
    }, POLL_MS);
    const settle = (result: Pick<End, 'code' | 'signal'>): void => {
      // What it started and left behind in its group is ended only when it was itself.
      if (failure !== undefined) killGroup(child.pid, 'SIGKILL');
      clearTimeout(timer);
      clearTimeout(grace);
      clearInterval(poll);
      signal.removeEventListener('abort', interrupt);
      resolve({ ...result, timedOut, interrupted: failure === INTERRUPTED, failure });
    };
    child.once('error', (error) => {
      failure = messageOf(error);
      if (child.pid === undefined) settle({ code: undefined });
    });
    child.once('exit', (code, killed) => {
      settle({ code: code ?? undefined, ...(killed === null ? {} : { signal: killed }) });
    });
  });
}

function killGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // Nobody is left in it.
  }
}

/** A file without a name, and the lines that were written to it. */
class Output {
  readonly fd: number;
  readonly #onLine: ((line: Bytes) => void) | undefined;
  readonly #buffer = Buffer.allocUnsafe(64 * 1024);
  #position = 0;
  #text: Bytes = '';
  #rest: Bytes = '';

  constructor(onLine: ((line: Bytes) => void) | undefined) {
    this.fd = openNameless();
    this.#onLine = onLine;
  }

  read(): void {
    for (;;) {
      const count = readSync(this.fd, this.#buffer, 0, this.#buffer.length, this.#position);
      if (count === 0) break;
      this.#position += count;
      this.#take(this.#buffer.toString('latin1', 0, count));
    }
    // It lies in memory mostly; who writes, appends, so that it may be emptied under their hands.
    if (this.#position < KEPT_BYTES || fstatSync(this.fd).size > this.#position) return;
    ftruncateSync(this.fd, 0);
    this.#position = 0;
  }

  #take(text: Bytes): void {
    this.#text = (this.#text + text).slice(-KEPT_BYTES);
    if (this.#onLine === undefined) return;
    const lines = (this.#rest + text).split(/[\r\n]+/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') this.#onLine(line);
  }

  end(): Bytes {
    this.read();
    if (this.#rest !== '') this.#onLine?.(this.#rest);
    this.#rest = '';
    return this.#text;
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** In memory where that is to be had: the disk may be full, or read-only. @throws the error of the last place tried */
function openNameless(): number {
  let failed: unknown;
  for (const directory of ['/run', '/dev/shm', tmpdir(), '/var/tmp']) {
    try {
      const file = `${directory}/.debmend-output-${randomUUID()}`;
      const fd = openSync(file, 'ax+', 0o600);
      unlinkSync(file);
      return fd;
    } catch (error) {
      failed = error;
    }
  }
  throw failed;
}
