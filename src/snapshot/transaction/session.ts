/** Whose transaction it is: the process that runs apt's or dpkg's code, of which one may do many runs. */
import type { Transaction } from '../../model/transaction.ts';
import { bootId } from '../../system/boot.ts';
import {
  ancestors,
  commandLine,
  type Process,
  readProcess,
  workingDirectory,
} from '../../system/processes.ts';

export interface Session {
  readonly pid: number | undefined;
  readonly startTicks: number | undefined;
  readonly command: string[];
  readonly directory: string | undefined;
}

/** What stands between a hook and the process that it serves. */
const WRAPPERS: ReadonlySet<string> = new Set(['sh', 'dash', 'bash', 'timeout', 'env', 'debmend-hook']);

/** The process that called this hook; nothing is known of it where /proc is not mounted. */
export function callingSession(): Session {
  const caller = ancestors().find(({ program }) => !WRAPPERS.has(program));
  if (caller === undefined)
    return { pid: undefined, startTicks: undefined, command: [], directory: undefined };
  return {
    pid: caller.pid,
    startTicks: caller.startTicks,
    command: commandLine(caller.pid),
    directory: workingDirectory(caller.pid),
  };
}

/** The open transaction that this hook belongs to: its process is the caller, or one of the caller's parents. */
export function transactionOf(open: readonly Transaction[]): Transaction | undefined {
  const chain = ancestors();
  const isIn = ({ session }: Transaction): boolean =>
    // Without /proc no process can be told from another, and in a build nothing runs beside this one.
    session.pid === undefined ? chain.length === 0 : chain.some((process) => isSame(process, session));
  return open.findLast(isIn);
}

/** Whether the process that a transaction belongs to still runs. */
export function isAlive({ session, boot }: Transaction): boolean {
  const now = bootId();
  if (session.pid === undefined) return boot === now && now === undefined;
  if (boot !== now) return false;
  const found = readProcess(session.pid);
  return found !== undefined && isSame(found, session);
}

function isSame(process: Process, session: Transaction['session']): boolean {
  return process.pid === session.pid && process.startTicks === session.startTicks;
}
