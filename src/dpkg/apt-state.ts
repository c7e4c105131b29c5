/**
 * apt's own files: downloaded indexes, binary caches, unfinished downloads, the record of automatic installations
 * (apt-get(8) FILES, apt's apt-pkg/pkgcache.h and deb/debmetaindex.cc).
 */
import { closeSync, lstatSync, readdirSync, readSync, type Stats } from 'node:fs';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { openQuietly, readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import type { DatabaseProblem } from './problem.ts';

const LISTS = '/var/lib/apt/lists';
const CACHE = '/var/cache/apt';
const EXTENDED_STATES = '/var/lib/apt/extended_states';

/** How compressed files begin; apt names them by their ending. */
const MAGIC: Readonly<Record<string, Bytes>> = {
  '.lz4': '\x04\x22\x4d\x18',
  '.gz': '\x1f\x8b',
  '.xz': '\xfd7zXZ\0',
  '.bz2': 'BZh',
  '.zst': '\x28\xb5\x2f\xfd',
};
/** pkgcache.cc, Header::Signature, as little-endian bytes. */
const CACHE_SIGNATURE: Bytes = '\xdc\x76\xfe\x98';
const EDGE_BYTES = 64;

/** Everything of apt's that is damaged. Never throws; what cannot be reached is no damage. */
export function aptProblems(root: Root): DatabaseProblem[] {
  const problems: DatabaseProblem[] = [];
  checkIndexes(root, problems);
  checkCaches(root, problems);
  checkPartial(root, problems);
  checkExtendedStates(root, problems);
  return problems;
}

const base = { blocksDpkg: false, likelyOutage: true } as const;

function checkIndexes(root: Root, problems: DatabaseProblem[]): void {
  const sizes = releaseSizes(root);
  for (const { path, host, stat } of filesIn(root, LISTS)) {
    if (path === `${LISTS}/lock`) continue;
    const damage = indexDamage(host, path, stat.size, sizes.get(path));
    if (damage !== undefined)
      problems.push({ ...base, code: 'apt-list-damaged', file: path, message: damage });
  }
}

function indexDamage(
  host: Bytes,
  path: Bytes,
  size: number,
  expected: number | undefined,
): string | undefined {
  // An index of an empty component is legally empty, and then its Release file says so.
  if (size === 0) return expected === 0 ? undefined : 'the package index is empty';
  const ending = /\.[a-z0-9]+$/.exec(path)?.[0] ?? '';
  const edges = readEdges(host, size);
  if (edges === undefined) return undefined;
  const magic = MAGIC[ending];
  if (/^\0+$/.test(edges.head)) return 'the package index begins with NUL bytes';
  if (magic !== undefined)
    return edges.head.startsWith(magic)
      ? undefined
      : `the package index does not begin as a ${ending} file does`;
  if (edges.tail.endsWith('\0')) return 'the package index ends in NUL bytes';
  if (expected !== undefined && expected !== size) {
    return `the package index has ${size} bytes, and its Release file says ${expected}`;
  }
  return undefined;
}

/** Sizes of uncompressed indexes by path, from the Release files that stand beside them. */
function releaseSizes(root: Root): Map<Bytes, number> {
  const sizes = new Map<Bytes, number>();
  for (const { path, host } of filesIn(root, LISTS)) {
    const stem = /^(.*_)(?:InRelease|Release)$/.exec(path)?.[1];
    if (stem === undefined) continue;
    const outcome = readRegularFile(host);
    if (outcome.kind !== 'read') continue;
    // Only SHA-256 lines have that many digits, so their section need not be looked for.
    for (const line of outcome.data.split('\n')) {
      const [, size, name] = /^ [0-9a-f]{64} +(\d+) (\S+)$/.exec(line) ?? [];
      if (size !== undefined && name !== undefined) sizes.set(stem + name.replaceAll('/', '_'), Number(size));
    }
  }
  return sizes;
}

function checkCaches(root: Root, problems: DatabaseProblem[]): void {
  for (const name of ['pkgcache.bin', 'srcpkgcache.bin']) {
    const path = `${CACHE}/${name}`;
    const found = root.resolve(path);
    if (found.kind === 'unreachable') continue;
    const stat = look(found.host);
    if (stat === undefined || !stat.isFile()) continue;
    const edges = readEdges(found.host, stat.size);
    if (edges?.head.startsWith(CACHE_SIGNATURE)) continue;
    if (edges === undefined && stat.size > 0) continue;
    problems.push({
      ...base,
      code: 'apt-cache-damaged',
      file: path,
      message: stat.size === 0 ? 'the binary cache is empty' : 'the binary cache does not begin as one',
    });
  }
}

function checkPartial(root: Root, problems: DatabaseProblem[]): void {
  for (const directory of [`${LISTS}/partial`, `${CACHE}/archives/partial`]) {
    for (const { path } of filesIn(root, directory)) {
      problems.push({
        ...base,
        code: 'apt-partial',
        file: path,
        message: 'a download that was not finished',
      });
    }
  }
}

function checkExtendedStates(root: Root, problems: DatabaseProblem[]): void {
  const found = root.resolve(EXTENDED_STATES);
  const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  if (outcome?.kind !== 'read') return;
  const { data } = outcome;
  // apt makes the file with its first mark, and an empty one forgets every mark without a word.
  const damage =
    data === ''
      ? 'it is empty: every mark is forgotten'
      : data.includes('\0')
        ? 'it holds NUL bytes'
        : data.endsWith('\n')
          ? undefined
          : 'it ends in the middle of a line';
  if (damage === undefined) return;
  problems.push({
    ...base,
    code: 'apt-extended-states-damaged',
    file: EXTENDED_STATES,
    message: `the record of automatically installed packages is damaged: ${damage}`,
  });
}

interface Entry {
  readonly path: Bytes;
  readonly host: Bytes;
  readonly stat: Stats;
}

/** The regular files in a directory of the root, sorted; none when it cannot be read. */
function filesIn(root: Root, directory: Bytes): Entry[] {
  const found = root.resolveDirectory(directory);
  if (found.kind === 'unreachable') return [];
  let names: Bytes[];
  try {
    names = readdirSync(fsPath(found.host), { encoding: 'buffer' }).map(bytesOf).sort();
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const host = `${found.host}/${name}`;
    const stat = look(host);
    return stat?.isFile() ? [{ path: `${directory}/${name}`, host, stat }] : [];
  });
}

function look(host: Bytes): Stats | undefined {
  try {
    return lstatSync(fsPath(host), { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function readEdges(host: Bytes, size: number): { head: Bytes; tail: Bytes } | undefined {
  try {
    const fd = openQuietly(fsPath(host));
    try {
      const part = (offset: number): Bytes => {
        const buffer = Buffer.alloc(EDGE_BYTES);
        return bytesOf(buffer.subarray(0, readSync(fd, buffer, 0, EDGE_BYTES, offset)));
      };
      return { head: part(0), tail: part(Math.max(0, size - EDGE_BYTES)) };
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
