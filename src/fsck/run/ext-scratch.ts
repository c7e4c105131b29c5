/**
 * A copy of an ext filesystem's metadata, the journal included, for e2fsck to do as it likes with (e2image(8), -r): a
 * sparse file with every block of metadata in its place, and holes for the content of files. It takes about as much room
 * as the metadata in use (1 to 2 % of the device), and no content of any file is copied.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../system/errors.ts';
import type { CheckContext } from './outcome.ts';
import { runTool } from './program.ts';

/** @returns undefined, with a note, when no copy can be made */
export async function withMetadataCopy<T>(
  { target, scratch, abort }: CheckContext,
  notes: string[],
  work: (copy: string) => Promise<T>,
): Promise<T | undefined> {
  let directory: string;
  try {
    directory = mkdtempSync(join(scratch, 'debmend-fsck-'));
  } catch (error) {
    notes.push(`no copy of the metadata could be made in ${scratch}: ${messageOf(error)}`);
    return undefined;
  }
  try {
    const copy = join(directory, 'metadata');
    const made = await runTool('e2image', ['-r', target.file, copy], { abort });
    if (made.code !== 0) {
      const why = made.stderr.trim().split('\n').at(-1) ?? '';
      notes.push(`no copy of the metadata could be made in ${scratch}: ${why}`);
      return undefined;
    }
    return await work(copy);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
