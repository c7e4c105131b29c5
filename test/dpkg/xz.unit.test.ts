import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readControlMember } from '../../src/dpkg/control-member.ts';
import { unpackXz } from '../../src/dpkg/xz.ts';

const LIMIT = 1 << 22;

function pack(data: Buffer, ...options: string[]): Buffer {
  return execFileSync('xz', ['--stdout', ...options], { input: data });
}

/** What repeats and what does not, as control archives have it. */
const TEXT = Buffer.from(
  Array.from(
    { length: 3000 },
    (_, at) => `${((at * 2654435761) >>> 0).toString(16)}  usr/share/doc/${at % 50}\n`,
  ).join(''),
);

describe('unpackXz', () => {
  it.each([
    ['as dpkg-deb writes it', ['--check=crc64']],
    ['with CRC32', ['--check=crc32']],
    ['with the fastest match finder', ['--check=crc64', '-0']],
    ['with other literal contexts', ['--check=crc64', '--lzma2=lc=0,lp=2,pb=0']],
    ['in several blocks', ['--check=crc64', '--block-size=20000']],
  ])('gives back what xz packed %s', (_, options) => {
    for (const data of [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(30_000), TEXT])
      expect(unpackXz(pack(data, ...options), LIMIT)).toEqual(data);
  });

  it('gives back any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
        expect(unpackXz(pack(Buffer.from(bytes)), LIMIT)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 30 },
    );
  });

  it('gives nothing where a bit is wrong or the end is missing, and never anything else', () => {
    const packed = pack(TEXT.subarray(0, 20_000));
    for (let at = 0; at < packed.length; at += 7) {
      const damaged = Buffer.from(packed);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      // The index and what follows it are not needed for what comes out.
      expect([undefined, TEXT.subarray(0, 20_000)]).toContainEqual(unpackXz(damaged, LIMIT));
      expect([undefined, TEXT.subarray(0, 20_000)]).toContainEqual(unpackXz(packed.subarray(0, at), LIMIT));
    }
  });

  it('leaves what is larger than the limit, and what dpkg-deb does not write', () => {
    expect(unpackXz(pack(TEXT), TEXT.length - 1)).toBeUndefined();
    expect(unpackXz(pack(TEXT, '--check=sha256'), LIMIT)).toBeUndefined();
    expect(unpackXz(pack(TEXT, '--x86', '--lzma2'), LIMIT)).toBeUndefined();
  });
});

describe('readControlMember', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'debmend-member-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function build(compression: string): string {
    const tree = join(directory, compression);
    execFileSync('mkdir', ['-p', join(tree, 'DEBIAN')]);
    const control = 'Package: t\nVersion: 1\nArchitecture: all\nMaintainer: t <t@t>\nDescription: t\n';
    writeFileSync(join(tree, 'DEBIAN/control'), control);
    writeFileSync(join(tree, 'DEBIAN/md5sums'), TEXT.subarray(0, 8000));
    const deb = join(directory, `${compression}.deb`);
    execFileSync('dpkg-deb', ['--nocheck', `-Z${compression}`, '-b', tree, deb], { stdio: 'ignore' });
    return deb;
  }

  it.each(['gzip', 'xz', 'zstd', 'none'])('is what dpkg-deb says, compressed with %s', (compression) => {
    const deb = build(compression);
    expect(readControlMember(deb)).toEqual(execFileSync('dpkg-deb', ['--ctrl-tarfile', deb]));
  });

  it('leaves to dpkg-deb what is no sound archive', () => {
    const text = join(directory, 'text.deb');
    writeFileSync(text, 'no archive');
    symlinkSync(directory, join(directory, 'directory.deb'));
    for (const file of [text, join(directory, 'directory.deb'), join(directory, 'missing.deb')])
      expect(readControlMember(file)).toBeUndefined();
  });
});
