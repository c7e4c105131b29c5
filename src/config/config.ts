/** The configuration file: YAML, checked against a schema; a mistake in it is said with its place, and nothing runs. */
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { DebmendError, errnoOf, messageOf } from '../system/errors.ts';
import { type Config, DEFAULT_CONFIG } from './settings.ts';

export const DEFAULT_CONFIG_FILE = '/etc/debmend/config.yaml';

/**
 * Reads the configuration.
 *
 * @param file as given on the command line; without it the default one, which may be missing
 * @throws DebmendError `config-unreadable`, `config-invalid`
 */
export async function loadConfig(file: string | undefined): Promise<Config> {
  const path = file ?? DEFAULT_CONFIG_FILE;
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (file === undefined && errnoOf(error) === 'ENOENT') return DEFAULT_CONFIG;
    throw new DebmendError(
      'config-unreadable',
      `reading the configuration ${path}: ${errnoOf(error) ?? messageOf(error)}`,
      'check its path and mode, or name another with --config',
      error,
    );
  }
  if (!isUtf8(bytes)) {
    throw new DebmendError(
      'config-invalid',
      `reading the configuration ${path}: it is not UTF-8`,
      'save it as UTF-8: read otherwise, a glob with such a name would never match',
    );
  }
  // Loaded only now: most runs have no configuration file, and YAML and the schema take time to start.
  const { parseConfig } = await import('./parse.ts');
  const { config, mistake } = parseConfig(bytes.toString('utf8'));
  if (mistake === undefined) return config;
  const line = mistake.line === undefined ? '' : `, line ${mistake.line}`;
  throw new DebmendError(
    'config-invalid',
    `reading the configuration ${path}${line}: ${mistake.message}`,
    mistake.hint,
    mistake.cause,
  );
}
