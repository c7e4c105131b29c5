/**
 * The hooks' entry point, apart from all other commands: it is started before every installation, and loads nothing
 * that it does not need. It fails loudly and leaves it to bin/debmend-hook whether apt goes on (I9).
 */
// Every hook opens the store: named here, it stands in the hooks' own bundle (scripts/build.ts).
import 'better-sqlite3';
import { appendFileSync, renameSync, statSync } from 'node:fs';
import { loadHookConfig } from '../snapshot/hook-config.ts';
import { isHook, readAll, runHook } from '../snapshot/hooks.ts';
import {
  isDamage,
  openStore,
  type SetAside,
  type Store,
  setAsideStore,
  storeDirectory,
} from '../snapshot/store.ts';
import { restoreTransactions } from '../snapshot/transaction/record.ts';
import { DebmendError, messageOf } from '../system/errors.ts';
import { Root } from '../system/root.ts';

const LOG = 'hooks.log';
const LOG_BYTES = 256 * 1024;
/** How long a hook waits for another process's write to the store, in milliseconds. */
const BUSY_MS = 10_000;

const hook = process.argv[2] === 'hook' ? process.argv[3] : process.argv[2];
const root = new Root('/');

async function main(): Promise<number> {
  if (!isHook(hook)) {
    process.stderr.write(`debmend: there is no hook ${hook ?? '(none given)'}\n`);
    return 2;
  }
  try {
    const input = hook === 'apt-pre' ? readAll(Number(process.env['APT_HOOK_INFO_FD'] ?? 0)) : '';
    await withStore(async (store) => {
      const { config, mistake } = await loadHookConfig(store);
      if (mistake !== undefined) log(`the configuration is not used: ${mistake}`);
      await runHook(hook, store, root, config, input);
    });
    return 0;
  } catch (error) {
    log(`${hook} failed: ${messageOf(error)}`);
    const hint = error instanceof DebmendError ? error.hint : 'debmend hooks status tells more';
    process.stderr.write(`debmend: ${hook}: ${messageOf(error)}\nhint: ${hint}\n`);
    if (process.env['DEBMEND_DEBUG'] === '1' && error instanceof Error)
      process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

/** Runs with the store open; one that turns out to be damaged is set aside, and the hook is run with a new one. */
async function withStore(work: (store: Store) => Promise<void>): Promise<void> {
  let setAside: SetAside | undefined;
  for (;;) {
    const store = await open(setAside);
    try {
      await work(store);
      // Not closed: that would copy the log into the database, with two more fsyncs. The next start reads it as it is.
      return;
    } catch (error) {
      store.close();
      if (!isDamage(error) || setAside !== undefined) throw error;
      setAside = setAsideStore(store.directory, messageOf(error));
    }
  }
}

async function open(setAside: SetAside | undefined): Promise<Store> {
  const store = await openStore(root, {
    busyTimeout: BUSY_MS,
    setAside,
    endedCleanly: async (boot) => (await import('../outage/boots.ts')).endedCleanly(boot),
  });
  if (store.setAside !== undefined) {
    log(`the store was damaged and is set aside as ${store.setAside.file}: ${store.setAside.reason}`);
    await restoreTransactions(store);
  }
  return store;
}

/** Appends a line to the hooks' log, of which two generations of a quarter of a megabyte are kept. */
function log(line: string): void {
  try {
    const file = `${storeDirectory(root)}/${LOG}`;
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) renameSync(file, `${file}.1`);
    appendFileSync(file, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 });
  } catch {
    // What cannot be logged must not be what makes the hook fail.
  }
}

// At once: taking the environment down would close the store, which copies its log into the database with two more
// syncs, and free piece by piece what the kernel takes back in one. Nothing is under way any more, and what was written
// to standard error has left (process.stdout in Node's manual: pipes and files are written to synchronously).
void main().then((code) => process.exit(code));
