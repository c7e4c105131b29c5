/**
 * Compiles src to dist, which is what the package ships: plain ES modules, so that an installed debmend needs neither
 * the sources nor type stripping. The hooks' entry point is bundled besides, because it is started before every
 * installation, and finding and loading eighty modules takes longer than all that it does. A build that fails leaves
 * no dist at all, because bin/debmend would start it.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type OutputOptions, type Plugin, rolldown } from 'rolldown';

const HOME = join(import.meta.dirname, '..');
const DIST = join(HOME, 'dist');
/** Libraries that every run of a hook loads. */
const BUNDLED: ReadonlySet<string> = new Set(['better-sqlite3', 'xxhash-wasm']);

/**
 * Compiles and bundles into a directory, which is made.
 *
 * @returns what went wrong, with what the compiler said
 */
export async function compile(into: string): Promise<string | undefined> {
  const compiler = join(HOME, 'node_modules/typescript/bin/tsc');
  const args = [compiler, '--project', join(HOME, 'tsconfig.build.json'), '--outDir', into];
  const compiled = spawnSync(process.execPath, args, { cwd: HOME, encoding: 'utf8' });
  if (compiled.status === 0) return await bundle(into);
  const end = compiled.status ?? compiled.signal ?? compiled.error?.message;
  return `tsc ended with ${end}\n${compiled.stdout}${compiled.stderr}`;
}

/**
 * One file for the hooks, libraries included, with what few of their runs need in files beside it; another for the
 * threads that they may start. CommonJS: an ES module costs a start 15 ms more, for finding its imports and wrapping the
 * runtime's own modules. Two builds, because what both need would otherwise stand in files of its own.
 */
async function bundle(into: string): Promise<string | undefined> {
  const hook = join(into, 'hook');
  try {
    await roll(join(into, 'cli/hook.js'), isLoadedLater, {
      dir: hook,
      format: 'cjs',
      entryFileNames: '[name].cjs',
      chunkFileNames: '[name]-[hash].cjs',
    });
    await roll(join(into, 'scan/worker.js'), (id) => !/^[./]/.test(id), { dir: hook, format: 'esm' });
    return undefined;
  } catch (error) {
    return `bundling the hooks: ${error instanceof Error ? error.message : error}`;
  }
}

async function roll(input: string, external: (id: string) => boolean, output: OutputOptions): Promise<void> {
  const resolve = { modules: [join(HOME, 'node_modules')] };
  const made = await rolldown({ input, platform: 'node', external, resolve, plugins: [FOUND_ADDON] });
  // Names stay, for the stack traces; the comments would take 4 ms to read.
  await made.write({ ...output, minify: { compress: false, mangle: false, codegen: true } });
  await made.close();
}

/**
 * better-sqlite3 looks for its compiled part beside itself, which it is not any more, and first in three other places.
 * Here it is asked for where the library stands, wherever npm has put that.
 */
const FOUND_ADDON: Plugin = {
  name: 'found-addon',
  load: {
    filter: { id: /\/better-sqlite3\/lib\/binding\.js$/ },
    handler: () => `
      const { join } = require('node:path');
      const { existsSync } = require('node:fs');
      const file = 'better-sqlite3/prebuilds/linux-' + process.arch + '.node';
      exports.getBinding = () => {
        const near = ['../..', '../../..'].map((up) => join(__dirname, up, up.length > 5 ? '' : 'node_modules', file));
        return require(near.find((path) => existsSync(path)) ?? join(require.resolve('better-sqlite3/package.json'), '../..', file));
      };`,
  },
};

/** Whether an import stays one: the runtime's own, and the libraries that few runs of a hook need. */
function isLoadedLater(id: string): boolean {
  return !/^[./]/.test(id) && !BUNDLED.has(id);
}

async function main(): Promise<number> {
  rmSync(DIST, { recursive: true, force: true });
  const wrong = await compile(DIST);
  if (wrong !== undefined) return fail(wrong);

  const entry = join(DIST, 'cli/main.js');
  const tried = spawnSync(process.execPath, [entry, '--version'], { encoding: 'utf8' });
  const manifest: unknown = JSON.parse(readFileSync(join(HOME, 'package.json'), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : undefined;
  if (tried.status !== 0 || tried.stdout !== `${version}\n`) {
    process.stderr.write(tried.stderr);
    return fail(
      `dist/cli/main.js --version ended with ${tried.status} and said ${JSON.stringify(tried.stdout)}`,
    );
  }
  return 0;
}

function fail(message: string): number {
  rmSync(DIST, { recursive: true, force: true });
  process.stderr.write(`build: ${message}\n`);
  return 1;
}

if (import.meta.main) process.exitCode = await main();
