import { describe, expect, it } from 'vitest';
import { parseList, parseMd5sums } from '../../src/dpkg/manifest.ts';
import { pathToText, textToPath } from '../../src/model/path-text.ts';

const HASH = 'd41d8cd98f00b204e9800998ecf8427e';

describe('parseList', () => {
  it.each([
    ['sound', '/.\n/usr\n/usr/bin\n/usr/bin/a\n', ['/usr', '/usr/bin', '/usr/bin/a'], 'none', undefined],
    ['directories with a slash at their end', '/.\n/usr/\n', ['/usr'], 'none', undefined],
    [
      'names without a slash before them',
      'usr/a\n./usr/b\n.//usr/c\n',
      ['/usr/a', '/usr/b', '/usr/c'],
      'none',
      undefined,
    ],
    [
      'names with blanks, backslashes and Latin-1',
      '/a b\n/x\\x2dy\n/caf\xe9\n',
      ['/a b', '/x\\x2dy', '/caf\xe9'],
      'none',
      undefined,
    ],
    ['empty', '', [], 'empty', undefined],
    ['an empty line', '/.\n/usr\n\n/bin\n', ['/usr', '/bin'], 'empty-name', 'contains empty filename'],
    ['a line of one slash', '/\n/bin\n', ['/bin'], 'empty-name', 'contains empty filename'],
    ['cut in a name', '/.\n/usr\n/usr/bi', ['/usr'], 'unterminated', 'is missing final newline'],
    ['cut behind a name', '/.\n/usr', [], 'unterminated', 'is missing final newline'],
    ['NUL-filled', '\0'.repeat(64), [], 'nul', 'is missing final newline'],
    ['a NUL tail', '/.\n/usr\n\0\0\0', ['/usr'], 'nul', 'is missing final newline'],
    ['NUL bytes inside', '/.\n/us\0\0\n/bin\n', ['/bin'], 'nul', undefined],
    ['an empty line and a cut end', '/usr\n\n/bi', ['/usr'], 'unterminated', 'contains empty filename'],
    ['an empty line and NUL bytes', '/usr\n\n\0', ['/usr'], 'nul', 'contains empty filename'],
  ] as const)('%s', (_, data, paths, damage, dpkgSays) => {
    expect(parseList(data)).toEqual({ paths, damage, dpkgSays });
  });
});

describe('parseMd5sums', () => {
  const line = (name: string): string => `${HASH}  ${name}\n`;

  it.each([
    ['sound', line('usr/a') + line('usr/b'), ['/usr/a', '/usr/b'], 'none', undefined],
    ['names that begin ./', line('./usr/a') + line('.//./usr/b'), ['/usr/a', '/usr/b'], 'none', undefined],
    ['names that begin with a slash', line('/usr/a'), ['/usr/a'], 'none', undefined],
    ['blanks and Latin-1', line(' a  b') + line('caf\xe9'), ['/ a  b', '/caf\xe9'], 'none', undefined],
    ['empty', '', [], 'empty', undefined],
    ['cut', line('usr/a') + line('usr/b').slice(0, -2), ['/usr/a'], 'unterminated', 'missing final newline'],
    ['NUL-filled', '\0'.repeat(99), [], 'nul', 'missing final newline'],
    ['a NUL tail', `${line('usr/a')}\0\0`, ['/usr/a'], 'nul', 'missing final newline'],
    ['a line of NUL bytes', `${'\0'.repeat(50)}\n${line('a')}`, ['/a'], 'nul', 'missing value separator'],
    ['an empty line', `${line('a')}\n${line('b')}`, ['/a', '/b'], 'malformed', 'missing value'],
    ['a hash without a name', `${HASH}  \n${line('b')}`, ['/b'], 'malformed', 'missing value'],
    ['one blank', `${HASH} usr/a\n${line('b')}`, ['/b'], 'malformed', 'missing value separator'],
    ['as md5sum -b writes it', `${HASH} *usr/a\n`, [], 'malformed', 'missing value separator'],
    ['no hexadecimal digits: dpkg is silent', `${'z'.repeat(32)}  usr/a\n`, [], 'malformed', undefined],
    ['two damages: dpkg names the first', `x\n${HASH}`, [], 'unterminated', 'missing value'],
  ] as const)('%s', (_, data, paths, damage, dpkgSays) => {
    const parsed = parseMd5sums(data);
    expect([...parsed.hashes.keys()]).toEqual(paths);
    expect(new Set(parsed.hashes.values()).size).toBeLessThanOrEqual(1);
    expect(parsed.damage).toBe(damage);
    expect(parsed.dpkgSays).toBe(dpkgSays);
  });

  it('gives a Latin-1 name as the bytes that it is, and the report gives it back', () => {
    const [path = ''] = parseMd5sums(line('usr/share/caf\xe9')).hashes.keys();
    expect(pathToText(path)).toBe('file:///usr/share/caf%E9');
    expect(textToPath(pathToText(path))).toBe(path);
  });
});
