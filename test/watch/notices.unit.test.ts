import { expect, it } from 'vitest';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import type { WatchEvent } from '../../src/watch/events.ts';
import { keepNotices, listNotices } from '../../src/watch/notices.ts';
import { tinyRoot } from '../cli/tiny-root.ts';

const event = (second: number, path = '/etc/x'): WatchEvent => ({
  at: new Date(second * 1000).toISOString(),
  kind: 'owned-file-changed',
  path,
  changed: ['content'],
});

it('notices are what matters, the newest of it, and can be asked for since a time', async () => {
  const root = tinyRoot();
  const store = await openStore(new Root(root.directory));
  try {
    keepNotices(store, [event(1), { at: new Date(2000).toISOString(), kind: 'stopped' }, event(3)]);
    expect(listNotices(store).map((notice) => notice.event)).toEqual([event(1), event(3)]);
    expect(listNotices(store, new Date(2000).toISOString()).map((notice) => notice.event)).toEqual([
      event(3),
    ]);
    for (let second = 4; second < 12; second += 1) keepNotices(store, [event(second)], 5);
    expect(listNotices(store).map((notice) => notice.event.at)).toEqual(
      [7, 8, 9, 10, 11].map((second) => new Date(second * 1000).toISOString()),
    );
    const row = store.db.prepare('SELECT kind, path FROM notice ORDER BY id DESC LIMIT 1').get();
    expect(row).toEqual({ kind: 'owned-file-changed', path: '/etc/x' });
  } finally {
    store.close();
    root.remove();
  }
});
