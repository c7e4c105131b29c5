/**
 * The order of the folders under src (docs/design.md, "The house"), and what may be imported where. The checker takes
 * a project's directory, so that a test can show it a copy with a mistake in it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { parseAst } from 'vitest/node';

/** A folder imports from groups before its own, and of its own group only from what ALSO names. */
const ORDER: readonly (readonly string[])[] = [
  ['system', 'model', 'config'],
  ['dpkg', 'scan', 'power', 'fsck'],
  ['manifest'],
  ['snapshot', 'outage'],
  ['audit'],
  ['recovery'],
  ['report', 'notify', 'watch', 'services'],
  ['cli'],
];
const ALSO: Readonly<Record<string, readonly string[]>> = {
  config: ['system', 'model'],
  fsck: ['dpkg'], // whose files a filesystem holds
};

/** Folders under test that mirror none of src. */
const TEST_FOLDERS = ['lab'];

const ENTRY = 'src/cli/main.ts';
/** What is slow to load or seldom needed, and so may not be loaded by just starting. */
const NOT_AT_START = [
  'better-sqlite3',
  'chokidar',
  'cli-progress',
  'fast-glob',
  'xxhash-wasm',
  'yaml',
  'zod',
] as const;

/** How a file is imported: a type leaves no trace at run time, a dynamic import is loaded when it is reached. */
type Manner = 'static' | 'dynamic' | 'type';

interface Import {
  /** As written; undefined when it is computed. */
  readonly specifier: string | undefined;
  readonly manner: Manner;
}

interface Source {
  /** From the project's directory, as every path here. */
  readonly path: string;
  readonly imports: readonly Import[];
}

/** What is wrong with the imports under src and the folders under test; a line each, in order. */
export function layerMistakes(project: string): string[] {
  const sources = filesBelow(project, 'src')
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path, imports: importsOf(readFileSync(join(project, path), 'utf8')) }));
  const mistakes = [
    ...folderMistakes(sources),
    ...sources.flatMap((source) => fileMistakes(project, source)),
    ...packageMistakes(project, sources),
    ...cycles(sources),
    ...startMistakes(sources),
    ...testMistakes(project),
  ];
  return [...new Set(mistakes)].sort();
}

function filesBelow(project: string, folder: string): string[] {
  if (!existsSync(join(project, folder))) return [];
  return readdirSync(join(project, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(project, join(entry.parentPath, entry.name)))
    .sort();
}

/** Every import of a file: declarations, re-exports, `import()`, and `import('…').Type`. */
function importsOf(text: string): Import[] {
  const imports: Import[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const child of node) visit(child);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    const { type, source, importKind, exportKind } = node as Record<string, unknown>;
    switch (type) {
      case 'ImportDeclaration':
        imports.push({ specifier: literal(source), manner: importKind === 'type' ? 'type' : 'static' });
        break;
      case 'ExportAllDeclaration':
      case 'ExportNamedDeclaration':
        if (source !== null && source !== undefined)
          imports.push({ specifier: literal(source), manner: exportKind === 'type' ? 'type' : 'static' });
        break;
      case 'ImportExpression':
        imports.push({ specifier: literal(source), manner: 'dynamic' });
        break;
      case 'TSImportType':
        imports.push({ specifier: literal(source), manner: 'type' });
        break;
    }
    for (const child of Object.values(node)) visit(child);
  };
  visit(parseAst(text, { lang: 'ts' }));
  return imports;
}

function literal(node: unknown): string | undefined {
  if (typeof node !== 'object' || node === null || !('value' in node)) return undefined;
  return typeof node.value === 'string' ? node.value : undefined;
}

const isRelative = (specifier: string): boolean => specifier.startsWith('.');
const folderOf = (path: string): string => path.split('/')[1] ?? '';
const groupOf = (folder: string): number => ORDER.findIndex((group) => group.includes(folder));
const targetOf = (source: Source, specifier: string): string => join(dirname(source.path), specifier);

/** `zod` of `zod/v4`, `@types/node` of `@types/node/fs`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

const isBuiltin = (specifier: string): boolean =>
  specifier.startsWith('node:') || builtinModules.includes(specifier);

function folderMistakes(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => path.split('/').length < 3 || groupOf(folderOf(path)) < 0)
    .map(({ path }) => `${path} lies in no folder of the order`);
}

function fileMistakes(project: string, source: Source): string[] {
  const mistakes: string[] = [];
  const folder = folderOf(source.path);
  for (const { specifier } of source.imports) {
    if (specifier === undefined) {
      mistakes.push(`${source.path} imports something computed, which nobody can check`);
      continue;
    }
    if (specifier === 'node:module')
      mistakes.push(`${source.path} imports node:module: what it loads is not seen`);
    if (!isRelative(specifier)) continue;
    const target = targetOf(source, specifier);
    const other = folderOf(target);
    if (!target.startsWith('src/')) mistakes.push(`${source.path} imports ${target}, which is not shipped`);
    else if (!existsSync(join(project, target)))
      mistakes.push(`${source.path} imports ${target}, which is not there`);
    else if (other !== folder && groupOf(other) >= groupOf(folder) && !ALSO[folder]?.includes(other)) {
      mistakes.push(`${source.path} imports ${target}: ${other} is not before ${folder} in the order`);
    }
  }
  return mistakes;
}

function packageMistakes(project: string, sources: readonly Source[]): string[] {
  const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
    devDependencies?: Record<string, string>;
  };
  const mistakes: string[] = [];
  for (const source of sources) {
    for (const { specifier } of source.imports) {
      if (specifier === undefined || isRelative(specifier) || isBuiltin(specifier)) continue;
      const name = packageOf(specifier);
      if (name in (manifest.dependencies ?? {})) continue;
      mistakes.push(
        name in (manifest.devDependencies ?? {})
          ? `${source.path} imports ${name}, which is there for development only`
          : `${source.path} imports ${name}, which package.json does not name`,
      );
    }
  }
  return mistakes;
}

/** Imports in a circle, types and `import()` included: such files can only be understood together. */
function cycles(sources: readonly Source[]): string[] {
  const graph = new Map(
    sources.map((source) => [
      source.path,
      source.imports.flatMap(({ specifier }) =>
        specifier !== undefined && isRelative(specifier) ? [targetOf(source, specifier)] : [],
      ),
    ]),
  );
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const walk = (path: string): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push(`a cycle: ${[...trail.slice(start), path].join(' → ')}`);
    if (start >= 0 || done.has(path)) return;
    trail.push(path);
    for (const target of graph.get(path) ?? []) walk(target);
    trail.pop();
    done.add(path);
  };
  for (const { path } of sources) walk(path);
  return found;
}

/** Packages that are loaded by starting, before any command is called. */
function startMistakes(sources: readonly Source[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const mistakes: string[] = [];
  const seen = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    const source = byPath.get(path);
    if (source === undefined || seen.has(path)) return;
    seen.add(path);
    for (const { specifier, manner } of source.imports) {
      if (specifier === undefined || manner !== 'static') continue;
      if (isRelative(specifier)) walk(targetOf(source, specifier), [...trail, path]);
      else if (NOT_AT_START.some((name) => name === packageOf(specifier)))
        mistakes.push(`starting loads ${packageOf(specifier)}: ${[...trail, path].join(' → ')}`);
    }
  };
  walk(ENTRY, []);
  return mistakes;
}

/** Tests stand where their sources stand: test/dpkg for src/dpkg, with the folders below it. */
function testMistakes(project: string): string[] {
  return filesBelow(project, 'test')
    .filter((path) => path.endsWith('.test.ts') && path !== 'test/layers.test.ts')
    .filter((path) => {
      const folder = relative('test', dirname(path));
      return (
        !TEST_FOLDERS.includes(folder.split('/')[0] ?? '') &&
        (folder === '' || !existsSync(join(project, 'src', folder)))
      );
    })
    .map((path) => `${path} mirrors no folder of src`);
}
