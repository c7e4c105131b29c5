/**
 * Python's byte code: what py3compile and python3's postinsts make of the sources that packages bring, beside them in
 * __pycache__ (python3.11-minimal.postinst, dh_python3's snippets). A missing one is no damage, for Python does
 * without; one whose source is gone is not read by anyone.
 */
import { readdirSync } from 'node:fs';
import type { Database } from '../../dpkg/database.ts';
import { displayName, type Package } from '../../dpkg/package.ts';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import type { Draft } from '../finding.ts';
import { bytecodeDamage } from './marshal.ts';
import type { Command } from './table.ts';

const COMPILED = /^(.+)\.cpython-(\d)(\d+)(?:\.opt-([12]))?\.pyc$/;
const CACHE = '__pycache__';
/** Python itself ships no source of which so much comes. */
const LIMIT = 64 * 1024 * 1024;

/** Judges the compiled files beside the sources that packages own. */
export function judgeBytecode(root: Root, database: Database, accepts: (path: Bytes) => boolean): Draft[] {
  const drafts: Draft[] = [];
  const judged = new Set<Bytes>();
  for (const [directory, sources] of sourcesByDirectory(database)) {
    const found = root.resolveDirectory(`${directory}/${CACHE}`);
    if (found.kind === 'unreachable' || judged.has(found.inside)) continue;
    judged.add(found.inside);
    for (const name of names(found.host)) {
      const [, module = '', major = '', minor = ''] = COMPILED.exec(name) ?? [];
      const owner = sources.get(`${module}.py`);
      const path = `${directory}/${CACHE}/${name}`;
      if (owner === undefined || !accepts(path)) continue;
      const outcome = readRegularFile(`${found.host}/${name}`, LIMIT);
      if (outcome.kind !== 'read') continue;
      const what = bytecodeDamage(bufferOf(outcome.data), Number(major + minor));
      if (what === undefined) continue;
      drafts.push({
        code: 'generated-damaged',
        severity: 'error',
        package: displayName(owner, database.native),
        version: owner.version,
        path,
        message: `the byte code that Python keeps of ${module}.py ${what}`,
        knownBy: 'generator',
        likelyOutage: true,
        reason: 'Python writes it whole and renames it, and does not sync it',
      });
    }
  }
  return drafts;
}

/** Names of sources by their directory; the lists are searched as they are, for most packages have none. */
function sourcesByDirectory(database: Database): Map<Bytes, Map<Bytes, Package>> {
  const found = new Map<Bytes, Map<Bytes, Package>>();
  for (const pkg of database.packages) {
    const outcome = database.info.read(database.info.stemOf(pkg), 'list');
    if (outcome.kind !== 'read') continue;
    const { data } = outcome;
    for (let end = data.indexOf('.py\n'); end >= 0; end = data.indexOf('.py\n', end + 4)) {
      const path = data.slice(data.lastIndexOf('\n', end) + 1, end + 3);
      const slash = path.lastIndexOf('/');
      const directory = path.slice(0, slash);
      const sources = found.get(directory) ?? new Map<Bytes, Package>();
      found.set(directory, sources);
      sources.set(path.slice(slash + 1), pkg);
    }
  }
  return found;
}

function names(host: Bytes): Bytes[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer' }).map(bytesOf).sort();
  } catch {
    return [];
  }
}

/**
 * Compiles one source. The interpreter may itself need byte code that is damaged, so it is told to look for byte code
 * where there is none, and to write none but this.
 */
const COMPILE =
  'import sys, py_compile; py_compile.compile(sys.argv[1], cfile=sys.argv[2], doraise=True, optimize=int(sys.argv[3]))';

/** What makes a compiled file anew; undefined for a path that is none. */
export function compileAgain(path: Bytes): Command | undefined {
  const slash = path.lastIndexOf('/');
  const directory = path.slice(0, slash);
  const [, module, major, minor, optimize = '0'] = COMPILED.exec(path.slice(slash + 1)) ?? [];
  if (module === undefined || !directory.endsWith(`/${CACHE}`)) return undefined;
  const source = `${directory.slice(0, -CACHE.length - 1)}/${module}.py`;
  return {
    program: `/usr/bin/python${major}.${minor}`,
    args: ['-E', '-S', '-B', '-X', 'pycache_prefix=/proc/self/none', '-c', COMPILE, source, path, optimize],
  };
}
