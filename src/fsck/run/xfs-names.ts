/** Names of inodes on an XFS that is not mounted: xfs_db's `blockget -n` and `ncheck` (xfs_db(8)). */
import type { Bytes } from '../../system/bytes.ts';
import type { DamageList } from './damage.ts';
import type { CheckContext } from './outcome.ts';
import { runTool } from './program.ts';
import type { NamedEntry } from './xfs-parse.ts';

const PER_CALL = 500;
const MAX_INODES = 10_000;

/**
 * Finds the names that lead to damaged inodes.
 *
 * @param entries names without a sound inode: where they stand is found by their directories' names
 */
export async function nameXfsInodes(
  { abort }: CheckContext,
  entries: readonly NamedEntry[],
  damages: DamageList,
  file: string,
): Promise<void> {
  const numbers = damages.nameless().filter((inode) => /^\d+$/.test(inode));
  const wanted = [...new Set([...entries.map(({ directory }) => directory), ...numbers])].slice(
    0,
    MAX_INODES,
  );
  const names = new Map<string, Bytes>();
  for (let at = 0; at < wanted.length; at += PER_CALL) {
    const inodes = wanted.slice(at, at + PER_CALL).flatMap((inode) => ['-i', inode]);
    // It complains of every damage once more; only the lines of ncheck are of use.
    await runTool('xfs_db', ['-r', '-f', '-c', 'blockget -n', '-c', `ncheck ${inodes.join(' ')}`, file], {
      abort,
      onLine: (line, stream) => {
        const named = stream === 'stdout' ? parseXfsNcheck(line) : undefined;
        if (named === undefined) return;
        names.set(named.inode, named.path);
        damages.name(named.inode, named.path, named.isDirectory);
      },
    });
  }
  for (const { directory, name } of entries) {
    const above = names.get(directory);
    if (above !== undefined)
      damages.name(`${directory}/${name}`, above === '/' ? `/${name}` : `${above}/${name}`, false);
  }
}

/** `  131 usr/bin/bash`, and of directories `  130 usr/bin/.`. */
export function parseXfsNcheck(
  line: Bytes,
): { inode: string; path: Bytes; isDirectory: boolean } | undefined {
  const match = /^\s+(\d+) (.*)$/s.exec(line);
  if (match === null) return undefined;
  const [, inode = '', path = ''] = match;
  const isDirectory = path === '.' || path.endsWith('/.');
  return { inode, path: `/${isDirectory ? path.slice(0, -1).replace(/\/$/, '') : path}`, isDirectory };
}
