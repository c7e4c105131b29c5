/**
 * dpkg's records of some packages, put back to what they were: stanza by stanza, so that what anyone else recorded
 * meanwhile stays (lib/dpkg/dump.c writes one stanza a package, an empty line between them).
 */
import { packageOf, stanzasOf } from '../../dpkg/selection.ts';
import type { Records } from '../../snapshot/transaction/outcome.ts';
import type { Bytes } from '../../system/bytes.ts';

/**
 * The status file as it would be, had nothing been done to some packages. The journal (updates/NNNN) is merged into it,
 * on both sides, so that it can go.
 *
 * @param before the record files back then, status first
 * @param now the present ones
 * @param names without an architecture: every instance is put back
 */
export function rewindRecords(before: Records, now: Records, names: ReadonlySet<Bytes>): Bytes {
  const old = merged(before);
  const present = merged(now);
  const result: Bytes[] = [];
  const keys = [...new Set([...old.keys(), ...present.keys()])].sort(compareKeys);
  for (const key of keys) {
    const [name = key] = key.split(' ', 1);
    const stanza = names.has(name) ? old.get(key) : present.get(key);
    if (stanza !== undefined) result.push(stanza);
  }
  return result.map((stanza) => `${stanza}\n\n`).join('');
}

/** Every package's stanza by name and architecture: a later file's replaces an earlier one's, as dpkg merges them. */
export function merged(records: Records): Map<Bytes, Bytes> {
  const stanzas = new Map<Bytes, Bytes>();
  for (const file of records) {
    for (const stanza of stanzasOf(file)) {
      const name = packageOf(stanza);
      if (name === undefined) continue;
      const architecture = /^Architecture:[ \t]*(\S*)/m.exec(stanza)?.[1] ?? '';
      stanzas.set(`${name} ${architecture}`, stanza.replace(/\n+$/, ''));
    }
  }
  return stanzas;
}

/** dpkg sorts by name, then by architecture (lib/dpkg/pkg-array.c, pkg_sorter_by_nonambig_name_arch). */
function compareKeys(a: Bytes, b: Bytes): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
