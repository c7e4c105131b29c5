/**
 * Inodes and blocks of ext4 as paths, by debugfs(8), which opens the device read-only and looks at the same cache as the
 * kernel. Unlike a look at the mounted filesystem it meets damage without making an error of it: with errors=remount-ro
 * or errors=panic a look by lstat(2) would change the system.
 */
import { type Bytes, bufferOf } from '../../system/bytes.ts';
import { run } from '../../system/run.ts';
import { parseNcheck, ROOT_INODE } from '../ncheck.ts';

/** Both read the inode tables, and ncheck all directories: of a large disk that is not everything in this time. */
const TIMEOUT_MS = 20_000;
const MAX_OUTPUT = 4 * 1024 * 1024;
/** Numbers in one question. */
const MOST = 64;

export interface Located<Key> {
  readonly found: ReadonlyMap<Key, Bytes>;
  /** Why not all was looked for. */
  readonly problem: string | undefined;
}

/** The inodes that blocks belong to. Never throws. */
export async function inodesOfBlocks(
  node: Bytes,
  blocks: readonly number[],
): Promise<{ readonly found: ReadonlyMap<number, number>; readonly problem: string | undefined }> {
  const answer = await ask(node, 'icheck', blocks);
  return { found: parseIcheck(answer.text), problem: answer.problem };
}

/**
 * Paths of inodes from the filesystem's own root; of several names the first. Never throws.
 *
 * Should there be more cleared ones than the root's links make up for (ncheck.ts), those that are left out are asked for
 * one by one.
 */
export async function pathsOfInodes(node: Bytes, inodes: readonly number[]): Promise<Located<number>> {
  if (inodes.length === 0) return { found: new Map(), problem: undefined };
  const end = performance.now() + TIMEOUT_MS;
  const { text, problem } = await ask(node, 'ncheck', [ROOT_INODE, ...inodes]);
  const found = pathsIn(text);
  for (const inode of inodes.slice(0, MOST)) {
    if (found.has(inode) || inodes.length === 1 || performance.now() > end) continue;
    const alone = await ask(node, 'ncheck', [ROOT_INODE, inode]);
    const path = pathsIn(alone.text).get(inode);
    if (path !== undefined) found.set(inode, path);
  }
  return { found, problem };
}

async function ask(
  node: Bytes,
  command: 'icheck' | 'ncheck',
  numbers: readonly number[],
): Promise<{ readonly text: Bytes; readonly problem: string | undefined }> {
  if (numbers.length === 0) return { text: '', problem: undefined };
  let text: Bytes = '';
  const request = `${command} ${numbers.slice(0, MOST + 1).join(' ')}`;
  const result = await run('debugfs', ['-R', request, bufferOf(node).toString('utf8')], {
    timeout: TIMEOUT_MS,
    onStdout: (chunk) => {
      if (text.length < MAX_OUTPUT) text += chunk.toString('latin1');
    },
  });
  if (result.failure !== undefined) return { text, problem: 'debugfs(8) is not installed (e2fsprogs)' };
  if (result.timedOut) return { text, problem: `debugfs did not finish within ${TIMEOUT_MS / 1000} s` };
  // It exits with 0 whatever happens, and begins with its version on standard error.
  const complaint = result.stderr.split('\n').find((line) => line.trim() !== '' && !/^debugfs \d/.test(line));
  return { text, problem: text === '' && complaint !== undefined ? `debugfs: ${complaint}` : undefined };
}

/** `Block\tInode number` and lines like `143365\t32788`; `<block not found>` for one that is free. */
export function parseIcheck(text: Bytes): Map<number, number> {
  const found = new Map<number, number>();
  for (const line of text.split('\n')) {
    const match = /^(\d+)\t(\d+)$/.exec(line);
    if (match !== null) found.set(Number(match[1]), Number(match[2]));
  }
  return found;
}

/** The first path of each inode. */
export function pathsIn(text: Bytes): Map<number, Bytes> {
  const found = new Map<number, Bytes>();
  for (const line of text.split('\n')) {
    const named = parseNcheck(line);
    if (named !== undefined && !found.has(named.inode)) found.set(named.inode, named.path);
  }
  return found;
}
