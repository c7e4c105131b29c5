import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { HeartbeatFile, readHeartbeat } from '../../src/outage/heartbeat.ts';
import { type Disk, diskTest, throwawayDisk } from '../lab/disk.ts';

const disks: Disk[] = [];
afterEach(() => {
  for (const disk of disks.splice(0)) disk.remove();
});
function open(type: Disk['type'], size: number): { disk: Disk; file: string } {
  const disk = throwawayDisk({ type, size });
  disks.push(disk);
  return { disk, file: join(disk.directory, 'heartbeat') };
}

const what = () => ({ at: new Date(), boot: 'b', uptime: 1, every: 1, stopped: false });

for (const type of ['ext4', 'xfs', 'btrfs'] as const) {
  diskTest(`every beat on ${type} is there after a power cut`, async () => {
    const { disk, file } = open(type, 512 * 1024 ** 2);
    for (const beats of [1, 2, 5]) {
      const before = readHeartbeat(file);
      const heartbeat = await HeartbeatFile.open(file);
      let last = await heartbeat.beat(what());
      for (let more = 1; more < beats; more += 1) last = await heartbeat.beat(what());
      await heartbeat.close(); // syncs nothing; the disk is lost to this process otherwise
      disk.cut();
      disk.restore();
      expect(readHeartbeat(file)).toEqual({ kind: 'beat', beat: last });
      expect(last.sequence).toBe((before.kind === 'beat' ? before.beat.sequence : 0) + beats);
    }
  });
}

diskTest('beats make ext4 commit nothing', async () => {
  const { disk, file } = open('ext4', 64 * 1024 ** 2);
  const heartbeat = await HeartbeatFile.open(file);
  await heartbeat.beat(what());
  await heartbeat.beat(what());
  disk.sync();
  // fs/jbd2/journal.c, jbd2_seq_info_show: those that someone waited for.
  const requested = () => {
    const info = readFileSync(`/proc/fs/jbd2/${basename(disk.device)}-8/info`, 'utf8');
    return Number(/\((\d+) requested\)/.exec(info)?.[1]);
  };
  const before = requested();
  expect(before).toBeGreaterThan(0);
  for (let beats = 0; beats < 20; beats += 1) await heartbeat.beat(what());
  expect(requested()).toBe(before);
  await heartbeat.close();
});
