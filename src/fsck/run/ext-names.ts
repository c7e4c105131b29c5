/** Names of inodes on an ext filesystem that is not mounted: `debugfs -R 'ncheck …'` (debugfs(8)). */
import type { Bytes } from '../../system/bytes.ts';
import { ROOT_INODE } from '../status/debugfs.ts';
import type { DamageList } from './damage.ts';
import type { CheckContext } from './outcome.ts';
import { runTool } from './program.ts';

/** More on one command line would not fit debugfs's buffer for a request. */
const PER_CALL = 200;
/** Of those without a name so many are asked for alone. */
const MAX_ALONE = 100;
/** Each call walks all directories; beyond this the first ones have to do. */
const MAX_INODES = 10_000;

/**
 * Finds the names that lead to damaged inodes, as far as directories still tell them.
 *
 * @param file another file than the target: a copy of its metadata
 */
export async function nameInodes(
  { target, abort }: CheckContext,
  damages: DamageList,
  file = target.file,
): Promise<void> {
  const wanted = damages.nameless().slice(0, MAX_INODES);
  for (let at = 0; at < wanted.length; at += PER_CALL) await ncheck(wanted.slice(at, at + PER_CALL));
  // ncheck stops when it has as many names as the inodes say they have, and a damaged one may say that it has none: so
  // each that it left out is asked for alone, beside the root's inode, whose links no name uses up.
  for (const inode of damages.nameless().slice(0, MAX_ALONE)) await ncheck([inode]);

  async function ncheck(inodes: readonly string[]): Promise<void> {
    await runTool('debugfs', ['-R', `ncheck ${[ROOT_INODE, ...inodes].join(' ')}`, file], {
      abort,
      onLine: (line, stream) => {
        const named = stream === 'stdout' ? parseNcheck(line) : undefined;
        if (named !== undefined) damages.name(named.inode, named.path, false);
      },
    });
  }
}

/** `27<tab>/usr/bin/bash`; the names are as they are, without any escape. */
export function parseNcheck(line: Bytes): { inode: string; path: Bytes } | undefined {
  const match = /^(\d+)\t(\/.*)$/s.exec(line);
  if (match === null) return undefined;
  const [, inode = '', path = ''] = match;
  // debugfs walks `//` where the root's own names begin (1.47).
  return { inode, path: path.replace(/^\/+/, '/') };
}
