/**
 * What maintainer scripts may count on without asking (Debian Policy 3.8): the essential packages, and what these
 * depend on. Derived from dpkg's own records, so that it is right for whatever release the root is.
 */
import type { Admindir } from '../../dpkg/admindir.ts';
import { parseDeb822 } from '../../dpkg/deb822.ts';
import type { Bytes } from '../../system/bytes.ts';

interface Dependent {
  readonly name: Bytes;
  readonly essential: boolean;
  /** Names of packages that any of its dependencies names, alternatives too. */
  readonly needs: readonly Bytes[];
  readonly provides: readonly Bytes[];
}

/**
 * @param more names that are wanted beside the essential ones, with what they need
 * @returns names of packages that dpkg has a record of, sorted
 */
export function toolPackages(admindir: Admindir, more: readonly Bytes[] = []): Bytes[] {
  const packages = new Map<Bytes, Dependent[]>();
  const providers = new Map<Bytes, Dependent[]>();
  for (const pkg of readDependents(admindir)) {
    add(packages, pkg.name, pkg);
    for (const name of pkg.provides) add(providers, name, pkg);
  }
  const all = [...packages.values()].flat();
  const queue = all.filter(({ name, essential }) => essential || more.includes(name));
  const found = new Set<Bytes>();
  for (let pkg = queue.pop(); pkg !== undefined; pkg = queue.pop()) {
    if (found.has(pkg.name)) continue;
    found.add(pkg.name);
    // Of alternatives all that are there: which one is in use cannot be told, and to look at a file costs little.
    for (const name of pkg.needs) queue.push(...(packages.get(name) ?? []), ...(providers.get(name) ?? []));
  }
  return [...found].sort();
}

function add(map: Map<Bytes, Dependent[]>, key: Bytes, pkg: Dependent): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [pkg]);
  else list.push(pkg);
}

/** The records of `status` and of the journal over it, of packages of which files may be there. */
function readDependents(admindir: Admindir): Dependent[] {
  const files = ['status', ...admindir.names('updates').map((name) => `updates/${name}`)];
  return files.flatMap((file) => {
    const outcome = admindir.read(file);
    if (outcome.kind !== 'read') return [];
    return parseDeb822(outcome.data).stanzas.flatMap(({ fields }) => {
      const name = fields.get('package');
      const state = fields.get('status')?.split(' ')[2];
      if (name === undefined || state === 'not-installed' || state === 'config-files') return [];
      const relation = (field: string): Bytes[] => namesIn(fields.get(field) ?? '');
      return [
        {
          name,
          essential: fields.get('essential')?.toLowerCase() === 'yes',
          needs: [...relation('pre-depends'), ...relation('depends')],
          provides: relation('provides'),
        },
      ];
    });
  });
}

/** The names in a dependency field, without architectures and versions (deb-control(5)). */
function namesIn(field: Bytes): Bytes[] {
  return field.split(/[,|]/).flatMap((relation) => /^\s*([^\s:(]+)/.exec(relation)?.[1] ?? []);
}
