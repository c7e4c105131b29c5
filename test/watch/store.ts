/** A store of any size, for measuring: real tables, made-up paths. */
import { Kind } from '../../src/scan/work.ts';
import { Entries, Origin } from '../../src/snapshot/entries.ts';
import { finishSnapshot, insertSnapshot } from '../../src/snapshot/snapshots.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';

/** Adds a snapshot of so many made-up files to a root's store. */
export async function fillStore(directory: string, paths: number): Promise<void> {
  const store = await openStore(new Root(directory));
  const entries = new Entries(store);
  store.db
    .transaction(() => {
      const head = { kind: 'manual', scope: 'full', transaction: undefined, sealed: true } as const;
      const snapshot = insertSnapshot(store, head);
      for (let at = 0; at < paths; at += 1) {
        entries.apply(snapshot, {
          kind: 'added',
          path: `/usr/share/made-up/directory-${at % 1000}/a-file-with-some-name-${at}`,
          state: {
            kind: Kind.file,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: at,
            ino: at + 1,
            mtime: 1_700_000_000_000,
            ctime: 1_700_000_000_000,
            origin: Origin.owned,
            flags: 0,
            xxh64: Buffer.alloc(8, at),
            md5: Buffer.alloc(16, at),
            target: null,
            capability: null,
            content: null,
          },
        });
      }
      finishSnapshot(store, snapshot, {
        entries: paths,
        changed: paths,
        filesRead: 0,
        bytesRead: 0,
        seconds: 0,
      });
    })
    .immediate();
  store.close();
}
