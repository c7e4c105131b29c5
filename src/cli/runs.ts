/** What the commands about runs have in common: where the records are. */
import type { RunStore } from '../recovery/journal.ts';
import { storeDirectory } from '../snapshot/store.ts';
import type { Root } from '../system/root.ts';

/** The journals and the quarantine are plain files: the store's database is not needed, and may be damaged. */
export function runStore(root: Root, directory: string | undefined): RunStore {
  return { directory: directory ?? storeDirectory(root) };
}
