/**
 * Which package owns a path, by dpkg's file lists, and whether it is a conffile, by its status file. Asked seldom, for
 * a path that has changed, so nothing is kept: reading the lists takes 50 ms for 500 packages, keeping them 10 MB.
 */
import type { Admindir } from '../dpkg/admindir.ts';
import { parseDiversions } from '../dpkg/diversions.ts';
import type { Bytes } from '../system/bytes.ts';

export interface Ownership {
  /** As the list's name has it: `libc6:amd64` where several architectures can be installed. */
  readonly package: Bytes | undefined;
  readonly conffile: boolean;
}

/** On a merged /usr packages name what lies there by its old place as well as by its new one. */
const MERGED = /^\/usr(?=\/(?:bin|sbin|lib[^/]*)\/)/;

/** @param paths resolved inside the root */
export function findOwners(admindir: Admindir, paths: readonly Bytes[]): Map<Bytes, Ownership> {
  const spellings = new Map<Bytes, Bytes>();
  const original = diverted(admindir);
  for (const path of paths) {
    for (const name of [path, original.get(path) ?? path])
      for (const spelling of [name, name.replace(MERGED, '')]) spellings.set(spelling, path);
  }
  const owners = new Map<Bytes, Bytes>();
  for (const name of admindir.names('info')) {
    if (!name.endsWith('.list') || owners.size === paths.length) continue;
    const list = admindir.read(`info/${name}`);
    if (list.kind !== 'read') continue;
    for (const path of named(list.data, spellings))
      if (!owners.has(path)) owners.set(path, name.slice(0, -'.list'.length));
  }
  const conffiles = namedConffiles(admindir, spellings);
  return new Map(paths.map((path) => [path, { package: owners.get(path), conffile: conffiles.has(path) }]));
}

/** Where a diverted file's name was before, by where it is now. */
function diverted(admindir: Admindir): Map<Bytes, Bytes> {
  const file = admindir.read('diversions');
  if (file.kind !== 'read') return new Map();
  return new Map(parseDiversions(file.data, 'diversions').diversions.map(({ from, to }) => [to, from]));
}

/** For a few paths searching is faster, for many taking the list apart. */
const FEW = 16;

function named(list: Bytes, spellings: ReadonlyMap<Bytes, Bytes>): Bytes[] {
  if (spellings.size > FEW) return list.split('\n').flatMap((line) => spellings.get(line) ?? []);
  const found: Bytes[] = [];
  for (const [spelling, path] of spellings) {
    if (list.includes(`\n${spelling}\n`) || list.startsWith(`${spelling}\n`)) found.push(path);
  }
  return found;
}

/** A line of a Conffiles field: a blank, the path, its hash, and perhaps a word more (deb-conffiles(5), dpkg-query(1)). */
function namedConffiles(admindir: Admindir, spellings: ReadonlyMap<Bytes, Bytes>): Set<Bytes> {
  const found = new Set<Bytes>();
  const status = admindir.read('status');
  if (status.kind !== 'read') return found;
  for (const [spelling, path] of spellings) {
    const at = status.data.indexOf(`\n ${spelling} `);
    if (at < 0) continue;
    const rest = status.data.slice(at + spelling.length + 3, at + spelling.length + 40);
    if (/^(?:[0-9a-f]{32}|newconffile|-)(?:[ \n]|$)/.test(rest)) found.add(path);
  }
  return found;
}
