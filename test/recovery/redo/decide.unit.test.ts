import { describe, expect, it } from 'vitest';
import type { Package } from '../../../src/dpkg/package.ts';
import type { IntendedPackageRecord, Transaction, TransactionRun } from '../../../src/model/transaction.ts';
import { type Circumstances, decideRedo, isReached } from '../../../src/recovery/redo/decide.ts';

const record = (name: string, more: Partial<IntendedPackageRecord> = {}): IntendedPackageRecord => ({
  name,
  architecture: 'all',
  action: 'install',
  newVersion: '2',
  ...more,
});
const pkg = (name: string, more: Partial<Package> = {}): Package => ({
  name,
  architecture: 'all',
  version: '2',
  want: 'install',
  flag: 'ok',
  state: 'installed',
  multiArch: 'no',
  vital: false,
  configVersion: '2',
  conffiles: [],
  triggersPending: [],
  triggersAwaited: [],
  source: 'status',
  ...more,
});
const run = (...packages: IntendedPackageRecord[]): TransactionRun => ({
  at: '2026-01-01T00:00:00.000Z',
  source: 'apt',
  command: ['apt-get', 'install', 'a'],
  complete: true,
  packages,
});
const transaction = (runs: TransactionRun[]): Transaction => ({
  id: '20260101T000000Z',
  state: 'interrupted',
  origin: 'apt',
  startedAt: '2026-01-01T00:00:00.000Z',
  boot: 'one',
  session: { command: [] },
  runs,
});

const ends = () => (removed: Package) => (removed.conffiles.length > 0 ? 'config-files' : 'gone');
const conffiles = [{ path: '/etc/a', hash: 'x', obsolete: false, removeOnUpgrade: false }];

describe('which packages are done once more', () => {
  const runs = [run(record('done'), record('half')), run(record('half'), record('later'))];
  const now = [pkg('done'), pkg('half', { state: 'half-installed', flag: 'reinstreq' }), pkg('later')];

  const decide = (circumstances: Partial<Circumstances>) =>
    decideRedo(transaction([...(circumstances.runs ?? runs)]), {
      ...{ runs, later: new Set<string>(), now, boot: 'two', ends, isForgotten: () => false },
      ...circumstances,
    });

  it('in the same boot: what did not come to its end', () => {
    const { packages, finished, crashed } = decide({ boot: 'one' });
    expect(crashed).toBe(false);
    expect(packages.map(({ record: { name }, run: at, why }) => [name, at, why])).toEqual([
      ['half', 0, 'unfinished'],
      ['half', 0, 'unfinished'],
    ]);
    expect(finished.map(({ name }) => name)).toEqual(['done', 'later']);
  });

  it('across a crash: all, because nothing that scripts wrote was synced', () => {
    const { packages, crashed } = decide({});
    expect(crashed).toBe(true);
    expect(packages.map(({ record: { name }, why }) => `${name} ${why}`)).toEqual([
      'done suspect',
      'half unfinished',
      'half unfinished',
      'later suspect',
    ]);
  });

  it('not what a later transaction brought to its own end', () => {
    const { packages } = decide({ later: new Set(['half', 'later']) });
    expect(packages.map(({ record: { name } }) => name)).toEqual(['done']);
  });

  it('a removal that came to its end only where its files are back since', () => {
    const removal = [run(record('gone', { action: 'remove' }))];
    const isForgotten = ({ name }: IntendedPackageRecord) => name === 'gone';
    expect(decide({ runs: removal })).toMatchObject({ packages: [], finished: [{ name: 'gone' }] });
    expect(decide({ runs: removal, isForgotten })).toMatchObject({
      packages: [{ record: { name: 'gone' }, why: 'suspect', forgotten: true }],
      finished: [],
    });
    // In the same boot nothing is lost: whoever put a file there meant it.
    expect(decide({ runs: removal, isForgotten, boot: 'one' }).packages).toEqual([]);
  });
});

describe('where a package was meant to come', () => {
  it.each([
    ['installed at the version', record('a'), [pkg('a')], true],
    ['at another version', record('a'), [pkg('a', { version: '1' })], false],
    ['unpacked', record('a'), [pkg('a', { state: 'unpacked' })], false],
    ['to be reinstalled', record('a'), [pkg('a', { flag: 'reinstreq' })], false],
    ['with triggers to come', record('a'), [pkg('a', { state: 'triggers-pending' })], true],
    ['unknown', record('a'), [], false],
    [
      'of another architecture',
      record('a', { architecture: 'amd64' }),
      [pkg('a', { architecture: 'i386' })],
      false,
    ],
    ['to be removed, and there', record('a', { action: 'remove' }), [pkg('a')], false],
    ['removed', record('a', { action: 'remove' }), [pkg('a', { state: 'config-files', conffiles })], true],
    ['a husk of one', record('a', { action: 'remove' }), [pkg('a', { state: 'config-files' })], false],
    ['purged', record('a', { action: 'remove' }), [], true],
  ])('%s', (_, wanted, now, reached) => {
    expect(isReached(wanted, now, ends())).toBe(reached);
  });
});
