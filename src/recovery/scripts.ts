/** The maintainer scripts of packages, as dpkg has them and as snapshots know them, and the places that these name. */
import type { Database } from '../dpkg/database.ts';
import { statePlaces } from '../dpkg/script-places.ts';
import { scriptsAt } from '../snapshot/control-files.ts';
import type { Store } from '../snapshot/store.ts';
import type { Bytes } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';

/** Maintainer scripts (deb-preinst(5) and the others). */
const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm'] as const;

/** @param snapshots whose scripts count, beside those that dpkg has */
export function scriptsOf(
  store: Store,
  { admindir, info, packages }: Database,
  name: Bytes,
  snapshots: readonly number[],
): Bytes[] {
  const now = packages
    .filter((pkg) => pkg.name === name)
    .flatMap((pkg) => SCRIPTS.map((kind) => `${admindir.host}/info/${info.stemOf(pkg)}.${kind}`))
    .map((file) => readRegularFile(file))
    .flatMap((read) => (read.kind === 'read' ? [read.data] : []));
  const then = snapshots.flatMap((id) => scriptsAt(store, id, `${admindir.inside}/info`, name));
  return [...new Set([...now, ...then])];
}

/** State that the scripts name which packages had in a snapshot, each with its package. */
export function stateThen(
  store: Store,
  { admindir }: Database,
  snapshot: number,
  names: readonly Bytes[],
): Map<Bytes, Bytes> {
  const info = `${admindir.inside}/info`;
  const places = names.flatMap((name) =>
    scriptsAt(store, snapshot, info, name)
      .flatMap(statePlaces)
      .map((path): [Bytes, Bytes] => [path, name]),
  );
  return new Map(places);
}
