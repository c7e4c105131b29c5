import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { intendedByCommand, parseDpkgCommand } from '../../src/dpkg/command-line.ts';
import { Root } from '../../src/system/root.ts';

const base = { action: 'none', words: [], recursive: false, pending: false };

describe('parseDpkgCommand', () => {
  it.each([
    ['dpkg -i a.deb b.deb', { action: 'unpack', words: ['a.deb', 'b.deb'] }],
    ['dpkg --install --force-confold a.deb', { action: 'unpack', words: ['a.deb'] }],
    ['dpkg --admindir /x --unpack a.deb', { action: 'unpack', words: ['a.deb'] }],
    ['dpkg --admindir=/x --unpack a.deb', { action: 'unpack', words: ['a.deb'] }],
    ['dpkg -iR debs', { action: 'unpack', words: ['debs'], recursive: true }],
    [
      'dpkg --status-fd 20 --no-triggers --unpack --auto-deconfigure /v/a.deb',
      { action: 'unpack', words: ['/v/a.deb'] },
    ],
    ['dpkg -r a b:i386', { action: 'remove', words: ['a', 'b:i386'] }],
    ['dpkg -P a', { action: 'remove', words: ['a'] }],
    ['dpkg --configure -a', { action: 'configure', pending: true }],
    ['dpkg --configure --pending', { action: 'configure', pending: true }],
    ['dpkg --triggers-only -a', { action: 'triggers', pending: true }],
    ['dpkg -D 2 -i a.deb', { action: 'unpack', words: ['a.deb'] }],
    ['dpkg -i -- -odd.deb', { action: 'unpack', words: ['-odd.deb'] }],
    ['dpkg -l', {}],
    ['dpkg', {}],
  ])('%s', (line, expected) => {
    expect(parseDpkgCommand(line.split(' '))).toEqual({ ...base, ...expected });
  });
});

describe('intendedByCommand', () => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'debmend-command-')));
    mkdirSync(join(directory, 'debs/more'), { recursive: true });
    for (const name of ['b_2_all.deb', 'more/c_3_all.deb', 'no.txt'])
      writeFileSync(join(directory, 'debs', name), '');
    symlinkSync('/outside', join(directory, 'debs/linked.deb'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const intended = (line: string, from: string) =>
    intendedByCommand(new Root(directory), parseDpkgCommand(line.split(' ')), from).map(
      ({ name, architecture, action, archive }) => [action, name, architecture, archive],
    );

  it('looks for relative archives where dpkg was started', () => {
    expect(intended('dpkg -i ./a_1%3a2_amd64.deb /v/any.deb', '/home/me')).toEqual([
      ['install', 'a', 'amd64', '/home/me/./a_1%3a2_amd64.deb'],
      ['install', 'any.deb', undefined, '/v/any.deb'],
    ]);
  });

  it('finds archives below directories, and follows no link', () => {
    expect(intended('dpkg -iR /debs', '/')).toEqual([
      ['install', 'b', 'all', '/debs/b_2_all.deb'],
      ['install', 'c', 'all', '/debs/more/c_3_all.deb'],
    ]);
    expect(intended('dpkg -iR /none', '/')).toEqual([]);
  });

  it('names packages with their architecture', () => {
    expect(intended('dpkg --purge a b:i386', '/')).toEqual([
      ['remove', 'a', undefined, undefined],
      ['remove', 'b', 'i386', undefined],
    ]);
  });
});
