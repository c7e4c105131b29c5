/** Which packages and paths a run is about. */
import { fnmatch } from '../dpkg/filters.ts';
import { displayName, type Package, qualifiedName } from '../dpkg/package.ts';
import type { Bytes } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';

export interface Scope {
  /** Names as a person gives them: `name` for every architecture, or `name:arch`. Empty: all. */
  readonly packages: readonly Bytes[];
  /** Absolute paths, everything below them included, or globs in which `*` matches a slash too. Empty: all. */
  readonly paths: readonly Bytes[];
}

export interface Accepts {
  readonly package: (pkg: Package) => boolean;
  readonly path: (path: Bytes) => boolean;
  /** Whether what belongs to no package is in the run too. */
  readonly unowned: boolean;
  /** Whether the run is about everything. */
  readonly everything: boolean;
}

/**
 * @param packages of the database
 * @throws DebmendError `unknown-package` for a name that the database does not have
 */
export function acceptsOf(scope: Scope, packages: readonly Package[], native: Bytes): Accepts {
  for (const name of scope.packages) {
    if (packages.some((pkg) => isNamed(pkg, name))) continue;
    throw new DebmendError(
      'unknown-package',
      `auditing the package ${name}: dpkg's database does not have it`,
      'dpkg -l lists the packages that it has',
    );
  }
  const wanted = new Set(
    packages
      .filter((pkg) => scope.packages.length === 0 || scope.packages.some((name) => isNamed(pkg, name)))
      .map((pkg) => displayName(pkg, native)),
  );
  const matchers = scope.paths.map(pathMatcher);
  return {
    package: (pkg) => scope.packages.length === 0 || wanted.has(displayName(pkg, native)),
    path: (path) => matchers.length === 0 || matchers.some((matches) => matches(path)),
    unowned: scope.packages.length === 0,
    everything: scope.packages.length === 0 && scope.paths.length === 0,
  };
}

function isNamed(pkg: Package, name: Bytes): boolean {
  return pkg.name === name || qualifiedName(pkg) === name;
}

function pathMatcher(pattern: Bytes): (path: Bytes) => boolean {
  if (/[*?[]/.test(pattern)) return fnmatch(pattern);
  const prefix = pattern.replace(/\/+$/, '');
  return (path) => prefix === '' || path === prefix || path.startsWith(`${prefix}/`);
}
