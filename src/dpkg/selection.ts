/**
 * Some packages of the database, read without parsing all of it: a hook has a tenth of a second, and parsing the
 * records of thousands of packages takes as long.
 */
import type { Bytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { type Admindir, openAdmindir } from './admindir.ts';
import type { Diversion } from './diversions.ts';
import { InfoDirectory } from './info.ts';
import type { ManifestSource } from './manifests.ts';
import { type Package, qualifiedName } from './package.ts';
import type { DatabaseProblem } from './problem.ts';
import { nativeArchitecture, parseStatus } from './status.ts';
import { readDiversions } from './tables.ts';

export interface Selection extends ManifestSource {
  readonly admindir: Admindir;
  /** The records of the packages that were asked for, as far as there are any. */
  readonly packages: readonly Package[];
  readonly diversions: readonly Diversion[];
}

/**
 * Reads the records of some packages.
 *
 * @param names without an architecture: every instance is meant
 * @param path the database's directory inside the root
 * @throws DebmendError `no-dpkg-database`
 */
export function readSelection(root: Root, names: ReadonlySet<Bytes>, path: Bytes): Selection {
  const admindir = openAdmindir(root, path);
  const problems: DatabaseProblem[] = [];
  // dpkg's own record tells the native architecture.
  const wanted = new Set([...names, 'dpkg']);
  const packages = new Map<Bytes, Package>();
  for (const [name, data] of recordFiles(admindir)) {
    const text = stanzasOf(data)
      .filter((stanza) => wanted.has(packageOf(stanza) ?? ''))
      .map((stanza) => `${stanza}\n`)
      .join('\n');
    for (const pkg of parseStatus(text, name).packages) packages.set(qualifiedName(pkg), pkg);
  }
  return {
    admindir,
    native: nativeArchitecture(packages.values()),
    packages: [...packages.values()].filter((pkg) => names.has(pkg.name)),
    diversions: readDiversions(admindir, problems),
    info: new InfoDirectory(admindir, problems),
    problems,
  };
}

/** The record files as they are merged: status, then the journal in its order (lib/dpkg/dbmodify.c). */
export function recordFiles(admindir: Admindir): [name: string, data: Bytes][] {
  const files: [string, Bytes][] = [];
  for (const name of ['status', ...journalNames(admindir)]) {
    const outcome = admindir.read(name);
    if (outcome.kind === 'read') files.push([name, outcome.data]);
  }
  return files;
}

function journalNames(admindir: Admindir): string[] {
  return admindir
    .names('updates')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `updates/${name}`);
}

/** A record file in stanzas, without the empty lines between them. */
export function stanzasOf(data: Bytes): Bytes[] {
  return data.split(/\n\n+/).filter((stanza) => stanza !== '' && stanza !== '\n');
}

/** The package that a stanza is about; `Package` is its first field in all that dpkg writes. */
export function packageOf(stanza: Bytes): Bytes | undefined {
  const at = stanza.startsWith('Package:') ? 0 : stanza.indexOf('\nPackage:') + 1;
  if (at === 0 && !stanza.startsWith('Package:')) return undefined;
  const end = stanza.indexOf('\n', at);
  return stanza.slice(at + 'Package:'.length, end < 0 ? undefined : end).trim();
}

/** Names of the packages whose records differ between two versions of the record files. */
export function changedRecords(before: readonly Bytes[], after: readonly Bytes[]): Set<Bytes> {
  const old = new Set(before.flatMap(stanzasOf).map(withoutEnd));
  const now = new Set(after.flatMap(stanzasOf).map(withoutEnd));
  const changed = new Set<Bytes>();
  for (const [these, those] of [
    [old, now],
    [now, old],
  ] as const) {
    for (const stanza of these) {
      const name = those.has(stanza) ? undefined : packageOf(stanza);
      if (name !== undefined) changed.add(name);
    }
  }
  return changed;
}

/** The last stanza of a file has a newline more than the others. */
function withoutEnd(stanza: Bytes): Bytes {
  return stanza.endsWith('\n') ? stanza.slice(0, -1) : stanza;
}
