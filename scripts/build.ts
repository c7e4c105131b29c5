/**
 * Compiles src to dist, which is what the package ships: plain ES modules, so that an installed debmend needs neither
 * the sources nor type stripping. A build that fails leaves no dist at all, because bin/debmend would start it.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const HOME = join(import.meta.dirname, '..');
const DIST = join(HOME, 'dist');

function main(): number {
  rmSync(DIST, { recursive: true, force: true });
  const compiler = join(HOME, 'node_modules/.bin/tsc');
  const compiled = spawnSync(compiler, ['--project', 'tsconfig.build.json'], { cwd: HOME, stdio: 'inherit' });
  if (compiled.status !== 0) {
    return fail(`tsc ended with ${compiled.status ?? compiled.signal ?? compiled.error?.message}`);
  }

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

if (import.meta.main) process.exitCode = main();
