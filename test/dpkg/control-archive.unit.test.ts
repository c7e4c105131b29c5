import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  parseControlArchive,
  parseDeclaredConffiles,
  readControlArchive,
} from '../../src/dpkg/control-archive.ts';
import { TarParser } from '../../src/dpkg/deb.ts';

const A = '0123456789abcdef0123456789abcdef';
const B = 'd41d8cd98f00b204e9800998ecf8427e';
let directory: string;

/** Builds a .deb of the members of a control archive, compressed as asked for. */
function build(name: string, members: Readonly<Record<string, string>>, compression = 'gzip'): string {
  const tree = join(directory, name);
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  for (const [member, text] of Object.entries(members)) {
    writeFileSync(join(tree, 'DEBIAN', member), Buffer.from(text, 'latin1'), { mode: 0o755 });
  }
  const deb = join(directory, `${name}.deb`);
  execFileSync('dpkg-deb', ['--nocheck', '--root-owner-group', `-Z${compression}`, '-b', tree, deb], {
    stdio: 'ignore',
  });
  return deb;
}

const CONTROL = 'Package: t\nVersion: 1:2~3\nArchitecture: amd64\nMaintainer: t <t@t>\nDescription: t\n';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-control-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('readControlArchive', () => {
  it.each(['gzip', 'xz', 'zstd', 'none'])(
    'reads what a real .deb holds, compressed with %s',
    async (compression) => {
      const deb = build(
        `full-${compression}`,
        {
          control: `${CONTROL}Essential: yes\nMulti-Arch: Same\n`,
          md5sums: `${A}  usr/a b\n${B}  usr/caf\xe9\n`,
          conffiles: '/etc/a\nremove-on-upgrade /etc/b\n',
          triggers: 'interest-noawait /usr/lib\n',
          postinst: '#!/bin/sh\n',
          prerm: '#!/bin/sh\n',
          config: '#!/bin/sh\n',
          templates: 'Template: t/t\n',
          shlibs: `${'x'.repeat(100_000)}\n`,
        },
        compression,
      );
      expect(await readControlArchive(deb)).toEqual({
        package: 't',
        version: '1:2~3',
        architecture: 'amd64',
        multiArch: 'same',
        essential: true,
        protected: false,
        md5sums: new Map([
          ['/usr/a b', A],
          ['/usr/caf\xe9', B],
        ]),
        conffiles: [
          { path: '/etc/a', removeOnUpgrade: false },
          { path: '/etc/b', removeOnUpgrade: true },
        ],
        scripts: ['config', 'postinst', 'prerm'],
        triggers: 'interest-noawait /usr/lib\n',
      });
    },
  );

  it('needs nothing but a control file', async () => {
    expect(await readControlArchive(build('bare', { control: `${CONTROL}Protected: yes\n` }))).toMatchObject({
      multiArch: 'no',
      essential: false,
      protected: true,
      md5sums: new Map(),
      conffiles: [],
      scripts: [],
      triggers: undefined,
    });
  });

  it.each([
    ['cut in its control archive', (file: string) => truncateSync(file, 150)],
    ['empty', (file: string) => truncateSync(file, 0)],
    ['NUL-filled', (file: string) => writeFileSync(file, Buffer.alloc(readFileSync(file).length))],
    ['missing', (file: string) => rmSync(file)],
  ])('refuses an archive that is %s', async (_, damage) => {
    const file = build('damaged', { control: CONTROL });
    damage(file);
    await expect(readControlArchive(file)).rejects.toMatchObject({ code: 'archive-unreadable' });
  });

  it.each([
    ['no version', 'Package: t\nArchitecture: all\n'],
    ['no stanza', '\n'],
    ['NUL bytes', '\0'.repeat(200)],
    ['a cut end', CONTROL.slice(0, 20)],
  ])('refuses a control file with %s', async (_, control) => {
    const file = build('nameless', { control });
    await expect(readControlArchive(file)).rejects.toMatchObject({
      code: 'archive-unreadable',
      message: expect.stringContaining('names no package'),
    });
  });
});

describe('parseDeclaredConffiles', () => {
  it.each([
    ['/etc/a b \t\n/etc/c\r\n', ['/etc/a b', '/etc/c']],
    ['/etc/caf\xc3\xa0\n', ['/etc/caf\xc3\xa0']],
    ['/etc/a\n\n \n/etc/b', ['/etc/a']],
    ['etc/a\n /etc/b\nkeep /etc/c\nremove-on-upgrade etc/d\n/etc/\0\n', []],
    ['', []],
  ])('%j', (data, paths) => {
    expect(parseDeclaredConffiles(data).map(({ path }) => path)).toEqual(paths);
  });
});

describe('TarParser with content', () => {
  const members = { control: CONTROL, md5sums: `${A}  a\n`.repeat(2000), conffiles: '' };
  const tar = (): Buffer =>
    execFileSync('dpkg-deb', ['--ctrl-tarfile', build('pieces', members)], { maxBuffer: 1 << 26 });
  const parse = (data: Buffer, step: number, limit = Infinity): TarParser => {
    const parser = new TarParser(({ size }) => size <= limit);
    for (let at = 0; at < data.length; at += step) parser.push(data.subarray(at, at + step));
    return parser;
  };

  it.each([1, 511, 512, 513, 65_536])('keeps it in pieces of %d bytes', (step) => {
    const { contents, ended } = parse(tar(), step);
    expect(ended).toBe(true);
    expect(Object.fromEntries(contents)).toEqual(
      Object.fromEntries(Object.entries(members).map(([name, text]) => [`/${name}`, text])),
    );
  });

  it('keeps only what is wanted', () => {
    expect([...parse(tar(), 4096, 1000).contents.keys()].sort()).toEqual(['/conffiles', '/control']);
    expect([...new TarParser().contents]).toEqual([]);
  });

  it('has no content that did not come whole', () => {
    const data = tar();
    const start = data.indexOf(`${A}  a`);
    expect([...parse(data.subarray(0, start + 1000), 4096).contents.keys()]).not.toContain('/md5sums');
  });
});

it('parseControlArchive takes a script for one only if it is a file', () => {
  const entry = { mode: 0o755, uid: 0, gid: 0, size: 0, mtime: 0, target: '' };
  const parsed = parseControlArchive({
    contents: new Map([['/control', CONTROL]]),
    entries: [
      { ...entry, path: '/postinst', type: 'file' },
      { ...entry, path: '/preinst', type: 'directory' },
    ],
  });
  expect(parsed?.scripts).toEqual(['postinst']);
});
