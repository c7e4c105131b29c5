/** What dpkg's log tells of a package, and where a copy of its record stands in that. */
import { expect, it } from 'vitest';
import type { PackageState } from '../../../src/dpkg/package.ts';
import type { Transaction } from '../../../src/model/transaction.ts';
import {
  appendLogged,
  compareWithEvents,
  lastKnown,
  parseDpkgLog,
  transactionEvents,
} from '../../../src/recovery/database/evidence.ts';

const UPGRADE = [
  '2026-11-01 10:00:00 install t:amd64 <none> 1.0',
  '2026-11-01 10:00:00 status half-installed t:amd64 1.0',
  '2026-11-01 10:00:01 status unpacked t:amd64 1.0',
  '2026-11-01 10:00:01 status installed t:amd64 1.0',
  '2026-11-02 10:00:00 upgrade t:amd64 1.0 2.0',
  '2026-11-02 10:00:00 status half-configured t:amd64 1.0',
  '2026-11-02 10:00:00 status half-installed t:amd64 1.0',
  '2026-11-02 10:00:01 status unpacked t:amd64 2.0',
];
const log = (lines: readonly string[], end = ''): ReturnType<typeof parseDpkgLog> =>
  parseDpkgLog(lines.map((line) => `${line}\n`).join('') + end, 'dpkg.log');

it.each<[what: string, version: string, state: PackageState, relation: string]>([
  ['the copy is of the end', '2.0', 'unpacked', 'agrees'],
  ['the copy is of before the upgrade', '1.0', 'installed', 'newer'],
  ['the copy is of its middle', '1.0', 'half-installed', 'newer'],
  ['the copy is of after the end, which the log lost', '2.0', 'installed', 'older'],
  ['the copy is of a version that the log never saw', '3.0', 'installed', 'unrelated'],
])('%s', (_, version, state, relation) => {
  expect(compareWithEvents({ version, state }, log(UPGRADE))).toBe(relation);
});

it('a copy of a version that the log only upgrades from is before it', () => {
  const rotated = UPGRADE.slice(4).filter((line) => !line.includes('half-'));
  expect(compareWithEvents({ version: '1.0', state: 'installed' }, log(rotated))).toBe('newer');
});

it('a log says nothing of a package that it does not name', () => {
  expect(compareWithEvents({ version: '1.0', state: 'installed' }, log([]))).toBe('silent');
});

it('a line with NUL bytes and one without its end are not believed', () => {
  const installed = '2026-11-02 10:00:02 status installed t:amd64 2.0';
  for (const end of [`${installed}\0\0\n`, installed, `\0\0\0${installed}\n`, '\0'.repeat(512)]) {
    expect(lastKnown(log(UPGRADE, end))).toMatchObject({ version: '2.0', state: 'unpacked' });
  }
  expect(lastKnown(log(UPGRADE, `${installed}\n`))).toMatchObject({ version: '2.0', state: 'installed' });
});

const TRANSACTION: Transaction = {
  id: '20261102T100000Z',
  state: 'open',
  origin: 'apt',
  startedAt: '2026-11-02T10:00:00Z',
  session: { command: [] },
  runs: [
    {
      at: '2026-11-02T10:00:00Z',
      source: 'apt',
      command: [],
      complete: true,
      packages: [
        { name: 't', architecture: 'amd64', action: 'upgrade', oldVersion: '1.0', newVersion: '2.0' },
        { name: 'new', architecture: 'all', action: 'install', newVersion: '5' },
      ],
    },
  ],
};
const STATUS = [
  'status: t: half-configured',
  'status: t: unpacked',
  'status: t: half-installed',
  'status: t: unpacked',
  'status: t: half-configured',
  'status: t: installed',
  'status: new: half-installed',
  'status: new: unpacked',
  'status: other: installed',
];
const statusEvents = (lines: readonly string[]) =>
  transactionEvents(TRANSACTION, lines.map((line) => `${line}\n`).join(''));

it('the status log of a transaction gets its versions from the intent', () => {
  const said = statusEvents(STATUS).map(({ name, version, state }) => `${name} ${version} ${state}`);
  expect(said).toEqual([
    't 1.0 half-configured',
    't 1.0 unpacked',
    't 1.0 half-installed',
    't 2.0 unpacked',
    't 2.0 half-configured',
    't 2.0 installed',
    'new 5 half-installed',
    'new 5 unpacked',
  ]);
});

it('the synced status log goes on where dpkg.log lost its end', () => {
  const events = log(UPGRADE);
  appendLogged(events, statusEvents(STATUS));
  expect(lastKnown(events.filter(({ name }) => name === 't'))).toMatchObject({
    version: '2.0',
    state: 'installed',
  });
  expect(lastKnown(events.filter(({ name }) => name === 'new'))).toMatchObject({
    version: '5',
    state: 'unpacked',
  });
});

it('a status log that is behind dpkg.log takes nothing back', () => {
  const events = log([...UPGRADE, '2026-11-02 10:00:02 status installed t:amd64 2.0']);
  appendLogged(events, statusEvents(STATUS.slice(0, 4)));
  expect(lastKnown(events)).toMatchObject({ version: '2.0', state: 'installed' });
});
