/** What globs match inside a root (fast-glob). */
import { type Bytes, bytesFromText } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';

export interface GlobMatch {
  /** Resolved inside the root. */
  readonly path: Bytes;
  /** The same as a path of this host. */
  readonly host: Bytes;
}

/**
 * Everything that the globs match, once each, in no order. The fixed part of each is resolved inside the root, and
 * below it no link is followed, so a glob never leads out of the root (I7).
 *
 * @param globs absolute, as fast-glob takes them (`*` stays in a directory, `**` does not)
 */
export async function globMatches(root: Root, globs: readonly string[]): Promise<GlobMatch[]> {
  if (globs.length === 0) return [];
  const { default: fastGlob } = await import('fast-glob');
  const matches = new Map<Bytes, Bytes>();
  // Braces are unfolded first: `{link,x}/*` would hide a fixed part that has to be resolved.
  for (const pattern of globs.flatMap((glob) =>
    fastGlob.generateTasks(glob).flatMap((task) => task.patterns),
  )) {
    const { base, rest } = split(pattern);
    const found = root.resolveDirectory(bytesFromText(base));
    if (found.kind === 'unreachable') continue;
    const names = await fastGlob(rest, {
      cwd: Buffer.from(found.host, 'latin1').toString('utf8'),
      dot: true,
      onlyFiles: false,
      followSymbolicLinks: false,
      suppressErrors: true,
    });
    const prefix = found.inside === '/' ? '' : found.inside;
    for (const name of names) {
      const path = `${prefix}/${bytesFromText(name)}`;
      matches.set(path, root.hostPath(path));
    }
  }
  return [...matches].map(([path, host]) => ({ path, host }));
}

/** The directory before the first wildcard, and the pattern below it. */
function split(pattern: string): { base: string; rest: string } {
  const wildcard = pattern.search(/[*?[\]{}()!+@\\]/);
  const slash = pattern.lastIndexOf('/', wildcard < 0 ? pattern.length : wildcard);
  return { base: pattern.slice(0, slash) || '/', rest: pattern.slice(slash + 1) };
}
