/** When: the instants of the measured cut (09:24:52), and clocks that lie. */
import { describe, expect, it } from 'vitest';
import type { Evidence, EvidenceKind } from '../../src/model/outage.ts';
import { evidence, type When } from '../../src/outage/evidence.ts';
import { duration } from '../../src/outage/interval.ts';
import { mergeEvidence } from '../../src/outage/merge.ts';

const BEFORE = '11111111-1111-4111-8111-111111111111';
const NOW = '22222222-2222-4222-8222-222222222222';
const at = (time: string): Date => new Date(time.includes('T') ? `${time}Z` : `2026-01-31T${time}Z`);
const sign = (kind: EvidenceKind, source: string, when: When): Evidence => evidence(kind, source, 'so', when);
const began = (time: string): Evidence =>
  sign('boot-began', '/proc/uptime', { at: at(time), uptime: 0, boot: NOW });
const first = (time: string): Evidence => sign('boot-first-entry', 'journal', { at: at(time), boot: NOW });

const MEASURED = [
  sign('journal-not-stopped', 'journal', { at: at('09:24:09'), uptime: 449, boot: BEFORE }),
  sign('heartbeat', 'heartbeat', { at: at('09:24:50'), uptime: 490, boot: BEFORE }),
  sign('alive', '/var/lib/downtimed/stamp', { at: at('09:24:46') }),
  sign('marker-left', 'running', { at: at('09:16:42'), uptime: 2, boot: BEFORE }),
  began('09:25:10'),
  first('09:25:13'),
];

describe('the interval', () => {
  it('is from the last sign of life to the beginning of this boot, each with its source', () => {
    expect(mergeEvidence(MEASURED).interval).toEqual({
      from: { at: '2026-01-31T09:24:50.000Z', uptime: 490, boot: BEFORE, source: 'heartbeat' },
      to: { at: '2026-01-31T09:25:10.000Z', uptime: 0, boot: NOW, source: '/proc/uptime' },
    });
  });

  it('takes a sign that names no boot when it is the last one before this boot', () => {
    const later = sign('alive', '/var/log/syslog', { at: at('09:24:51') });
    expect(mergeEvidence([...MEASURED, later]).interval.from?.source).toBe('/var/log/syslog');
    const ours = sign('alive', '/var/log/syslog', { at: at('09:26:00') });
    expect(mergeEvidence([...MEASURED, ours]).interval.from?.source).toBe('heartbeat');
  });

  it('takes nothing of earlier boots, nor of this one', () => {
    const others = [
      sign('heartbeat', 'old', {
        at: at('09:24:55'),
        uptime: 99_999,
        boot: '33333333-3333-4333-8333-333333333333',
      }),
      sign('alive', 'own', { at: at('09:25:09'), uptime: 1, boot: NOW }),
    ];
    expect(mergeEvidence([...MEASURED, ...others]).interval.from?.source).toBe('heartbeat');
  });

  it('has no end for a root that does not run, and no beginning without a sign of life', () => {
    const disk = MEASURED.filter(({ kind }) => !kind.startsWith('boot'));
    expect(mergeEvidence(disk).interval).not.toHaveProperty('to');
    expect(mergeEvidence([began('09:25:10')]).interval).not.toHaveProperty('from');
    expect(mergeEvidence([]).interval).toEqual({});
  });
});

describe('a clock that lies', () => {
  it('orders a boot by its own seconds: a clock that was set back in its middle moves nothing', () => {
    const stepped = [
      sign('journal-not-stopped', 'journal', { at: at('11:00:00'), uptime: 100, boot: BEFORE }),
      sign('heartbeat', 'heartbeat', { at: at('09:24:50'), uptime: 490, boot: BEFORE }),
      began('09:25:10'),
    ];
    expect(mergeEvidence(stepped).interval.from?.source).toBe('heartbeat');
  });

  it('says when this boot began with a clock that was behind, and has been set since', () => {
    const { interval, verdict } = mergeEvidence([...MEASURED.slice(0, -1), first('07:25:13')]);
    expect(verdict).toBe('unclean');
    expect(interval.clock).toBe('when this boot began the clock was 1 h 59 min behind what it says now');
    expect(interval.from?.source).toBe('heartbeat');
  });

  it('says when the clock was ahead', () => {
    const { interval } = mergeEvidence([...MEASURED.slice(0, -1), first('12:25:13')]);
    expect(interval.clock).toContain('3 h after its beginning');
  });

  it('says when it is wrong still: a battery that is empty, and no network', () => {
    const { interval, verdict } = mergeEvidence([...MEASURED.slice(0, -2), began('1970-01-01T00:00:05')]);
    expect(verdict).toBe('unclean');
    expect(interval.from?.source).toBe('heartbeat');
    expect(interval.clock).toMatch(
      /the last sign of life \(heartbeat\) is \d+ days .* after the beginning of this boot/,
    );
  });

  it('finds nothing wrong with some seconds', () => {
    expect(mergeEvidence(MEASURED).interval).not.toHaveProperty('clock');
  });
});

it('the timeline puts this boot after the one before, whatever the clocks say', () => {
  const { timeline } = mergeEvidence([...MEASURED.slice(0, -2), began('1970-01-01T00:00:05')]);
  expect(timeline.map(({ source }) => source)).toEqual([
    'running',
    'journal',
    '/var/lib/downtimed/stamp',
    'heartbeat',
    '/proc/uptime',
  ]);
});

it('the timeline of a boot goes by its own seconds', () => {
  const stepped = [
    sign('heartbeat', 'second', { at: at('09:24:50'), uptime: 490, boot: BEFORE }),
    sign('journal-not-stopped', 'first', { at: at('11:00:00'), uptime: 100, boot: BEFORE }),
    sign('alive', 'third', { at: at('09:24:51') }),
    began('09:25:10'),
  ];
  expect(mergeEvidence(stepped).timeline.map(({ source }) => source)).toEqual([
    'first',
    'second',
    'third',
    '/proc/uptime',
  ]);
});

it.each([
  [0, '0 s'],
  [59_400, '59 s'],
  [60_000, '1 min'],
  [125_000, '2 min 5 s'],
  [7_800_000, '2 h 10 min'],
  [86_400_000, '1 day'],
  [4 * 86_400_000 + 3 * 3_600_000, '4 days 3 h'],
])('%d ms is said as %s', (milliseconds, text) => expect(duration(milliseconds)).toBe(text));
