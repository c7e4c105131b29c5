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

async function main(): Promise<number> {
  rmSync(DIST, { recursive: true, force: true });
  const compiler = join(HOME, 'node_modules/.bin/tsc');
  const compiled = spawnSync(compiler, ['--project', 'tsconfig.build.json'], { cwd: HOME, stdio: 'inherit' });
  if (compiled.status !== 0) {
    return fail(`tsc ended with ${compiled.status ?? compiled.signal ?? compiled.error?.message}`);
  }

  await bundle();

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

/** One file for the hooks, one for the threads that they may start; libraries stay where they are. */
async function bundle(): Promise<void> {
  const made = await rolldown({
    input: { hook: join(DIST, 'cli/hook.js'), worker: join(DIST, 'scan/worker.js') },
    platform: 'node',
    external: /^[^./]/,
  });
  await made.write({ dir: join(DIST, 'hook'), format: 'esm' });
  await made.close();
}

function fail(message: string): number {
  rmSync(DIST, { recursive: true, force: true });
  process.stderr.write(`build: ${message}\n`);
  return 1;
}

if (import.meta.main) process.exitCode = await main();
