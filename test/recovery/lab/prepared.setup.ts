/** Vitest's global setup of the integration tests: a directory for what their files share, and its end. */
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../src/system/run.ts';
import { workDirectory } from '../../lab/roots.ts';
import { SHARED } from './prepared.ts';

const REMOVAL_TIMEOUT_MS = 5 * 60 * 1000;

export default function setup(): () => Promise<void> {
  const shared = mkdtempSync(join(workDirectory(), 'debmend-shared-'));
  process.env[SHARED] = shared;
  return async () => {
    const roots = readdirSync(shared)
      .filter((name) => name.endsWith('.json'))
      .flatMap((name) => Object.values<string>(JSON.parse(readFileSync(join(shared, name), 'utf8'))));
    // Vitest waits for its workers meanwhile, and takes them for hung when it is kept from it.
    const options = ['-rf', '--one-file-system', '--'];
    const { code, stderr } = await run('rm', [...options, ...roots, shared], { timeout: REMOVAL_TIMEOUT_MS });
    if (code !== 0) throw new Error(`cannot delete what the tests shared: ${stderr}`);
  };
}
