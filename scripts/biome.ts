/**
 * Runs biome's own binary. Its npm wrapper names a package for every platform there is, and `npm ci` refuses a
 * lock file in which a registry lacks some of them; the two Linux packages alone install everywhere we work.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const binary = fileURLToPath(import.meta.resolve(`@biomejs/cli-linux-${process.arch}/biome`));
const run = spawnSync(binary, process.argv.slice(2), { stdio: 'inherit' });
if (run.error) throw run.error;
process.exitCode = run.status ?? 1;
