import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { DEFAULT_CONFIG } from '../../src/config/settings.ts';
import type { DebmendError } from '../../src/system/errors.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-config-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(content: string | Buffer): string {
  const path = join(directory, 'config.yaml');
  writeFileSync(path, content);
  return path;
}
const load = (content: string | Buffer) => loadConfig(file(content));

/** What a person reads, with the file's own path left out. */
async function mistake(path: string): Promise<{ code: string; message: string; hint: string }> {
  const error = await loadConfig(path).then(
    () => Promise.reject(new Error('it was taken')),
    (reason: DebmendError) => reason,
  );
  return { code: error.code, message: error.message.replaceAll(path, 'FILE'), hint: error.hint };
}
const mistakeIn = (content: string | Buffer) => mistake(file(content));

describe('a configuration that says nothing', () => {
  it.each([
    ['an empty file', ''],
    ['a comment alone', '# nothing yet\n'],
    ['a document marker alone', '---\n'],
    ['an empty mapping', '{}\n'],
    ['an empty section', 'audit: {}\n'],
    ['a section with nothing below it', 'audit:\n'],
    ['a key with nothing behind it', 'audit:\n  leftoverGlobs:\n'],
  ])('is the default: %s', async (_, content) => {
    expect(await load(content)).toEqual(DEFAULT_CONFIG);
  });

  it('takes every default, written out, for what it is', async () => {
    expect(await load(JSON.stringify(DEFAULT_CONFIG))).toEqual(DEFAULT_CONFIG);
  });
});

describe('snapshots, hooks and watch', () => {
  it('takes what is given, and the defaults for the rest', async () => {
    const content = 'snapshots:\n  keep: 7\nhooks:\n  policy: enforce\n  syncExclude: [/srv/db]\n';
    const { snapshots, hooks } = await load(content);
    expect(snapshots).toEqual({ ...DEFAULT_CONFIG.snapshots, keep: 7 });
    expect(hooks).toEqual({ ...DEFAULT_CONFIG.hooks, policy: 'enforce', syncExclude: ['/srv/db'] });
  });

  it.each([
    ['snapshots:\n  keep: 1\n', 'line 2: snapshots.keep: too small'],
    ['snapshots:\n  tracked: [etc/**]\n', 'line 2: snapshots.tracked.0: a glob begins with a slash'],
    ['hooks:\n  policy: never\n', 'line 2: hooks.policy: invalid option'],
    ['hooks:\n  syncExclude: [/srv/../etc]\n', 'line 2: hooks.syncExclude.0: a path does not lead upwards'],
    ['hooks:\n  timeLimit: 0\n', 'line 2: hooks.timeLimit: too small'],
    ['watch:\n  heartbeat: often\n', 'line 2: watch.heartbeat: invalid input'],
  ])('names the mistake in %j', async (content, said) => {
    expect((await mistakeIn(content)).message).toContain(said);
  });
});

describe('audit.leftoverGlobs', () => {
  it('is a list of absolute globs', async () => {
    const content =
      "audit:\n  leftoverGlobs:\n    - /srv/**/*.partial\n    - '/var/tmp/{a,b}*'\n    - /srv/é\n";
    expect((await load(content)).audit.leftoverGlobs).toEqual([
      '/srv/**/*.partial',
      '/var/tmp/{a,b}*',
      '/srv/é',
    ]);
  });

  it.each([
    [
      'a relative glob',
      'audit:\n  leftoverGlobs:\n    - /srv/*\n    - srv/*\n',
      'line 4: audit.leftoverGlobs.1: a glob begins with a slash',
    ],
    [
      'one glob without a list',
      'audit:\n  leftoverGlobs: /srv/*\n',
      'line 2: audit.leftoverGlobs: invalid input: expected array, received string',
    ],
    [
      'a list of numbers',
      'audit:\n  leftoverGlobs: [1]\n',
      'line 2: audit.leftoverGlobs.0: invalid input: expected string, received number',
    ],
    [
      'a glob that leads upwards',
      "audit:\n  leftoverGlobs: ['/srv/{a,../b}/*']\n",
      'line 2: audit.leftoverGlobs.0: a glob does not lead upwards',
    ],
  ])('is refused with its place: %s', async (_, content, message) => {
    expect(await mistakeIn(content)).toEqual({
      code: 'config-invalid',
      message: `reading the configuration FILE, ${message}`,
      hint: 'docs/configuration.md lists every key',
    });
  });
});

describe('a mistake', () => {
  it.each([
    ['a key that nobody knows', '# first\nadit:\n  leftoverGlobs: []\n', 'line 2: unrecognized key: "adit"'],
    [
      'a key that nobody knows, in a section',
      'audit:\n  leftoverGlobs: []\n  leftoverGlob: []\n',
      'line 3: audit: unrecognized key: "leftoverGlob"',
    ],
    [
      'a section that is a text',
      'audit: all\n',
      'line 1: audit: invalid input: expected object, received string',
    ],
    ['a list for a mapping', '\n- audit\n', 'line 2: invalid input: expected object, received array'],
  ])('in the content is said with its line and key: %s', async (_, content, message) => {
    expect((await mistakeIn(content)).message).toBe(`reading the configuration FILE, ${message}`);
  });

  it.each([
    [
      'a bracket that is not closed',
      'audit:\n  leftoverGlobs: [/a\n',
      'line 3: flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    ['a key twice', 'audit: {}\naudit: {}\n', 'line 2: map keys must be unique'],
    ['a tab for an indent', 'audit:\n\tleftoverGlobs: []\n', 'line 2: tabs are not allowed as indentation'],
    ['two documents', 'audit: {}\n---\naudit: {}\n', 'line 2: it has more than one document'],
    [
      'an alias of nothing',
      'audit:\n  leftoverGlobs: [*none]\n',
      'unresolved alias (the anchor must be set before the alias): none',
    ],
    [
      'aliases of aliases of aliases',
      aliases(),
      'excessive alias count indicates a resource exhaustion attack',
    ],
  ])('in the YAML is said in one line: %s', async (_, content, message) => {
    expect(await mistakeIn(content)).toEqual({
      code: 'config-invalid',
      message: expect.stringMatching(/^reading the configuration FILE(, line \d+)?: [^\n]+$/),
      hint: 'the file is YAML, and docs/configuration.md has an example',
    });
    expect((await mistakeIn(content)).message).toContain(message);
  });

  it('in the encoding is said: a glob in Latin-1 would never match anything', async () => {
    const content = Buffer.from('audit:\n  leftoverGlobs: [/caf\xe9]\n', 'latin1');
    expect((await mistakeIn(content)).message).toBe('reading the configuration FILE: it is not UTF-8');
  });
});

describe('a file that cannot be read', () => {
  it('is a mistake when it was named', async () => {
    const missing = join(directory, 'missing.yaml');
    expect(await mistake(missing)).toMatchObject({
      code: 'config-unreadable',
      message: 'reading the configuration FILE: ENOENT',
    });
  });

  it('is a mistake when it is a directory', async () => {
    const folder = join(directory, 'folder.yaml');
    mkdirSync(folder);
    expect(await mistake(folder)).toMatchObject({ code: 'config-unreadable' });
  });
});

describe('docs/configuration.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');

  it('shows an example that is taken', async () => {
    const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = '']) => text);
    expect(examples).toHaveLength(1);
    expect((await load(examples[0] ?? '')).audit.leftoverGlobs).toHaveLength(2);
  });

  it('lists every key with its default', () => {
    const rows = [...page.matchAll(/^\| `([\w.]+)` \| `(.*?)` \|/gm)].map(([, key, value]) => [key, value]);
    const keys = Object.entries(DEFAULT_CONFIG).flatMap(([section, values]) =>
      Object.entries(values).map(([key, value]) => [`${section}.${key}`, JSON.stringify(value)]),
    );
    expect(rows).toEqual(keys);
  });
});

function aliases(): string {
  const ten = (name: string) => `[${Array.from({ length: 10 }, () => name).join(', ')}]`;
  return `a: &a ${ten('x')}\nb: &b ${ten('*a')}\nc: &c ${ten('*b')}\nd: ${ten('*c')}\n`;
}
