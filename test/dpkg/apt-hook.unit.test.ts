import { describe, expect, it } from 'vitest';
import { intendedPackages, parseAptHook } from '../../src/dpkg/apt-hook.ts';

/** As apt 2.6.1 wrote it for `apt-get install --reinstall hostname '/tmp/with space.deb'`; its settings shortened. */
const THREE = `VERSION 3
APT::Architecture=amd64
APT::Build-Essential::=build-essential
APT::Compressor=
Dir=/
DPkg::Pre-Install-Pkgs::=/usr/sbin/dpkg-preconfigure%20--apt%20||%20true
DPkg::Pre-Install-Pkgs::=/tmp/hook.sh
CommandLine::AsString=apt-get%20install%20-o%20a::=b%20/tmp/with%20space.deb%20caf%c3%a9%25

hostname 3.23+nmu1 amd64 none = 3.23+nmu1 amd64 none /var/cache/apt/archives/hostname_3.23+nmu1_amd64.deb
hostname 3.23+nmu1 amd64 none = 3.23+nmu1 amd64 none **CONFIGURE**
bible-kjv-text - - none < 4.38 all none /var/cache/apt/archives/bible-kjv-text_4.38_all.deb
bible-kjv - - none < 4.38 amd64 none /tmp/with space.deb
bible-kjv-text - - none < 4.38 all none **CONFIGURE**
bible-kjv - - none < 4.38 amd64 none **CONFIGURE**
`;

describe('parseAptHook, version 3', () => {
  const input = parseAptHook(THREE);

  it('reads what apt wrote', () => {
    expect(input).toMatchObject({ version: 3, complete: true, problems: [] });
    expect(input.actions).toHaveLength(6);
    expect(input.actions[0]).toEqual({
      package: 'hostname',
      oldVersion: '3.23+nmu1',
      oldArchitecture: 'amd64',
      oldMultiArch: 'none',
      direction: 'same',
      newVersion: '3.23+nmu1',
      newArchitecture: 'amd64',
      newMultiArch: 'none',
      step: { kind: 'unpack', archive: '/var/cache/apt/archives/hostname_3.23+nmu1_amd64.deb' },
    });
    expect(input.actions[2]).toMatchObject({
      package: 'bible-kjv-text',
      oldVersion: undefined,
      oldArchitecture: undefined,
      direction: 'none',
      newArchitecture: 'all',
    });
    expect(input.actions[5]?.step).toEqual({ kind: 'configure' });
  });

  it('takes the rest of the line for the path: apt escapes no blank in it', () => {
    expect(input.actions[3]?.step).toEqual({ kind: 'unpack', archive: '/tmp/with space.deb' });
  });

  it('undoes the escapes of the configuration', () => {
    expect(input.configuration.get('CommandLine::AsString')).toBe(
      'apt-get install -o a::=b /tmp/with space.deb caf\xc3\xa9%',
    );
    expect(input.configuration.get('APT::Compressor')).toBe('');
  });

  it('keeps all entries of a list', () => {
    expect(input.lists.get('DPkg::Pre-Install-Pkgs')).toEqual([
      '/usr/sbin/dpkg-preconfigure --apt || true',
      '/tmp/hook.sh',
    ]);
    expect(input.configuration.has('DPkg::Pre-Install-Pkgs::')).toBe(false);
  });

  it.each([
    ['t 1 all none < 2 all none /t.deb', 'upgrade', { kind: 'unpack', archive: '/t.deb' }],
    ['t 2 all none > 1 all none /t.deb', 'downgrade', { kind: 'unpack', archive: '/t.deb' }],
    ['t 1:2 amd64 same = 1:2 amd64 same **CONFIGURE**', 'same', { kind: 'configure' }],
    ['t 2 all foreign > - - none **REMOVE**', 'none', { kind: 'remove' }],
  ])('%s', (line, direction, step) => {
    const { actions, problems } = parseAptHook(`VERSION 3\n\n${line}\n`);
    expect(problems).toEqual([]);
    expect(actions).toMatchObject([{ package: 't', direction, step }]);
  });

  it('keeps a package that apt has no archive for, and says so', () => {
    const { actions, problems } = parseAptHook('VERSION 3\n\nt - - none < 2 all none **ERROR**\n');
    expect(actions).toMatchObject([
      { package: 't', newVersion: '2', step: { kind: 'unpack', archive: undefined } },
    ]);
    expect(problems).toMatchObject([{ line: 3, message: 'apt has no absolute path of the archive' }]);
  });

  it.each([
    't',
    't 1 all none < 2 all none',
    't 1 all none < 2 all none ',
    't 1 all none < 2 all none t.deb',
    't 1 all none < 2 all none **UNPACK**',
    't 1 all none ? 2 all none /t.deb',
    't  1 all none < 2 all none /t.deb',
    ' 1 all none < 2 all none /t.deb',
    't 1 < 2 /t.deb',
    't 1 all no\0e < 2 all none /t.deb',
    '',
  ])('%j is a problem, and what follows is read', (line) => {
    const { actions, problems, complete } = parseAptHook(
      `VERSION 3\n\n${line}\nt - - none < 2 all none **CONFIGURE**\n`,
    );
    expect(problems).toMatchObject([{ line: 3, text: line }]);
    expect(actions).toHaveLength(1);
    expect(complete).toBe(true);
  });

  it('a setting without a value is a problem', () => {
    const { problems, configuration } = parseAptHook('VERSION 3\nA\n=b\nC=d\n\n');
    expect(problems.map(({ line }) => line)).toEqual([2, 3]);
    expect([...configuration]).toEqual([['C', 'd']]);
  });

  it('a version that apt does not have is read as its newest', () => {
    const input = parseAptHook('VERSION 4\n\nt - - none < 2 all none **CONFIGURE**\n');
    expect(input).toMatchObject({ version: 3, complete: true, problems: [{ line: 1 }] });
    expect(input.actions).toHaveLength(1);
  });

  it.each([
    ['in an action', THREE.slice(0, -5), 5],
    ['before the newline of the last one', THREE.slice(0, -1), 5],
    ['in the configuration', THREE.slice(0, 40), 0],
    ['behind a setting', THREE.slice(0, THREE.indexOf('APT::Build')), 0],
    ['in its first line', 'VERSION 3', 0],
  ])('an input that is cut %s is not complete', (_, data, actions) => {
    const input = parseAptHook(data);
    expect(input.complete).toBe(false);
    expect(input.actions).toHaveLength(actions);
    expect(input.problems).not.toEqual([]);
  });
});

describe('parseAptHook, version 2', () => {
  it('has neither architectures nor Multi-Arch', () => {
    const { version, actions, problems } = parseAptHook(
      'VERSION 2\nDir=/\n\nt 1 < 1:2 /a b/t_1%3a2_all.deb\nu 1 > - **REMOVE**\n',
    );
    expect({ version, problems }).toEqual({ version: 2, problems: [] });
    expect(actions).toMatchObject([
      {
        package: 't',
        oldVersion: '1',
        oldArchitecture: undefined,
        oldMultiArch: undefined,
        direction: 'upgrade',
        newVersion: '1:2',
        newArchitecture: undefined,
        step: { kind: 'unpack', archive: '/a b/t_1%3a2_all.deb' },
      },
      { package: 'u', direction: 'none', newVersion: undefined, step: { kind: 'remove' } },
    ]);
  });
});

describe('parseAptHook, version 1', () => {
  it('names archives, and no more', () => {
    const { version, actions, complete } = parseAptHook('/a/t_1%3a2_all.deb\n/tmp/with space.deb\n');
    expect({ version, complete }).toEqual({ version: 1, complete: true });
    expect(actions).toMatchObject([
      { package: 't', newVersion: '1:2', newArchitecture: 'all', step: { archive: '/a/t_1%3a2_all.deb' } },
      { package: 'with space', newVersion: undefined, step: { archive: '/tmp/with space.deb' } },
    ]);
  });

  it('is empty when nothing is installed', () => {
    expect(parseAptHook('')).toMatchObject({ version: 1, actions: [], problems: [], complete: true });
  });

  it('a name that is no path is a problem', () => {
    expect(parseAptHook('t.deb\n\n/t_1_all.deb\n')).toMatchObject({
      actions: [{ package: 't' }],
      problems: [{ line: 1 }, { line: 2 }],
    });
  });
});

describe('intendedPackages', () => {
  const intended = (version: 2 | 3, ...lines: string[]) =>
    intendedPackages(parseAptHook(`VERSION ${version}\n\n${lines.join('\n')}\n`));

  it('has one entry a package, in the order of their first actions', () => {
    expect(intendedPackages(parseAptHook(THREE))).toEqual([
      {
        name: 'hostname',
        architecture: 'amd64',
        multiArch: 'none',
        action: 'reinstall',
        oldVersion: '3.23+nmu1',
        newVersion: '3.23+nmu1',
        archive: '/var/cache/apt/archives/hostname_3.23+nmu1_amd64.deb',
      },
      expect.objectContaining({ name: 'bible-kjv-text', architecture: 'all', action: 'install' }),
      expect.objectContaining({ name: 'bible-kjv', action: 'install', archive: '/tmp/with space.deb' }),
    ]);
  });

  it.each([
    [
      'an upgrade',
      ['t 1 all none < 2 all none /t.deb', 't 1 all none < 2 all none **CONFIGURE**'],
      'upgrade',
    ],
    ['a downgrade', ['t 2 all none > 1 all none /t.deb'], 'downgrade'],
    ['a configuration', ['t 1 all none = 1 all none **CONFIGURE**'], 'configure'],
    ['a removal', ['t 1 all none > - - none **REMOVE**'], 'remove'],
    [
      'a removal for a moment',
      ['t 1 all none < 2 all none **REMOVE**', 't 1 all none < 2 all none /t.deb'],
      'upgrade',
    ],
    ['no archive', ['t - - none < 2 all none **ERROR**'], 'install'],
  ] as const)('%s', (_, lines, action) => {
    expect(intended(3, ...lines)).toMatchObject([{ name: 't', architecture: 'all', action }]);
  });

  it('keeps the architectures of a package apart', () => {
    expect(
      intended(
        3,
        'c 1 amd64 same < 2 amd64 same /c_2_amd64.deb',
        'c 1 i386 same > - - none **REMOVE**',
        'c 1 amd64 same < 2 amd64 same **CONFIGURE**',
      ),
    ).toMatchObject([
      { architecture: 'amd64', multiArch: 'same', action: 'upgrade' },
      { architecture: 'i386', multiArch: 'same', action: 'remove', newVersion: undefined },
    ]);
  });

  it('tells them apart by their archives in version 2', () => {
    expect(
      intended(
        2,
        'c 1 < 2 /c_2_amd64.deb',
        'c 1 < 2 /c_2_i386.deb',
        'c 1 < 2 **CONFIGURE**',
        'c 1 > - **REMOVE**',
        'd 1 = 1 **CONFIGURE**',
      ),
    ).toMatchObject([
      { name: 'c', architecture: 'amd64', action: 'upgrade', archive: '/c_2_amd64.deb' },
      { name: 'c', architecture: 'i386', action: 'upgrade', archive: '/c_2_i386.deb' },
      { name: 'c', architecture: undefined, action: 'remove' },
      { name: 'd', architecture: undefined, action: 'configure' },
    ]);
  });
});
