import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { examineStructure, type Structure } from '../../src/scan/structure.ts';
import { arMember, ownedFiles, reader, SAMPLES, withFile } from './structure.samples.ts';

const examine = (bytes: Uint8Array): Structure => examineStructure(bytes.length, reader(bytes).read);
const UNKNOWN = { kind: 'unknown' };

/** Cut lengths in first..last: all of them if they are few, else seeded ones and both ends. */
function cutLengths(first: number, last: number): number[] {
  if (last - first < 4000) return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return [first, ...fc.sample(fc.integer({ min: first, max: last }), { seed: 4711, numRuns: 64 }), last];
}

describe.each(SAMPLES)('$name', ({ format, bytes, first, last }) => {
  it('is whole', () => {
    expect(examine(bytes)).toEqual({ kind: 'whole', format });
  });

  it('is truncated at every length at which its format can tell', () => {
    for (const length of cutLengths(first, last)) {
      expect(examine(bytes.subarray(0, length)), `cut at ${length}`).toMatchObject({
        kind: 'truncated',
        format,
      });
    }
  });

  it('is not truncated when something was appended', () => {
    expect(examine(Buffer.concat([bytes, Buffer.alloc(500, '~')]))).toEqual(UNKNOWN);
  });
});

describe('what is said to a person', () => {
  const details: [name: string, length: number, detail: string][] = [
    ['a 64-bit program', 300, 'its section headers would end at byte 472'],
    ['a 32-bit big-endian program, headers first', 300, 'its section 1 would end at byte 432'],
    ['a program without section headers', 300, 'its segment 0 would end at byte 320'],
    ['a .deb', 300, 'its member data.tar.xz would end at byte 592'],
    ['a .deb', 232, 'its data.tar member is missing'],
    ['a static library', 310, 'its member b.o would end at byte 370'],
    ['a gzip file', 20, 'its end-of-stream trailer is missing'],
    ['an xz file', 60, 'its stream footer is missing'],
    ['a zip archive with a comment', 122, 'its comment would end at byte 124'],
    ['a PNG image', 60, 'its IDAT chunk would end at byte 105'],
    ['a PNG image', 105, 'its IEND chunk is missing'],
    ['a SQLite database', 1024, 'its 3 pages would end at byte 1536'],
  ];
  it.each(details)('%s cut at %i: %s', (name, length, detail) => {
    const bytes = SAMPLES.find((sample) => sample.name === name)?.bytes.subarray(0, length);
    expect(bytes && examine(bytes)).toMatchObject({ kind: 'truncated', detail });
  });
});

describe('whole files that look cut', () => {
  const sampleBytes = (name: string) =>
    Buffer.from(SAMPLES.find((sample) => sample.name === name)?.bytes ?? '');

  it('leaves Qualcomm’s split firmware alone, whose segments lie in other files', () => {
    const bytes = sampleBytes('a program without section headers');
    bytes.writeUInt32LE(0x02200000, 64 + 4);
    expect(examine(bytes.subarray(0, 150))).toEqual(UNKNOWN);
  });

  it('leaves a SQLite database in WAL mode alone, whose last pages may lie in the -wal file', () => {
    const bytes = sampleBytes('a SQLite database');
    bytes.writeUInt8(2, 18);
    expect(examine(bytes.subarray(0, 1024))).toEqual(UNKNOWN);
  });

  it('leaves a core dump alone', () => {
    const bytes = sampleBytes('a 64-bit program');
    bytes.writeUInt16LE(4, 16);
    expect(examine(bytes.subarray(0, 300))).toEqual(UNKNOWN);
  });

  it('calls a signed kernel module whole', () => {
    const signature = Buffer.from(`signature~Module signature appended~\n`);
    expect(examine(Buffer.concat([sampleBytes('a 64-bit program'), signature]))).toEqual({
      kind: 'whole',
      format: 'ELF',
    });
  });

  it('calls an xz file of several streams with padding whole', () => {
    const xz = sampleBytes('an xz file');
    expect(examine(Buffer.concat([xz, Buffer.alloc(4), xz, Buffer.alloc(8)]))).toEqual({
      kind: 'whole',
      format: 'xz',
    });
  });

  it('calls a gzip file of several members whole', () => {
    const gzip = sampleBytes('a gzip file');
    expect(examine(Buffer.concat([gzip, gzip]))).toEqual({ kind: 'whole', format: 'gzip' });
  });

  it('does not call a GIF image truncated that only lacks its trailer', () => {
    expect(examine(sampleBytes('a GIF image').subarray(0, -1))).toEqual(UNKNOWN);
  });

  it('is not sure of a static library without a symbol table that ends after a member', () => {
    const library = Buffer.concat([Buffer.from('!<arch>\n'), arMember('a.txt/', Buffer.from('text'))]);
    expect(examine(library)).toEqual(UNKNOWN);
  });
});

describe('damage of another kind', () => {
  it('does not call a gzip file with changed bytes truncated', () => {
    const bytes = Buffer.from(SAMPLES.find((sample) => sample.format === 'gzip')?.bytes ?? '');
    bytes.writeUInt32LE(0, bytes.length - 8);
    expect(examine(bytes)).toEqual(UNKNOWN);
  });

  it('does not call an xz file whose tail is NUL truncated', () => {
    const bytes = Buffer.from(SAMPLES.find((sample) => sample.format === 'xz')?.bytes ?? '');
    expect(examine(bytes.fill(0, 40))).toEqual(UNKNOWN);
  });

  it('does not call a program truncated whose header names an impossible offset', () => {
    const bytes = Buffer.from(SAMPLES[0]?.bytes ?? '');
    bytes.writeBigUInt64LE(2n ** 60n, 40);
    expect(examine(bytes)).toEqual(UNKNOWN);
  });

  it('says nothing of an empty file', () => {
    expect(examine(Buffer.alloc(0))).toEqual(UNKNOWN);
  });

  it('says nothing of a file that cannot be read', () => {
    const fail = () => {
      throw new Error('EIO: i/o error, read');
    };
    expect(examineStructure(1000, fail)).toEqual(UNKNOWN);
  });

  it('says nothing of a file that became shorter while it was read', () => {
    const bytes = SAMPLES[0]?.bytes ?? Buffer.alloc(0);
    expect(examineStructure(bytes.length, reader(bytes.subarray(0, 100)).read)).toEqual(UNKNOWN);
  });

  it('does not depend on the reader’s buffer staying as it was', () => {
    const shared = Buffer.alloc(8 * 1024 * 1024);
    for (const { bytes, format } of SAMPLES) {
      const read = (offset: number, length: number) => {
        shared.fill(0xaa, 0, 8192);
        return shared.subarray(0, bytes.copy(shared, 0, offset, offset + length));
      };
      expect(examineStructure(bytes.length, read)).toEqual({ kind: 'whole', format });
    }
  });
});

describe('text', () => {
  const lines = 'a line of a configuration file\n'.repeat(1000);
  const truncated = {
    kind: 'truncated',
    format: 'text',
    detail: 'it ends at a 4 KiB block boundary without a final newline',
  };

  it.each([4096, 8192, 16384])('is truncated when it ends inside a line after %i bytes', (size) => {
    expect(examine(Buffer.from(lines.slice(0, size)))).toEqual(truncated);
  });

  it.each(['', 'x'])('may be cut inside a UTF-8 character (shifted by "%s")', (shift) => {
    const text = Buffer.from(shift + 'файл настройки системы\n'.repeat(1000));
    expect(examine(text.subarray(0, 4096))).toEqual(truncated);
  });

  it.each([
    ['has another size', lines.slice(0, 5000)],
    ['ends in a newline', `${lines.slice(0, 4095)}\n`],
    ['ends as JSON ends', `${lines.slice(0, 4095)}}`],
    ['has no lines', 'word '.repeat(1000).slice(0, 4096)],
    ['has no spaces', 'c29tZSBiYXNlNjQ\n'.repeat(300).slice(0, 4099).slice(3)],
    ['holds a NUL', `${lines.slice(0, 4000)}\0${lines.slice(0, 95)}`],
    ['holds other control characters', `${lines.slice(0, 4000)}\x01${lines.slice(0, 95)}`],
  ])('is left alone when it %s', (_, text) => {
    expect(examine(Buffer.from(text, 'latin1'))).toEqual(UNKNOWN);
  });
});

describe('files of this host’s packages, cut at seeded lengths', () => {
  const EACH = 3;
  const found = new Map<string, { path: Buffer; size: number }[]>();

  beforeAll(() => {
    for (const { path } of ownedFiles()) {
      withFile(path, (size, cutAt) => {
        const structure = examineStructure(size, cutAt(size));
        // The NUL blocks that fill a tar archive's last record are no loss: a small one is mostly that.
        if (structure.kind !== 'whole' || size < 256 || (structure.format === 'tar' && size < 200_000))
          return;
        const files = found.get(structure.format) ?? [];
        if (files.length < EACH) found.set(structure.format, [...files, { path, size }]);
      });
    }
  }, 120_000);

  const formats = [...new Set(SAMPLES.map((sample) => sample.format))];
  it.each(formats)('%s: nearly every cut is seen, where the host has such files', (format) => {
    const verdicts: string[] = [];
    for (const { path, size } of found.get(format) ?? []) {
      const range = { min: Math.floor(size * 0.2), max: Math.floor(size * 0.8) };
      for (const length of fc.sample(fc.integer(range), { seed: 42, numRuns: 12 })) {
        withFile(path, (_, cutAt) => verdicts.push(examineStructure(length, cutAt(length)).kind));
      }
    }
    // A cut may by chance fall between two parts, where the format can't tell.
    const seen = verdicts.filter((kind) => kind === 'truncated').length;
    expect(seen).toBeGreaterThanOrEqual(verdicts.length * 0.9);
  });
});
