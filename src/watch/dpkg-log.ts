/**
 * dpkg's log (dpkg(1), --log; lib/dpkg/log.c) as the status lines that it would have written to a status logger
 * (dpkg/status-logger.ts): the log is there without any hook.
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { PROCESSING_STAGES } from '../dpkg/status-logger.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { openQuietly } from '../system/files.ts';

/** The end of a log is enough: a full upgrade of a distribution writes about 1 MB, in bytes. */
const LIMIT = 4 * 1024 * 1024;
const LINE = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\S+) (\S+)(?: (\S+))?/;

/** The status lines of a log, or of a part of it. Lines of other things, and damaged ones, are left out. */
export function statusLines(log: Bytes): Bytes {
  let lines = '';
  for (const line of log.split('\n')) {
    const [, what = '', first = '', second = ''] = LINE.exec(line) ?? [];
    // status half-installed t:amd64 1.0
    if (what === 'status' && second !== '') lines += `status: ${second}: ${first}\n`;
    // upgrade t:amd64 1.0 2.0
    else if (PROCESSING_STAGES.some((stage) => stage === what)) lines += `processing: ${what}: ${first}\n`;
  }
  return lines;
}

/**
 * Reads what a log has more than it had; all of it when it is shorter than it was, and so another one.
 *
 * @param host a regular file, as a path of this host
 * @param from its length before, in bytes
 */
export function readStatusLines(host: Bytes, from: number): Bytes {
  try {
    const fd = openQuietly(fsPath(host));
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) return '';
      const begin = Math.max(stat.size < from ? 0 : from, stat.size - LIMIT);
      const data = Buffer.alloc(stat.size - begin);
      const length = readSync(fd, data, 0, data.length, begin);
      return statusLines(bytesOf(data.subarray(0, length)));
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
