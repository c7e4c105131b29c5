import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { Transaction } from '../../src/model/transaction.ts';
import { inspectStore } from '../../src/snapshot/inspect.ts';
import { openStore, readSetAside, type Store } from '../../src/snapshot/store.ts';
import { rebuildIntents } from '../../src/snapshot/transaction/rebuild.ts';
import {
  findTransaction,
  putTransaction,
  restoreTransactions,
  writeJournal,
} from '../../src/snapshot/transaction/record.ts';
import { bootId } from '../../src/system/boot.ts';
import { Root } from '../../src/system/root.ts';
import type { TinyRoot } from '../cli/tiny-root.ts';
import { buildPackage } from '../lab/packages.ts';
import { freshRoot, fullSnapshot, settle, storeOf } from './rig.ts';

const STORE = '/var/lib/debmend';

/** As if the machine had been started anew since the store was last used. */
function fromAnotherBoot(store: Store): void {
  store.set('boot', '11111111-2222-3333-4444-555555555555');
  store.set('trusted', '11111111-2222-3333-4444-555555555555');
  store.close();
}

function transaction(id: string): Transaction {
  return {
    id,
    state: 'open',
    origin: 'apt',
    startedAt: '2026-01-02T03:04:05.000Z',
    session: { command: ['apt-get', 'install', 'hello'] },
    runs: [
      {
        at: '2026-01-02T03:04:05.000Z',
        source: 'apt',
        command: ['apt-get', 'install', 'hello'],
        complete: true,
        packages: [{ name: 'hello', architecture: 'amd64', action: 'install', newVersion: '2.10-3' }],
      },
    ],
  };
}

describe('the store', () => {
  it('is for root alone', async () => {
    const root = freshRoot();
    await storeOf(root);
    expect(statSync(root.at(STORE)).mode & 0o777).toBe(0o700);
  });

  it('is durable: WAL, and every commit synced', async () => {
    const store = await storeOf(freshRoot());
    expect(store.db.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(store.db.pragma('synchronous', { simple: true })).toBe(2);
  });

  it('refuses a directory that others may look into', async () => {
    const root = freshRoot();
    mkdirSync(root.at(STORE));
    chmodSync(root.at(STORE), 0o750);
    await expect(storeOf(root)).rejects.toMatchObject({ code: 'store-unusable' });
  });

  it('refuses a link in its place, and writes nothing where it leads (I7)', async () => {
    const root = freshRoot();
    mkdirSync(root.at('/elsewhere'), { mode: 0o700 });
    symlinkSync(root.at('/elsewhere'), root.at(STORE));
    await expect(storeOf(root)).rejects.toMatchObject({ code: 'store-unusable' });
    expect(readdirSync(root.at('/elsewhere'))).toEqual([]);
  });

  it('refuses what a newer debmend wrote, and leaves it alone', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    store.db.pragma('user_version = 999');
    store.close();
    await expect(storeOf(root)).rejects.toMatchObject({ code: 'store-unusable' });
    expect(existsSync(root.at(`${STORE}/damaged`))).toBe(false);
  });

  it('I8: is not called damaged because there is no room to look at it', async () => {
    const root = freshRoot();
    (await storeOf(root)).close();
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = '/proc';
    try {
      expect(await inspectStore(new Root(root.directory))).toMatchObject({ kind: 'read' });
    } finally {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });

  it('says what is wrong when it cannot be made', async () => {
    const root = freshRoot();
    writeFileSync(root.at(STORE), 'a file');
    await expect(storeOf(root)).rejects.toMatchObject({ code: 'store-unusable' });
  });
});

/** Ways in which an outage or a disk leaves a database. */
const DAMAGES: readonly (readonly [string, (file: string) => void])[] = [
  ['NUL bytes', (file) => writeFileSync(file, Buffer.alloc(statSync(file).size))],
  ['foreign bytes', (file) => writeFileSync(file, 'something else entirely\n'.repeat(500))],
  ['a cut in the middle', (file) => truncateSync(file, Math.floor(statSync(file).size / 2 / 4096) * 4096)],
  [
    'a page of another file in its middle',
    (file) => {
      const data = readFileSync(file);
      data.fill('foreign ', 4096 * 3, 4096 * 5);
      writeFileSync(file, data);
    },
  ],
];

describe('a damaged store (I8)', () => {
  async function filled(): Promise<TinyRoot> {
    const root = freshRoot();
    const store = await storeOf(root);
    await fullSnapshot(root, store);
    store.db.transaction(() => putTransaction(store, transaction('20260102T030405Z')))();
    writeJournal(store, transaction('20260102T030405Z'));
    store.db.pragma('wal_checkpoint(TRUNCATE)');
    fromAnotherBoot(store);
    return root;
  }

  it.each(DAMAGES)('by %s is a finding of the audit, which writes nothing', async (_, damage) => {
    const root = await filled();
    damage(root.at(`${STORE}/state.db`));
    const before = readFileSync(root.at(`${STORE}/state.db`));
    const inspection = await inspectStore(new Root(root.directory));
    expect(inspection).toMatchObject({ kind: 'damaged', unfinished: [{ id: '20260102T030405Z' }] });
    expect(readFileSync(root.at(`${STORE}/state.db`))).toEqual(before);
    expect(readdirSync(root.at(STORE)).sort()).toEqual(['state.db', 'transactions']);
  });

  it.each(DAMAGES)('by %s is set aside, and a new one begun', async (_, damage) => {
    const root = await filled();
    damage(root.at(`${STORE}/state.db`));
    const damaged = readFileSync(root.at(`${STORE}/state.db`));
    const store = await storeOf(root);
    expect(store.setAside).toBeDefined();
    expect(readFileSync(store.setAside?.file ?? '')).toEqual(damaged);
    expect(await restoreTransactions(store)).toBe(1);
    expect(findTransaction(store, '20260102T030405Z')).toEqual(transaction('20260102T030405Z'));
    expect((await fullSnapshot(root, store)).changed).toBe(0);
    store.close();
    // It stays known.
    const again = await storeOf(root);
    expect(again.setAside).toBeUndefined();
    expect(readSetAside(again)).toEqual(store.setAside);
    expect(await inspectStore(new Root(root.directory))).toMatchObject({
      kind: 'read',
      setAside: { file: store.setAside?.file },
    });
  });

  it('does not believe a journal file that was cut while it was written', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    writeJournal(store, transaction('a'));
    writeJournal(store, transaction('b'));
    truncateSync(root.at(`${STORE}/transactions/a/intent.json`), 40);
    mkdirSync(root.at(`${STORE}/transactions/c`));
    expect(await restoreTransactions(store)).toBe(1);
    expect(findTransaction(store, 'b')).toBeDefined();
  });

  it('knows what was going to be installed from the kept archives, where the intent is damaged', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const id = '20260102T030405Z';
    writeJournal(store, transaction(id));
    const archives = join(root.at(`${STORE}/transactions/${id}`), 'archives');
    mkdirSync(archives);
    const [sound = '', broken = ''] = ['whole', 'broken'].map((name) => {
      const deb = buildPackage({ name, version: '1:2.0', files: { [`/usr/share/${name}`]: name } }, archives);
      const kept = `${createHash('sha256').update(readFileSync(deb)).digest('hex').slice(0, 12)}-${name}_1%3a2.0_all.deb`;
      renameSync(deb, join(archives, kept));
      return kept;
    });
    truncateSync(join(archives, broken), 40);
    expect(await rebuildIntents(store)).toBe(0);
    const intent = root.at(`${STORE}/transactions/${id}/intent.json`);
    const damaged = Buffer.alloc(4096);
    writeFileSync(intent, damaged);
    expect(await restoreTransactions(store)).toBe(0);
    expect(await rebuildIntents(store)).toBe(1);
    const found = findTransaction(store, id);
    expect(found).toMatchObject({
      state: 'interrupted',
      origin: 'rebuilt',
      startedAt: '2026-01-02T03:04:05.000Z',
    });
    const packages = [...(found?.runs[0]?.packages ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(packages).toMatchObject([
      { name: 'broken', newVersion: '1:2.0', problem: expect.stringContaining('not what was kept') },
      { name: 'whole', newVersion: '1:2.0', architecture: 'all', archive: { kept: sound } },
    ]);
    // Nothing is lost, and the new file is a sound one.
    expect(readFileSync(`${intent}.damaged`)).toEqual(damaged);
    expect(JSON.parse(readFileSync(intent, 'utf8'))).toEqual(found);
    expect(await rebuildIntents(store)).toBe(0);
  });

  it('tells of an installation of which nothing but a damaged file is left', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    const id = '20260102T030405Z';
    writeJournal(store, transaction(id));
    writeFileSync(root.at(`${STORE}/transactions/${id}/intent.json`), '\0'.repeat(100));
    expect(await rebuildIntents(store)).toBe(1);
    const found = findTransaction(store, id);
    expect(found).toMatchObject({ state: 'interrupted', origin: 'rebuilt', runs: [{ packages: [] }] });
  });

  it('that lost the end of its log without a word gets it back from the files', async () => {
    const root = freshRoot();
    const first = await storeOf(root);
    const [known, lost] = [transaction('20260102T030405Z'), transaction('20260102T040506Z')];
    const put = (one: Transaction) => {
      first.db.transaction(() => putTransaction(first, one))();
      writeJournal(first, one);
    };
    put(known);
    const wal = root.at(`${STORE}/state.db-wal`);
    const whole = statSync(wal).size;
    put(lost);
    put({ ...known, runs: [...known.runs, ...known.runs] });
    expect(statSync(wal).size).toBeGreaterThan(whole);
    // As a disk leaves it that lost a block it had said was written: SQLite takes the log to end there.
    const [database, log] = ['state.db', 'state.db-wal'].map((name) =>
      readFileSync(root.at(`${STORE}/${name}`)),
    );
    first.close();
    writeFileSync(root.at(`${STORE}/state.db`), database ?? '');
    writeFileSync(wal, (log ?? Buffer.alloc(0)).fill(0, whole));
    const store = await storeOf(root);
    expect(store.setAside).toBeUndefined();
    expect(findTransaction(store, lost.id)).toBeUndefined();
    expect(await restoreTransactions(store)).toBe(2);
    expect(findTransaction(store, lost.id)).toEqual(lost);
    expect(findTransaction(store, known.id)?.runs).toHaveLength(2);
    expect(await restoreTransactions(store)).toBe(0);
  });
});

describe('shortcuts by time and size (I10)', () => {
  it('are taken in the boot in which everything was read', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    const first = await fullSnapshot(root, store);
    expect(first.filesRead).toBeGreaterThan(10);
    expect((await fullSnapshot(root, store)).filesRead).toBe(0);
  });

  it('are not taken after a boot that did not end cleanly, until everything was read again', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    const first = await fullSnapshot(root, store);
    fromAnotherBoot(store);
    const asked: string[] = [];
    const after = await storeOf(root, {
      endedCleanly: async (boot) => {
        asked.push(boot);
        return false;
      },
    });
    expect(asked).toEqual(['11111111-2222-3333-4444-555555555555']);
    expect(after.trusted).toBe(false);
    const again = await fullSnapshot(root, after);
    expect(again.filesRead).toBe(first.filesRead);
    expect([again.added, again.changed, again.gone]).toEqual([0, 0, 0]);
    after.close();
    const later = await storeOf(root);
    expect(later.trusted).toBe(true);
    expect((await fullSnapshot(root, later)).filesRead).toBe(0);
  });

  it('are not taken by the next process either, when the first one after the boot read nothing', async () => {
    const root = freshRoot();
    fromAnotherBoot(await storeOf(root));
    (await storeOf(root)).close();
    const store = await openStore(new Root(root.directory));
    expect(store.trusted).toBe(false);
    store.close();
  });

  it('go on after a boot that ended cleanly', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    await fullSnapshot(root, store);
    fromAnotherBoot(store);
    const after = await storeOf(root, { endedCleanly: async () => true });
    expect(after.trusted).toBe(true);
    expect(after.get('trusted')).toBe(bootId());
    expect((await fullSnapshot(root, after)).filesRead).toBe(0);
  });

  it('are not taken for a file that changed as it was read', async () => {
    const root = freshRoot();
    const store = await storeOf(root);
    await settle();
    root.write('/etc/young', 'one');
    // A busy machine may be slower than the times of its files.
    const { ctimeMs } = statSync(join(root.directory, 'etc/young'));
    vi.useFakeTimers({ toFake: ['Date'], now: ctimeMs + 5 });
    await fullSnapshot(root, store).finally(() => vi.useRealTimers());
    expect((await fullSnapshot(root, store)).filesRead).toBe(1);
    await settle();
    await fullSnapshot(root, store);
    expect((await fullSnapshot(root, store)).filesRead).toBe(0);
  });
});
