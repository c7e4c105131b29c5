/** Leftovers by the administrator's own word: the globs of the configuration (fast-glob). */
import type { Finding } from '../model/finding.ts';
import { type Bytes, bytesFromText, bytesOf } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { finding } from './finding.ts';

/**
 * Everything that the globs match. The fixed part of each is resolved inside the root, and below it no link is
 * followed, so a glob never leads out of the root (I7).
 *
 * @param globs absolute, as fast-glob takes them (`*` stays in a directory, `**` does not)
 */
export async function judgeConfiguredLeftovers(
  root: Root,
  globs: readonly string[],
  accepts: (path: Bytes) => boolean,
): Promise<Finding[]> {
  if (globs.length === 0) return [];
  const { default: fastGlob } = await import('fast-glob');
  const matches = new Set<Bytes>();
  for (const glob of globs) {
    const { base, pattern } = split(glob);
    const found = root.resolveDirectory(bytesFromText(base));
    if (found.kind === 'unreachable') continue;
    const names = await fastGlob(pattern, {
      cwd: Buffer.from(found.host, 'latin1').toString('utf8'),
      dot: true,
      onlyFiles: false,
      followSymbolicLinks: false,
      suppressErrors: true,
    });
    const prefix = found.inside === '/' ? '' : found.inside;
    for (const name of names) matches.add(`${prefix}/${bytesOf(Buffer.from(name, 'utf8'))}`);
  }
  return [...matches]
    .filter(accepts)
    .sort()
    .map((path) =>
      finding({
        code: 'leftover-configured',
        severity: 'warning',
        path,
        message: 'a leftover glob of the configuration matches it',
        knownBy: 'configuration',
        likelyOutage: false,
        reason: 'the name alone says nothing about an outage',
      }),
    );
}

/** The directory before the first wildcard, and the pattern below it. */
function split(glob: string): { base: string; pattern: string } {
  const wildcard = glob.search(/[*?[\]{}()!+@\\]/);
  const slash = glob.lastIndexOf('/', wildcard < 0 ? glob.length : wildcard);
  return { base: glob.slice(0, slash) || '/', pattern: glob.slice(slash + 1) };
}
