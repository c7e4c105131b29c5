/** Runs `debmend watch` as a process, through the launcher, and hears what it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { WatchEvent, WatchEventKind } from '../../src/watch/events.ts';
import { ENVIRONMENT, LAUNCHER } from '../cli/debmend.ts';

export interface Agent {
  readonly pid: number;
  readonly events: readonly WatchEvent[];
  /** All that it wrote to standard error. */
  readonly stderr: string;
  /**
   * Waits for an event.
   *
   * @param where what it is to be, beside its kind
   * @throws Error after `ms`, with all that was said instead
   */
  event<K extends WatchEventKind>(
    kind: K,
    where?: (event: WatchEvent & { kind: K }) => boolean,
    ms?: number,
  ): Promise<WatchEvent & { kind: K }>;
  /** Events of a kind so far. */
  of<K extends WatchEventKind>(kind: K): (WatchEvent & { kind: K })[];
  /** Sends a signal and waits for the end. @returns the exit code, and how long it took in milliseconds */
  end(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null; ms: number }>;
  /** A figure of /proc/PID/status in kB. */
  kilobytes(name: 'VmRSS' | 'VmHWM'): number;
  /** Seconds that the processor worked for it so far. */
  cpuSeconds(): number;
}

/** Agents that run; a test's afterEach ends them. */
const running = new Set<ChildProcess>();

export function killAgents(): void {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
}

export interface AgentOptions {
  /** Instead of running the launcher itself: a program and its arguments, which the launcher's line follows. */
  readonly under?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts an agent. Resolved when it says that it watches. */
export async function startAgent(args: readonly string[], options: AgentOptions = {}): Promise<Agent> {
  const agent = launchAgent(args, options);
  await agent.event('started', () => true, 60_000);
  return agent;
}

/** The same, and does not wait. */
export function launchAgent(args: readonly string[], { under = [], env }: AgentOptions = {}): Agent {
  const [program = LAUNCHER, ...rest] = [...under, LAUNCHER, 'watch', '--json', ...args];
  const child = spawn(program, rest, {
    env: { ...ENVIRONMENT, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const events: WatchEvent[] = [];
  const said: string[] = [];
  let stderr = '';
  let heard = () => {};
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('close', (code, signal) => {
      running.delete(child);
      heard();
      resolve({ code, signal });
    }),
  );
  createInterface({ input: child.stdout }).on('line', (line) => {
    said.push(line);
    events.push(JSON.parse(line) as WatchEvent);
    heard();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  const pid = child.pid ?? 0;
  return {
    pid,
    events,
    get stderr() {
      return stderr;
    },
    event: async (kind, where = () => true, ms = 15_000) => {
      const end = performance.now() + ms;
      for (;;) {
        const found = events.find((event) => event.kind === kind && where(event as never));
        if (found !== undefined) return found as never;
        const left = end - performance.now();
        if (left <= 0 || child.exitCode !== null) {
          throw new Error(
            `no event ${kind} within ${ms} ms; it said\n${said.join('\n')}\n${stderr}and its end is ${child.exitCode}`,
          );
        }
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, left);
          heard = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
    of: (kind) => events.filter((event) => event.kind === kind) as never,
    end: async (signal = 'SIGTERM') => {
      const started = performance.now();
      child.kill(signal);
      return { ...(await ended), ms: performance.now() - started };
    },
    kilobytes: (name) => {
      const text = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1]);
    },
    cpuSeconds: () => {
      // proc_pid_stat(5): utime and stime, in ticks of a hundredth second.
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      return (Number(fields[11]) + Number(fields[12])) / 100;
    },
  };
}
