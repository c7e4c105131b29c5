import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fnmatch, isConfigName, isExcluded, parseDpkgConfig } from '../../src/dpkg/filters.ts';

describe('fnmatch', () => {
  it('answers as the libc’s own (fixtures/dpkg/fnmatch.json, made with glibc 2.36 in the C locale)', () => {
    const file = new URL('../../fixtures/dpkg/fnmatch.json', import.meta.url);
    const cases = JSON.parse(readFileSync(file, 'utf8')) as [
      pattern: string,
      path: string,
      matches: boolean,
    ][];
    expect(cases.length).toBeGreaterThan(500);
    const wrong = cases.filter(([pattern, path, matches]) => fnmatch(pattern)(path) !== matches);
    expect(wrong).toEqual([]);
  });

  it.each([
    ['/usr/share/doc/*', '/usr/share/doc/a/b', true], // a star crosses slashes
    ['/usr/share/doc/*', '/usr/share/doc', false],
    ['/usr/share/man?*', '/usr/share/man/x', true],
    ['*/.hidden', '/a/.hidden', true],
    ['/a[[:digit:]]', '/a7', true],
    ['/a[!0-9]', '/a7', false],
    ['/caf\xe9', '/caf\xe9', true],
    ['/a\\*', '/a*', true],
  ])('%s on %s: %s', (pattern, path, matches) => {
    expect(fnmatch(pattern)(path)).toBe(matches);
  });
});

describe('parseDpkgConfig', () => {
  const patterns = (text: string) =>
    parseDpkgConfig(text).map(({ include, pattern }) => `${include ? '+' : '-'}${pattern}`);

  it.each([
    ['path-exclude=/a/*', ['-/a/*']],
    ['path-include=/a', ['+/a']],
    ['path-exclude /a', ['-/a']],
    ['path-exclude = /a', ['-/a']],
    ['path-exclude=  /a \t', ['-/a']],
    ['path-exclude="/a b"', ['-/a b']],
    ["path-exclude='/a'", ['-/a']],
    ['path-exclude="/a', []],
    ['#path-exclude=/a', []],
    [' path-exclude=/a', []],
    ['path-excluded=/a', []],
    ['path-exclude', []],
    ['path-exclude=', []],
    [`path-exclude=/${'a'.repeat(2000)}`, [`-/${'a'.repeat(1023 - 14)}`]],
    // the last byte of this UTF-8 name is a blank in Latin-1
    ['path-exclude=/voil\xc3\xa0', ['-/voil\xc3\xa0']],
    ['no-debsig\n\npath-exclude=/a\nlog /var/log/dpkg.log\npath-include=/a/b\n', ['-/a', '+/a/b']],
  ])('%j', (text, expected) => {
    expect(patterns(text)).toEqual(expected);
  });

  it('knows which files of dpkg.cfg.d dpkg reads', () => {
    expect(['01_nodoc', 'docker', 'a-b', 'A9'].every(isConfigName)).toBe(true);
    expect(['a.conf', '.a', 'a~', '', 'a.dpkg-old', 'caf\xe9'].some(isConfigName)).toBe(false);
  });
});

describe('isExcluded', () => {
  const config = `path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/de/*
path-include=/usr/share/locale/locale.alias
path-exclude=/usr/share/locale/de/LC_TIME/*
`;
  const excluded = (path: string, mayHoldOthers = false): boolean =>
    isExcluded(parseDpkgConfig(config), path, mayHoldOthers);

  it.each([
    ['/usr/bin/a', false],
    ['/usr/share/doc/a/README', true],
    ['/usr/share/doc/a/copyright', false],
    ['/usr/share/doc/a/b/copyright', false],
    ['/usr/share/locale/fr/LC_MESSAGES/a.mo', true],
    ['/usr/share/locale/de/LC_MESSAGES/a.mo', false],
    ['/usr/share/locale/de/LC_TIME/coreutils.mo', true], // the last match wins
    ['/usr/share/locale/locale.alias', false],
  ])('%s: %s', (path, expected) => {
    expect(excluded(path)).toBe(expected);
  });

  it('brings back directories and links in which an included file may lie', () => {
    expect(excluded('/usr/share/doc/a', false)).toBe(true);
    expect(excluded('/usr/share/doc/a', true)).toBe(false);
    expect(excluded('/usr/share/locale/de/LC_TIME/x', true)).toBe(false);
    expect(excluded('/usr/share/locale/fr', true)).toBe(true);
  });

  it('excludes nothing without filters', () => {
    expect(isExcluded([], '/usr/share/doc/a', false)).toBe(false);
  });
});
