/** Tracked files held against the newest sealed snapshot, without a known installation. */
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import { trackedDamage } from '../../src/recovery/tracked-damage.ts';
import { createFullSnapshot } from '../../src/snapshot/create.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { HELLO, tinyRoot } from '../cli/tiny-root.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';
import { scratch } from './rig.ts';

/** What is found of files below /etc/own after a change of the tree. */
async function damageAfter(
  change: (at: (path: string) => string) => void,
  repaired = true,
): Promise<[string, string][]> {
  const tiny = tinyRoot([HELLO]);
  const root = new Root(tiny.directory);
  mkdirSync(tiny.at('/etc/own'), { recursive: true });
  for (const name of ['text', 'emptied', 'blank', 'linked', 'removed'])
    writeFileSync(tiny.at(`/etc/own/${name}`), name === 'blank' ? '' : `${name}, as it was\n`);
  writeFileSync(tiny.at('/etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  mkdirSync(tiny.at('/var/lib/apt'), { recursive: true });
  writeFileSync(tiny.at('/var/lib/apt/extended_states'), 'Package: hello\nAuto-Installed: 1\n\n');
  mkdirSync(tiny.at('/var/lib/dpkg/triggers'), { recursive: true });
  for (const name of ['Lock', 'Unincorp']) writeFileSync(tiny.at(`/var/lib/dpkg/triggers/${name}`), '');
  writeFileSync(tiny.at('/var/lib/dpkg/diversions'), '/usr/bin/one\n/usr/bin/two\n:\n');
  utimesSync(tiny.at('/etc/own/text'), 1_700_000_000, 1_700_000_000);
  const store = await openStore(root);
  try {
    await createFullSnapshot(store, root, {
      config: DEFAULT_CONFIG.snapshots,
      head: { kind: 'manual', scope: 'full', transaction: undefined, sealed: true },
    });
    change((path) => tiny.at(path));
    root.forget();
    const found = await trackedDamage(root, store, repaired);
    for (const { entry, damage, content } of found)
      if (damage.startsWith('gone,')) expect(content, entry.path).toBeDefined();
    return found.map(({ entry, damage }) => [entry.path, damage]);
  } finally {
    store.close();
    tiny.remove();
  }
}

it('tells damage from what an administrator does', async () => {
  expect(
    await damageAfter((at) => {
      writeFileSync(at('/etc/own/text'), 'edited\n');
      writeFileSync(at('/etc/own/emptied'), '');
      rmSync(at('/etc/own/linked'));
      symlinkSync('text', at('/etc/own/linked'));
      rmSync(at('/etc/own/removed'));
    }),
  ).toEqual([
    ['/etc/own/emptied', 'empty'],
    ['/etc/own/removed', 'gone'],
  ]);
  expect(
    await damageAfter((at) => {
      rmSync(at('/etc/own/text'));
      mkdirSync(at('/etc/own/text'));
      rmSync(at('/etc/own/linked'));
      symlinkSync('nowhere', at('/etc/own/linked'));
      writeFileSync(at('/etc/own/emptied'), Buffer.alloc(4096));
    }),
  ).toEqual([
    ['/etc/own/emptied', 'all NUL'],
    ['/etc/own/linked', 'no file any more'],
    ['/etc/own/text', 'no file any more'],
  ]);
});

it('takes only for damage what nobody does, where no repair took anything', async () => {
  const change = (at: (path: string) => string): void => {
    writeFileSync(at('/etc/own/emptied'), '');
    rmSync(at('/etc/own/removed'));
    rmSync(at('/etc/own/linked'));
    symlinkSync('nowhere', at('/etc/own/linked'));
  };
  expect(await damageAfter(change, false)).toEqual([]);
});

it('takes accounts, tables of dpkg and the marks of apt for damaged when they are gone', async () => {
  const triggers = ['Lock', 'Unincorp'].map((name) => `/var/lib/dpkg/triggers/${name}`);
  const tables = ['/etc/passwd', '/var/lib/apt/extended_states', '/var/lib/dpkg/diversions'];
  for (const path of [...tables, ...triggers]) {
    const lose = (at: (path: string) => string): void => rmSync(at(path));
    for (const repaired of [true, false])
      expect(await damageAfter(lose, repaired)).toEqual([[path, 'gone, and nothing takes it away']]);
  }
});

it('I3: takes other content for an edit, whatever its time of change says', async () => {
  const swap = (at: (path: string) => string): void => {
    const path = at('/etc/own/text');
    const { atime, mtime, size } = statSync(path);
    writeFileSync(path, 'x'.repeat(size));
    utimesSync(path, atime, mtime); // as dpkg, tar and rsync do
  };
  for (const repaired of [true, false]) expect(await damageAfter(swap, repaired)).toEqual([]);
});

diskTest('knows what a disk did to a file that nobody touched', async () => {
  const disk = throwawayDisk({ type: 'ext4', size: 256 * 1024 * 1024 });
  const tiny = tinyRoot([HELLO]);
  try {
    cpSync(tiny.directory, disk.directory, { recursive: true });
    const own = join(disk.directory, 'etc/own');
    const text = 'nothing else on this disk reads like this line\n'.repeat(200);
    mkdirSync(own, { recursive: true });
    for (const name of ['torn', 'sound']) writeFileSync(join(own, name), `${name} ${text}`);
    await sleep(50); // what changed just before it was looked at is not believed
    const root = new Root(disk.directory);
    const store = await openStore(root, { directory: scratch() });
    try {
      await createFullSnapshot(store, root, {
        config: DEFAULT_CONFIG.snapshots,
        head: { kind: 'manual', scope: 'full', transaction: undefined, sealed: true },
      });
      disk.sync();
      disk.cut();
      const image = readFileSync(disk.image);
      const at = image.indexOf(`torn ${text}`);
      expect(at).toBeGreaterThan(0);
      const file = openSync(disk.image, 'r+');
      writeSync(file, Buffer.alloc(4096, 'foreign '), 0, 4096, at);
      closeSync(file);
      disk.restore();
      root.forget();
      const found = await trackedDamage(root, store, false);
      expect(found.map(({ entry, damage }) => [entry.path, damage])).toEqual([
        ['/etc/own/torn', 'other content, and nobody touched it'],
      ]);
      expect(found[0]?.content?.toString()).toBe(`torn ${text}`);
    } finally {
      store.close();
    }
  } finally {
    tiny.remove();
    disk.remove();
  }
});

it('I7: looks at nothing outside the root, whatever a directory on the way has become', async () => {
  const outside = scratch();
  for (const name of ['text', 'emptied', 'linked', 'removed']) writeFileSync(join(outside, name), '');
  const found = await damageAfter((at) => {
    rmSync(at('/etc/own'), { recursive: true });
    symlinkSync(outside, at('/etc/own'));
  });
  expect(found.filter(([, damage]) => damage !== 'gone')).toEqual([]);
});
