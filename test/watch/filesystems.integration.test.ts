import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterEach, expect } from 'vitest';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { listNotices } from '../../src/watch/notices.ts';
import { tinyRoot } from '../cli/tiny-root.ts';
import { diskTest, throwawayDisk } from '../lab/disk.ts';
import { killAgents, startAgent } from './agent.ts';

const cleanUp: (() => void)[] = [];
afterEach(() => {
  killAgents();
  for (const one of cleanUp.splice(0)) one();
});

diskTest('errors that a filesystem counts are said, and so is the check that wipes them', async () => {
  const root = tinyRoot();
  cleanUp.push(() => root.remove());
  const disk = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2 });
  cleanUp.push(() => disk.remove());
  root.write('/config.yaml', 'watch: { heartbeat: 10, poll: 1, sample: 1 }\n');
  const args = ['--root', root.directory, '--config', root.at('/config.yaml')];
  const here = ({ mountPoints }: { mountPoints: readonly string[] }) => mountPoints.includes(disk.directory);
  const agent = await startAgent(args);
  writeFileSync(`/sys/fs/ext4/${basename(disk.device)}/trigger_fs_error`, 'for a test');
  expect(await agent.event('filesystem-errors', here)).toMatchObject({
    device: basename(disk.device),
    errors: 1,
    before: 0,
    last: { func: 'trigger_test_error' },
  });
  await agent.end();

  // Another one, while no agent runs.
  writeFileSync(`/sys/fs/ext4/${basename(disk.device)}/trigger_fs_error`, 'for a test');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const next = await startAgent(args);
  expect(await next.event('filesystem-errors', here)).toMatchObject({ errors: 2, before: 1 });
  expect(next.of('filesystem-errors').filter(here)).toHaveLength(1);

  // Off, not unmounted: another test's mount namespace may keep a copy of the mount, and cut() takes that too.
  disk.sync();
  disk.cut();
  expect(spawnSync('e2fsck', ['-fy', disk.image]).status).toBeLessThan(2);
  disk.restore();
  expect(await next.event('filesystem-errors-wiped', here)).toMatchObject({
    errors: 0,
    before: 2,
    last: { func: 'trigger_test_error' },
  });
  await next.end();
  const store = await openStore(new Root(root.directory));
  const kept = listNotices(store).flatMap(({ event }) =>
    'mountPoints' in event && here(event) ? event.kind : [],
  );
  store.close();
  expect(kept).toEqual(['filesystem-errors', 'filesystem-errors', 'filesystem-errors-wiped']);
});
