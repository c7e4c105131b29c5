/** Giving memory back before more of it is taken. */
import { getBuiltinModule } from 'node:process';

/**
 * Collects garbage now. Worth its 10 ms once, between reading the database, which leaves 30 MB of it, and starting the
 * threads, which would otherwise add theirs on top: by itself V8 sees no reason to hurry.
 */
export function collectGarbage(): void {
  // Loaded here, because a hook never comes by, and every module costs its start some.
  getBuiltinModule('node:v8').setFlagsFromString('--expose-gc');
  const collect: unknown = getBuiltinModule('node:vm').runInNewContext('gc');
  if (typeof collect === 'function') collect();
}
