/**
 * Whether a damaged file was truncated, by its own format: dpkg's manifests know hashes and no sizes.
 *
 * An answer is given only where the format proves it; everything else is unknown. The formats and their sources stand
 * in structure/. Python's .pyc says nowhere where it ends, and is among the unknown for that reason.
 */
import type { Buffer } from 'node:buffer';
import { examineAr, examineCpio, examineTar } from './structure/archives.ts';
import { examineBzImage, examinePe, examineSquashfs, isBzImage } from './structure/boot.ts';
import { examineGzip, examineXz, examineZstd } from './structure/compressed.ts';
import { examinePdf, examineText } from './structure/documents.ts';
import { examineElf } from './structure/elf.ts';
import { examineGif, examineJpeg, examinePng, examineRiff } from './structure/images.ts';
import { type ReadAt, Source, type Structure, UNKNOWN } from './structure/source.ts';
import {
  examineFont,
  examineMo,
  examineSqlite,
  examineTerminfo,
  examineTzif,
  examineWoff,
} from './structure/tables.ts';
import { examineZip } from './structure/zip.ts';

export { CALL_LIMIT, READ_LIMIT, type ReadAt, type Structure } from './structure/source.ts';

type Examiner = (source: Source) => Structure;

/** Enough for the magic numbers that do not stand at the beginning: tar's at 257, the kernel's at 0x202. */
const HEAD = 1024;

/** By what a file begins with; the first that fits decides. */
const BY_MAGIC: readonly (readonly [magic: string, examine: Examiner])[] = [
  ['\x7fELF', examineElf],
  ['!<arch>\n', examineAr],
  ['!<thin>\n', examineAr],
  ['\x1f\x8b\x08', examineGzip],
  ['\xfd7zXZ\0', examineXz],
  ['\x28\xb5\x2f\xfd', examineZstd],
  ['PK\x03\x04', examineZip],
  ['JM\x01\x00PK\x03\x04', examineZip],
  ['\x89PNG\r\n\x1a\n', examinePng],
  ['\xff\xd8\xff', examineJpeg],
  ['GIF87a', examineGif],
  ['GIF89a', examineGif],
  ['RIFF', examineRiff],
  ['%PDF-', examinePdf],
  ['\xde\x12\x04\x95', examineMo],
  ['\x95\x04\x12\xde', examineMo],
  ['\x00\x01\x00\x00', examineFont],
  ['OTTO', examineFont],
  ['true', examineFont],
  ['ttcf', examineFont],
  ['wOFF', examineWoff],
  ['wOF2', examineWoff],
  ['TZif', examineTzif],
  ['SQLite format 3\0', examineSqlite],
  ['\x1a\x01', examineTerminfo],
  ['\x1e\x02', examineTerminfo],
  ['hsqs', examineSquashfs],
  ['070701', examineCpio],
  ['070702', examineCpio],
  ['MZ', examinePe],
];

/** pzstd begins its files with one of these frames; sixteen magic numbers are theirs. */
const ZSTD_SKIPPABLE = /^[\x50-\x5f]\x2a\x4d\x18/;

/**
 * What a file's own format says of its end. `size` is in bytes. Never throws, asks `read` for no more than READ_LIMIT
 * bytes in CALL_LIMIT calls, and answers `unknown` when anything is in doubt, an I/O error included.
 */
export function examineStructure(size: number, read: ReadAt): Structure {
  try {
    const source = new Source(size, read);
    return examinerFor(source.bytes(0, Math.min(HEAD, size)))(source);
  } catch {
    // A read that failed, or a header that leads outside the file: neither proves a cut.
    return UNKNOWN;
  }
}

function examinerFor(head: Buffer): Examiner {
  if (isBzImage(head)) return examineBzImage;
  const start = head.toString('latin1', 0, 16);
  const found = BY_MAGIC.find(([magic]) => start.startsWith(magic));
  if (found !== undefined) return found[1];
  if (ZSTD_SKIPPABLE.test(start)) return examineZstd;
  if (head.toString('latin1', 257, 262) === 'ustar') return examineTar;
  return examineText;
}
