import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { openAdmindir } from '../../src/dpkg/admindir.ts';
import { DEFAULT_ADMINDIR } from '../../src/dpkg/database.ts';
import { stateDamage } from '../../src/recovery/state-damage.ts';
import { forgetSealedState, putSealedState, readSealedState } from '../../src/snapshot/state.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { HELLO, tinyRoot } from '../cli/tiny-root.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';
import { scratch } from './rig.ts';

const TEXT = 'nothing else on this disk reads like this line\n'.repeat(200);

interface Scene {
  /** A path of this host. */
  at(path: string): string;
  /** What `change` does is synced, and sealed. */
  seal(change: () => void): Promise<void>;
  /** The power fails; `damage` may do something to the disk without it. @returns what is found then */
  cut(damage: (image: string) => void): Promise<[string, string][]>;
  found(repaired?: boolean): Promise<[string, string][]>;
  forget(): void;
}

async function onDisk(body: (scene: Scene) => Promise<void>): Promise<void> {
  const disk = throwawayDisk({ type: 'ext4', size: 256 * 1024 * 1024 });
  const tiny = tinyRoot([HELLO]);
  const at = (path: string): string => join(disk.directory, path);
  try {
    cpSync(tiny.directory, disk.directory, { recursive: true });
    const info = at('/var/lib/dpkg/info');
    writeFileSync(
      join(info, 'hello.postinst'),
      'mkdir /var/lib/hello; table=/var/lib/hello/table; rm -rf /var/lib/hello-old\n',
    );
    writeFileSync(join(info, 'serves.postinst'), 'echo > /var/lib/serves/data\n');
    writeFileSync(join(info, 'serves.list'), '/.\n/lib/systemd/system/serves.service\n');
    for (const directory of ['hello', 'hello-old', 'serves']) mkdirSync(at(`/var/lib/${directory}`));
    writeFileSync(at('/var/lib/hello/table'), `old table ${TEXT}`);
    writeFileSync(at('/var/lib/serves/data'), `data ${TEXT}`);
    const root = new Root(disk.directory);
    const store = await openStore(root, { directory: scratch() });
    const found = async (repaired = false): Promise<[string, string][]> =>
      (await stateDamage(root, store, repaired)).map(({ path, damage }) => [path, damage]);
    try {
      await body({
        at,
        seal: async (change) => {
          change();
          await sleep(50); // file times are coarser than clocks
          const syncedAt = Date.now();
          disk.sync();
          const names = new Set(['hello', 'serves']);
          const admindir = openAdmindir(root, DEFAULT_ADMINDIR);
          putSealedState(
            store,
            await readSealedState(store, root, { admindir, names, before: undefined, syncedAt }),
          );
        },
        cut: async (damage) => {
          disk.cut();
          damage(disk.image);
          disk.restore();
          return await found();
        },
        found,
        forget: () => forgetSealedState(store),
      });
    } finally {
      store.close();
    }
  } finally {
    tiny.remove();
    disk.remove();
  }
}

const nothing = (): void => {};

diskTest('I11: knows what a disk that took all back did to state that was sealed', () =>
  onDisk(async ({ at, seal, cut, forget }) => {
    await seal(nothing);
    const old = join(scratch(), 'old');
    expect(await cut((image) => copyFileSync(image, old))).toEqual([]);
    await seal(() => {
      writeFileSync(at('/var/lib/hello/table'), `new table ${TEXT}`);
      writeFileSync(at('/var/lib/hello/second'), 'second\n');
      rmSync(at('/var/lib/hello-old'), { recursive: true });
    });
    expect(await cut(nothing)).toEqual([]);
    expect(await cut((image) => copyFileSync(old, image))).toEqual([
      ['/var/lib', 'older than it was then'],
      ['/var/lib/hello', 'older than it was then'],
      ['/var/lib/hello-old', 'there, and was not then'],
      ['/var/lib/hello/second', 'gone, which it was not then'],
      ['/var/lib/hello/table', 'older than it was then'],
    ]);
    forget();
    expect(await cut(nothing)).toEqual([]);
  }),
);

diskTest('I11: knows other content that a disk put into state, and leaves databases alone', () =>
  onDisk(async ({ seal, cut }) => {
    await seal(nothing);
    const tear = (image: string): void => {
      const bytes = readFileSync(image);
      const file = openSync(image, 'r+');
      for (const mark of ['old table ', 'data ']) {
        const place = bytes.indexOf(mark + TEXT);
        expect(place).toBeGreaterThan(0);
        writeSync(file, Buffer.alloc(4096, 'foreign '), 0, 4096, place);
      }
      closeSync(file);
    };
    expect(await cut(tear)).toEqual([['/var/lib/hello/table', 'of other content, and nobody touched it']]);
  }),
);

diskTest('I3: takes nothing for it that programs and people do to state', () =>
  onDisk(async ({ at, seal, found }) => {
    await seal(nothing);
    writeFileSync(at('/var/lib/hello/table'), 'another table\n');
    rmSync(at('/var/lib/serves'), { recursive: true });
    rmSync(at('/var/lib/hello-old'), { recursive: true });
    expect(await found()).toEqual([]);
    // After a repair of the filesystem nobody knows who took it.
    expect(await found(true)).toEqual([
      ['/var/lib/hello-old', 'gone, which it was not then'],
      ['/var/lib/serves', 'gone, which it was not then'],
    ]);
    await seal(nothing);
    mkdirSync(at('/var/lib/hello-old'));
    expect(await found(true)).toEqual([]);
  }),
);
