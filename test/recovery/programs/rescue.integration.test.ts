/** A root whose own tools are broken, brought back to where its dpkg works again. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';
import { openAdmindir } from '../../../src/dpkg/admindir.ts';
import { parseArchiveName } from '../../../src/dpkg/deb.ts';
import type { Package } from '../../../src/dpkg/package.ts';
import { toolPackages } from '../../../src/recovery/programs/closure.ts';
import { bringBackTools, brokenTools, type Place } from '../../../src/recovery/programs/rescue.ts';
import { Programs } from '../../../src/recovery/programs/runner.ts';
import { fsPath } from '../../../src/system/bytes.ts';
import { Root } from '../../../src/system/root.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../../lab/roots.ts';
import { build, must, states } from './lab.ts';

rootDescribe('rescue', () => {
  let root: DebianRoot;
  let directory: string;
  let programs: Programs;
  let place: Place;

  beforeAll(async () => {
    root = await debianRoot('bookworm', { keepArchives: true });
    directory = root.directory;
    programs = await Programs.open(new Root(directory));
    place = simplePlace(programs.root);
    return async () => {
      await programs.close();
      root.remove();
    };
  }, 600_000);

  const file = (path: string): string => join(directory, path);
  const cached = async (pkg: Package): Promise<string | undefined> => {
    const cache = file('var/cache/apt/archives');
    const name = readdirSync(cache).find((entry) => {
      const parsed = parseArchiveName(entry);
      return parsed?.name === pkg.name && parsed.version === pkg.version;
    });
    return name === undefined ? undefined : join(cache, name);
  };

  rootTest('what is looked at follows from dpkg’s own records', () => {
    const names = toolPackages(openAdmindir(programs.root, '/var/lib/dpkg'), ['apt']);
    expect(names).toEqual(
      expect.arrayContaining([
        'apt',
        'bash',
        'dash',
        'dpkg',
        'libc6',
        'liblzma5',
        'libpcre2-8-0',
        'perl-base',
        'tar',
      ]),
    );
    expect(names).not.toContain('tzdata');
  });

  rootTest('in a sound root everything works, and nothing is put back', async () => {
    expect(await brokenTools(programs)).toEqual([]);
    expect(await bringBackTools(programs, cached, place)).toEqual({ restored: [], lacking: [], broken: [] });
  });

  const LIBC = '/usr/lib/x86_64-linux-gnu/libc.so.6';
  const damages: readonly (readonly [
    what: string,
    tool: string,
    paths: readonly string[],
    damage: (host: string) => void,
  ])[] = [
    ['an empty shell', 'sh', ['/usr/bin/dash'], (host) => truncateSync(host, 0)],
    [
      'a C library of NUL bytes',
      'sh',
      [LIBC],
      (host) => writeFileSync(host, Buffer.alloc(lstatSync(host).size)),
    ],
    [
      'a cut dpkg and an empty tar',
      'dpkg',
      ['/usr/bin/dpkg', '/usr/bin/tar'],
      (host) => truncateSync(host, 4096),
    ],
    ['a missing library', 'dpkg', ['/usr/lib/x86_64-linux-gnu/libselinux.so.1'], (host) => rmSync(host)],
    ['an empty perl', 'perl', ['/usr/bin/perl'], (host) => truncateSync(host, 0)],
  ];
  for (const [what, tool, paths, damage] of damages) {
    rootTest(`I6: ${what} is put back as its manifest knows it, and dpkg works again`, async () => {
      const before = paths.map((path) => described(file(path)));
      for (const path of paths) damage(file(path));
      expect((await brokenTools(programs)).map(({ program }) => program)).toContain(tool);

      const result = await bringBackTools(programs, cached, place);
      expect(result).toMatchObject({ lacking: [], broken: [] });
      for (const path of paths) expect(result.restored.map(unmerged)).toContain(unmerged(path));
      expect(paths.map((path) => described(file(path)))).toEqual(before);
      expect(
        must(directory, 'dpkg', '--verify', 'dash', 'libc6', 'dpkg', 'tar', 'libselinux1', 'perl-base'),
      ).toBe('');
      expect(await programs.dpkg(['--configure', '-a'])).toMatchObject({ code: 0, problems: [] });
    });
  }

  rootTest('without an archive, or with a damaged one, it is said what is lacking', async () => {
    const dash = file('usr/bin/dash');
    copyFileSync(dash, file('tmp/dash'));
    truncateSync(dash, 0);
    const none = await bringBackTools(programs, async () => undefined, place);
    expect(none.restored).toEqual([]);
    expect(none.lacking).toMatchObject([{ package: 'dash', paths: ['/bin/dash'] }]);
    expect(none.broken).toMatchObject([{ program: 'sh' }]);

    const bad = file('tmp/dash_bad.deb');
    writeFileSync(bad, 'no archive');
    const damaged = await bringBackTools(programs, async () => bad, place);
    expect(damaged.lacking).toMatchObject([
      { package: 'dash', why: expect.stringContaining('dash_bad.deb') },
    ]);
    expect(lstatSync(dash).size).toBe(0);

    // the last resort: a package that runs nothing is installed from outside
    const data = build(directory, { name: 'data', files: { '/usr/share/data': 'here\n' } });
    writeFileSync(file('etc/dpkg/dpkg.cfg.d/exclude'), 'path-exclude=/usr/share/other\n');
    expect(await programs.hostDpkg(['--install', data])).toMatchObject({ code: 0, problems: [] });
    expect(readFileSync(file('usr/share/data'), 'utf8')).toBe('here\n');
    const scripted = build(directory, { name: 'scripted', control: { preinst: '#!/bin/sh\nexit 0\n' } });
    expect((await programs.hostDpkg(['--install', scripted])).problems).toMatchObject([
      { archive: scripted },
    ]);
    copyFileSync(file('tmp/dash'), dash);
    expect(states(directory, 'data')).toEqual(['data:all 1.0 ii']);
  });
});

/** The same file by both of its names in a merged /usr. */
const unmerged = (path: string): string => path.replace(/^\/usr/, '');

function described(host: string): unknown {
  const { mode, uid, gid, mtimeMs } = lstatSync(host);
  return { mode, uid, gid, mtimeMs, md5: createHash('md5').update(readFileSync(host)).digest('hex') };
}

/** What the journal does in earnest: beside its place, and renamed over it. */
function simplePlace(root: Root): Place {
  const host = (path: string): string => {
    const found = root.resolve(path);
    if (found.kind !== 'found') throw new Error(`${path}: ${found.errno}`);
    return String(fsPath(found.host));
  };
  return {
    put(path, data, { mode, uid, gid, mtime }) {
      const to = host(path);
      writeFileSync(`${to}.new`, data);
      chownSync(`${to}.new`, uid, gid);
      chmodSync(`${to}.new`, mode);
      utimesSync(`${to}.new`, mtime / 1000, mtime / 1000);
      renameSync(`${to}.new`, to);
    },
    link(path, target) {
      symlinkSync(target, host(path));
    },
    directory(path, { mode }) {
      mkdirSync(host(path), { mode });
    },
  };
}
