/**
 * Who works below a path: a service that was started from half-made state writes into it while it is moved aside, and
 * goes on writing into the quarantine. Only processes of this system count; nobody runs in another root.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type Bytes, bytesOf } from '../system/bytes.ts';

export interface User {
  readonly pid: number;
  readonly program: string;
  /** The service of systemd that it belongs to (cgroups(7), systemd.unit(5)); undefined for anything else. */
  readonly unit: string | undefined;
}

/** Processes that have one of these paths, or something below it, open, mapped, or as their directory. Never throws. */
export function usersOf(paths: readonly Bytes[]): User[] {
  return pids().flatMap((pid) => {
    if (pid === process.pid || !opens(pid, paths)) return [];
    return [{ pid, program: read(`/proc/${pid}/comm`).trim(), unit: unitOf(read(`/proc/${pid}/cgroup`)) }];
  });
}

/** The service in a cgroup's path: `0::/system.slice/mariadb.service`. */
export function unitOf(cgroup: string): string | undefined {
  const path = /^0::(.*)$/m.exec(cgroup)?.[1] ?? '';
  return path.split('/').findLast((part) => /^[\w@.:\\-]+\.service$/.test(part));
}

function pids(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function opens(pid: number, paths: readonly Bytes[]): boolean {
  const isBelow = (target: Bytes): boolean =>
    paths.some((path) => target === path || target.startsWith(`${path}/`));
  const links = [
    `/proc/${pid}/cwd`,
    `/proc/${pid}/exe`,
    ...names(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`),
  ];
  return (
    links.some((link) => isBelow(targetOf(link))) ||
    // The name of a mapped file is the sixth field, and the rest of the line (proc_pid_maps(5)).
    read(`/proc/${pid}/maps`)
      .split('\n')
      .some((line) => isBelow(/^(?:\S+ +){5}(\/.*)$/.exec(line)?.[1] ?? ''))
  );
}

function targetOf(link: string): Bytes {
  try {
    return bytesOf(readlinkSync(link, { encoding: 'buffer' }));
  } catch {
    return ''; // it ended meanwhile
  }
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(file: string): Bytes {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
