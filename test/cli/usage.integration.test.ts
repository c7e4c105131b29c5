/** What debmend says about itself, and to someone who asks for what it does not have. */
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { debmend, PROJECT, straceTest, traced } from './debmend.ts';

const OPTIONS = [
  '--root <dir>',
  '--admindir <dir>',
  '--package <name...>',
  '--path <path...>',
  '--quick',
  '--archives <dir...>',
  '--fail-on <severity>',
  '--json',
  '--output <file>',
  '--all',
  '--ignore-lock',
  '--config <file>',
  '-h, --help',
  '--version',
];

describe('help', () => {
  it.each([
    { args: ['--help'] },
    { args: ['audit', '--help'] },
    { args: ['help'] },
    { args: ['help', 'audit'] },
  ])('$args has every exit code', ({ args }) => {
    const { code, stdout, stderr } = debmend(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const codes = [...stdout.matchAll(/^ {2}(\d+) {2,}\S/gm)].map(([, number]) => Number(number));
    expect(codes).toEqual(Object.values(EXIT));
  });

  it('of a command has every option, and no option that is not documented here', () => {
    const { stdout } = debmend(['audit', '--help']);
    const options = [...stdout.matchAll(/^ {2}(-\S.*?)(?: {2}|$)/gm)].map(([, option]) => option);
    expect(options).toEqual(OPTIONS);
  });

  it('names the command', () => {
    expect(debmend(['--help']).stdout).toMatch(
      /^ {2}audit \[options\] {2,}compare every package-owned file/m,
    );
  });

  it('goes to standard error when nothing was asked for, as a mistake', () => {
    const { code, stdout, stderr } = debmend([]);
    expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' });
    expect(stderr).toMatch(/^Usage: debmend /);
  });
});

describe('--version', () => {
  it('is the version of the package', () => {
    const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'));
    expect(debmend(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  // Its time is in docs/benchmarks.md: on a busy machine no test could hold it. What costs the time is counted here.
  straceTest(
    'loads six small modules of its own and one package, and reads nothing else of the project',
    () => {
      debmend(['--version']); // fills the cache of compiled code
      const { code, calls } = traced('openat', ['--version']);
      expect(code).toBe(0);
      const opened = calls
        .filter(({ line }) => !line.includes(' = -1 '))
        .map(({ line }) => relative(PROJECT, resolve(PROJECT, /"([^"]+)"/.exec(line)?.[1] ?? '')))
        .filter((path) => !path.startsWith('..') && !path.startsWith('node_modules/.cache/'));
      expect(opened.filter((path) => path.startsWith('src/')).sort()).toEqual([
        'src/cli/exit-codes.ts',
        'src/cli/failure.ts',
        'src/cli/main.ts',
        'src/model/severity.ts',
        'src/system/errors.ts',
        'src/system/tool.ts',
      ]);
      const packages = opened.flatMap((path) => /^node_modules\/([^/]+)\//.exec(path)?.[1] ?? []);
      expect(new Set(packages)).toEqual(new Set(['commander', `node-linux-${process.arch}`]));
      expect(packages.length).toBeLessThanOrEqual(12);
      expect(new Set(opened.filter((path) => !/^(?:src|node_modules)\//.test(path)))).toEqual(
        new Set(['bin/debmend', 'package.json']),
      );
    },
  );
});

describe('a mistake in what was asked', () => {
  it.each([
    ['an unknown option', ['--frob'], "unknown option '--frob'", 'debmend --help'],
    ['an unknown command', ['frob'], "unknown command 'frob'", 'debmend --help'],
    [
      'an unknown option of a command',
      ['audit', '--frob'],
      "unknown option '--frob'",
      'debmend audit --help',
    ],
    [
      'a mistyped option',
      ['audit', '--rot', '/'],
      "unknown option '--rot' (did you mean --root?)",
      'debmend audit --help',
    ],
    [
      'an option without its argument',
      ['audit', '--root'],
      "option '--root <dir>' argument missing",
      'debmend audit --help',
    ],
    ['too many arguments', ['audit', '/srv'], "too many arguments for 'audit'", 'debmend audit --help'],
    ['a severity that is none', ['audit', '--fail-on', 'bad'], 'is invalid', 'debmend audit --help'],
    ['a path that is not absolute', ['audit', '--path', 'etc'], 'the path etc is not absolute', 'slash'],
    [
      'a database that is not absolute',
      ['audit', '--admindir', 'dpkg'],
      'the path dpkg is not absolute',
      'slash',
    ],
  ])('ends with 2, one line and a hint: %s', (_, args, message, hint) => {
    const { code, stdout, stderr } = debmend(args);
    expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' });
    const lines = stderr.split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^debmend: [^A-Z].*[^.] \[usage\]$/),
      expect.stringMatching(/^hint: .*[^.]$/),
      '',
    ]);
    expect(lines[0]).toContain(message);
    expect(lines[1]).toContain(hint);
  });
});
