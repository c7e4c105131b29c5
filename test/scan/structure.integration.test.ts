/**
 * Every regular file that this host's packages own and that is as its package made it: none may be called truncated.
 * A file is only hashed when it is, so a healthy host costs one look at each file.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { examineStructure } from '../../src/scan/structure.ts';
import { ownedFiles, SAMPLES, withFile } from './structure.samples.ts';

/** What a file of a known format begins with, for those whose whole files are recognised without exception or nearly so. */
const MAGIC: Record<string, string> = {
  ELF: '\x7fELF\x02\x01\x01',
  gzip: '\x1f\x8b\x08',
  PNG: '\x89PNG\r\n\x1a\n',
  zip: 'PK\x03\x04',
  GIF: 'GIF89a',
  TZif: 'TZif',
  terminfo: '\x1a\x01',
  'gettext catalogue': '\xde\x12\x04\x95',
};

describe('the files of this host’s packages', () => {
  const slandered: string[] = [];
  const whole = new Map<string, number>();
  const byMagic = new Map<string, number>();
  let files = 0;

  beforeAll(() => {
    for (const { path, md5 } of ownedFiles()) {
      withFile(path, (size, cutAt) => {
        files++;
        const read = cutAt(size);
        const start = Buffer.from(read(0, 8)).toString('latin1');
        for (const [format, magic] of Object.entries(MAGIC)) {
          if (start.startsWith(magic)) byMagic.set(format, (byMagic.get(format) ?? 0) + 1);
        }
        const structure = examineStructure(size, read);
        if (structure.kind === 'whole') whole.set(structure.format, (whole.get(structure.format) ?? 0) + 1);
        if (structure.kind !== 'truncated') return;
        if (createHash('md5').update(readFileSync(path)).digest('hex') !== md5) return;
        slandered.push(`${path.toString()}: ${structure.format}, ${structure.detail}`);
      });
    }
    console.info(`${files} files; whole:`, Object.fromEntries([...whole].sort((a, b) => b[1] - a[1])));
  }, 60_000);

  it('are never called truncated when they are as the package made them', () => {
    expect(slandered).toEqual([]);
  });

  it('are enough to mean something', () => {
    expect(files).toBeGreaterThan(1000);
    expect(whole.get('ELF')).toBeGreaterThan(100);
  });

  it.each(Object.keys(MAGIC))('are recognised as whole nine times in ten: %s', (format) => {
    expect(whole.get(format) ?? 0).toBeGreaterThanOrEqual((byMagic.get(format) ?? 0) * 0.9);
  });

  it('are only of formats that a sample stands for', () => {
    const sampled = new Set(SAMPLES.map((sample) => sample.format));
    expect([...whole.keys()].filter((format) => !sampled.has(format))).toEqual([]);
  });
});
