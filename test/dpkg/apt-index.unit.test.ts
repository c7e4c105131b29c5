import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ArchiveIndex, openIndex, refreshIndexSummaries } from '../../src/dpkg/apt-index.ts';
import { type IndexedArchive, PackagesReader } from '../../src/dpkg/packages-index.ts';
import { Root } from '../../src/system/root.ts';

const sha256 = (text: string): string => hash('sha256', text);
const stanza = (name: string, version = '1', architecture = 'amd64', extra = ''): string =>
  `Package: ${name}
Version: ${version}
Installed-Size: 9
Architecture: ${architecture}
Description: about
 Size: 7
 .
 SHA256: none
Section: net
Filename: pool/${name}.deb
Size: ${name.length * 1000}
MD5sum: d41d8cd98f00b204e9800998ecf8427e
SHA256: ${sha256(`${name} ${version} ${architecture}${extra}`)}
`;
const packages = (...stanzas: string[]): string => stanzas.join('\n');
const SMALL = packages(stanza('a'), stanza('libb', '2:1.0~rc1-3+b1'), stanza('doc', '1', 'all'));
const digest = (name: string, version = '1', architecture = 'amd64', extra = '') => ({
  size: name.length * 1000,
  sha256: sha256(`${name} ${version} ${architecture}${extra}`),
});

let directory: string;
let lists: string;
let cache: string;
let root: Root;
let opened: ArchiveIndex[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-index-'));
  lists = join(directory, 'root/var/lib/apt/lists');
  cache = join(directory, 'cache/indexes');
  mkdirSync(join(lists, 'partial'), { recursive: true });
  root = new Root(join(directory, 'root'));
  opened = [];
});
afterEach(() => {
  for (const index of opened) index.close();
  rmSync(directory, { recursive: true });
});

const put = (name: string, data: string | Buffer): string => {
  writeFileSync(join(lists, name), data);
  return join(lists, name);
};
const refresh = () => refreshIndexSummaries(root, cache);
const open = (): ArchiveIndex => {
  const index = openIndex(root, cache);
  opened.push(index);
  return index;
};
const summaries = (): string[] => readdirSync(cache).map((name) => join(cache, name));

describe('openIndex', () => {
  it('finds what the index says of an archive, and nothing else', async () => {
    put('h_dists_s_main_binary-amd64_Packages', SMALL);
    expect(await refresh()).toEqual({ built: 1, removed: 0, problems: [] });
    const index = open();
    expect(index.stale).toBe(false);
    expect(index.lookup('a', '1', 'amd64')).toEqual([digest('a')]);
    expect(index.lookup('libb', '2:1.0~rc1-3+b1', 'amd64')).toEqual([digest('libb', '2:1.0~rc1-3+b1')]);
    expect(index.lookup('doc', '1', 'all')).toEqual([digest('doc', '1', 'all')]);
    expect(index.lookup('doc', '1', 'amd64')).toEqual([]);
    expect(index.lookup('libb', '1.0~rc1-3+b1', 'amd64')).toEqual([]);
    expect(index.lookup('', '', '')).toEqual([]);
  });

  it('finds each of many archives', async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `p${i}`);
    put('h_Packages', packages(...names.map((name) => stanza(name))));
    await refresh();
    const index = open();
    for (const name of names) expect(index.lookup(name, '1', 'amd64')).toEqual([digest(name)]);
    expect(index.lookup('p3000', '1', 'amd64')).toEqual([]);
  });

  it('has one answer for each content that the indexes know by the name', async () => {
    put('h_one_Packages', packages(stanza('a'), stanza('a')));
    put('h_two_Packages', stanza('a'));
    put('h_three_Packages', stanza('a', '1', 'amd64', ' rebuilt'));
    await refresh();
    const found = open().lookup('a', '1', 'amd64');
    expect(found).toHaveLength(2);
    expect(found).toEqual(expect.arrayContaining([digest('a'), digest('a', '1', 'amd64', ' rebuilt')]));
  });

  it('finds nothing without summaries, and says that they are missing', () => {
    put('h_Packages', SMALL);
    const index = open();
    expect(index.stale).toBe(true);
    expect(index.lookup('a', '1', 'amd64')).toEqual([]);
  });

  it('is not stale where apt has no indexes', async () => {
    rmSync(lists, { recursive: true });
    expect(await refresh()).toEqual({ built: 0, removed: 0, problems: [] });
    expect(open()).toMatchObject({ stale: false });
  });

  it.each([
    [
      'replaced',
      (file: string) => {
        writeFileSync(`${file}.new`, SMALL);
        utimesSync(`${file}.new`, statSync(file).atime, statSync(file).mtime);
        renameSync(`${file}.new`, file);
      },
    ],
    ['touched', (file: string) => utimesSync(file, 1, 1)],
    [
      'longer',
      (file: string) => {
        const { atime, mtime } = statSync(file);
        writeFileSync(file, `${SMALL}\n${stanza('z')}`);
        utimesSync(file, atime, mtime);
      },
    ],
  ])('takes no summary for that of an index that is %s', async (_, change) => {
    const file = put('h_Packages', SMALL);
    await refresh();
    expect(open().stale).toBe(false);
    change(file);
    const index = open();
    expect(index.stale).toBe(true);
    expect(index.lookup('a', '1', 'amd64')).toEqual([]);
    expect(await refresh()).toMatchObject({ built: 1, removed: 0 });
    expect(open().lookup('a', '1', 'amd64')).toEqual([digest('a')]);
  });

  it('finds nothing after it is closed', async () => {
    put('h_Packages', SMALL);
    await refresh();
    const index = open();
    index.close();
    index.close();
    expect(index.lookup('a', '1', 'amd64')).toEqual([]);
  });
});

describe('a summary that a power cut left in pieces', () => {
  const many = Array.from({ length: 2000 }, (_, i) => stanza(`p${i}`));
  const cases: readonly [string, (file: string) => void][] = [
    ['empty', (file) => truncateSync(file, 0)],
    ['cut in its head', (file) => truncateSync(file, 30)],
    ['cut in its table', (file) => truncateSync(file, 120)],
    ['cut in its records', (file) => truncateSync(file, 40_000)],
    ['NUL-filled', (file) => writeFileSync(file, Buffer.alloc(statSync(file).size))],
    [
      'longer than it was',
      (file) => writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(48)])),
    ],
    ['NUL from its second page', (file) => writeFileSync(file, readFileSync(file).fill(0, 4096))],
    ['NUL in its last page', (file) => writeFileSync(file, readFileSync(file).fill(0, 92_000))],
    ['of another layout', (file) => writeFileSync(file, readFileSync(file).fill(2, 8, 9))],
    [
      'a directory',
      (file) => {
        rmSync(file);
        mkdirSync(file);
        rmSync(file, { recursive: true });
        symlinkSync('/dev/zero', file);
      },
    ],
  ];
  it.each(cases)('is known and made again: %s', async (_, damage) => {
    put('h_Packages', packages(...many));
    await refresh();
    const sound = readFileSync(summaries()[0] ?? '');
    damage(summaries()[0] ?? '');
    const index = open();
    const found = Array.from({ length: 2000 }, (_unused, i) => index.lookup(`p${i}`, '1', 'amd64'));
    // Where only a part is damaged the rest is still of use, but never a wrong answer.
    for (const [i, answer] of found.entries())
      if (answer.length > 0) expect(answer).toEqual([digest(`p${i}`)]);
    expect(found.some((answer) => answer.length === 0)).toBe(true);
    expect(index.stale).toBe(true);
    expect(await refresh()).toEqual({ built: 1, removed: 0, problems: [] });
    expect(readFileSync(summaries()[0] ?? '').equals(sound)).toBe(true);
    expect(open().stale).toBe(false);
  });
});

describe('refreshIndexSummaries', () => {
  const compressors: readonly [string, string, readonly string[]][] = [
    ['lz4', 'lz4', ['-c']],
    ['gz', 'gzip', ['-c']],
    ['xz', 'xz', ['-c']],
    ['zst', 'zstd', ['-c']],
    ['bz2', 'bzip2', ['-c']],
  ];
  const packed = (program: string, args: readonly string[], data: string): Buffer =>
    execFileSync(program, args, { input: data, maxBuffer: 1 << 26 });

  it.each(compressors)('reads an index compressed as %s', async (ending, program, args) => {
    put(`h_Packages.${ending}`, packed(program, args, SMALL));
    expect(await refresh()).toEqual({ built: 1, removed: 0, problems: [] });
    expect(open().lookup('doc', '1', 'all')).toEqual([digest('doc', '1', 'all')]);
  });

  // Content that does not compress away, so that half of it is a part of the stanzas.
  const large = packages(...Array.from({ length: 4000 }, (_, i) => stanza(`p${i}`)));
  it.each(compressors)(
    'says of a damaged index compressed as %s that it is',
    async (ending, program, args) => {
      const whole = packed(program, args, large);
      const name = `h_Packages.${ending}`;
      for (const data of [
        whole.subarray(0, whole.length >> 1),
        Buffer.alloc(whole.length),
        Buffer.alloc(0),
      ]) {
        put(name, data);
        expect(await refresh()).toEqual({
          built: 0,
          removed: 0,
          problems: [{ file: `/var/lib/apt/lists/${name}`, message: expect.any(String) }],
        });
        expect(open().stale).toBe(true);
      }
      expect(summaries()).toEqual([]);
    },
  );

  it('of an index all but whole keeps what is whole, and says what is not', async () => {
    put(
      'h_Packages',
      packages(stanza('a'), stanza('b').replace(/SHA256: [0-9a-f]{9}/, 'SHA256: '), stanza('c')),
    );
    expect(await refresh()).toEqual({
      built: 1,
      removed: 0,
      problems: [
        { file: '/var/lib/apt/lists/h_Packages', message: 'the package index has 1 damaged stanza' },
      ],
    });
    const index = open();
    expect(index.stale).toBe(false);
    expect(index.lookup('b', '1', 'amd64')).toEqual([]);
    expect(index.lookup('c', '1', 'amd64')).toEqual([digest('c')]);
  });

  it.each([
    ['a cut end', SMALL.slice(0, -20), 'the package index ends in the middle of a line'],
    ['a NUL tail', `${SMALL}\0\0\0\0`, 'the package index ends in the middle of a line'],
    ['nothing but NUL', '\0'.repeat(100), 'the package index begins with NUL bytes'],
  ])('makes nothing of an index with %s', async (_, data, message) => {
    put('h_Packages', data);
    expect(await refresh()).toMatchObject({ built: 0, problems: [{ message }] });
    expect(open().stale).toBe(true);
  });

  it('takes an index of an empty component for what it is', async () => {
    put('h_Packages', '');
    expect(await refresh()).toEqual({ built: 1, removed: 0, problems: [] });
    expect(open().stale).toBe(false);
  });

  it('makes only what is missing, and takes away what is left over', async () => {
    put('h_one_Packages', SMALL);
    put('h_two_Packages.gz', gzipSync(SMALL));
    expect(await refresh()).toMatchObject({ built: 2, removed: 0 });
    expect(await refresh()).toMatchObject({ built: 0, removed: 0 });
    rmSync(join(lists, 'h_one_Packages'));
    expect(await refresh()).toMatchObject({ built: 0, removed: 1 });
    expect(summaries()).toHaveLength(1);
  });

  it('takes away what a cut left of its own, and nothing else', async () => {
    put('h_Packages', SMALL);
    await refresh();
    const [summary = ''] = summaries();
    const old = `${summary}.0123456789abcdef`;
    const young = `${summary}.fedcba9876543210`;
    const foreign = join(cache, 'notes.summary');
    for (const file of [old, young, foreign]) writeFileSync(file, '');
    utimesSync(old, 1, 1);
    expect(await refresh()).toMatchObject({ built: 0, removed: 0 });
    expect(summaries().sort()).toEqual([summary, young, foreign].sort());
  });

  it('follows the link that apt makes to the index of an archive on this machine, inside the root', async () => {
    mkdirSync(join(directory, 'root/srv'));
    writeFileSync(join(directory, 'root/srv/Packages'), SMALL);
    symlinkSync('/srv/Packages', join(lists, '_srv_Packages'));
    // The same path exists outside, and is another file.
    symlinkSync('../../../../../../outside', join(lists, 'climbs_Packages'));
    writeFileSync(join(directory, 'outside'), packages(stanza('outside')));
    expect(await refresh()).toEqual({ built: 1, removed: 0, problems: [] });
    expect(open().lookup('a', '1', 'amd64')).toEqual([digest('a')]);
    expect(open().lookup('outside', '1', 'amd64')).toEqual([]);
  });

  it('looks at indexes of packages only', async () => {
    for (const name of ['h_InRelease', 'h_Sources', 'h_Packages.diff_Index', 'h_Translation-en.lz4', 'lock'])
      put(name, SMALL);
    writeFileSync(join(lists, 'partial/h_Packages'), SMALL);
    mkdirSync(join(lists, 'h_Packages'));
    expect(await refresh()).toEqual({ built: 0, removed: 0, problems: [] });
    expect(open().stale).toBe(false);
  });

  it('says when the cache cannot be used', async () => {
    put('h_Packages', SMALL);
    mkdirSync(join(directory, 'cache'));
    writeFileSync(cache, '');
    expect(await refresh()).toMatchObject({ built: 0, removed: 0, problems: [{ file: cache }] });
    expect(open().stale).toBe(true);
  });

  it('says when an index cannot be read', async () => {
    chmodSync(put('h_Packages', SMALL), 0);
    const { built, problems } = await refresh();
    // root may read everything
    expect(built + problems.length).toBe(1);
  });

  it('reads an index whose name is not UTF-8, unless it is compressed as only apt can read it', async () => {
    const name = (ending: string) =>
      Buffer.concat([Buffer.from(`${lists}/caf`), Buffer.from([0xe9]), Buffer.from(ending)]);
    writeFileSync(name('_Packages'), SMALL);
    writeFileSync(name('_Packages.gz'), gzipSync(SMALL));
    writeFileSync(name('_Packages.lz4'), packed('lz4', ['-c'], SMALL));
    expect(await refresh()).toEqual({
      built: 2,
      removed: 0,
      problems: [
        {
          file: '/var/lib/apt/lists/caf\xe9_Packages.lz4',
          message: 'the name of the package index is not UTF-8',
        },
      ],
    });
  });
});

describe('PackagesReader', () => {
  const read = (data: string, step = 7) => {
    const found: IndexedArchive[] = [];
    const reader = new PackagesReader((archive) => found.push(archive));
    for (let at = 0; at < data.length; at += step)
      reader.push(Buffer.from(data.slice(at, at + step), 'latin1'));
    reader.end();
    return { names: found.map(({ name }) => name), damaged: reader.damaged, cut: reader.cut, found };
  };

  it('reads names of fields in any capitals, and lines of other systems', () => {
    const text = stanza('a').replace('Package', 'PACKAGE').replace('SHA256', 'Sha256');
    expect(read(text).found).toEqual([{ name: 'a', version: '1', architecture: 'amd64', ...digest('a') }]);
    expect(read(packages(stanza('a'), stanza('b')).replaceAll('\n', '\r\n')).names).toEqual(['a', 'b']);
  });

  it('passes over what has no SHA-256, which is no damage', () => {
    expect(read(stanza('a').replace(/^SHA256.*\n/m, ''))).toMatchObject({ names: [], damaged: 0 });
  });

  it.each(['Package', 'Version', 'Architecture', 'Size'])('a stanza without its %s is damaged', (field) => {
    const text = stanza('b').replace(new RegExp(`^${field}:.*\n`, 'm'), '');
    expect(read(packages(stanza('a'), text, stanza('c')))).toMatchObject({ names: ['a', 'c'], damaged: 1 });
  });

  it('takes two stanzas that damage joined for none', () => {
    const text = packages(stanza('a'), stanza('b'), stanza('c'));
    const start = text.indexOf('Size: 1000');
    const end = text.indexOf('Installed-Size', start);
    const length = end - start;
    for (const put of ['', '\0'.repeat(length), 'X'.repeat(length)]) {
      const { names } = read(text.slice(0, start) + put + text.slice(end));
      expect(names).toEqual(['c']);
    }
  });

  it('passes over a line of megabytes', () => {
    const text = packages(stanza('a'), `Depends: ${'x, '.repeat(1_000_000)}\n${stanza('b')}`, stanza('c'));
    expect(read(text, 65_536)).toMatchObject({ names: ['a', 'b', 'c'], damaged: 0, cut: false });
  });
});

it('agrees with what apt says of this host', async () => {
  const host = new Root('/');
  const { problems } = await refreshIndexSummaries(host, cache);
  expect(problems).toEqual([]);
  const index = openIndex(host, cache);
  opened.push(index);
  // A host without indexes has nothing to compare.
  const names = execFileSync('apt-cache', ['pkgnames'], { encoding: 'latin1', maxBuffer: 1 << 26 })
    .split('\n')
    .sort();
  const some = names.filter((name, i) => name !== '' && i % 701 === 0);
  const shown = execFileSync('apt-cache', ['show', '--no-all-versions', 'dpkg', ...some], {
    encoding: 'latin1',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 26,
  });
  let compared = 0;
  const reader = new PackagesReader(({ name, version, architecture, size, sha256: expected }) => {
    expect(index.lookup(name, version, architecture)).toContainEqual({ size, sha256: expected });
    compared += 1;
  });
  reader.push(Buffer.from(shown, 'latin1'));
  reader.end();
  expect(compared > 0 || some.length < 10).toBe(true);
});
