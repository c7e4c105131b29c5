import { describe, expect, it } from 'vitest';
import type { IntendedPackageRecord } from '../../../src/model/transaction.ts';
import { automaticOf, isNamed, parseAptCommand, relatedNames } from '../../../src/recovery/redo/marks.ts';

const record = (name: string, file?: string): IntendedPackageRecord => ({
  name,
  architecture: 'amd64',
  action: 'install',
  newVersion: '1',
  ...(file === undefined
    ? {}
    : { archive: { path: file, size: 1, sha256: 'a'.repeat(64), index: 'matches' as const } }),
});

describe('what a command of apt names', () => {
  it.each([
    [['apt-get', '-y', 'install', 'a', 'b'], 'install', ['a', 'b'], false],
    [['/usr/bin/python3', '/usr/bin/nala', 'install', 'a'], 'install', ['a'], false],
    [
      ['apt', '-o', 'Dpkg::Options::=--force-confold', 'install', '-t', 'stable', 'a'],
      'install',
      ['a'],
      false,
    ],
    [['apt-get', 'remove', '--purge', 'a'], 'remove', ['a'], true],
    [['apt-get', 'autopurge'], 'autopurge', [], true],
    [['/usr/bin/python3', '/usr/bin/unattended-upgrade'], undefined, [], false],
  ])('%j', (argv, verb, words, purge) => {
    expect(parseAptCommand(argv)).toEqual({ verb, words, purge });
  });

  it.each([
    ['mariadb-server', 'mariadb-server', true],
    ['mariadb-server', 'mariadb-server-core', false],
    ['g++', 'g++', true],
    ['g++', 'g', false],
    ['a=1.0-1', 'a', true],
    ['a/bookworm-backports', 'a', true],
    ['a:amd64', 'a', true],
    ['a:i386', 'a', false],
    ['a+', 'a', false],
    ['libfoo+', 'libfoo', true],
    ['linux-image-*', 'linux-image-amd64', true],
  ])('%s is %s: %s', (word, name, named) => {
    expect(isNamed(word, record(name))).toBe(named);
  });

  it('knows an archive by its file', () => {
    expect(isNamed('./x_1_all.deb', record('x', '/root/x_1_all.deb'))).toBe(true);
    expect(isNamed('./y_1_all.deb', record('x', '/root/x_1_all.deb'))).toBe(false);
  });
});

describe('what came along', () => {
  const fresh = [record('server'), record('library'), record('tool')];

  it('is all that the command did not name', () => {
    const came = automaticOf(['apt-get', 'install', 'server'], fresh, () => []);
    expect(came.map(({ name }) => name)).toEqual(['library', 'tool']);
  });

  it('is, without a command, what another of them depends on', () => {
    const depends = (of: IntendedPackageRecord): string[] =>
      of.name === 'server' ? ['library', 'libc6'] : [];
    expect(automaticOf(['packagekitd'], fresh, depends).map(({ name }) => name)).toEqual(['library']);
  });

  it('is read from the relations of a control file', () => {
    const control =
      'Package: a\nDepends: b (>= 1), c | d:any,\n e\nPre-Depends: f\nRecommends: g\nSuggests: h\n';
    expect(relatedNames(control)).toEqual(['b', 'c', 'd', 'e', 'f', 'g']);
  });
});
