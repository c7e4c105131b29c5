/** Vitest's global setup of the integration tests: a directory for what their files share, and its end. */
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeTree, workDirectory } from '../../lab/roots.ts';
import { removeAll, SHARED } from './prepared.ts';

export default function setup(): () => void {
  const shared = mkdtempSync(join(workDirectory(), 'debmend-shared-'));
  process.env[SHARED] = shared;
  return () => {
    for (const name of readdirSync(shared)) {
      if (name.endsWith('.json')) removeAll(JSON.parse(readFileSync(join(shared, name), 'utf8')));
    }
    removeTree(shared);
  };
}
