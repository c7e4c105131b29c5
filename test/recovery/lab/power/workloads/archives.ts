/** Real packages for scenes: downloaded once, kept in the test cache, and put into apt's own of each root. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { mustInRoot } from '../../../../lab/chroot.ts';
import { cacheDirectory, type DebianSuite } from '../../../../lab/roots.ts';

const DOWNLOAD_TIMEOUT_MS = 10 * 60 * 1000;

/** From the test cache where they are, and into it: apt downloads what is missing or of another version. */
export async function downloadArchives(
  directory: string,
  suite: DebianSuite,
  packages: readonly string[],
): Promise<void> {
  const cache = join(cacheDirectory(), `replay-archives-${suite}`);
  const archives = join(directory, 'var/cache/apt/archives');
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) {
    if (name.endsWith('.deb')) copyFileSync(join(cache, name), join(archives, name));
  }
  await mustInRoot(directory, ['apt-get', '-y', '--download-only', 'install', ...packages], {
    timeout: DOWNLOAD_TIMEOUT_MS,
  });
  await mustInRoot(directory, ['apt-get', '-y', 'autoclean']); // older versions
  const wanted = await namesOfArchives(directory, packages);
  for (const name of readdirSync(archives).filter((entry) => entry.endsWith('.deb'))) {
    // what was copied for another scene
    if (!wanted.has(name)) await mustInRoot(directory, ['rm', '--', `/var/cache/apt/archives/${name}`]);
    else if (!existsSync(join(cache, name))) {
      const part = join(cache, `${name}.part-${process.pid}`);
      copyFileSync(join(archives, name), part);
      renameSync(part, join(cache, name));
    }
  }
}

/** The names under which apt would keep what an installation needs (apt-get(8), --print-uris, of everything). */
async function namesOfArchives(directory: string, packages: readonly string[]): Promise<Set<string>> {
  const command = [
    'apt-get',
    '-y',
    '--print-uris',
    '-o',
    'Dir::Cache::archives=/tmp',
    'install',
    ...packages,
  ];
  const printed = await mustInRoot(directory, command);
  return new Set([...printed.matchAll(/^'[^']*' (\S+\.deb) /gm)].map(([, name = '']) => name));
}
