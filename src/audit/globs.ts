/** Leftovers by the administrator's own word: the globs of the configuration. */
import type { Finding } from '../model/finding.ts';
import { globMatches } from '../scan/globs.ts';
import type { Bytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { finding } from './finding.ts';

/**
 * Everything that the globs match.
 *
 * @param globs absolute, as fast-glob takes them
 */
export async function judgeConfiguredLeftovers(
  root: Root,
  globs: readonly string[],
  accepts: (path: Bytes) => boolean,
): Promise<Finding[]> {
  return (await globMatches(root, globs))
    .map(({ path }) => path)
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
