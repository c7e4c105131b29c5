import { describe, expect, it } from 'vitest';
import type { Ext4Counters } from '../../src/fsck/ext4-errors.ts';
import { holdAgainst, parseSamples, type Samples } from '../../src/watch/samples.ts';

const AT = '2026-01-02T03:04:05.678Z';
const BOOT = 'boot-1';
const counters = (errors: number, more: Partial<Ext4Counters> = {}): Ext4Counters => ({
  device: 'vda1',
  uuid: 'u-1',
  mountPoints: ['/'],
  errors,
  warnings: 0,
  first: undefined,
  last: errors === 0 ? undefined : { func: 'ext4_lookup', inode: 27, at: new Date(AT) },
  ...more,
});
const place = { device: 'vda1', uuid: 'u-1', mountPoints: ['/'] };
const last = { func: 'ext4_lookup', inode: 27, at: AT };

/** Samples one after the other; the events of the last. */
function events(...series: (Ext4Counters | [Ext4Counters, boot: string])[]) {
  let samples: Samples = {};
  let found: unknown[] = [];
  for (const one of series) {
    const [now, boot] = Array.isArray(one) ? one : [one, BOOT];
    const held = holdAgainst(samples, [now], AT, boot);
    samples = parseSamples(JSON.stringify(held?.samples ?? samples));
    found = held?.events ?? [];
  }
  return found;
}

describe('samples of error counters', () => {
  it('say nothing of a sound filesystem, and remember it', () => {
    const held = holdAgainst({}, [counters(0)], AT, BOOT);
    expect(held?.events).toEqual([]);
    expect(holdAgainst(held?.samples ?? {}, [counters(0)], AT, BOOT)).toBeUndefined();
  });

  it('say a rise, with what is known of the last error', () => {
    expect(events(counters(0), counters(2))).toEqual([
      { kind: 'filesystem-errors', ...place, last, errors: 2, before: 0 },
    ]);
    expect(events(counters(2), counters(2))).toEqual([]);
  });

  it('say errors that were there before the first sample', () => {
    expect(events(counters(5))).toMatchObject([{ kind: 'filesystem-errors', errors: 5, before: 0 }]);
  });

  it('say that a check wiped them, with the error that the disk has forgotten', () => {
    expect(events(counters(2), counters(0))).toEqual([
      { kind: 'filesystem-errors-wiped', ...place, last, errors: 0, before: 2 },
    ]);
  });

  it('know a filesystem by its UUID when its device is called otherwise', () => {
    expect(events(counters(2), [counters(2, { device: 'vdb1' }), 'boot-2'])).toEqual([]);
    expect(events(counters(2), [counters(0, { device: 'vdb1' }), 'boot-2'])).toMatchObject([
      { kind: 'filesystem-errors-wiped', device: 'vdb1', before: 2 },
    ]);
  });

  it('count warnings by boot', () => {
    const warned = (warnings: number) => counters(0, { warnings });
    expect(events(warned(0), warned(3))).toEqual([
      { kind: 'filesystem-warnings', ...place, warnings: 3, before: 0 },
    ]);
    expect(events(warned(3), [warned(0), 'boot-2'])).toEqual([]);
    expect(events(warned(3), [warned(3), 'boot-2'])).toMatchObject([{ warnings: 3, before: 0 }]);
  });

  it('keep what is known of filesystems that are not mounted, up to a limit', () => {
    let samples: Samples = {};
    for (let at = 0; at < 300; at += 1) {
      const one = counters(at + 1, { uuid: `u-${at}`, device: `vd${at}` });
      samples = holdAgainst(samples, [one], new Date(at * 1000).toISOString(), BOOT)?.samples ?? samples;
    }
    expect(Object.keys(samples)).toHaveLength(256);
    expect(samples['u-299']).toBeDefined();
    expect(samples['u-0']).toBeUndefined();
  });

  it('begin anew when what is remembered is damaged', () => {
    for (const text of [undefined, '', 'null', '{', '7']) expect(parseSamples(text)).toEqual({});
  });
});
