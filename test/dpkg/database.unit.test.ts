import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { databaseStamp, readDatabase, readManifest } from '../../src/dpkg/database.ts';
import { bufferOf } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-database-'));
  put('/var/lib/dpkg/status', record('dpkg', 'amd64'));
  put('/var/lib/dpkg/info/dpkg.list', '/.\n');
});
afterEach(() => rmSync(directory, { recursive: true }));

function put(path: string, data: string): void {
  const host = join(directory, path);
  mkdirSync(dirname(host), { recursive: true });
  writeFileSync(host, bufferOf(data));
}
const record = (
  name: string,
  architecture: string,
  more: { state?: string; version?: string; ma?: string } = {},
) =>
  `Package: ${name}\nStatus: install ok ${more.state ?? 'installed'}\nArchitecture: ${architecture}\n` +
  `${more.ma === undefined ? '' : `Multi-Arch: ${more.ma}\n`}Version: ${more.version ?? '1'}\n\n`;
const read = () => readDatabase(new Root(directory));
const packages = () =>
  read().packages.map((pkg) => `${pkg.name}:${pkg.architecture} ${pkg.version} ${pkg.state}`);
const problems = () => read().problems.map(({ code, file }) => `${code} ${file}`);

describe('updates are merged over status', () => {
  it('in the order of their numbers', () => {
    put('/var/lib/dpkg/updates/0010', record('a', 'amd64', { version: '3', state: 'unpacked' }));
    put('/var/lib/dpkg/updates/0009', record('a', 'amd64', { version: '2' }));
    put('/var/lib/dpkg/updates/tmp.i', record('a', 'amd64', { version: '4' }));
    expect(packages()).toEqual(['a:amd64 3 unpacked', 'dpkg:amd64 1 installed']);
    expect(read().packages[0]?.source).toBe('updates/0010');
  });

  it.each([
    // status, update, the packages afterwards (lib/dpkg/parse.c, parse_find_pkg_slot)
    [[['all', 'no']], ['amd64', 'no'], ['a:amd64 2']],
    [[['amd64', 'no']], ['all', 'foreign'], ['a:all 2']],
    [[['all', 'no']], ['amd64', 'same'], ['a:amd64 2']],
    [[['i386', 'same']], ['amd64', 'no'], ['a:amd64 2']],
    [[['i386', 'same']], ['amd64', 'same'], ['a:amd64 2', 'a:i386 1']],
    [[['i386', 'same']], ['i386', 'same'], ['a:i386 2']],
    [
      [
        ['i386', 'same'],
        ['amd64', 'same'],
      ],
      ['amd64', 'same'],
      ['a:amd64 2', 'a:i386 1'],
    ],
    [[], ['amd64', 'no'], ['a:amd64 2']],
  ] as const)('%j and then %j: %j', (before, [architecture, ma], after) => {
    const old = before.map(([arch, multi]) => record('a', arch, { ma: multi }));
    put('/var/lib/dpkg/status', old.join('') + record('dpkg', 'amd64'));
    put('/var/lib/dpkg/updates/0000', record('a', architecture, { ma, version: '2', state: 'installed' }));
    expect(packages().filter((pkg) => pkg.startsWith('a:'))).toEqual(after.map((pkg) => `${pkg} installed`));
  });

  it('so that a package that was removed is gone', () => {
    put('/var/lib/dpkg/status', record('a', 'amd64') + record('dpkg', 'amd64'));
    put('/var/lib/dpkg/updates/0000', 'Package: a\nStatus: purge ok not-installed\nArchitecture: amd64\n');
    expect(packages()).toEqual(['dpkg:amd64 1 installed']);
  });

  it('but for a damaged one, which takes nothing with it', () => {
    put('/var/lib/dpkg/updates/0000', record('a', 'amd64'));
    put('/var/lib/dpkg/updates/0001', '\0'.repeat(200));
    put('/var/lib/dpkg/updates/0002', record('b', 'amd64'));
    expect(packages()).toEqual(['a:amd64 1 installed', 'b:amd64 1 installed', 'dpkg:amd64 1 installed']);
    expect(problems()).toEqual(['database-update-nul /var/lib/dpkg/updates/0001']);
  });
});

describe('readDatabase', () => {
  it('refuses a root without a database', () => {
    rmSync(join(directory, 'var/lib/dpkg'), { recursive: true });
    expect(read).toThrow(expect.objectContaining({ code: 'no-dpkg-database' }));
  });

  it('finds a database behind a link inside the root', () => {
    mkdirSync(join(directory, 'srv'));
    rmSync(join(directory, 'srv'), { recursive: true });
    symlinkSync('/var/lib', join(directory, 'srv'));
    expect(readDatabase(new Root(directory), '/srv/dpkg').packages).toHaveLength(1);
  });

  it('tells of packages that only their files know', () => {
    put('/var/lib/dpkg/info/lost.list', '/.\n/a\n');
    put('/var/lib/dpkg/info/lost2:i386.list', '/.\n');
    put('/var/lib/dpkg/info/format', '1\n');
    expect(packages()).toEqual(['dpkg:amd64 1 installed', 'lost:  unknown', 'lost2:i386  unknown']);
    expect(problems()).toEqual([
      'database-orphan /var/lib/dpkg/info/lost.list',
      'database-orphan /var/lib/dpkg/info/lost2:i386.list',
    ]);
  });

  it('reads path filters in dpkg’s order: the directory’s files, then dpkg.cfg', () => {
    put('/etc/dpkg/dpkg.cfg', 'path-include=/z\n');
    put('/etc/dpkg/dpkg.cfg.d/b', 'path-exclude=/b\n');
    put('/etc/dpkg/dpkg.cfg.d/a', 'path-exclude=/a\n');
    put('/etc/dpkg/dpkg.cfg.d/c.conf', 'path-exclude=/c\n');
    expect(read().filters.map(({ pattern }) => pattern)).toEqual(['/a', '/b', '/z']);
  });

  it.each([
    'status',
    'updates',
    'info',
    'diversions',
    'statoverride',
    'arch',
    'triggers/File',
    'info/format',
  ])('goes on when %s is something else than it should be', (name) => {
    const host = join(directory, 'var/lib/dpkg', name);
    rmSync(host, { recursive: true, force: true });
    mkdirSync(dirname(host), { recursive: true });
    if (name === 'updates' || name === 'info') writeFileSync(host, '');
    else mkdirSync(host);
    expect(problems()).toContain(`database-unreadable /var/lib/dpkg/${name}`);
    if (name !== 'status') expect(packages()).toContain('dpkg:amd64 1 installed');
  });

  it('takes a line of arch as long as dpkg does', () => {
    put('/var/lib/dpkg/arch', `${'a'.repeat(2046)}\n`);
    expect(problems()).toEqual([]);
    put('/var/lib/dpkg/arch', `${'a'.repeat(2047)}\n`);
    expect(problems()).toEqual(['database-arch-damaged /var/lib/dpkg/arch']);
  });

  it('changes its stamp when dpkg writes', () => {
    const { admindir, stamp } = read();
    expect(databaseStamp(admindir)).toBe(stamp);
    put('/var/lib/dpkg/updates/0000', '');
    expect(databaseStamp(admindir)).not.toBe(stamp);
  });
});

describe('readManifest', () => {
  it('reads names and hashes as bytes', () => {
    put('/var/lib/dpkg/info/dpkg.list', '/.\n/caf\xe9\n');
    put('/var/lib/dpkg/info/dpkg.md5sums', 'd41d8cd98f00b204e9800998ecf8427e  caf\xe9\n');
    const database = read();
    const [pkg] = database.packages;
    const manifest = pkg && readManifest(database, pkg, true);
    expect(manifest).toMatchObject({ display: 'dpkg', paths: ['/caf\xe9'], listSound: true });
    expect(manifest?.hashes.get('/caf\xe9')).toBe('d41d8cd98f00b204e9800998ecf8427e');
    expect(database.problems).toEqual([]);
  });

  it.each([
    ['a shell script', '#!/bin/sh\ntrue\n', undefined],
    ['a program, which is full of NUL bytes', '\x7fELF\0\0\0\0', undefined],
    ['an empty script', '', 'database-script-empty'],
    ['a NUL-filled script', '\0'.repeat(40), 'database-script-nul'],
    ['a script with a NUL tail', '#!/bin/sh\ntr\0\0\0', 'database-script-nul'],
    ['a script whose beginning is lost', '\0\0\0\0true\n', 'database-script-nul'],
  ])('%s', (_, data, code) => {
    put('/var/lib/dpkg/info/dpkg.postinst', data);
    const database = read();
    const [pkg] = database.packages;
    if (pkg !== undefined) readManifest(database, pkg, false);
    expect(database.problems.map((problem) => problem.code)).toEqual(code === undefined ? [] : [code]);
  });

  it('finds the files of a co-installable package by its architecture', () => {
    put('/var/lib/dpkg/info/format', '1\n');
    put('/var/lib/dpkg/status', record('dpkg', 'amd64') + record('l', 'i386', { ma: 'same' }));
    put('/var/lib/dpkg/info/l:i386.list', '/.\n/usr/lib\n');
    const database = read();
    const pkg = database.packages.find(({ name }) => name === 'l');
    expect(pkg && readManifest(database, pkg, true)).toMatchObject({
      display: 'l:i386',
      paths: ['/usr/lib'],
    });
  });
});
