/** What the content of a file that differs from its manifest looks like. */
import { closeSync, readSync } from 'node:fs';
import { examineStructure } from '../scan/structure.ts';
import { Pattern } from '../scan/work.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { openQuietly } from '../system/files.ts';

export type Damage = 'zero-length' | 'nul-filled' | 'nul-tail' | 'truncated' | 'modified';

export interface ContentVerdict {
  readonly damage: Damage;
  readonly message: string;
  readonly reason: string;
}

/** Filesystems fill up with NUL bytes to the end of a block, and disks write sectors of this size at least. */
const SECTOR_BYTES = 512;

/**
 * Says what kind of difference it is. A NUL tail of a few bytes is how many formats end, so a short one counts only
 * where a sector ends or begins; the rest is asked of the file's own format.
 *
 * @param host the file, as a path of this host; opened only when the pattern alone does not tell
 */
export function describeContent(
  host: Bytes,
  facts: { readonly size: number; readonly pattern: number; readonly nulFrom: number },
): ContentVerdict {
  const { size, pattern, nulFrom } = facts;
  if (size === 0) {
    return {
      damage: 'zero-length',
      message: 'it is empty',
      reason: 'a file that was written and not synced is empty after a cut',
    };
  }
  if (pattern === Pattern.nulFilled) {
    return {
      damage: 'nul-filled',
      message: `its ${size} bytes are all NUL`,
      reason: 'blocks that were never written read as NUL after a cut',
    };
  }
  const tail = size - nulFrom;
  if (
    pattern === Pattern.nulTail &&
    (tail >= SECTOR_BYTES || size % SECTOR_BYTES === 0 || nulFrom % SECTOR_BYTES === 0)
  ) {
    return {
      damage: 'nul-tail',
      message: `its last ${tail} of ${size} bytes are NUL`,
      reason: 'a file whose size reached the disk before its content ends in NUL after a cut',
    };
  }
  const structure = structureOf(host, size);
  if (structure.kind === 'truncated') {
    return {
      damage: 'truncated',
      message: `it is cut off after ${size} bytes: as ${structure.format}, ${structure.detail}`,
      reason: 'a file whose writing was interrupted ends early',
    };
  }
  return {
    damage: 'modified',
    message: 'its content differs from what the package installed',
    reason: 'its content shows no sign of an interrupted write',
  };
}

function structureOf(host: Bytes, size: number): ReturnType<typeof examineStructure> {
  try {
    const fd = openQuietly(fsPath(host));
    try {
      return examineStructure(size, (offset, length) => {
        const buffer = Buffer.alloc(length);
        return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
      });
    } finally {
      closeSync(fd);
    }
  } catch {
    return { kind: 'unknown' };
  }
}
