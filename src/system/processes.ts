/** Other processes, as /proc shows them (proc_pid_stat(5), proc_pid_cmdline(5)). */
import { readFileSync, readlinkSync } from 'node:fs';

export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** When it was started, in clock ticks since the boot: with the pid it names a process for good. */
  readonly startTicks: number;
  /** The name of its program, 15 characters at most. */
  readonly program: string;
}

/** A process that is there now; undefined when it is not, or where /proc is not mounted. */
export function readProcess(pid: number): Process | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name stands in parentheses and may hold any character, parentheses too.
    const open = text.indexOf('(');
    const close = text.lastIndexOf(')');
    const fields = text.slice(close + 2).split(' ');
    const parent = Number(fields[1]);
    const startTicks = Number(fields[19]);
    if (open < 0 || !Number.isInteger(parent) || !Number.isInteger(startTicks)) return undefined;
    return { pid, parent, startTicks, program: text.slice(open + 1, close) };
  } catch {
    return undefined;
  }
}

/** The parents of this process, the nearest first. */
export function ancestors(): Process[] {
  const chain: Process[] = [];
  for (let pid = process.ppid; pid > 0; ) {
    const found = readProcess(pid);
    if (found === undefined) break;
    chain.push(found);
    pid = found.parent;
  }
  return chain;
}

/** The command line of a process, an argument each; empty when it can't be read. */
export function commandLine(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return text.replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

/** Where a process works; undefined when that can't be read. */
export function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}
