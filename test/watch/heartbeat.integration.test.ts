import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { readHeartbeat } from '../../src/outage/heartbeat.ts';
import { Beating } from '../../src/watch/heartbeat.ts';
import { type Disk, diskTest, throwawayDisk } from '../lab/disk.ts';

let disk: Disk | undefined;
afterEach(() => {
  if (disk !== undefined) spawnSync('fsfreeze', ['--unfreeze', disk.directory]);
  disk?.remove();
  disk = undefined;
});
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

diskTest(
  'on a disk that stalls no beats pile up, it is said, and stopping does not wait for it',
  async () => {
    const stalled = throwawayDisk({ type: 'ext4', size: 64 * 1024 ** 2 });
    disk = stalled;
    const file = join(stalled.directory, 'heartbeat');
    const sequence = () => {
      const reading = readHeartbeat(file);
      return reading.kind === 'beat' ? reading.beat.sequence : 0;
    };
    const late: number[] = [];
    const failed: string[] = [];
    const beating = new Beating(file, 0.1, {
      onLate: (seconds) => late.push(seconds),
      onFailed: (reason) => failed.push(reason),
    });
    await beating.start();
    await pause(500);
    const before = sequence();
    expect(before).toBeGreaterThan(2);
    spawnSync('fsfreeze', ['--freeze', stalled.directory]);
    await pause(5500);
    spawnSync('fsfreeze', ['--unfreeze', stalled.directory]);
    await pause(50);
    expect(sequence() - before).toBeLessThan(4);
    expect(late).toHaveLength(1);
    expect(late[0]).toBeGreaterThan(5);

    spawnSync('fsfreeze', ['--freeze', stalled.directory]);
    await pause(300);
    const stopping = performance.now();
    await beating.stop();
    expect(performance.now() - stopping).toBeLessThan(800);
    spawnSync('fsfreeze', ['--unfreeze', stalled.directory]);
    await pause(300);
    expect(readHeartbeat(file)).toMatchObject({ kind: 'beat', beat: { stopped: true } });
    expect(failed).toEqual([]);
  },
);

it('what keeps it from beating is said once', async () => {
  const failed: string[] = [];
  const beating = new Beating('/nowhere/heartbeat', 0.05, {
    onLate: () => {},
    onFailed: (reason) => failed.push(reason),
  });
  await beating.start();
  await pause(300);
  await beating.stop();
  expect(failed).toEqual(['ENOENT']);
  expect(readdirSync('/')).not.toContain('nowhere');
});
