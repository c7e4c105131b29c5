/** Whatever stands in a log, a superblock or a program's output, reading it ends in what is known, never in an error. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseExt4Superblock } from '../../src/fsck/ext4-superblock.ts';
import { judgeFsck, parseFsckRuns } from '../../src/fsck/fsck-log.ts';
import { parseDeviceStats } from '../../src/fsck/status/btrfs.ts';
import { parseIcheck, pathsIn } from '../../src/fsck/status/debugfs.ts';
import { kernelFaults } from '../../src/fsck/status/kernel-errors.ts';
import { bootCheckSchema } from '../../src/model/filesystem.ts';

const WORDS = [
  'EXT4-fs error (device sda1): ',
  'inode #',
  'block ',
  'XFS (sda1): Metadata corruption detected at ',
  'BTRFS warning (device sda1): csum failed root 5 ino ',
  'I/O error, dev sda, sector ',
  'Log of fsck -a /dev/sda1',
  'fsck exited with status code ',
  ': clean,',
  '{"device-stats":[',
  '[/dev/sda1].read_io_errs ',
  '12\t/a',
  '\n',
  '\0',
  '99999999999999999999',
  '\xff',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...WORDS), fc.string({ maxLength: 20 })), { maxLength: 30 })
  .map((parts) => Buffer.from(parts.join(''), 'utf8').toString('latin1'));

it('text', () => {
  fc.assert(
    fc.property(text, (data) => {
      for (const { lines } of parseFsckRuns(data)) bootCheckSchema.parse(judgeFsck(lines, 'log'));
      kernelFaults(data.split('\n').map((line) => ({ uptime: undefined, text: line })));
      for (const { read } of parseDeviceStats(data)) expect(read).toBeGreaterThanOrEqual(0);
      parseIcheck(data);
      for (const path of pathsIn(data).values()) expect(path.startsWith('/')).toBe(true);
    }),
    { numRuns: 500 },
  );
});

it('superblocks', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1024, maxLength: 1024 }), (bytes) => {
      const block = Buffer.from(bytes);
      block.writeUInt16LE(0xef53, 0x38);
      expect(parseExt4Superblock(block)?.blockSize).toBeGreaterThanOrEqual(1024);
    }),
    { numRuns: 300 },
  );
});
