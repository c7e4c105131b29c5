/** The marker over boots: what each next one knows of the one before. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HeartbeatFile } from '../../src/outage/heartbeat.ts';
import { clearMarker, markerEvidence, setMarker } from '../../src/outage/marker.ts';

let scratch: string;
let directory: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'debmend-marker-'));
  directory = join(scratch, 'store');
});
afterEach(() => rmSync(scratch, { recursive: true }));

const boot = (n: number): string => `${String(n).repeat(8)}-0000-4000-8000-000000000000`;
const moment = (n: number, uptime = 2) => ({
  boot: boot(n),
  at: new Date(Date.UTC(2026, 0, n, 0, 0, uptime)),
  uptime,
});
const set = (n: number, uptime?: number) => setMarker(directory, moment(n, uptime));
const clear = (n: number) => clearMarker(directory, moment(n, 3000));
const known = (n: number | undefined) =>
  markerEvidence(directory, n === undefined ? undefined : boot(n)).map(({ kind, boot: of }) => ({
    kind,
    boot: of,
  }));
async function beat(n: number, stopped = false): Promise<void> {
  const file = await HeartbeatFile.open(join(directory, 'heartbeat'));
  await file.beat({ ...moment(n, 1000), every: 10, stopped });
  await file.beat({ ...moment(n, 1010), every: 10, stopped });
  await file.close();
}

describe('the marker', () => {
  it('is for root alone, in a directory that the store takes', () => {
    set(1);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'running')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(directory, 'running'), 'utf8')).toBe(
      `boot=${boot(1)} at=2026-01-01T00:00:02.000Z uptime=2\n`,
    );
  });

  it('says nothing of the first boot, nor of its own', () => {
    expect(known(1)).toEqual([]);
    set(1);
    expect(known(1)).toEqual([]);
  });

  it('that is left is known before the next one is set, and after', () => {
    set(1);
    expect(known(2)).toEqual([{ kind: 'marker-left', boot: boot(1) }]);
    set(2);
    expect(known(2)).toEqual([{ kind: 'marker-left', boot: boot(1) }]);
    expect(markerEvidence(directory, boot(2))[0]).toMatchObject({
      at: '2026-01-01T00:00:02.000Z',
      uptime: 2,
    });
  });

  it('that is taken away is known as well', () => {
    set(1);
    expect(clear(1)).toBe(true);
    expect(readdirSync(directory)).toEqual(['clean-ends']);
    expect(known(2)).toEqual([{ kind: 'marker-removed', boot: boot(1) }]);
    set(2);
    expect(known(2)).toEqual([{ kind: 'marker-removed', boot: boot(1) }]);
    expect(clear(2)).toBe(true);
    expect(clear(2)).toBe(false);
  });

  it('set or taken away again by hand in the same boot changes nothing of what is known', () => {
    set(1);
    set(2);
    set(2);
    clear(2);
    set(2);
    expect(known(2)).toEqual([{ kind: 'marker-left', boot: boot(1) }]);
  });

  it('an outage is told of in the boot after it, and not in later ones', () => {
    set(1);
    set(2);
    clear(2);
    set(3);
    expect(known(3)).toEqual([{ kind: 'marker-removed', boot: boot(2) }]);
    set(4);
    expect(known(4)).toEqual([{ kind: 'marker-left', boot: boot(3) }]);
  });

  it('of a root that does not run was left', () => {
    set(1);
    expect(known(undefined)).toEqual([{ kind: 'marker-left', boot: boot(1) }]);
    clear(1);
    expect(known(undefined)).toEqual([{ kind: 'marker-removed', boot: boot(1) }]);
  });

  it('that the shell took away leaves no list: the heartbeat of its boot tells that it was there', async () => {
    set(1);
    await beat(1, true);
    rmSync(join(directory, 'running')); // as bin/debmend-marker clear does
    set(2, 3);
    expect(known(2)).toEqual([
      { kind: 'marker-removed', boot: boot(1) },
      { kind: 'heartbeat-stopped', boot: boot(1) },
    ]);
    // Set by hand, or by an installation, in mid-boot: that proves nothing.
    rmSync(join(directory, 'running'));
    set(2, 3000);
    expect(known(2)).toEqual([{ kind: 'heartbeat-stopped', boot: boot(1) }]);
  });

  it.each(['', '\0'.repeat(80), 'boot=', 'x'.repeat(5000)])(
    'I8: damaged, %j, it is evidence all the same',
    (content) => {
      set(1);
      writeFileSync(join(directory, 'running'), content);
      expect(known(2)).toEqual([{ kind: 'marker-damaged', boot: undefined }]);
      set(2);
      expect(known(2)).toEqual([{ kind: 'marker-damaged', boot: undefined }]);
    },
  );

  it('keeps the last fifty ends', () => {
    for (let n = 0; n < 60; n += 1) setMarker(directory, { ...moment(1), boot: boot(n).slice(0, 36) });
    expect(readFileSync(join(directory, 'unclean-ends'), 'utf8').split('\n')).toHaveLength(51);
  });

  it('says what is wrong where it cannot be written', () => {
    writeFileSync(directory, 'a file');
    expect(() => set(1)).toThrow(expect.objectContaining({ code: 'store-unusable' }));
  });
});

describe('the last heartbeat', () => {
  it('of the boot before stays known after this boot beat over it', async () => {
    set(1);
    await beat(1);
    set(2);
    await beat(2);
    expect(markerEvidence(directory, boot(2))).toMatchObject([
      { kind: 'marker-left' },
      { kind: 'heartbeat', boot: boot(1), uptime: 1010, text: expect.stringContaining('10 s later') },
    ]);
  });

  it('is that of the newest boot before', async () => {
    set(1);
    rmSync(join(directory, 'running'));
    for (const n of [1, 2, 3]) await beat(n);
    expect(known(3)).toEqual([{ kind: 'heartbeat', boot: boot(2) }]);
    expect(known(4)).toEqual([{ kind: 'heartbeat', boot: boot(3) }]);
  });

  it('I8: damaged, it is said to be that', async () => {
    set(1);
    rmSync(join(directory, 'running'));
    await beat(1);
    writeFileSync(join(directory, 'heartbeat'), '\0'.repeat(8192));
    expect(known(2)).toEqual([{ kind: 'unavailable', boot: undefined }]);
  });
});
