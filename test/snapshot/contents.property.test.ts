import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Contents } from '../../src/snapshot/contents.ts';
import { openStore, type Store } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

let root: TinyRoot;
let store: Store;
beforeAll(async () => {
  root = tinyRoot();
  store = await openStore(new Root(root.directory));
});
afterAll(() => {
  store.close();
  root.remove();
});

const size = (id: number): number =>
  Number(store.db.prepare('SELECT length(data) FROM content WHERE id = ?').pluck().get(id));

describe('contents', () => {
  it('come back as they were kept, however they changed from version to version', () => {
    const edit = fc.record({
      at: fc.nat(60_000),
      remove: fc.nat(500),
      insert: fc.uint8Array({ maxLength: 400 }),
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20_000 }), fc.array(edit, { maxLength: 30 }), (first, edits) => {
        const contents = new Contents(store);
        let data = Buffer.concat([first, first, first]);
        let before: number | undefined;
        const kept: [number, Buffer][] = [];
        store.db.transaction(() => {
          for (const { at, remove, insert } of [{ at: 0, remove: 0, insert: new Uint8Array() }, ...edits]) {
            data = Buffer.concat([data.subarray(0, at), insert, data.subarray(at + remove)]);
            before = contents.keep(data, before);
            kept.push([before, data]);
          }
        })();
        for (const [id, expected] of kept) {
          expect(contents.read(id).equals(expected)).toBe(true);
          expect(contents.isWhole(id)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('are kept once', () => {
    const contents = new Contents(store);
    const data = Buffer.from('the same\n'.repeat(1000));
    store.db.transaction(() => {
      expect(contents.keep(data)).toBe(contents.keep(Buffer.from(data)));
    })();
  });

  it('cost what changed', () => {
    const contents = new Contents(store);
    const { random } = Math;
    const lines = Array.from({ length: 20_000 }, () => `Package: ${random().toString(36)}\n`);
    store.db.transaction(() => {
      const first = contents.keep(Buffer.from(lines.join('')));
      lines[777] = 'Package: another\n';
      const second = contents.keep(Buffer.from(lines.join('')), first);
      expect(size(first)).toBeGreaterThan(100_000);
      expect(size(second)).toBeLessThan(1000);
    })();
  });

  it('that were damaged are not taken for whole', () => {
    const contents = new Contents(store);
    const id = store.db.transaction(() => contents.keep(Buffer.from('precious\n'.repeat(50))))();
    store.db.prepare('UPDATE content SET data = zeroblob(length(data)) WHERE id = ?').run(id);
    expect(contents.isWhole(id)).toBe(false);
  });
});
