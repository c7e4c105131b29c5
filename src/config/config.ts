/** The configuration file: YAML, checked against a schema; a mistake in it is said with its place, and nothing runs. */
import { readFileSync } from 'node:fs';
import { DebmendError, errnoOf, messageOf } from '../system/errors.ts';

export const DEFAULT_CONFIG_FILE = '/etc/debmend/config.yaml';

export interface Config {
  readonly audit: {
    /** Absolute globs (fast-glob) whose matches are reported as leftovers. */
    readonly leftoverGlobs: readonly string[];
  };
}

export const DEFAULT_CONFIG: Config = { audit: { leftoverGlobs: [] } };

/**
 * Reads the configuration.
 *
 * @param file as given on the command line; without it the default one, which may be missing
 * @throws DebmendError `config-unreadable`, `config-invalid`
 */
export async function loadConfig(file: string | undefined): Promise<Config> {
  const path = file ?? DEFAULT_CONFIG_FILE;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (file === undefined && errnoOf(error) === 'ENOENT') return DEFAULT_CONFIG;
    throw new DebmendError(
      'config-unreadable',
      `reading the configuration ${path}: ${errnoOf(error) ?? messageOf(error)}`,
      'check its path and mode, or name another with --config',
      error,
    );
  }
  // Loaded only now: most runs have no configuration file, and both libraries take time to start.
  const [{ parseDocument }, { configSchema }] = await Promise.all([import('yaml'), import('./schema.ts')]);
  const document = parseDocument(text);
  const mistake = document.errors[0];
  if (mistake !== undefined) {
    throw new DebmendError(
      'config-invalid',
      `reading the configuration ${path}: ${mistake.message.trim()}`,
      'it is YAML',
      mistake,
    );
  }
  const parsed = configSchema.safeParse(document.toJS() ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
    throw new DebmendError(
      'config-invalid',
      `reading the configuration ${path}${where}: ${issue?.message ?? 'it is not valid'}`,
      'docs/configuration.md lists every key',
      parsed.error,
    );
  }
  return parsed.data;
}
