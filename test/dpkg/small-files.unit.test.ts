import { describe, expect, it } from 'vitest';
import { bestChoice, parseAlternative } from '../../src/dpkg/alternatives.ts';
import { parseDiversions } from '../../src/dpkg/diversions.ts';
import { checkedLines } from '../../src/dpkg/lines.ts';
import { parseStatoverride } from '../../src/dpkg/statoverride.ts';
import { temporaryName } from '../../src/dpkg/temporary-names.ts';
import {
  checkDeclarations,
  parseExplicitInterest,
  parseTriggersFile,
  parseUnincorp,
} from '../../src/dpkg/triggers.ts';

const EMPTY = "fgets gave an empty string from 'F'";
const LONG = "too-long line or missing newline in 'F'";

describe('checkedLines', () => {
  it.each([
    ['sound', 'a\nb\n', ['a', 'b'], 2, undefined],
    ['empty', '', [], 0, undefined],
    ['cut', 'a\nb', ['a'], 1, LONG],
    ['NUL-filled', '\0\0\0', [], 0, EMPTY],
    ['a NUL tail', 'a\n\0\0', ['a'], 1, EMPTY],
    ['NUL bytes inside a line', 'a\nb\0\nc\n', ['a', 'c'], 1, LONG],
    ['NUL bytes at the beginning of a line', 'a\n\0b\nc\n', ['a', 'c'], 1, EMPTY],
    ['as long as the buffer allows', '1234567\na\n', ['1234567', 'a'], 2, undefined],
    ['longer than the buffer', '1234567\n12345678\na\n', ['1234567', 'a'], 1, LONG],
  ] as const)('%s', (_, data, lines, sound, message) => {
    expect(checkedLines(data, 'F', 9)).toEqual({ lines, sound, message });
  });
});

describe('parseDiversions', () => {
  const a = { from: '/bin/a', to: '/bin/a.distrib', package: 'p' };
  const local = { from: '/caf\xe9', to: '/caf\xe9.local', package: undefined };
  const text = '/bin/a\n/bin/a.distrib\np\n';

  it.each([
    ['sound', `${text}/caf\xe9\n/caf\xe9.local\n:\n`, [a, local], undefined],
    ['empty', '', [], undefined],
    ['NUL-filled', '\0'.repeat(40), [], EMPTY],
    ['cut in a line', `${text}/b\n/b.x`, [a], LONG],
    ['cut behind a line', `${text}/b\n/b.x\n`, [a], "unexpected end of file reading 'F'"],
    [
      'the same file twice, in either place',
      `${text}/c\n/bin/a\nq\n`,
      [a],
      "conflicting diversions involving '/c' or '/bin/a'",
    ],
    [
      'a conflict before a cut end: dpkg names the first',
      `${text}${text}/x`,
      [a],
      "conflicting diversions involving '/bin/a' or '/bin/a.distrib'",
    ],
    ['a cut end before a conflict', `${text}\0\n${text}`, [a], EMPTY],
  ] as const)('%s', (_, data, diversions, message) => {
    expect(parseDiversions(data, 'F')).toEqual({ diversions, message, damaged: message !== undefined });
  });

  it('stops where a line is lost, of which dpkg says nothing', () => {
    expect(parseDiversions(`${text}/b\np\n/c\n/c.x\np\n/d\n`, 'F')).toEqual({
      diversions: [a],
      damaged: true,
      message: undefined,
    });
  });
});

describe('parseStatoverride', () => {
  const a = { user: 'root', group: '#12', mode: 0o4755, path: '/bin/a b' };

  it.each([
    ['sound', 'root #12 4755 /bin/a b\n', [a], undefined],
    ['empty', '', [], undefined],
    ['a path without its slash', 'root #12 4755 ./bin/a b\n', [a], undefined],
    ['a mode of all bits', 'r g 7777 /a\n', [{ user: 'r', group: 'g', mode: 0o7777, path: '/a' }], undefined],
    [
      'no path at all, which is the root',
      'r g 0 \n',
      [{ user: 'r', group: 'g', mode: 0, path: '/' }],
      undefined,
    ],
    ['cut', 'root #12 4755 /bin/a b\nroot', [a], 'statoverride file is missing final newline'],
    ['NUL-filled', '\0'.repeat(64), [], 'statoverride file is missing final newline'],
    ['an empty line', '\nroot #12 4755 /bin/a b\n', [a], 'statoverride file contains empty line'],
    ['too few words', 'root root 0755\n', [], 'syntax error in statoverride file'],
    ['a mode beyond the bits', 'r g 10000 /a\n', [], 'invalid statoverride mode 10000'],
    ['a mode that is not octal', 'r g 0888 /a\n', [], 'invalid statoverride mode 0888'],
    ['a mode in letters', 'r g u=rwx /a\n', [], 'invalid statoverride mode u=rwx'],
    ['a user id that is none, before too few words', '#x root\n', [], 'invalid statoverride uid #x'],
    ['a group id that is none', 'root #-1 0755 /a\n', [], 'invalid statoverride gid #-1'],
    [
      'a file twice',
      'root #12 4755 /bin/a b\nr g 0 //bin/a b\n',
      [a],
      "multiple statoverrides present for file '/bin/a b'",
    ],
  ] as const)('%s', (_, data, overrides, message) => {
    expect(parseStatoverride(data)).toEqual({ overrides, message, damaged: message !== undefined });
  });

  it('leaves out a line with NUL bytes, of which dpkg says nothing', () => {
    expect(parseStatoverride('root #12 4755 /bin/a b\nroot root 0755 /a\0\0\n')).toEqual({
      overrides: [a],
      damaged: true,
      message: undefined,
    });
  });
});

describe('a package’s triggers file', () => {
  it.each([
    ['sound', '# a comment of any length\n\n  interest-noawait /usr/share/a \nactivate b\n', undefined],
    ['cut', 'interest /a\nactivate b', LONG],
    ['NUL-filled', '\0\0\0', EMPTY],
    [
      'of another file',
      'interest /a\nPackage: dash\n',
      "triggers ci file contains unknown directive 'Package:'",
    ],
    ['a word alone', 'interest\n', 'triggers ci file contains unknown directive syntax'],
    ['wrong before it is cut', 'x y\ninteres', "triggers ci file contains unknown directive 'x'"],
    ['longer than the buffer', `interest /${'a'.repeat(300)}\n`, LONG],
  ])('%s', (_, data, message) => {
    expect(checkDeclarations(data, 'F')).toBe(message);
  });
});

describe('triggers/File', () => {
  const a = { path: '/usr/share/a', package: 'p', noawait: false };

  it.each([
    ['sound', '/usr/share/a p\n', [a], undefined],
    [
      'noawait, and an architecture',
      '/a p:amd64/noawait\n',
      [{ path: '/a', package: 'p:amd64', noawait: true }],
      undefined,
    ],
    [
      'await, and an option that dpkg does not know',
      '/a p/await\n/b p/x\n',
      [
        { path: '/a', package: 'p', noawait: false },
        { path: '/b', package: 'p', noawait: false },
      ],
      undefined,
    ],
    ['NUL-filled', '\0'.repeat(9), [], EMPTY],
    ['cut', '/usr/share/a p\n/usr/sh', [a], LONG],
    ['a line without a blank', '/usr/share/a p\n/b\n', [a], "syntax error in file triggers file 'F'"],
    ['a name that is no path', 'b p\n/usr/share/a p\n', [a], "syntax error in file triggers file 'F'"],
    [
      'a name that is no package',
      '/usr/share/a p\n/b p\xff\n',
      [a],
      "file triggers record mentions illegal package name 'p\xff' (for interest in file '/b'): illegal package name in specifier 'p\xff': character '\xff' not allowed (only letters, digits and characters '-+._')",
    ],
    [
      'a line twice',
      '/usr/share/a p\n/usr/share/a p/noawait\n',
      [a],
      "duplicate file trigger interest for filename '/usr/share/a' and package 'p'",
    ],
    ['a damage behind one that stops dpkg', '/usr/share/a p\n\0\nfoo\n', [a], EMPTY],
  ] as const)('%s', (_, data, triggers, message) => {
    expect(parseTriggersFile(data, 'F')).toEqual({ triggers, message });
  });
});

describe('an explicit interest', () => {
  it.each([
    ['libc-bin\n', undefined],
    ['libc-bin:amd64/noawait\n', undefined],
    ['', undefined],
    ['\0\0', EMPTY],
    ['libc-b', LONG],
    [
      'Lib c\n',
      "trigger interest file 'F' syntax error; illegal package name 'Lib c': illegal package name in specifier 'Lib c': character ' ' not allowed (only letters, digits and characters '-+._')",
    ],
  ])('%j', (data, message) => {
    expect(parseExplicitInterest(data, 'F').message).toBe(message);
  });
});

describe('triggers/Unincorp', () => {
  const a = { trigger: 'ldconfig', packages: ['p', 'q:amd64'] };
  const wrong = (where: string): string => `syntax error in triggers deferred file 'F' at ${where}`;

  it.each([
    ['sound', 'ldconfig p q:amd64\n', [a], undefined],
    ['no one waits', '/usr/share/a -\n', [{ trigger: '/usr/share/a', packages: ['-'] }], undefined],
    [
      'comments and blanks',
      '# x\n \t# y\n  ldconfig p q:amd64 # z\n',
      [],
      wrong("line 3 character 22 '# z'"),
    ],
    [
      'a comment that hangs on to a name, which dpkg reads on',
      'ld p#z\n',
      [{ trigger: 'ld', packages: ['p', 'z'] }],
      undefined,
    ],
    ['no package', 'ldconfig \n', [{ trigger: 'ldconfig', packages: [] }], undefined],
    ['no blank', 'ldconfig\n', [], wrong("line 1 character 9 ''")],
    ['two blanks at the end', 'ldconfig p  \n', [], wrong("line 1 character 13 ''")],
    [
      'a foreign byte behind a trigger, which dpkg takes for a blank',
      'ld\xff x\n',
      [{ trigger: 'ld', packages: ['x'] }],
      undefined,
    ],
    ['foreign bytes as a package', 'ldconfig p q:amd64\nld P\n', [a], wrong("line 2 character 4 'P'")],
    [
      'a name that begins like no one',
      'ld -x\n',
      [],
      "invalid package name '-x' in triggers deferred file 'F'",
    ],
    ['NUL-filled', '\0'.repeat(9), [], EMPTY],
    ['cut', 'ldconfig p q:amd64\nldc', [a], LONG],
    ['behind an empty line dpkg sees nothing', 'ldconfig p q:amd64\n\nfoo\n\0', [a], undefined],
  ] as const)('%s', (_, data, activations, message) => {
    expect(parseUnincorp(data, 'F')).toEqual({ activations, message });
  });
});

describe('parseAlternative', () => {
  const text = `auto
/usr/bin/editor
editor.1.gz
/usr/share/man/man1/editor.1.gz

/bin/ed
-100

/usr/bin/vim.basic
30
/usr/share/man/man1/vim.1.gz
/usr/bin/vim.nox
30
/usr/share/man/man1/vim.1.gz

`;

  it('reads a group with a slave, and the best of its choices', () => {
    const alternative = parseAlternative(text, 'editor');
    expect(alternative).toEqual({
      mode: 'auto',
      master: { name: 'editor', link: '/usr/bin/editor' },
      slaves: [{ name: 'editor.1.gz', link: '/usr/share/man/man1/editor.1.gz' }],
      choices: [
        { file: '/bin/ed', priority: -100, slaveFiles: [''] },
        { file: '/usr/bin/vim.basic', priority: 30, slaveFiles: ['/usr/share/man/man1/vim.1.gz'] },
        { file: '/usr/bin/vim.nox', priority: 30, slaveFiles: ['/usr/share/man/man1/vim.1.gz'] },
      ],
    });
    // of equals the first
    expect(alternative && bestChoice(alternative)?.file).toBe('/usr/bin/vim.basic');
  });

  it.each([
    ['empty', ''],
    ['NUL-filled', '\0'.repeat(text.length)],
    ['a NUL tail', `${text.slice(0, 80)}${'\0'.repeat(80)}\n`],
    ['cut in a line', text.slice(0, -20)],
    ['cut behind a line', text.split('\n').slice(0, 7).join('\n').concat('\n')],
    ['another mode', text.replace('auto', 'automatic')],
    ['a link that is no path', text.replace('/usr/bin/editor', 'editor')],
    ['a priority that is none', text.replace('-100', 'high')],
    ['foreign', '\xff\xd8\n'],
  ])('knows that it is damaged: %s', (_, data) => {
    expect(parseAlternative(data, 'editor')).toBeUndefined();
  });
});

describe('temporaryName', () => {
  it.each([
    ['/etc/a.dpkg-new', 'new', '/etc/a'],
    ['/bin/sh.distrib.dpkg-divert.tmp', 'new', '/bin/sh.distrib'],
    ['/bin/ls.dpkg-tmp', 'backup', '/bin/ls'],
    ['/etc/a.dpkg-remove', 'staged', '/etc/a'],
    ['/etc/a.dpkg-backup', 'staged', '/etc/a'],
    ['/etc/a.dpkg-staging-dir', 'staged', '/etc/a'],
    ['/etc/a.dpkg-old', 'administrator', '/etc/a'],
    ['/etc/a.dpkg-dist', 'administrator', '/etc/a'],
    ['/etc/a.dpkg-bak', 'administrator', '/etc/a'],
    ['/etc/a.ucf-old', 'administrator', '/etc/a'],
    ['/etc/caf\xe9.ucf-dist', 'administrator', '/etc/caf\xe9'],
  ])('%s is %s of %s', (path, kind, original) => {
    expect(temporaryName(path)).toMatchObject({ kind, original });
  });

  it.each([
    '/etc/a',
    '/etc/a.dpkg-new.d/b',
    '/etc/dpkg-new',
    '/etc/a.dpkg-newer',
    '.dpkg-new',
    '/etc/a.DPKG-NEW',
  ])('%s is none', (path) => {
    expect(temporaryName(path)).toBeUndefined();
  });
});
