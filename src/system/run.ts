/**
 * Running a program: no shell, a fixed PATH, LC_ALL=C, standard input closed, a time limit. What it returns is data;
 * an exit code is never taken for the truth by itself (I11).
 */
import { getBuiltinModule } from 'node:process';
import { messageOf } from './errors.ts';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface RunOptions {
  /** Milliseconds until the program is killed. */
  readonly timeout: number;
  /** Takes standard output piece by piece; without it the output is collected. */
  readonly onStdout?: (chunk: Buffer) => void;
  /** The same for standard error, of which otherwise only the end is kept. */
  readonly onStderr?: (chunk: Buffer) => void;
  /** Ends the program by SIGTERM, so that it can leave in order what it works on. */
  readonly abort?: AbortSignal | undefined;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What the program reads on standard input, which is closed without it. */
  readonly input?: Buffer;
}

export interface RunResult {
  /** The exit code; undefined when a signal ended the program or it could not be started. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly timedOut: boolean;
  readonly stdout: Buffer;
  /** The end of what it wrote to standard error, 64 KiB at most. */
  readonly stderr: string;
  /** Why it could not be started. */
  readonly failure: string | undefined;
}

const MAX_STDERR_BYTES = 64 * 1024;
/** How long a program that was killed is waited for, in milliseconds. */
const GRACE_MS = 2000;

/** Runs a program to its end. Never throws: a program that is missing is a result with `failure`. */
export function run(program: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve) => {
    const stdout: Buffer[] = [];
    let stderr = '';
    let timedOut = false;
    let failure: string | undefined;
    // Loaded when it is needed: most runs of a hook start no program, and loading it takes 8 ms.
    const child = getBuiltinModule('node:child_process').spawn(program, args, {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { PATH, LC_ALL: 'C', HOME: '/', ...options.env },
      cwd: options.cwd ?? '/',
    });
    let grace: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      grace = setTimeout(abandon, GRACE_MS);
    }, options.timeout);
    const end = () => void child.kill('SIGTERM');
    if (options.abort?.aborted === true) end();
    options.abort?.addEventListener('abort', end, { once: true });
    child.stdin?.on('error', () => {}); // it ended without reading all: its exit code tells
    child.stdin?.end(options.input);
    child.stdout?.on('data', (chunk: Buffer) => {
      if (options.onStdout === undefined) stdout.push(chunk);
      else options.onStdout(chunk);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      options.onStderr?.(chunk);
      stderr = (stderr + chunk.toString('latin1')).slice(-MAX_STDERR_BYTES);
    });
    child.on('error', (error) => {
      failure = messageOf(error);
    });
    const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(timer);
      clearTimeout(grace);
      options.abort?.removeEventListener('abort', end);
      resolve({
        code: code ?? undefined,
        signal: signal ?? undefined,
        timedOut,
        stdout: Buffer.concat(stdout),
        stderr,
        failure,
      });
    };
    child.on('close', finish);
    // A program that waits for a device inside the kernel does not even die: nobody is to wait for it.
    const abandon = (): void => {
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
      child.unref();
      finish(null, null);
    };
  });
}
