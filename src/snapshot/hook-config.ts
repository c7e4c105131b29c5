/**
 * The configuration as hooks read it. YAML and the schema take 80 ms to load, half of what a hook may take, so the
 * store keeps what was read of a file, and it counts as long as the file is the same.
 */
import { statSync } from 'node:fs';
import { DEFAULT_CONFIG_FILE, loadConfig } from '../config/config.ts';
import { type Config, DEFAULT_CONFIG } from '../config/settings.ts';
import { messageOf } from '../system/errors.ts';
import { toolVersion } from '../system/tool.ts';
import type { Store } from './store.ts';

const KEY = 'configuration';

/** Never throws: with a mistake in the file the defaults hold, and the mistake is told. */
export async function loadHookConfig(store: Store): Promise<{ config: Config; mistake: string | undefined }> {
  const stat = statSync(DEFAULT_CONFIG_FILE, { throwIfNoEntry: false });
  if (stat === undefined) return { config: DEFAULT_CONFIG, mistake: undefined };
  const { ino, size, mtimeMs, ctimeMs } = stat;
  const identity = `${toolVersion()} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  const known = store.get(KEY);
  if (known !== undefined) {
    const kept = JSON.parse(known) as { identity: string; config: Config };
    if (kept.identity === identity) return { config: kept.config, mistake: undefined };
  }
  try {
    const config = await loadConfig(undefined);
    store.set(KEY, JSON.stringify({ identity, config }));
    return { config, mistake: undefined };
  } catch (error) {
    return { config: DEFAULT_CONFIG, mistake: messageOf(error) };
  }
}
