import { describe, expect, it } from 'vitest';
import { parseDeb822 } from '../../src/dpkg/deb822.ts';
import { displayName } from '../../src/dpkg/package.ts';
import { nativeArchitecture, parseConffiles, parseStatus } from '../../src/dpkg/status.ts';

const A = `Package: a
Status: install ok installed
Priority: required
Maintainer: A <a@a>
Architecture: amd64
Version: 1:2.0-1
Conffiles:
 /etc/a.conf 0123456789abcdef0123456789abcdef
Description: a
 more of a
 .
 the end
`;
const B = `Package: b
Status: deinstall reinstreq half-installed
Architecture: i386
Multi-Arch: same
Version: 3
Config-Version: 2
Description: b
`;

const stanza = (name: string, lines: string[]): string =>
  [`Package: ${name}`, 'Status: install ok installed', 'Version: 1', ...lines, ''].join('\n');
const messages = (text: string): string[] =>
  parseStatus(text, 'status')
    .problems.filter(({ fatal }) => fatal)
    .map(({ message }) => message);
const names = (text: string): string[] => parseStatus(text, 'status').packages.map(({ name }) => name);

describe('parseStatus', () => {
  it('reads what a sound record says', () => {
    const { packages, problems, native } = parseStatus(`${A}\n${B}`, 'status');
    expect(problems).toEqual([]);
    expect(native).toBe('amd64');
    expect(packages).toEqual([
      {
        name: 'a',
        architecture: 'amd64',
        version: '1:2.0-1',
        want: 'install',
        flag: 'ok',
        state: 'installed',
        multiArch: 'no',
        vital: true,
        configVersion: '1:2.0-1',
        conffiles: [
          {
            path: '/etc/a.conf',
            hash: '0123456789abcdef0123456789abcdef',
            obsolete: false,
            removeOnUpgrade: false,
          },
        ],
        triggersPending: [],
        triggersAwaited: [],
        source: 'status',
      },
      {
        name: 'b',
        architecture: 'i386',
        version: '3',
        want: 'deinstall',
        flag: 'reinstreq',
        state: 'half-installed',
        multiArch: 'same',
        vital: false,
        configVersion: '2',
        conffiles: [],
        triggersPending: [],
        triggersAwaited: [],
        source: 'status',
      },
    ]);
  });

  it('takes a record without Status for a package that is not installed', () => {
    expect(parseStatus('Package: a\nArchitecture: all\n', 'status').packages[0]).toMatchObject({
      want: 'unknown',
      flag: 'ok',
      state: 'not-installed',
    });
  });

  it.each([
    ['Essential: yes', true],
    ['Protected: YES', true],
    ['Priority: required', true],
    ['Essential: no', false],
    ['Priority: important', false],
    ['Priority: whatever', false],
  ])('%s makes a package vital: %s', (line, vital) => {
    expect(parseStatus(stanza('a', [line]), 'status').packages[0]?.vital).toBe(vital);
  });

  it('does not mind case in names, fields and words, as dpkg does not', () => {
    const { packages } = parseStatus('PACKAGE: Ab\nstatus: INSTALL Ok Installed\nVeRsion: 1\n', 'status');
    expect(packages[0]).toMatchObject({ name: 'ab', want: 'install', state: 'installed' });
  });

  it('reads triggers that are pending and awaited', () => {
    const text = `Package: a
Status: install ok triggers-awaited
Version: 1
Config-Version: 1
Triggers-Pending: ldconfig /usr/share/icons
Triggers-Awaited: libc-bin man-db:amd64
`;
    expect(parseStatus(text, 'status').packages[0]).toMatchObject({
      triggersPending: ['ldconfig', '/usr/share/icons'],
      triggersAwaited: ['libc-bin', 'man-db:amd64'],
    });
  });

  it('reads every other record when one is damaged', () => {
    const damaged = A.replace('Package: a', 'Package: x').replace('Version: 1:2.0-1', 'Version: ');
    const text = `${B}\n${damaged}\n${A}`;
    const { packages, problems } = parseStatus(text, 'status');
    expect(packages.map(({ name }) => name)).toEqual(['b', 'a']);
    expect(problems).toEqual([
      {
        message: "'Version' field value '': version string is empty",
        // the line behind the field, as dpkg counts when it refuses a value
        line: 14,
        start: B.length + 1,
        end: text.indexOf('Package: a'),
        package: 'x',
        fatal: true,
      },
    ]);
  });

  it.each([
    ['a page of NUL bytes', '\0'.repeat(4096)],
    ['a line of NUL bytes', `${'\0'.repeat(80)}\n`],
    ['foreign bytes without a newline', '\xff\xd8\xff\xe0JFIF'],
    ['foreign lines', 'foreign\nlines\n\n'],
    ['a record that was cut', 'Package: x\nStatus: install ok inst'],
    ['Windows line ends', 'Package: x\r\nStatus: install ok installed\r\n\r\n'],
    ['an MS-DOS end of file', '\x1a\x1a'],
    ['empty lines', '\n\n\n\n'],
  ])('reads the records before and after %s', (_, damage) => {
    const found = names(`${A}\n${damage}\n${B}`);
    expect(found).toContain('a');
    expect(found).toContain('b');
  });

  it('names the first of two damages in a record, as dpkg does', () => {
    expect(messages('Package: a\nStatus: what\nforeign\n')).toEqual([
      "first (want) word in 'Status' field: has invalid value 'what'",
    ]);
  });

  it('does not see a single last byte, as dpkg does not', () => {
    expect(messages(`${A}\nX`)).toEqual([]);
    expect(messages(`${A}\nXY`)).toEqual(["end of file after field name 'X'"]);
  });

  it('counts a line more at the end of the file, as dpkg does', () => {
    expect(parseStatus('Package: a\nStatus: install ok installed\n', 'status').problems).toMatchObject([
      { message: "missing 'Version' field", line: 3 },
    ]);
    expect(parseStatus('Package: a\nStatus: install ok installed\n\n', 'status').problems).toMatchObject([
      { message: "missing 'Version' field", line: 3 },
    ]);
  });

  it('names a package as dpkg had read it until then', () => {
    const problem = (lines: string[]) =>
      parseStatus(
        `Package: DPKG\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n${lines.join('\n')}\n`,
        'status',
      ).problems[0]?.package;
    expect(problem(['Package: Ab', 'x'])).toBe('ab');
    expect(problem(['Package: ab', 'Architecture: amd64', 'x'])).toBe('ab');
    expect(problem(['Package: ab', 'Architecture: all', 'x'])).toBe('ab');
    expect(problem(['Package: ab', 'Architecture: i386', 'x'])).toBe('ab:i386');
    expect(problem(['Package: ab', 'Architecture: amd64', 'Multi-Arch: same', 'x'])).toBe('ab:amd64');
    expect(problem(['Package: ab', 'x', 'Architecture: i386'])).toBe('ab');
    expect(problem(['Package: _b', 'x'])).toBeUndefined();
    expect(problem(['Version: 1', 'x'])).toBeUndefined();
  });

  it('refuses a second instance that cannot be installed beside the first, and keeps that', () => {
    const other = (multiArch: string, architecture: string) =>
      stanza('a', [`Architecture: ${architecture}`, `Multi-Arch: ${multiArch}`]);
    expect(messages(`${other('no', 'amd64')}\n${other('no', 'i386')}`)).toEqual([
      'multiple non-coinstallable package instances present; most probably due to an upgrade from an unofficial dpkg',
    ]);
    expect(messages(`${other('same', 'amd64')}\n${other('no', 'i386')}`)).toEqual([
      'mixed non-coinstallable and coinstallable package instances present; most probably due to an upgrade from an unofficial dpkg',
    ]);
    expect(messages(`${other('same', 'amd64')}\n${other('same', 'i386')}`)).toEqual([]);
    expect(names(`${other('no', 'amd64')}\n${other('no', 'i386')}`)).toEqual(['a']);
    // a selection is no instance
    expect(messages(`${other('no', 'amd64')}\nPackage: a\nArchitecture: i386\n`)).toEqual([]);
  });

  it('takes the native architecture from dpkg, or from most of the packages', () => {
    const pkg = (name: string, architecture: string) => ({ name, architecture });
    expect(nativeArchitecture([pkg('a', 'i386'), pkg('b', 'i386'), pkg('dpkg', 'amd64')])).toBe('amd64');
    expect(nativeArchitecture([pkg('a', 'i386'), pkg('b', 'amd64'), pkg('c', 'amd64')])).toBe('amd64');
    expect(nativeArchitecture([pkg('a', 'all'), pkg('b', '')])).toBe('');
  });

  it('prints a qualified name where the bare one could mislead', () => {
    const show = (architecture: string, multiArch: 'no' | 'same' | 'foreign') =>
      displayName({ name: 'a', architecture, multiArch }, 'amd64');
    expect(show('amd64', 'no')).toBe('a');
    expect(show('amd64', 'foreign')).toBe('a');
    expect(show('amd64', 'same')).toBe('a:amd64');
    expect(show('all', 'no')).toBe('a');
    expect(show('i386', 'no')).toBe('a:i386');
    expect(show('', 'no')).toBe('a');
  });
});

describe('a field that dpkg refuses', () => {
  it.each([
    ['Status: install ok', "third (status) word in 'Status' field: is missing a value"],
    ['Status: \xff', "first (want) word in 'Status' field: has invalid value '\xff'"],
    ['Status: install ok installed junk', "third (status) word in 'Status' field: has trailing junk"],
    ['Status:', "first (want) word in 'Status' field: is missing a value"],
    ['Essential: yesterday', "boolean (yes/no) 'Essential' field: has trailing junk"],
    ['Multi-Arch: \xe9', "quadstate (foreign/allowed/same/no) 'Multi-Arch' field: has invalid value '\xe9'"],
    ['Priority: optional\x00\xff', undefined],
    ['Priority: optional\xff', "word in 'Priority' field: has trailing junk"],
    ['Filename: pool/a.deb', "archive details 'Filename' field not allowed in status file"],
    ['MD5sum:', "empty archive details 'MD5sum' field"],
    ['Config-Version: 1 2', "'Config-Version' field value '1 2': version string has embedded spaces"],
    ['Triggers-Awaited: a a', "duplicate awaited trigger package 'a'"],
    ['Triggers-Pending: x x', "duplicate pending trigger 'x'"],
    ['Depends: a,', "'Depends' field, missing package name, or garbage where package name expected"],
  ])('%j', (line, message) => {
    const text = `Package: a\n${line}\nVersion: 1\n`;
    expect(messages(text)).toEqual(message === undefined ? [] : [message]);
  });

  it.each([
    [
      'installed',
      ['Config-Version: 1'],
      "'Config-Version' field present for package with inappropriate 'Status' field",
    ],
    ['installed', ['Triggers-Awaited: b'], 'package has status installed but triggers are awaited'],
    ['triggers-awaited', [], 'package has status triggers-awaited but no triggers awaited'],
    ['triggers-pending', [], 'package has status triggers-pending but no triggers pending'],
    ['unpacked', ['Triggers-Pending: b'], 'package has status unpacked but triggers are pending'],
    ['installed', ['Multi-Arch: same'], "package has 'Multi-Arch: same' field but is missing architecture"],
    [
      'installed',
      ['Multi-Arch: same', 'Architecture: all'],
      "package has 'Multi-Arch: same' field but is architecture 'all'",
    ],
  ])('in a record that is %s with %j', (state, lines, message) => {
    const text = ['Package: a', `Status: install ok ${state}`, 'Version: 1', ...lines, ''].join('\n');
    expect(messages(text)).toEqual([message]);
  });
});

describe('parseConffiles', () => {
  const conffile = (path: string, hash: string, flags = {}) => ({
    path,
    hash,
    obsolete: false,
    removeOnUpgrade: false,
    ...flags,
  });

  it.each([
    [' /etc/a 0123456789abcdef0123456789abcdef', conffile('/etc/a', '0123456789abcdef0123456789abcdef')],
    [' /etc/a 0123 obsolete', conffile('/etc/a', '0123', { obsolete: true })],
    [' /etc/a 0123 remove-on-upgrade', conffile('/etc/a', '0123', { removeOnUpgrade: true })],
    [
      ' /etc/a 0123 obsolete remove-on-upgrade',
      conffile('/etc/a', '0123', { obsolete: true, removeOnUpgrade: true }),
    ],
    [' /etc/a newconffile', conffile('/etc/a', 'newconffile')],
    [' /etc/a newconffile remove-on-upgrade', conffile('/etc/a', 'newconffile', { removeOnUpgrade: true })],
    [' /etc/a - obsolete', conffile('/etc/a', '-', { obsolete: true })],
    [' /etc/a name with  blanks 0123', conffile('/etc/a name with  blanks', '0123')],
    [' /etc/obsolete 0123', conffile('/etc/obsolete', '0123')],
    [' /etc/a obsolete', undefined],
    [' ./etc/a 0123', conffile('/etc/a', '0123')],
    [' //etc/caf\xe9 0123', conffile('/etc/caf\xe9', '0123')],
  ])('%j', (line, expected) => {
    const result = parseConffiles(`\n${line}`);
    if (expected === undefined) expect(result).toEqual(expect.stringContaining('malformed line'));
    else expect(result).toEqual([expected]);
  });

  it.each([
    ['\n/etc/a 0123', "value for 'Conffiles' field has line starting with non-space '/'"],
    ['\n /etc/a', "value for 'Conffiles' field has malformed line '/etc/a'"],
    ['\n a 0123', "value for 'Conffiles' field has malformed line 'a 0123'"],
    ['\n / 0123', "value for 'Conffiles' field has malformed line '/ 0123'"],
    ['\n // 0123', "root or empty directory listed as a conffile in 'Conffiles' field"],
    ['\n /etc/a 0123 \n /etc/b 1', "value for 'Conffiles' field has malformed line '/etc/a 0123 '"],
  ])('%j is refused', (value, message) => {
    expect(parseConffiles(value)).toBe(message);
  });
});

describe('parseDeb822', () => {
  it('keeps values as dpkg does: outer white space removed, lines in between kept', () => {
    const { stanzas } = parseDeb822('A-Field:  one \t\nTwo:\n first\n  second  \n\n');
    expect([...(stanzas[0]?.fields ?? [])]).toEqual([
      ['a-field', 'one'],
      ['two', '\n first\n  second'],
    ]);
  });

  it.each([
    ['field', "end of file after field name 'fiel"],
    ['field\n\n', "newline in field name 'field'"],
    ['field name: x\n', "field name 'field' must be followed by colon"],
    ['field:', "end of file after field name 'field'"],
    ['field: ', "end of file before value of field 'field' (missing final newline)"],
    ['field: value', "end of file during value of field 'field' (missing final newline)"],
    [': value\n', 'empty field name'],
    ['-field: value\n', "field name '-field' cannot start with hyphen"],
    ['f: value\n', "user-defined field name 'f' too short"],
    ['fi: a\nFI: b\n', "duplicate value for user-defined field 'FI'"],
    ['field\x1a: a\n', "MSDOS end of file (^Z) in field name 'field'"],
    ['field: \x1a\n', "MSDOS end of file (^Z) in value of field 'field' (missing newline?)"],
    ['a\0b: \x1a\n', "MSDOS end of file (^Z) in value of field 'a' (missing newline?)"],
    ['Package_Revision: 1\nPACKAGE_revision: 2\n', "duplicate value for 'Package_Revision' field"],
  ])('%j: %s', (text, message) => {
    const { stanzas, problems } = parseDeb822(text);
    expect(stanzas).toEqual([]);
    expect(problems[0]?.message.startsWith(message)).toBe(true);
    expect(problems[0]?.fatal).toBe(true);
  });

  it('takes ^Z for the end of a line', () => {
    const { stanzas } = parseDeb822('field: value\x1atwo: 2\n');
    expect([...(stanzas[0]?.fields ?? [])]).toEqual([
      ['field', 'value\x1a'],
      ['two', '2'],
    ]);
  });

  it('only warns of a blank line in a value', () => {
    const { stanzas, problems } = parseDeb822('field:\n one\n \n two\nnext: 1\n');
    expect(stanzas).toHaveLength(1);
    expect(problems).toMatchObject([{ message: "blank line in value of field 'field'", fatal: false }]);
  });
});
