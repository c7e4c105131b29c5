/**
 * The units as they are shipped, and as they are written for an installation: the path of its programs stands in their
 * ExecStart lines, and nothing else differs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Unit {
  /** `debmend-watch.service`. */
  readonly name: string;
  readonly text: string;
  /** Targets that start it when it is enabled (systemd.unit(5), WantedBy=); none for what a timer starts. */
  readonly wantedBy: readonly string[];
}

/** Beside the sources, and beside what is compiled. */
const SHIPPED = join(import.meta.dirname, '../../systemd');
/** Where a package puts debmend; the shipped units say so. */
const SHIPPED_HOME = '/usr/lib/debmend';
/** The first line of every unit that was installed: a file without it is someone else's. */
const HEAD = "# Made by 'debmend services install'; 'debmend services remove' takes it away.\n";

/** The names of all units, in order. @throws the error of the system call when this installation lacks them */
export function unitNames(): string[] {
  return readdirSync(SHIPPED)
    .filter((name) => /^debmend-.*\.(?:service|timer)$/.test(name))
    .sort();
}

/**
 * The units for an installation.
 *
 * @param home its directory as the system sees it, with `bin/debmend` in it
 * @throws the error of the system call when this installation lacks them
 */
export function units(home: string): Unit[] {
  return unitNames().map((name) => {
    const shipped = readFileSync(join(SHIPPED, name), 'utf8');
    const text = HEAD + shipped.replaceAll(`${SHIPPED_HOME}/`, `${home}/`);
    return { name, text, wantedBy: wantedBy(text) };
  });
}

/** Whether a unit file was made here; what someone changed in it since does not matter. */
export function isOurs(text: string): boolean {
  return text.startsWith(HEAD);
}

function wantedBy(text: string): string[] {
  return [...text.matchAll(/^WantedBy=(.*)$/gm)].flatMap(([, names = '']) => names.trim().split(/\s+/));
}
