/**
 * The files that depmod(8) makes of a kernel's modules, without which the initramfs is built wrong and no module is
 * found: the linux-image package's postinst runs `depmod VERSION`, which writes each file beside its place and renames
 * it, and syncs none (kmod, tools/depmod.c, depmod_output).
 */
import { readdirSync } from 'node:fs';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { kmodIndexValues } from './kmod-index.ts';

export interface ModulesDamage {
  readonly kind: 'missing' | 'damaged';
  /** As packages name it: /lib/modules/VERSION/modules.dep. */
  readonly path: Bytes;
  /** What is wrong, to be said after the path. */
  readonly what: string;
}

/** Written for any kernel that has modules. Each text begins with a comment or has lines, so none is ever empty. */
const TEXTS = [
  'modules.dep',
  'modules.alias',
  'modules.softdep',
  'modules.symbols',
  'modules.devname',
] as const;
const INDEXES = [
  'modules.dep.bin',
  'modules.alias.bin',
  'modules.symbols.bin',
  'modules.builtin.bin',
] as const;
/** Made by some versions of kmod only. */
const OPTIONAL = ['modules.builtin.alias.bin', 'modules.weakdep'] as const;
/** Debian's largest kernel has 4,500 modules. */
const MOST_NAMES = 100_000;
const MODULE = /\.ko(?:\.(?:gz|xz|zst))?$/;

/** What is wrong with the files of one kernel; nothing for one without modules. */
export function judgeModules(root: Root, version: Bytes): ModulesDamage[] {
  const directory = `/lib/modules/${version}`;
  const found = root.resolveDirectory(directory);
  if (found.kind === 'unreachable') return [];
  const modules = modulesBelow(found.host);
  if (modules === undefined || modules.length === 0) return [];
  const wrong: ModulesDamage[] = [];
  const judge = (name: string, examine: (data: Bytes) => string | undefined, optional: boolean): void => {
    const path = `${directory}/${name}`;
    const outcome = readRegularFile(`${found.host}/${name}`);
    if (outcome.kind === 'missing' && !optional) wrong.push({ kind: 'missing', path, what: 'is missing' });
    if (outcome.kind !== 'read') return;
    const what = examine(outcome.data);
    if (what !== undefined) wrong.push({ kind: 'damaged', path, what });
  };
  let dependencies: Bytes[] | undefined;
  for (const name of [...TEXTS, ...INDEXES, ...OPTIONAL]) {
    const optional = (OPTIONAL as readonly string[]).includes(name);
    judge(
      name,
      (data) => {
        const what = emptyOrNul(data) ?? (name.endsWith('.bin') ? indexDamage(data) : textDamage(data));
        if (what !== undefined) return what;
        if (name === 'modules.dep') {
          dependencies = data.split('\n').filter((line) => line !== '');
          return coverage(dependencies, modules);
        }
        return name === 'modules.dep.bin' && dependencies !== undefined
          ? agreement(dependencies, kmodIndexValues(bufferOf(data)) ?? [])
          : undefined;
      },
      optional,
    );
  }
  return wrong;
}

function emptyOrNul(data: Bytes): string | undefined {
  if (data === '') return 'is empty';
  return /^\0+$/.test(data) ? 'consists of NUL bytes' : undefined;
}

function textDamage(data: Bytes): string | undefined {
  if (data.includes('\0')) return 'holds NUL bytes';
  return data.endsWith('\n') ? undefined : 'ends in the middle of a line';
}

function indexDamage(data: Bytes): string | undefined {
  return kmodIndexValues(bufferOf(data)) === undefined ? 'is no whole index' : undefined;
}

/** modules.dep against the directory: depmod takes one of several modules of a name, so names are compared. */
function coverage(lines: readonly Bytes[], modules: readonly Bytes[]): string | undefined {
  const there = new Set(modules);
  const named = lines.map((line) => line.slice(0, line.indexOf(':')));
  const absent = named.filter((path) => !path.startsWith('/') && !there.has(path));
  if (absent.length > 0) return `names ${absent.length} modules that are not there (${absent[0]})`;
  const known = new Set(named.map(moduleName));
  const unknown = modules.filter((path) => !known.has(moduleName(path)));
  return unknown.length > 0 ? `does not know ${unknown.length} modules (${unknown[0]})` : undefined;
}

/** The index's values are the lines of the text that the same run of depmod wrote. */
function agreement(lines: readonly Bytes[], values: readonly Bytes[]): string | undefined {
  const known = new Set(values.map((value) => value.trimEnd()));
  const lacking = lines.filter((line) => !known.has(line.trimEnd()));
  return lacking.length > 0 ? `lacks ${lacking.length} of the lines of modules.dep` : undefined;
}

function moduleName(path: Bytes): Bytes {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(MODULE, '')
    .replaceAll('-', '_');
}

/** All modules below a directory, relative to it; undefined when it has more names than any kernel brings. */
function modulesBelow(host: Bytes): Bytes[] | undefined {
  const modules: Bytes[] = [];
  const pending: Bytes[] = [''];
  let seen = 0;
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    let entries: { name: Buffer; isDirectory(): boolean }[];
    try {
      entries = readdirSync(fsPath(at === '' ? host : `${host}/${at}`), {
        withFileTypes: true,
        encoding: 'buffer',
      });
    } catch {
      return undefined;
    }
    seen += entries.length;
    if (seen > MOST_NAMES) return undefined;
    for (const entry of entries) {
      const name = bytesOf(entry.name);
      const path = at === '' ? name : `${at}/${name}`;
      // `build` and `source` are links to the headers, and are not followed.
      if (entry.isDirectory()) pending.push(path);
      else if (MODULE.test(name)) modules.push(path);
    }
  }
  return modules;
}
