import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseStatusLog } from '../../src/dpkg/status-logger.ts';
import { readStatusLines, statusLines } from '../../src/watch/dpkg-log.ts';

const LOG = `2026-11-24 04:27:39 startup archives install
2026-11-24 04:27:39 install t:all <none> 1.0
2026-11-24 04:27:39 status half-installed t:all 1.0
2026-11-24 04:27:39 status unpacked t:all 1.0
2026-11-24 04:27:39 conffile /etc/t.conf install
2026-11-24 04:27:39 configure t:all 1.0 <none>
2026-11-24 04:27:39 status installed t:all 1.0
2026-11-24 04:27:39 trigproc libc-bin:amd64 2.36 <none>
`;

it("dpkg's log becomes the lines of a status logger, without what that would not say", () => {
  expect(statusLines(LOG).split('\n')).toEqual([
    'processing: install: t:all',
    'status: t:all: half-installed',
    'status: t:all: unpacked',
    'processing: configure: t:all',
    'status: t:all: installed',
    'processing: trigproc: libc-bin:amd64',
    '',
  ]);
  expect(parseStatusLog(statusLines(LOG)).events.map(({ kind }) => kind)).not.toContain('other');
});

it('a log that ends in NUL bytes, or in half a line, gives what is whole', () => {
  expect(statusLines(`${LOG}\0\0\0\0`)).toBe(statusLines(LOG));
  expect(statusLines(`${LOG}2026-11-24 04:27:39 status unp`)).toBe(statusLines(LOG));
});

it('what was there before is left out, unless the log is another one now', () => {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-log-'));
  try {
    const log = join(directory, 'dpkg.log');
    const half = LOG.indexOf('2026-11-24 04:27:39 configure');
    writeFileSync(log, LOG);
    expect(readStatusLines(log, half)).toBe(statusLines(LOG.slice(half)));
    expect(readStatusLines(log, LOG.length)).toBe('');
    expect(readStatusLines(log, LOG.length + 1)).toBe(statusLines(LOG)); // rotated
    expect(readStatusLines(join(directory, 'nowhere'), 0)).toBe('');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
