/**
 * How large a store becomes: 100,000 files of which 1 % change in each of 1,000 snapshots, the copies of changed
 * configuration files and of dpkg's status file among them. `npm run bench:store [-- --snapshots 1000]`
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Kind } from '../src/scan/work.ts';
import { Contents } from '../src/snapshot/contents.ts';
import { Entries, type EntryState, Flag, Origin } from '../src/snapshot/entries.ts';
import { finishSnapshot, insertSnapshot, pruneSnapshots } from '../src/snapshot/snapshots.ts';
import { openStore } from '../src/snapshot/store.ts';
import { Root } from '../src/system/root.ts';

const FILES = 100_000;
const CHANGED = 1000;
/** Of the changed files so many are copied, each of so many bytes. */
const COPIED = 10;
const COPY_BYTES = 2000;

export interface StoreSize {
  /** Bytes of the first snapshot, and of all of them. */
  readonly first: number;
  readonly all: number;
  readonly pruned: number;
}

/** Fills a store in a directory of its own. */
export async function storeSize(snapshots: number, files = FILES, changed = CHANGED): Promise<StoreSize> {
  const home = mkdtempSync(join(tmpdir(), 'debmend-store-size-'));
  try {
    const store = await openStore(new Root('/'), { directory: join(home, 'store') });
    const entries = new Entries(store);
    const contents = new Contents(store);
    const random = generator(1);
    const size = (): number => {
      store.db.pragma('wal_checkpoint(TRUNCATE)');
      return statSync(store.file('state.db')).size;
    };
    const state = (at: number, version: number, content: number | null): EntryState => ({
      kind: Kind.file,
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: 1000 + ((at * 7919) % 50_000),
      ino: 100_000 + at + version,
      mtime: 1_790_000_000_000 + version * 1000.25,
      ctime: 1_790_000_000_001 + version * 1000.5,
      origin: Origin.owned,
      flags: Flag.sound,
      xxh64: bytes(random, 8),
      md5: bytes(random, 16),
      target: null,
      capability: null,
      content,
    });
    const path = (at: number): string => `/usr/share/package-${at % 800}/directory-${at % 37}/file-${at}.txt`;
    const status = Array.from({ length: 15_000 }, () => `Field: ${bytes(random, 30).toString('hex')}\n`);
    let statusCopy: number | undefined;
    const ids: number[] = [];
    let first = 0;
    for (let round = 0; round < snapshots; round += 1) {
      store.db.transaction(() => {
        const id = insertSnapshot(store, {
          kind: 'after',
          scope: 'full',
          transaction: undefined,
          sealed: true,
        });
        ids.push(id);
        if (round === 0) {
          for (let at = 0; at < files; at += 1)
            entries.apply(id, { kind: 'added', path: path(at), state: state(at, 0, null) });
        }
        for (let at = 0; round > 0 && at < changed; at += 1) {
          const which = Math.floor(random() * files);
          const copy = at < COPIED ? contents.keep(bytes(random, COPY_BYTES)) : null;
          const entry = entries.find(path(which));
          if (entry !== undefined)
            entries.apply(id, { kind: 'changed', id: entry.id, state: state(which, round, copy) });
        }
        for (let line = 0; line < 20; line += 1)
          status[Math.floor(random() * status.length)] = `Field: ${bytes(random, 30).toString('hex')}\n`;
        statusCopy = contents.keep(Buffer.from(status.join('')), statusCopy);
        finishSnapshot(store, id, { entries: files, changed, filesRead: 0, bytesRead: 0, seconds: 0 });
      })();
      if (round === 0) first = size();
    }
    const all = size();
    pruneSnapshots(store, ids.slice(0, -10));
    store.compact();
    const pruned = size();
    store.close();
    return { first, all, pruned };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let at = seed;
  return () => {
    at = (at + 0x6d2b79f5) | 0;
    let mixed = Math.imul(at ^ (at >>> 15), 1 | at);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function bytes(random: () => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { snapshots: { type: 'string', default: '1000' } } });
  const { first, all, pruned } = await storeSize(Number(values.snapshots));
  const mb = (size: number): string => `${(size / 1e6).toFixed(1)} MB`;
  console.log(`${values.snapshots} snapshots of ${FILES} files, ${CHANGED} changed in each: ${mb(all)}`);
  console.log(`the first alone: ${mb(first)}; pruned to the last ten: ${mb(pruned)}`);
}
