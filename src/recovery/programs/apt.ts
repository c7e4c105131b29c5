/**
 * apt without its indexes: exactly these .debs, exactly these removals, and nothing from a network (apt-get(8),
 * apt.conf(5)).
 */
import type { Bytes } from '../../system/bytes.ts';

/** Options of every apt-get that a recovery runs. */
export function aptOptions(dpkgOptions: readonly string[]): string[] {
  return options({
    'APT::Get::Assume-Yes': 'true',
    'APT::Get::allow-downgrades': 'true',
    'APT::Get::allow-change-held-packages': 'true',
    'APT::Get::allow-remove-essential': 'false',
    'APT::Get::AutomaticRemove': 'false',
    'APT::Install-Recommends': 'false',
    'APT::Install-Suggests': 'false',
    // Its own user could not read the .debs, which lie in directories that are root's alone.
    'APT::Sandbox::User': 'root',
    'APT::Color': '0',
    'Dpkg::Use-Pty': 'false',
    quiet: '1',
  }).concat(dpkgOptions.flatMap((option) => ['-o', `Dpkg::Options::=${option}`]));
}

/** Options that keep apt from the root's own indexes, caches and pins, and from any network. */
export const WITHOUT_INDEXES = options({
  'Dir::State::lists': '/dev/null',
  'Dir::Etc::sourcelist': '/dev/null',
  'Dir::Etc::sourceparts': '/dev/null',
  'Dir::Etc::preferences': '/dev/null',
  'Dir::Etc::preferencesparts': '/dev/null',
  'Dir::Cache::pkgcache': '',
  'Dir::Cache::srcpkgcache': '',
});

/**
 * What `apt-get --simulate` would do: `Inst`, `Conf`, `Remv` and `Purg` lines (apt-pkg/algorithms.cc, pkgSimulate).
 * Packages of another architecture than the root's own are named with it.
 */
export function parseSimulation(stdout: Bytes): { installed: Bytes[]; removed: Bytes[] } {
  const found: { installed: Bytes[]; removed: Bytes[] } = { installed: [], removed: [] };
  for (const line of stdout.split('\n')) {
    const match = /^(Inst|Remv|Purg) (\S+) /.exec(line);
    if (match === null) continue;
    const [, what, name = ''] = match;
    (what === 'Inst' ? found.installed : found.removed).push(name);
  }
  return found;
}

function options(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}
