import { mkdirSync, symlinkSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { globPattern } from '../../src/scan/glob-pattern.ts';
import { bytesFromText } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';
import { directoriesBelow, resolveGuards } from '../../src/watch/guards.ts';
import { type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

describe('a glob', () => {
  const cases: [glob: string, matches: string[], not: string[]][] = [
    ['*', ['a', '.a', 'a b'], ['a/b']],
    ['*.conf', ['a.conf', '.conf'], ['a.conf.d', 'aconf']],
    ['a?c', ['abc', 'a.c'], ['ac', 'a/c']],
    ['**/x', ['x', 'a/x', 'a/.b/x'], ['ax', 'x/a']],
    ['a/**', ['a/b', 'a/b/c'], ['b/a', 'a']],
    ['a/**/z', ['a/z', 'a/b/c/z'], ['a/bz', 'az']],
    ['*.{so,so.*}', ['a.so', 'a.so.1'], ['a.sox']],
    ['{a,b/{c,d}}', ['a', 'b/c', 'b/d'], ['b', 'c']],
    ['[a-c]1', ['a1', 'c1'], ['d1', 'a11']],
    ['[!a-c]1', ['d1'], ['a1', '/1']],
    ['a\\*b', ['a*b'], ['axb']],
    ['a+b.(c)', ['a+b.(c)'], ['aab.c']],
    ['ä?', ['äö'], ['ä']],
  ];
  for (const [glob, matches, not] of cases) {
    it(`${glob} matches ${matches.join(', ')} and not ${not.join(', ')}`, () => {
      const pattern = globPattern(glob);
      for (const path of matches) expect(pattern.test(path), path).toBe(true);
      for (const path of not) expect(pattern.test(path), path).toBe(false);
    });
  }
});

describe('guards', () => {
  let tiny: TinyRoot | undefined;
  afterEach(() => {
    tiny?.remove();
  });

  it('are resolved inside the root, and one that leads out leads nowhere', () => {
    const root = tinyRoot();
    tiny = root;
    root.write('/usr/lib/x/y/z', '');
    symlinkSync('usr/lib', root.at('/lib'));
    symlinkSync('/etc', root.at('/usr/lib/out'));
    mkdirSync(root.at('/etc/own'));
    const guards = resolveGuards(new Root(root.directory), [
      '/lib/**',
      '/usr/lib/out/*',
      '/etc/hello.conf',
      '/nowhere/**',
    ]);
    expect(guards.map(({ base, inside, deep }) => ({ base, inside, deep }))).toEqual([
      { base: '/lib', inside: '/usr/lib', deep: true },
      { base: '/usr/lib/out', inside: '/etc', deep: false },
      { base: '/etc', inside: '/etc', deep: false },
    ]);
    const [lib, out, one] = guards;
    expect(lib?.matches('/usr/lib/x/y/z')).toBe(true);
    expect(lib?.matches('/usr/library/x')).toBe(false);
    expect(out?.matches('/etc/passwd')).toBe(true);
    expect(out?.matches('/etc/own/x')).toBe(false);
    expect(one?.matches('/etc/hello.conf')).toBe(true);
    expect(one?.matches('/etc/hello.conf.d')).toBe(false);
    expect(one?.matches(bytesFromText('/etc/hellö'))).toBe(false);
    const below = directoriesBelow(root.at('/usr/lib'), true);
    expect(below.map((path) => path.slice(root.directory.length))).toEqual([
      '/usr/lib',
      '/usr/lib/x',
      '/usr/lib/x/y',
    ]);
  });
});
