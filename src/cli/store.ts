/** Opening what the commands about snapshots and transactions need. */
import { endedCleanly } from '../outage/boots.ts';
import { openStore, type Store } from '../snapshot/store.ts';
import { rebuildIntents } from '../snapshot/transaction/rebuild.ts';
import { restoreTransactions } from '../snapshot/transaction/record.ts';
import { settleTransactions } from '../snapshot/transaction/settle.ts';
import type { Root } from '../system/root.ts';

/**
 * Opens a root's store, does the work, closes it. What an earlier process left is settled first: a damaged store was
 * set aside by then, and transactions without an end have one.
 *
 * @param directory another place than the root's own
 * @throws DebmendError `store-unusable`, and what the work throws
 */
export async function withStore<T>(
  root: Root,
  directory: string | undefined,
  work: (store: Store) => Promise<T> | T,
): Promise<T> {
  const store = await openStore(root, { endedCleanly, directory });
  try {
    const restored = await restoreTransactions(store);
    const rebuilt = await rebuildIntents(store);
    if (store.setAside !== undefined) {
      process.stderr.write(
        `debmend: the store was damaged (${store.setAside.reason}) and is set aside as ${store.setAside.file}; transactions brought back: ${restored}; the snapshots begin anew\n`,
      );
    } else if (restored > 0) {
      process.stderr.write(
        `debmend: the disk had lost what the store had synced; transactions brought back from their files: ${restored}\n`,
      );
    }
    if (rebuilt > 0) {
      process.stderr.write(
        `debmend: the disk damaged the records of installations (${rebuilt}): their packages are known from the kept archives, removals and the command are not\n`,
      );
    }
    settleTransactions(store, root);
    return await work(store);
  } finally {
    store.close();
  }
}
