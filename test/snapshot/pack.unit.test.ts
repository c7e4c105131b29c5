import { chmodSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readPack } from '../../src/snapshot/pack.ts';
import type { Store } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import type { TinyRoot } from '../cli/tiny-root.ts';
import { freshRoot, fullSnapshot, settle, stateAt, storeOf } from './rig.ts';

/** A root of which the newest state stands in the file as well. */
async function packedRoot(): Promise<{ root: TinyRoot; store: Store; isPacked: () => boolean }> {
  const root = freshRoot();
  root.write('/etc/local.conf', 'mine\n');
  const store = await storeOf(root);
  await settle();
  await fullSnapshot(root, store);
  await fullSnapshot(root, store);
  const { prefix } = new Root(root.directory);
  return { root, store, isPacked: () => readPack(store, prefix) !== undefined };
}

/** What a store that never saw the root before makes of it. */
async function freshState(root: TinyRoot): Promise<ReturnType<typeof stateAt>> {
  const store = await storeOf(root, { directory: `${root.directory}-fresh` });
  const { snapshot } = await fullSnapshot(root, store);
  const state = stateAt(store, snapshot);
  store.close();
  rmSync(store.directory, { recursive: true });
  return withoutContent(state);
}

/** The numbers of copies are each store's own. */
function withoutContent(state: ReturnType<typeof stateAt>): ReturnType<typeof stateAt> {
  return new Map(
    [...state].map(([path, { content, ...entry }]) => [path, { ...entry, copied: content !== null }]),
  );
}

describe('the newest state in one file', () => {
  it('is there from the second snapshot on', async () => {
    const { isPacked } = await packedRoot();
    expect(isPacked()).toBe(true);
  });

  it('gives the same snapshots as the tables, whatever changes', async () => {
    const { root, store, isPacked } = await packedRoot();
    const changes: (() => void)[] = [
      () => undefined,
      () => root.write('/etc/hello.conf', 'greeting = other\n'),
      () => root.write('/usr/bin/hello', 'modified\n'),
      () => root.write('/etc/new.conf', 'new\n'),
      () => chmodSync(`${root.directory}/usr/bin/hello`, 0o700),
      () => unlinkSync(`${root.directory}/etc/local.conf`),
      () => root.write('/etc/hello.conf', 'greeting = third\n'),
      () => unlinkSync(`${root.directory}/etc/new.conf`),
    ];
    for (const change of changes) {
      expect(isPacked()).toBe(true);
      change();
      await settle();
      const { snapshot } = await fullSnapshot(root, store);
      expect(withoutContent(stateAt(store, snapshot))).toEqual(await freshState(root));
    }
  });

  it('is left for the tables when an owned path is gone, and made anew', async () => {
    const { root, store, isPacked } = await packedRoot();
    unlinkSync(`${root.directory}/usr/bin/hello`);
    await fullSnapshot(root, store);
    root.write('/usr/bin/hello', 'back\n');
    await settle();
    for (let at = 0; at < 2; at += 1) {
      const { snapshot } = await fullSnapshot(root, store);
      expect(withoutContent(stateAt(store, snapshot)).has('/usr/bin/hello')).toBe(false);
    }
    expect(isPacked()).toBe(true);
  });

  it.each([
    ['a bit is wrong', (data: Buffer) => data.with(40, (data[40] ?? 0) ^ 1)],
    ['its end is missing', (data: Buffer) => data.subarray(0, -1)],
    ['it is NUL', (data: Buffer) => Buffer.alloc(data.length)],
  ])('is not believed when %s, and made anew', async (_, damage) => {
    const { root, store, isPacked } = await packedRoot();
    const file = store.file('known.pack');
    writeFileSync(file, damage(readFileSync(file)));
    expect(isPacked()).toBe(false);
    const { changed, added, gone } = await fullSnapshot(root, store);
    expect({ changed, added, gone }).toEqual({ changed: 0, added: 0, gone: 0 });
    expect(isPacked()).toBe(true);
  });

  it('is not believed when a snapshot was taken that did not follow it', async () => {
    const { store, isPacked } = await packedRoot();
    store.db.exec(
      `INSERT INTO snapshot (kind, scope, taken_at, sealed, entries, changed, files_read, bytes_read, seconds)
       VALUES ('manual', 'full', '', 1, 0, 0, 0, 0, 0)`,
    );
    expect(isPacked()).toBe(false);
  });

  it('serves one root only', async () => {
    const { store } = await packedRoot();
    expect(readPack(store, '/mnt/other')).toBeUndefined();
  });
});
