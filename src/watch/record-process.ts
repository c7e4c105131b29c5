/**
 * The part of the agent's recording that needs memory, as a process of its own: reads an order on standard input, does
 * it, and answers with one line of JSON.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openIndex } from '../dpkg/apt-index.ts';
import { intendedByCommand, parseDpkgCommand } from '../dpkg/command-line.ts';
import type { Transaction } from '../model/transaction.ts';
import { openStore, type Store } from '../snapshot/store.ts';
import { examinePackages } from '../snapshot/transaction/archives.ts';
import { INDEX_CACHE, statusLog } from '../snapshot/transaction/begin.ts';
import { endTransaction } from '../snapshot/transaction/end.ts';
import { findTransaction, makeTransactionDirectory } from '../snapshot/transaction/record.ts';
import { bufferOf } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { Root } from '../system/root.ts';
import { readStatusLines } from './dpkg-log.ts';
import { changeTransaction, DPKG_LOG, type Ended, type RecordAnswer, type RecordOrder } from './recorder.ts';

async function record(order: RecordOrder): Promise<RecordAnswer> {
  const root = new Root(order.root);
  // The agent opened it in this boot, and asked then how the boot before ended.
  const store = await openStore(root);
  try {
    switch (order.work) {
      case 'examine':
        return { examined: await examine(store, root, order) };
      case 'seal':
        return await seal(store, root, order);
    }
  } finally {
    store.close();
  }
}

/** @returns how many packages of the run there are */
async function examine(store: Store, root: Root, order: RecordOrder & { work: 'examine' }): Promise<number> {
  const command = findTransaction(store, order.transaction)?.runs.find(({ at }) => at === order.run)?.command;
  const intended = intendedByCommand(root, parseDpkgCommand(command ?? []), order.directory).filter(
    ({ archive }) => archive === undefined || root.resolveFully(archive).kind === 'found',
  );
  const keepIn = join(makeTransactionDirectory(store, order.transaction), 'archives');
  const index = openIndex(root, store.file(INDEX_CACHE));
  const { keepArchives } = order.config.hooks;
  const examined = await examinePackages(root, intended, index, keepArchives ? keepIn : undefined);
  index.close();
  const packages = examined.map(({ record }) => record);
  changeTransaction(store, order.transaction, (open) => ({
    ...open,
    runs: open.runs.map((run) => (run.at === order.run ? { ...run, packages } : run)),
  }));
  return packages.length;
}

async function seal(store: Store, root: Root, order: RecordOrder & { work: 'seal' }): Promise<RecordAnswer> {
  const found = findTransaction(store, order.transaction);
  if (found === undefined) return { failure: `there is no transaction ${order.transaction}` };
  // Its process is gone, so a hook that came first may have settled it.
  if (found.state !== 'open' && found.state !== 'interrupted') return ended(found);
  const log = statusLog(store, found.id);
  if (!existsSync(log)) {
    const at = root.resolveFully(DPKG_LOG);
    const lines = at.kind === 'found' ? readStatusLines(at.host, order.logFrom) : '';
    if (lines !== '') writeFileSync(log, bufferOf(lines), { mode: 0o600 });
  }
  return ended(await endTransaction(store, root, order.config, found, 'watch'));
}

function ended({ state, seal: by }: Transaction): Ended {
  const packages = new Set(by?.packages.map(({ name }) => name) ?? []);
  return { state, complete: by?.complete ?? false, packages: [...packages] };
}

let input = '';
for await (const chunk of process.stdin) input += String(chunk);
const answer = await record(JSON.parse(input) as RecordOrder).catch(
  (error: unknown): RecordAnswer => ({ failure: messageOf(error) }),
);
process.stdout.write(`${JSON.stringify(answer)}\n`);
