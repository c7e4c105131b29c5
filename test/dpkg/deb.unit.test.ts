import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseArchiveName, readArchive, TarParser } from '../../src/dpkg/deb.ts';

const LONG = `usr/share/${'long-'.repeat(30)}/${'name-'.repeat(30)}.txt`;
let directory: string;
let deb: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-deb-'));
  const tree = join(directory, 'tree');
  const put = (name: string | Buffer, data: string): void => {
    const path = Buffer.concat([Buffer.from(`${tree}/`), Buffer.from(name)]);
    execFileSync('mkdir', ['-p', join(tree, 'usr/share', 'long-'.repeat(30))]);
    writeFileSync(path, data);
  };
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  put(
    'DEBIAN/control',
    'Package: t\nVersion: 1:2~3\nArchitecture: all\nMaintainer: t <t@t>\nDescription: t\n',
  );
  put('usr/a', 'twelve bytes');
  put('usr/empty', '');
  put(LONG, 'x'.repeat(700));
  put(Buffer.from('usr/caf\xe9', 'latin1'), 'latin-1');
  linkSync(join(tree, 'usr/a'), join(tree, 'usr/b'));
  linkSync(join(tree, LONG), join(tree, 'usr/hard'));
  symlinkSync('../a', join(tree, 'usr/link'));
  symlinkSync(`/${LONG}`, join(tree, 'usr/long-link'));
  execFileSync('mkfifo', [join(tree, 'usr/fifo')]);
  execFileSync('chmod', ['4755', join(tree, 'usr/a')]);
  execFileSync('chmod', ['2775', join(tree, 'usr')]);
  deb = join(directory, 't_1%3a2~3_all.deb');
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '-b', tree, deb], { stdio: 'ignore' });
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('readArchive', () => {
  it('lists what a real .deb would install', async () => {
    const entries = await readArchive(deb);
    const byPath = new Map(entries.map((entry) => [entry.path, entry]));
    const listed = execFileSync('dpkg-deb', ['-c', deb], { encoding: 'latin1' });
    expect(entries).toHaveLength(listed.trimEnd().split('\n').length);
    expect(byPath.get('/')).toMatchObject({ type: 'directory' });
    expect(byPath.get('/usr')).toMatchObject({ type: 'directory', mode: 0o2775, uid: 0, gid: 0, size: 0 });
    expect(byPath.get('/usr/empty')).toMatchObject({ type: 'file', size: 0 });
    expect(byPath.get('/usr/caf\xe9')).toMatchObject({ type: 'file', size: 7 });
    expect(byPath.get('/usr/link')).toMatchObject({ type: 'link', target: '../a' });
    expect(byPath.get('/usr/long-link')).toMatchObject({ type: 'link', target: `/${LONG}` });
    expect(byPath.get('/usr/fifo')).toMatchObject({ type: 'fifo' });

    // of hard links tar makes one the file and the others links to it
    for (const [names, size] of [
      [['/usr/a', '/usr/b'], 12],
      [[`/${LONG}`, '/usr/hard'], 700],
    ] as const) {
      const file = names.map((name) => byPath.get(name)).find((entry) => entry?.type === 'file');
      const link = names.map((name) => byPath.get(name)).find((entry) => entry?.type === 'hard-link');
      expect(file).toMatchObject({ size });
      expect(link).toMatchObject({ size: 0, target: file?.path });
    }
    expect(byPath.get('/usr/a')?.mode).toBe(0o4755);
  });

  it.each([
    ['cut', (file: string) => truncateSync(file, Math.floor(readFileSync(file).length / 2))],
    ['empty', (file: string) => truncateSync(file, 0)],
    ['NUL-filled', (file: string) => writeFileSync(file, Buffer.alloc(readFileSync(file).length))],
    ['missing', (file: string) => rmSync(file)],
  ])('refuses an archive that is %s', async (_, damage) => {
    const file = join(directory, 'damaged.deb');
    writeFileSync(file, readFileSync(deb));
    damage(file);
    await expect(readArchive(file)).rejects.toMatchObject({ code: 'archive-unreadable' });
  });
});

describe('TarParser', () => {
  const tar = (): Buffer => execFileSync('dpkg-deb', ['--fsys-tarfile', deb], { maxBuffer: 1 << 26 });
  const parse = (data: Buffer, step: number) => {
    const parser = new TarParser();
    for (let at = 0; at < data.length; at += step) parser.push(data.subarray(at, at + step));
    return parser;
  };

  it.each([1, 7, 100, 511, 512, 513, 10_000])('reads the same in pieces of %d bytes', (step) => {
    const data = tar();
    expect(parse(data, step).entries).toEqual(parse(data, data.length).entries);
  });

  it('knows when an archive ends early', () => {
    const data = tar();
    expect(parse(data, 4096).ended).toBe(true);
    expect(parse(data.subarray(0, 2048), 4096).ended).toBe(false);
  });

  it.each(['v7', 'ustar', 'gnu'])('reads the format %s', (format) => {
    const name = format === 'v7' ? 'short' : `${'d'.repeat(60)}/${'f'.repeat(60)}`;
    const place = join(directory, format);
    execFileSync('mkdir', ['-p', join(place, name, '..')]);
    writeFileSync(join(place, name), 'abc');
    const data = execFileSync('tar', [
      `--format=${format}`,
      '--numeric-owner',
      '--owner=1234',
      '--group=56',
      '-cf',
      '-',
      '-C',
      place,
      name,
    ]);
    expect(parse(data, 4096).entries).toEqual([
      {
        path: `/${name}`,
        type: 'file',
        mode: expect.any(Number),
        uid: 1234,
        gid: 56,
        size: 3,
        mtime: expect.any(Number),
        target: '',
      },
    ]);
  });

  it('reads numbers in base 256', () => {
    const place = join(directory, 'base256');
    mkdirSync(place);
    writeFileSync(join(place, 'a'), '');
    const data = execFileSync('tar', [
      '--format=gnu',
      '--owner=:3000000',
      '--group=:2',
      '-cf',
      '-',
      '-C',
      place,
      'a',
    ]);
    expect(parse(data, 4096).entries[0]).toMatchObject({ uid: 3_000_000, gid: 2 });
  });
});

describe('parseArchiveName', () => {
  it.each([
    ['/x/t_1%3a2~3_all.deb', { name: 't', version: '1:2~3', architecture: 'all' }],
    ['libstdc++6_12.2.0-14_amd64.deb', { name: 'libstdc++6', version: '12.2.0-14', architecture: 'amd64' }],
    ['t.deb', undefined],
    ['t_1_all.udeb', undefined],
    ['t_1_all_x.deb', undefined],
  ])('%s', (name, expected) => {
    expect(parseArchiveName(name)).toEqual(expected);
  });
});
