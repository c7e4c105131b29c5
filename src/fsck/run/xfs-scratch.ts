/**
 * A copy of an XFS's metadata, its log included (xfs_metadump(8), without obfuscation), with the log replayed: the
 * kernel does that at a mount, here of the copy, in a mount namespace of its own. The content of files is not copied.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../system/errors.ts';
import { withMountNamespace } from '../../system/namespace.ts';
import type { CheckContext } from './outcome.ts';
import { runTool } from './program.ts';

/** @returns undefined, with a note, when no copy can be made or its log cannot be replayed */
export async function withReplayedCopy<T>(
  { target, scratch, abort }: CheckContext,
  notes: string[],
  work: (copy: string) => Promise<T>,
): Promise<T | undefined> {
  let directory: string | undefined;
  try {
    directory = mkdtempSync(join(scratch, 'debmend-fsck-'));
    const dump = join(directory, 'dump');
    const copy = join(directory, 'metadata');
    const dumped = await runTool('xfs_metadump', ['-o', '-a', target.file, dump], { abort });
    if (dumped.code !== 0) throw new Error(`xfs_metadump: ${lastLine(dumped.stderr)}`);
    const restored = await runTool('xfs_mdrestore', [dump, copy], { abort });
    if (restored.code !== 0) throw new Error(`xfs_mdrestore: ${lastLine(restored.stderr)}`);
    rmSync(dump);
    await withMountNamespace(async (namespace) => {
      // The original may be mounted by somebody by now, and the copy has its UUID.
      const options = 'loop,nouuid,nodev,nosuid,noexec';
      const mounted = await namespace.run('mount', ['-t', 'xfs', '-o', options, copy, namespace.directory]);
      if (mounted.code !== 0) throw new Error(`the log cannot be replayed: ${lastLine(mounted.stderr)}`);
      const unmounted = await namespace.run('umount', [namespace.directory]);
      if (unmounted.code !== 0) throw new Error(`unmounting the copy: ${lastLine(unmounted.stderr)}`);
    });
    return await work(copy);
  } catch (error) {
    if (abort?.aborted === true) throw error;
    notes.push(`its log could not be replayed on a copy in ${scratch}: ${messageOf(error)}`);
    return undefined;
  } finally {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
