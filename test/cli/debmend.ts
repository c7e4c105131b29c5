/** Runs debmend as a person or a program does: a child process, through its launcher, in an environment that is known. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'vitest';
import { underCI } from '../../scripts/debian-packages.ts';

export const PROJECT = join(import.meta.dirname, '../..');
export const LAUNCHER = join(PROJECT, 'bin/debmend');

/** Nothing of the test runner's own environment, which asks for colours. */
export const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/nonexistent',
  LC_ALL: 'C',
};

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Circumstances {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export function debmend(args: readonly string[], circumstances: Circumstances = {}): Ended {
  return program(LAUNCHER, args, circumstances);
}

/** A line of sh in which $debmend is the launcher. */
export function shell(line: string, circumstances: Circumstances = {}): Ended {
  return program('bash', ['-c', line], {
    ...circumstances,
    env: { debmend: LAUNCHER, ...circumstances.env },
  });
}

/**
 * A line of sh on a terminal of its own (script(1)), 100 columns wide. `stdout` is what the terminal was sent: redirect
 * one of the two outputs to a file to see the other alone.
 */
export function terminal(line: string, circumstances: Circumstances = {}): Ended {
  return program('script', ['-qec', `stty cols 100 rows 40; ${line}`, '/dev/null'], {
    ...circumstances,
    env: { debmend: LAUNCHER, TERM: 'xterm-256color', ...circumstances.env },
  });
}

function program(name: string, args: readonly string[], { env, cwd }: Circumstances): Ended {
  const ended = spawnSync(name, args, {
    encoding: 'utf8',
    env: { ...ENVIRONMENT, ...env },
    cwd: cwd ?? PROJECT,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
    timeout: 120_000,
  });
  if (ended.error !== undefined) throw ended.error;
  return { code: ended.status, stdout: ended.stdout, stderr: ended.stderr };
}

/** One system call of a traced program, as strace(1) writes it. */
export interface SystemCall {
  readonly name: string;
  readonly line: string;
}

export interface Traced extends Ended {
  readonly calls: readonly SystemCall[];
}

/** Runs debmend under strace, its threads included; paths stand beside file descriptors. */
export function traced(calls: string, args: readonly string[]): Traced {
  const ended = program(
    'strace',
    ['-f', '-qq', '-y', '-s', '4096', '-e', `trace=${calls}`, '-e', 'signal=none', LAUNCHER, ...args],
    {},
  );
  const lines = ended.stderr.split('\n').map((line) => line.replace(/^\[pid +\d+\] /, ''));
  return {
    ...ended,
    calls: lines.flatMap((line) => {
      const name = /^(\w+)\(/.exec(line)?.[1];
      return name === undefined ? [] : [{ name, line }];
    }),
    stderr: lines.filter((line) => !/^\w+\(|^<\.\.\. /.test(line)).join('\n'),
  };
}

/** A test that needs strace: skipped with the reason where there is none, and under CI=true failed. */
export function straceTest(name: string, body: () => void): void {
  if (existsSync('/usr/bin/strace')) it(name, body);
  else if (underCI()) it(name, () => Promise.reject(new Error('strace is not installed')));
  else it.skip(`${name} (strace is not installed)`, () => {});
}
