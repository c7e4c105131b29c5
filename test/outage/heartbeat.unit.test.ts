import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  formatBeat,
  type Heartbeat,
  HeartbeatFile,
  parseHeartbeat,
  readHeartbeat,
} from '../../src/outage/heartbeat.ts';
import { bytesOf } from '../../src/system/bytes.ts';

const BEAT: Heartbeat = {
  sequence: 7,
  at: new Date('2026-01-02T03:04:05.678Z'),
  boot: '74f3e6a9-27ab-4488-8c86-637927a8296e',
  uptime: 1234.56,
  every: 10,
  stopped: false,
};
const next: Heartbeat = { ...BEAT, sequence: 8, at: new Date('2026-01-02T03:04:15.679Z'), uptime: 1244.57 };

const blocks = (...parts: Buffer[]) => bytesOf(Buffer.concat(parts));
const nul = Buffer.alloc(4096);

describe('a heartbeat', () => {
  it('fills a block, and can be read by a person', () => {
    const block = formatBeat(BEAT);
    expect(block.length).toBe(4096);
    expect(block.toString('latin1').trimEnd()).toBe(
      'debmend-heartbeat 1 seq=7 at=2026-01-02T03:04:05.678Z boot=74f3e6a9-27ab-4488-8c86-637927a8296e uptime=1234.56 every=10 stopped=0 crc32=cb95090c',
    );
  });

  it('comes back as it was written', () => {
    expect(parseHeartbeat(blocks(formatBeat(BEAT)))).toEqual(BEAT);
    const bare: Heartbeat = { ...BEAT, boot: undefined, uptime: undefined, every: 0.5, stopped: true };
    expect(parseHeartbeat(blocks(formatBeat(bare)))).toEqual(bare);
  });

  it('is the newest whole one, wherever it stands', () => {
    expect(parseHeartbeat(blocks(formatBeat(next), formatBeat(BEAT)))).toEqual(next);
    expect(parseHeartbeat(blocks(formatBeat(BEAT), formatBeat(next)))).toEqual(next);
  });

  it('is the one before when the newest is NUL, cut off, or torn at any byte', () => {
    const [old, torn] = [formatBeat(BEAT), formatBeat(next)];
    expect(parseHeartbeat(blocks(nul, old))).toEqual(BEAT);
    expect(parseHeartbeat(blocks(old, nul))).toEqual(BEAT);
    for (let at = 0; at < 200; at += 1) {
      const half = Buffer.concat([torn.subarray(0, at), nul.subarray(at)]);
      expect(parseHeartbeat(blocks(half, old))).toEqual(BEAT);
      expect(parseHeartbeat(blocks(old, torn.subarray(0, at)))).toEqual(BEAT);
    }
  });

  it('is whole only with the right checksum', () => {
    const text = formatBeat(next).toString('latin1');
    for (const lie of [text.replace('seq=8', 'seq=9'), text.replace('stopped=0', 'stopped=1')])
      expect(parseHeartbeat(lie)).toBeUndefined();
  });

  it('is nothing in what is no heartbeat', () => {
    for (const data of ['', '\0'.repeat(8192), 'x'.repeat(10_000), 'debmend-heartbeat 1 '])
      expect(parseHeartbeat(data)).toBeUndefined();
  });
});

describe('a heartbeat file', () => {
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'debmend-heartbeat-'));
    file = join(directory, 'heartbeat');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const { sequence: _, ...what } = BEAT;
  const newest = () => {
    const reading = readHeartbeat(file);
    return reading.kind === 'beat' ? reading.beat.sequence : reading.kind;
  };

  it('is missing, then made, then beaten in place', async () => {
    expect(readHeartbeat(file)).toEqual({ kind: 'missing' });
    const open = await HeartbeatFile.open(file);
    expect(newest()).toBe('damaged'); // made, and nothing beaten yet
    const { ino } = statSync(file);
    for (const sequence of [1, 2, 3]) {
      await open.beat(what);
      expect(newest()).toBe(sequence);
      expect(statSync(file)).toMatchObject({ ino, size: 8192 });
    }
    await open.close();
    expect(readFileSync(file, 'latin1').match(/seq=\d/g)).toEqual(['seq=2', 'seq=3']);
  });

  it('goes on where it was, and overwrites the older beat first', async () => {
    for (const sequence of [1, 2, 3, 4]) {
      const open = await HeartbeatFile.open(file);
      await open.beat(what);
      await open.close();
      expect(newest()).toBe(sequence);
    }
    expect(readFileSync(file, 'latin1').match(/seq=\d/g)).toEqual(['seq=4', 'seq=3']);
  });

  it('is made anew where it cannot be used', async () => {
    writeFileSync(file, '\0'.repeat(300));
    const open = await HeartbeatFile.open(file);
    await open.beat(what);
    await open.close();
    expect(newest()).toBe(1);
    expect(statSync(file).size).toBe(8192);
  });

  it('goes on after an outage that cut it off', async () => {
    const open = await HeartbeatFile.open(file);
    for (const _ of [1, 2]) await open.beat(what);
    await open.close();
    truncateSync(file, 4096); // the block of the second beat
    const again = await HeartbeatFile.open(file);
    await again.beat(what);
    await again.close();
    expect(newest()).toBe(3);
  });
});
