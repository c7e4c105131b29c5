/**
 * Compiles src to dist, which is what the package ships: plain ES modules, so that an installed debmend needs neither
 * the sources nor type stripping. The hooks' entry point is bundled besides, because it is started before every
 * installation, and finding and loading eighty modules takes longer than all that it does. A build that fails leaves
 * no dist at all, because bin/debmend would start it.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const HOME = join(import.meta.dirname, '..');
const DIST = join(HOME, 'dist');

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

/** One file for the hooks, one for the threads that they may start; libraries stay where they are. */
async function bundle(into: string): Promise<string | undefined> {
  try {
    const made = await rolldown({
      input: { hook: join(into, 'cli/hook.js'), worker: join(into, 'scan/worker.js') },
      platform: 'node',
      external: /^[^./]/,
    });
    await made.write({ dir: join(into, 'hook'), format: 'esm' });
    await made.close();
    return undefined;
  } catch (error) {
    return `bundling the hooks: ${error instanceof Error ? error.message : error}`;
  }
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
