/** Tracked files held against the newest sealed snapshot, without a known installation. */
import { mkdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import { trackedDamage } from '../../src/recovery/tracked-damage.ts';
import { createFullSnapshot } from '../../src/snapshot/create.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { HELLO, tinyRoot } from '../cli/tiny-root.ts';
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

it('knows other content by a time of change that nobody renewed', async () => {
  const swap = (at: (path: string) => string, renewed: boolean, by = 'x'): void => {
    const path = at('/etc/own/text');
    const { atime, mtime, size } = statSync(path);
    writeFileSync(path, by.repeat(size));
    if (!renewed) utimesSync(path, atime, mtime);
  };
  expect(await damageAfter((at) => swap(at, true))).toEqual([]);
  for (const repaired of [true, false])
    for (const by of ['x', '\0'])
      expect(await damageAfter((at) => swap(at, false, by), repaired)).toEqual([
        ['/etc/own/text', 'other content with the time of before'],
      ]);
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
