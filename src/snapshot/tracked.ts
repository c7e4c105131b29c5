/**
 * Paths that no manifest names and that matter all the same: the tracked globs. Those that end in two stars, or have
 * no star at all, are walked here, by bytes and without loading anything, because every hook walks them; the others go
 * to fast-glob. No link is followed, and the fixed part of a glob is resolved inside the root (I7).
 */
import { readdirSync } from 'node:fs';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';

/** One tracked path, resolved inside the root. */
export interface TrackedPath {
  readonly path: Bytes;
  readonly host: Bytes;
}

export interface TrackedPaths {
  readonly paths: TrackedPath[];
  /** Directories below which everything is tracked, resolved inside the root. */
  readonly trees: Bytes[];
  /** The limit was reached, so that not everything that matches is here. */
  readonly truncated: boolean;
}

const WILDCARD = /[*?[\]{}()!+@\\]/;

/**
 * Everything that the globs match, directories included.
 *
 * @param globs absolute, as fast-glob takes them
 * @param limit the most paths that are taken
 */
export async function trackedPaths(
  root: Root,
  globs: readonly string[],
  limit: number,
): Promise<TrackedPaths> {
  const found = new Map<Bytes, Bytes>();
  const trees: Bytes[] = [];
  const add = (path: Bytes, host: Bytes): boolean => {
    if (found.size < limit || found.has(path)) found.set(path, host);
    return found.size < limit;
  };
  const odd: string[] = [];
  for (const glob of globs) {
    const tree = glob.endsWith('/**') ? glob.slice(0, -3) : undefined;
    const fixed = bytesFromText(tree ?? glob);
    if (WILDCARD.test(tree ?? glob)) odd.push(glob);
    else if (tree === undefined) {
      const at = root.resolve(fixed);
      if (at.kind === 'found') add(at.inside, at.host);
    } else {
      const at = root.resolveDirectory(fixed === '' ? '/' : fixed);
      if (at.kind === 'unreachable') continue;
      trees.push(at.inside);
      if (add(at.inside, at.host)) walk(at.inside, at.host, add);
    }
  }
  if (odd.length > 0) {
    const { globMatches } = await import('../scan/globs.ts');
    for (const match of await globMatches(root, odd)) if (!add(match.path, match.host)) break;
  }
  const paths = [...found].map(([path, host]) => ({ path, host }));
  return { paths, trees, truncated: found.size >= limit };
}

function walk(inside: Bytes, host: Bytes, add: (path: Bytes, host: Bytes) => boolean): boolean {
  let names: { name: Bytes; directory: boolean }[];
  try {
    names = readdirSync(fsPath(host), { encoding: 'latin1', withFileTypes: true }).map((entry) => ({
      name: entry.name,
      directory: entry.isDirectory(),
    }));
  } catch {
    return true; // it went away, or may not be read: looking at the directory itself says so
  }
  for (const { name, directory } of names) {
    const below = `${inside === '/' ? '' : inside}/${name}`;
    const at = `${host === '/' ? '' : host}/${name}`;
    if (!add(below, at)) return false;
    if (directory && !walk(below, at, add)) return false;
  }
  return true;
}
