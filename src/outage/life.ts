/**
 * Signs of life that everybody leaves: the newest change on disk from before this boot, the clock that systemd-timesyncd
 * keeps, and dpkg's log.
 */
import type { Evidence } from '../model/outage.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { Bytes } from '../system/bytes.ts';
import { listDirectory, listInside, readTail } from '../system/inside.ts';
import type { Root } from '../system/root.ts';
import { evidence } from './evidence.ts';

/**
 * Directories that are written all the time, with how deep to look. A change there that a cut did not lose was
 * committed, so its time is a time at which the machine was alive.
 */
const BUSY: readonly { readonly path: Bytes; readonly depth: number }[] = [
  { path: '/var/log', depth: 2 },
  { path: '/var/lib/dpkg', depth: 0 },
  { path: '/var/lib/dpkg/info', depth: 0 },
  { path: '/var/lib/dpkg/updates', depth: 0 },
  { path: '/var/lib/apt', depth: 1 },
  { path: '/var/cache/apt', depth: 1 },
  { path: '/var/lib/systemd', depth: 1 },
  { path: '/var/lib', depth: 1 },
  { path: '/var/spool', depth: 1 },
  { path: '/etc', depth: 1 },
  { path: '/var/tmp', depth: 0 },
];
const MAX_NAMES = 2000;
const MAX_TOTAL = 8000;
const MAX_MS = 150;

const CLOCK = '/var/lib/systemd/timesync/clock';
const DPKG_LOG = '/var/log/dpkg.log';
const LOG_TAIL_BYTES = 64 * 1024;

/**
 * The newest inode change (ctime, which nobody can set) in these directories from before `before`. Never throws.
 *
 * @param before the beginning of this boot; of a root that does not run, now
 * @param running whether the root does
 */
export function newestChange(root: Root, before: Date, running: boolean): Evidence[] {
  const end = performance.now() + MAX_MS;
  let newest: { readonly host: Bytes; readonly at: number } | undefined;
  let total = 0;
  const look = (entries: ReturnType<typeof listDirectory>, depth: number): void => {
    for (const { host, stat } of entries) {
      if (total >= MAX_TOTAL || performance.now() > end) return;
      total += 1;
      const at = stat.ctimeMs;
      if (at < before.getTime() && (newest === undefined || at > newest.at)) newest = { host, at };
      if (depth > 0 && stat.isDirectory()) look(listDirectory(host, MAX_NAMES), depth - 1);
    }
  };
  for (const { path, depth } of BUSY) look(listInside(root, path, MAX_NAMES), depth);
  return newest === undefined
    ? []
    : [
        evidence(
          'alive',
          pathToText(newest.host),
          running ? 'the newest change on disk before this boot' : 'the newest change on disk',
          {
            at: new Date(newest.at),
          },
        ),
      ];
}

/** systemd-timesyncd touches this file every minute or so, and when it stops (systemd-timesyncd.service(8)). Never throws. */
export function timesyncClock(root: Root, before: Date): Evidence[] {
  const slash = CLOCK.lastIndexOf('/');
  const clock = listInside(root, CLOCK.slice(0, slash), 100).find(
    ({ name }) => name === CLOCK.slice(slash + 1),
  );
  if (clock === undefined || !clock.stat.isFile() || clock.stat.mtime >= before) return [];
  return [evidence('alive', CLOCK, 'systemd-timesyncd saved the time', { at: clock.stat.mtime })];
}

export interface LogTail {
  /** The last whole line that has a time. */
  readonly line: Bytes | undefined;
  /** Its time, as in the line: local to whoever wrote it. */
  readonly local: string | undefined;
  /** How many NUL bytes stand at the end: the size was written, and the data was not. */
  readonly nul: number;
}

/** The end of a dpkg.log (dpkg(1), --log): lines `2026-01-31 12:00:00 status installed …`. Never throws (I8). */
export function parseLogTail(data: Bytes): LogTail {
  const text = data.replace(/\0+$/, '');
  const nul = data.length - text.length;
  for (const line of text.split('\n').toReversed()) {
    const local = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \S/.exec(line)?.[1];
    if (local !== undefined) return { line, local, nul };
  }
  return { line: undefined, local: undefined, nul };
}

/**
 * What dpkg logged last, before this boot. Never throws.
 *
 * @param local whether the times in it are of this host's own zone
 */
export function dpkgLog(root: Root, before: Date, local: boolean): Evidence[] {
  const data = readTail(root, DPKG_LOG, LOG_TAIL_BYTES);
  if (data === undefined) return [];
  const tail = parseLogTail(data);
  const found: Evidence[] = [];
  const at = tail.local === undefined || !local ? undefined : new Date(tail.local.replace(' ', 'T'));
  if (tail.line !== undefined && (at === undefined || at < before)) {
    const line = bytesToText(tail.line.slice(0, 200)).replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ');
    found.push(evidence('alive', DPKG_LOG, `dpkg logged: ${line}`, { at }));
  }
  if (tail.nul > 0)
    found.push(
      evidence('log-torn', DPKG_LOG, `dpkg's log ends in ${tail.nul} NUL bytes: they were never written`),
    );
  return found;
}
