/** Names of inodes on an ext filesystem that is not mounted: `debugfs -R 'ncheck …'` (debugfs(8)). */
import { parseNcheck, ROOT_INODE } from '../ncheck.ts';
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
  // There may be more cleared ones than the root's links make up for (ncheck.ts).
  for (const inode of damages.nameless().slice(0, MAX_ALONE)) await ncheck([inode]);

  async function ncheck(inodes: readonly string[]): Promise<void> {
    await runTool('debugfs', ['-R', `ncheck ${[ROOT_INODE, ...inodes].join(' ')}`, file], {
      abort,
      onLine: (line, stream) => {
        const named = stream === 'stdout' ? parseNcheck(line) : undefined;
        if (named !== undefined) damages.name(String(named.inode), named.path, false);
      },
    });
  }
}
