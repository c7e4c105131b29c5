/** What the tests of the store share: a tiny root with a store, and snapshots of it. */
import { afterEach } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import type { Captured } from '../../src/snapshot/capture.ts';
import { createFullSnapshot } from '../../src/snapshot/create.ts';
import { Entries, type Entry } from '../../src/snapshot/entries.ts';
import { type OpenOptions, openStore, type Store } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { type TinyPackage, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

const roots: TinyRoot[] = [];
const stores: Store[] = [];

afterEach(() => {
  for (const store of stores.splice(0)) if (store.db.open) store.close();
  for (const root of roots.splice(0)) root.remove();
});

/** A root that goes with the test. */
export function freshRoot(packages?: readonly TinyPackage[]): TinyRoot {
  const root = tinyRoot(packages);
  roots.push(root);
  return root;
}

/** The store of a root; it is closed with the test. */
export async function storeOf(root: TinyRoot, options?: OpenOptions): Promise<Store> {
  const store = await openStore(new Root(root.directory), options);
  stores.push(store);
  return store;
}

/** Waits until what was written is old enough that its times tell the next change. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 60));
}

export async function fullSnapshot(root: TinyRoot, store: Store): Promise<Captured> {
  return await createFullSnapshot(store, new Root(root.directory), {
    config: DEFAULT_CONFIG.snapshots,
    head: { kind: 'manual', scope: 'full', transaction: undefined, sealed: true },
  });
}

/** Everything that a snapshot knows, by path, without what every look may change. */
export function stateAt(store: Store, snapshot: number): Map<string, Partial<Entry>> {
  return new Map(
    [...new Entries(store).at(snapshot)].map(({ path, kind, mode, size, xxh64, target, content }) => [
      path,
      { kind, mode, size, xxh64, target, content },
    ]),
  );
}
