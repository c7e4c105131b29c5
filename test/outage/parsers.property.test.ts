/** I8: no bytes, and no damage to sound ones, make a parser of evidence throw, or make evidence that no report takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EVIDENCE_KINDS, evidenceSchema, outageSchema } from '../../src/model/outage.ts';
import { evidence } from '../../src/outage/evidence.ts';
import { fsckEvidence } from '../../src/outage/fsck-log.ts';
import { bootStatusEvidence, chassisEvidence } from '../../src/outage/hardware.ts';
import { parseBootList } from '../../src/outage/journal.ts';
import { parseJournalHeader } from '../../src/outage/journal-files.ts';
import { kernelEvidence } from '../../src/outage/kernel-log.ts';
import { parseLogTail } from '../../src/outage/life.ts';
import { formatMarker, parseMarker } from '../../src/outage/marker.ts';
import { mergeEvidence } from '../../src/outage/merge.ts';
import { parseDump } from '../../src/outage/panic.ts';
import { parseWtmp, wtmpEvidence } from '../../src/outage/wtmp.ts';
import { bytesOf } from '../../src/system/bytes.ts';
import { parseEntries } from '../../src/system/journal-entries.ts';
import { parseKernLog, parseKmsg } from '../../src/system/kernel-log.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/outage');
const fixture = (name: string): string => bytesOf(readFileSync(join(FIXTURES, name)));
const MARKER = 'boot=74f3e6a9-27ab-4488-8c86-637927a8296e at=2026-01-31T09:24:50.000Z uptime=12.50';
const ENTRY =
  '{"__REALTIME_TIMESTAMP":"1795507335788153","__MONOTONIC_TIMESTAMP":"15795615846","MESSAGE":"hello","MESSAGE_ID":"d93fb3c9c24d451a97cea615ce59c00b"}\n';

interface Parser {
  readonly parse: (data: string) => unknown;
  readonly sound: string;
}
const beginning = { times: [new Date('2026-11-23T09:30:00Z')], uptime: 600 };
const PARSERS: Readonly<Record<string, Parser>> = {
  wtmp: { parse: (data) => wtmpEvidence(parseWtmp(data), beginning, 'wtmp'), sound: fixture('wtmp') },
  'journal header': { parse: parseJournalHeader, sound: fixture('journal-online.header') },
  marker: { parse: parseMarker, sound: MARKER },
  'boot list': {
    parse: parseBootList,
    sound: '[{"index":0,"boot_id":"33333333333343338333333333333333","first_entry":1,"last_entry":2}]',
  },
  entries: { parse: parseEntries, sound: ENTRY.repeat(3) },
  kmsg: { parse: parseKmsg, sound: '6,339,5140900,-;EXT4-fs (sda1): recovery complete\n' },
  'kern.log': {
    parse: (data) => kernelEvidence(parseKernLog(data), new Set(['sda1']), 'b', new Date(0)),
    sound:
      'Jan 1 vm kernel: [    0.0] Linux version 6.1\nJan 1 vm kernel: [    1.5] EXT4-fs (sda1): recovery complete\n',
  },
  fsck: {
    parse: (data) => fsckEvidence(data, 'fsck', 'b'),
    sound: '/dev/sda1: recovering journal\n/dev/sda1: clean, 1/2\n',
  },
  'dpkg.log': { parse: parseLogTail, sound: '2026-01-31 09:24:50 status installed mysql 1.0\n' },
  dump: { parse: parseDump, sound: 'Panic#1 Part1\n<0>[  12.3] Kernel panic - not syncing: x\n' },
  bootstatus: { parse: (data) => bootStatusEvidence(data, 'w', 'b'), sound: '32\n' },
  chassis: { parse: chassisEvidence, sound: 'Last Power Event     : ac-failed\n' },
};

const anyBytes = fc.uint8Array({ maxLength: 2000 }).map((bytes) => bytesOf(bytes));

for (const [name, { parse, sound }] of Object.entries(PARSERS)) {
  it(`I8: ${name} takes any bytes, and any damage to sound ones`, () => {
    expect(parse(sound)).toBeDefined();
    fc.assert(
      fc.property(anyBytes, (data) => void parse(data)),
      { numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.nat(sound.length), fc.nat(600), anyBytes, (at, length, junk) => {
        parse(sound.slice(0, at));
        parse(sound.slice(0, at) + '\0'.repeat(length));
        const result = parse(sound.slice(0, at) + junk + sound.slice(at + length));
        if (Array.isArray(result) && result.every((item) => typeof item === 'object' && 'supports' in item))
          for (const item of result) evidenceSchema.parse(item);
      }),
      { numRuns: 300 },
    );
  });
}

it('a marker comes back as it was written', () => {
  fc.assert(
    fc.property(
      fc.uuid(),
      fc.date({ min: new Date(0), max: new Date('2200-01-01'), noInvalidDate: true }),
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      (boot, at, uptime) => {
        expect(parseMarker(formatMarker({ boot, at, uptime }))).toEqual({ boot, at, uptime: uptime + 0 });
      },
    ),
  );
});

it('I8: any evidence, in any number, is merged to an outage that the schema takes', () => {
  const item = fc
    .record({
      kind: fc.constantFrom(...EVIDENCE_KINDS),
      source: fc.string(),
      text: fc.string(),
      at: fc.option(fc.date(), { nil: undefined }),
      uptime: fc.option(fc.double(), { nil: undefined }),
      boot: fc.option(fc.constantFrom('a', 'b', 'c', 'not an id'), { nil: undefined }),
    })
    .map(({ kind, source, text, ...when }) => evidence(kind, source, text, when));
  fc.assert(
    fc.property(fc.array(item, { maxLength: 30 }), (all) => {
      const outage = mergeEvidence(all);
      expect(outageSchema.safeParse(outage).error).toBeUndefined();
      // The sources may answer in any order.
      expect(mergeEvidence(all.toReversed()).verdict).toBe(outage.verdict);
    }),
    { numRuns: 500 },
  );
});
