import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { layerMistakes } from './layers.ts';

const PROJECT = join(import.meta.dirname, '..');

it('the sources keep the order of the folders', () => {
  expect(layerMistakes(PROJECT)).toEqual([]);
});

describe('a small project in which the order is kept', () => {
  let project: string;
  const plant = (path: string, text: string) => {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    appendFileSync(join(project, path), `${text}\n`);
  };

  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'debmend-layers-'));
    writeFileSync(
      join(project, 'package.json'),
      JSON.stringify({ dependencies: { zod: '*', commander: '*' }, devDependencies: { vitest: '*' } }),
    );
    plant('src/system/files.ts', "import { readFileSync } from 'node:fs'; export const read = readFileSync;");
    plant(
      'src/model/finding.ts',
      "import { z } from 'zod'; export const schema = z.string(); export type Finding = string;",
    );
    plant('src/config/config.ts', "import { read } from '../system/files.ts'; export const config = read;");
    plant(
      'src/dpkg/status.ts',
      "import type { Finding } from '../model/finding.ts'; export const all: Finding[] = [];",
    );
    plant('src/audit/audit.ts', "import { all } from '../dpkg/status.ts'; export const audit = all;");
    plant(
      'src/cli/main.ts',
      "import 'commander'; export const run = async () => await import('./audit.ts');",
    );
    plant(
      'src/cli/audit.ts',
      "import { audit } from '../audit/audit.ts'; import '../model/finding.ts'; audit;",
    );
    plant('test/dpkg/status.unit.test.ts', '');
    plant('test/lab/cuts/ext4.integration.test.ts', '');
    plant('test/layers.test.ts', '');
  });
  afterEach(() => rmSync(project, { recursive: true, force: true }));

  it('has no mistakes', () => expect(layerMistakes(project)).toEqual([]));

  it.each([
    ['a value', "import { run } from '../cli/main.ts';"],
    ['a type', "import type { Run } from '../cli/main.ts';"],
    ['a type inside braces', "import { type Run } from '../cli/main.ts';"],
    ['a re-export', "export * from '../cli/main.ts';"],
    ['a named re-export', "export { run } from '../cli/main.ts';"],
    ['a dynamic import', "export const later = () => import('../cli/main.ts');"],
    ['a type in an annotation', "export type Main = import('../cli/main.ts').Main;"],
  ])('is refused with an import from the right: %s', (_, line) => {
    plant('src/system/planted.ts', line);
    expect(layerMistakes(project)).toEqual([
      'src/system/planted.ts imports src/cli/main.ts: cli is not before system in the order',
    ]);
  });

  it.each([
    ['system', '../model/finding.ts'],
    ['system', '../config/config.ts'],
    ['model', '../system/files.ts'],
    ['model', '../config/config.ts'],
    ['scan', '../dpkg/status.ts'],
    ['dpkg', '../audit/audit.ts'],
  ])('is refused with an import from beside or after: %s from %s', (folder, specifier) => {
    plant(`src/${folder}/planted.ts`, `import '${specifier}';`);
    expect(layerMistakes(project)).toHaveLength(1);
  });

  it('takes what looks like an import in a comment or a text for what it is', () => {
    plant(
      'src/system/planted.ts',
      "// import '../cli/main.ts';\nexport const text = `import '../cli/main.ts'`;",
    );
    expect(layerMistakes(project)).toEqual([]);
  });

  it('is refused with a folder that the order does not know, and with a file beside the folders', () => {
    plant('src/util/helpers.ts', '');
    plant('src/index.ts', '');
    expect(layerMistakes(project)).toEqual([
      'src/index.ts lies in no folder of the order',
      'src/util/helpers.ts lies in no folder of the order',
    ]);
  });

  it.each([
    ['static', "import './b.ts';", "import './a.ts';"],
    ['dynamic', "import './b.ts';", "export const later = () => import('./a.ts');"],
    ['of types', "import type { B } from './b.ts';", "import type { A } from './a.ts';"],
  ])('is refused with a cycle: %s', (_, a, b) => {
    plant('src/scan/a.ts', a);
    plant('src/scan/b.ts', b);
    expect(layerMistakes(project)).toEqual(['a cycle: src/scan/a.ts → src/scan/b.ts → src/scan/a.ts']);
  });

  it('is refused with a package for development, one that package.json does not name, and one by its path', () => {
    plant('src/scan/a.ts', "import { it } from 'vitest';");
    plant('src/scan/b.ts', "import pad from '@some/left-pad/index.js';");
    plant('src/scan/c.ts', "import '../../node_modules/zod/index.js';");
    expect(layerMistakes(project)).toEqual([
      'src/scan/a.ts imports vitest, which is there for development only',
      'src/scan/b.ts imports @some/left-pad, which package.json does not name',
      'src/scan/c.ts imports node_modules/zod/index.js, which is not shipped',
    ]);
  });

  it('is refused with an import that cannot be checked', () => {
    plant('src/scan/a.ts', 'export const load = (name: string) => import(name);');
    plant('src/scan/b.ts', "import { createRequire } from 'node:module';");
    plant('src/scan/c.ts', "import './none.ts';");
    expect(layerMistakes(project)).toEqual([
      'src/scan/a.ts imports something computed, which nobody can check',
      'src/scan/b.ts imports node:module: what it loads is not seen',
      'src/scan/c.ts imports src/scan/none.ts, which is not there',
    ]);
  });

  it('is refused when starting loads what only a command needs', () => {
    plant('src/cli/main.ts', "import './help.ts';");
    plant('src/cli/help.ts', "import type { Finding } from '../model/finding.ts';");
    expect(layerMistakes(project)).toEqual([]);
    plant('src/cli/help.ts', "import { schema } from '../model/finding.ts';");
    expect(layerMistakes(project)).toEqual([
      'starting loads zod: src/cli/main.ts → src/cli/help.ts → src/model/finding.ts',
    ]);
  });

  it('is refused with a test that mirrors no folder of src', () => {
    plant('test/util/helpers.unit.test.ts', '');
    plant('test/dpkg/deeper/status.unit.test.ts', '');
    plant('test/everything.unit.test.ts', '');
    expect(layerMistakes(project)).toEqual([
      'test/dpkg/deeper/status.unit.test.ts mirrors no folder of src',
      'test/everything.unit.test.ts mirrors no folder of src',
      'test/util/helpers.unit.test.ts mirrors no folder of src',
    ]);
  });
});

it('a copy of the sources is refused as soon as one wrong import is planted in it', () => {
  const project = mkdtempSync(join(tmpdir(), 'debmend-layers-'));
  try {
    cpSync(join(PROJECT, 'src'), join(project, 'src'), { recursive: true });
    cpSync(join(PROJECT, 'package.json'), join(project, 'package.json'));
    expect(layerMistakes(project)).toEqual([]);
    const file = join(project, 'src/scan/scan.ts');
    writeFileSync(file, `import '../audit/audit.ts';\n${readFileSync(file, 'utf8')}`);
    expect(layerMistakes(project)).toContain(
      'src/scan/scan.ts imports src/audit/audit.ts: audit is not before scan in the order',
    );
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
});
