import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CALL_LIMIT, examineStructure, READ_LIMIT, type Structure } from '../../src/scan/structure.ts';
import { reader, SAMPLES } from './structure.samples.ts';

/** One examination ends within this, on a slow machine too: 20 MiB of the smallest parts a format has. */
const MILLISECONDS = 10_000;

/** Examines bytes that claim to be a file of `size`, and holds the bounds that examineStructure promises. */
function examineBounded(bytes: Uint8Array, size = bytes.length): Structure {
  const { read, count } = reader(bytes);
  const start = performance.now();
  const structure = examineStructure(size, read);
  expect(performance.now() - start).toBeLessThan(MILLISECONDS);
  expect(count.bytes).toBeLessThanOrEqual(READ_LIMIT);
  expect(count.calls).toBeLessThanOrEqual(CALL_LIMIT);
  return structure;
}

const small = SAMPLES.filter(({ bytes }) => bytes.length < 100_000);
const anySample = fc.constantFrom(...small);

describe('examineStructure', () => {
  it('never throws on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6000 }), (bytes) => {
        examineBounded(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it('never throws on arbitrary bytes behind a magic number', () => {
    fc.assert(
      fc.property(anySample, fc.nat(64), fc.uint8Array({ maxLength: 3000 }), ({ bytes }, kept, rest) => {
        examineBounded(Buffer.concat([bytes.subarray(0, 4 + kept), rest]));
      }),
      { numRuns: 5000 },
    );
  });

  it('sees every cut of a valid file where its format can tell', () => {
    const cut = anySample.chain((sample) =>
      fc.record({ sample: fc.constant(sample), length: fc.integer({ min: sample.first, max: sample.last }) }),
    );
    fc.assert(
      fc.property(cut, ({ sample, length }) => {
        const { kind } = examineBounded(sample.bytes.subarray(0, length));
        expect(kind).toBe('truncated');
      }),
      { numRuns: 5000 },
    );
  });

  it('keeps its bounds when any field of a valid file is as large as it can be', () => {
    fc.assert(
      fc.property(
        anySample,
        fc.nat(),
        fc.constantFrom(1, 2, 4, 8),
        fc.constantFrom(0xff, 0x7f, 0x00, 0x80),
        ({ bytes }, at, width, value) => {
          const start = at % Math.min(bytes.length, 600);
          examineBounded(Buffer.from(bytes).fill(value, start, Math.min(start + width, bytes.length)));
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('keeps its bounds when a valid beginning stands before a huge file of one byte', () => {
    const huge = Buffer.alloc(64 * 1024 * 1024);
    for (const value of [0x00, 0x2c, 0x21, 0xff, 0x30]) {
      huge.fill(value);
      for (const { bytes, first } of small) {
        for (const kept of [first, bytes.length - 1, bytes.length]) {
          bytes.copy(huge, 0, 0, kept);
          examineBounded(huge);
        }
        huge.fill(value, 0, 20_000);
      }
    }
  });

  it('keeps its bounds when a small file repeats its parts for ever', () => {
    for (const { bytes } of small) {
      const part = bytes.subarray(Math.min(8, bytes.length - 1));
      const copies = Math.ceil((32 * 1024 * 1024) / part.length);
      examineBounded(Buffer.concat([bytes.subarray(0, 8), ...Array<Buffer>(copies).fill(part)]));
    }
  });

  it('keeps its bounds when the reader returns less than the size promised', () => {
    fc.assert(
      fc.property(anySample, fc.maxSafeNat(), ({ bytes }, size) => {
        examineBounded(bytes, size);
      }),
      { numRuns: 2000 },
    );
  });
});
