/** Which paths packages own, by the present lists and conffiles, as they are called and as they are resolved. */
import { type Database, readManifest } from '../dpkg/database.ts';
import type { Bytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';

/**
 * Whether a package owns a path. The lists are read when that is asked for the first time.
 *
 * @param beside names of packages that do not count
 */
export function ownersBeside(
  root: Root,
  database: Database,
  beside: ReadonlySet<Bytes>,
): (path: Bytes) => boolean {
  let owned: ReadonlySet<Bytes> | undefined;
  return (path) => {
    owned ??= ownedBeside(root, database, beside);
    return owned.has(path);
  };
}

function ownedBeside(root: Root, database: Database, beside: ReadonlySet<Bytes>): ReadonlySet<Bytes> {
  const owned = new Set<Bytes>();
  for (const pkg of database.packages) {
    if (beside.has(pkg.name)) continue;
    for (const path of readManifest(database, pkg, false).paths) {
      owned.add(path);
      if (!path.startsWith('/usr/')) {
        const found = root.resolve(path);
        if (found.kind === 'found') owned.add(found.inside);
      }
    }
    for (const { path } of pkg.conffiles) owned.add(path);
  }
  return owned;
}
