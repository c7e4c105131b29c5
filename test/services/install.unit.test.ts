import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installUnits, removeUnits, unitStates } from '../../src/services/install.ts';
import { units } from '../../src/services/units.ts';
import { Root } from '../../src/system/root.ts';

const HOME = '/opt/debmend';
const SYSTEM = 'etc/systemd/system';

let scratch: string;
let directory: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'debmend-services-'));
  directory = join(scratch, 'root');
  mkdirSync(join(directory, 'etc'), { recursive: true });
  mkdirSync(join(directory, HOME, 'bin'), { recursive: true });
  for (const name of ['debmend', 'debmend-marker']) {
    writeFileSync(join(directory, HOME, 'bin', name), '#!/bin/sh\n', { mode: 0o755 });
  }
});
afterEach(() => rmSync(scratch, { recursive: true }));

const root = () => new Root(directory);
const inside = (...names: string[]) => join(directory, SYSTEM, ...names);

/** Every path below the root with what it is. */
function tree(): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const path = join(directory, name);
      if (lstatSync(path).isSymbolicLink()) return `${name} -> ${readlinkSync(path)}`;
      return lstatSync(path).isFile() ? `${name}: ${readFileSync(path, 'latin1')}` : `${name}/`;
    })
    .sort();
}

describe('installing', () => {
  it('writes every unit with the path of the programs, and links it to its targets', () => {
    const written = installUnits(root(), HOME);
    const all = units(HOME);
    expect(all.map(({ name }) => name)).toEqual([
      'debmend-audit.service',
      'debmend-audit.timer',
      'debmend-marker.service',
      'debmend-recover.service',
      'debmend-retry.service',
      'debmend-retry.timer',
      'debmend-watch.service',
    ]);
    for (const { name, text } of all) expect(readFileSync(inside(name), 'utf8')).toBe(text);
    const programs = all.flatMap(({ text }) =>
      [...text.matchAll(/^Exec\w+=(\S+)/gm)].map(([, path]) => path),
    );
    expect(new Set(programs)).toEqual(new Set([`${HOME}/bin/debmend`, `${HOME}/bin/debmend-marker`]));
    expect(all.map(({ text }) => text).join('')).not.toContain('/usr/lib/debmend/');
    const links = {
      'multi-user.target.wants': ['debmend-recover.service', 'debmend-watch.service'],
      'sysinit.target.wants': ['debmend-marker.service'],
      'timers.target.wants': ['debmend-audit.timer', 'debmend-retry.timer'],
    };
    for (const [wants, names] of Object.entries(links)) {
      expect(readdirSync(inside(wants)).sort()).toEqual(names);
      for (const name of names) expect(readlinkSync(inside(wants, name))).toBe(`/etc/systemd/system/${name}`);
    }
    expect(written.sort()).toEqual(
      [
        ...all.map(({ name }) => name),
        ...Object.entries(links).flatMap(([wants, names]) => names.map((name) => `${wants}/${name}`)),
      ]
        .map((name) => `/${SYSTEM}/${name}`)
        .sort(),
    );
  });

  it('a second time changes nothing but what differs', () => {
    installUnits(root(), HOME);
    const before = tree();
    writeFileSync(
      inside('debmend-watch.service'),
      `${readFileSync(inside('debmend-watch.service'))}Nice=1\n`,
    );
    rmSync(inside('timers.target.wants/debmend-audit.timer'));
    expect(unitStates(root(), HOME)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'debmend-watch.service', state: 'different', enabled: true }),
        expect.objectContaining({ name: 'debmend-audit.timer', state: 'installed', enabled: false }),
      ]),
    );
    installUnits(root(), HOME);
    expect(tree()).toEqual(before);
  });

  it.each([
    ['a file', (path: string) => writeFileSync(path, '[Service]\nExecStart=/bin/true\n')],
    ['a mask', (path: string) => symlinkSync('/dev/null', path)],
    ['a directory', (path: string) => mkdirSync(path)],
  ])('never overwrites %s of someone else, and then writes nothing at all', (_, make) => {
    mkdirSync(inside(), { recursive: true });
    make(inside('debmend-watch.service'));
    const before = tree();
    expect(() => installUnits(root(), HOME)).toThrow(
      expect.objectContaining({
        code: 'services-unwritable',
        message: expect.stringContaining('/etc/systemd/system/debmend-watch.service'),
      }),
    );
    expect(tree()).toEqual(before);
    expect(unitStates(root(), HOME).find(({ name }) => name === 'debmend-watch.service')?.state).toBe(
      'foreign',
    );
  });

  it.each([
    ['is not there', () => rmSync(join(directory, HOME, 'bin/debmend-marker')), HOME],
    ['cannot be executed', () => chmodSync(join(directory, HOME, 'bin/debmend'), 0o644), HOME],
    ['has a path that systemd would expand', () => {}, '/opt/%h'],
  ])('refuses a program that %s', (_, damage, home) => {
    damage();
    const before = tree();
    expect(() => installUnits(root(), home)).toThrow(
      expect.objectContaining({ code: 'services-unwritable' }),
    );
    expect(tree()).toEqual(before);
  });

  it('stays inside the root, wherever its links lead (I7)', () => {
    const outside = join(scratch, 'outside');
    mkdirSync(outside);
    mkdirSync(join(directory, 'etc/systemd'));
    symlinkSync(outside, inside());
    expect(() => installUnits(root(), HOME)).toThrow(
      expect.objectContaining({ code: 'services-unwritable' }),
    );
    rmSync(inside());
    // A link inside the root is followed as the system itself would follow it.
    mkdirSync(join(directory, 'data'));
    symlinkSync('/data', inside());
    mkdirSync(join(directory, 'data/multi-user.target.wants'));
    symlinkSync(outside, join(directory, 'data/sysinit.target.wants'));
    expect(() => installUnits(root(), HOME)).toThrow(
      expect.objectContaining({ code: 'services-unwritable' }),
    );
    expect(readdirSync(outside)).toEqual([]);
    rmSync(join(directory, 'data/sysinit.target.wants'));
    installUnits(root(), HOME);
    expect(existsSync(join(directory, 'data/debmend-watch.service'))).toBe(true);
  });
});

describe('removing', () => {
  it('undoes all of it', () => {
    mkdirSync(inside(), { recursive: true });
    const before = tree();
    installUnits(root(), HOME);
    expect(removeUnits(root())).toHaveLength(7 + 5);
    expect(tree()).toEqual(before);
    expect(removeUnits(root())).toEqual([]);
    expect(unitStates(root(), HOME).every(({ state }) => state === 'missing')).toBe(true);
  });

  it('leaves what others made: units, links, drop-ins', () => {
    installUnits(root(), HOME);
    mkdirSync(inside('debmend-watch.service.d'));
    writeFileSync(inside('debmend-watch.service.d/local.conf'), '[Service]\nNice=10\n');
    symlinkSync('/usr/lib/systemd/system/ssh.service', inside('multi-user.target.wants/ssh.service'));
    writeFileSync(inside('debmend-recover.service'), '[Service]\nExecStart=/bin/true\n');
    removeUnits(root());
    expect(readdirSync(inside(), { recursive: true, encoding: 'utf8' }).sort()).toEqual([
      'debmend-recover.service',
      'debmend-watch.service.d',
      'debmend-watch.service.d/local.conf',
      'multi-user.target.wants',
      'multi-user.target.wants/debmend-recover.service',
      'multi-user.target.wants/ssh.service',
    ]);
  });

  it('ends what a cut left half done', () => {
    mkdirSync(inside(), { recursive: true });
    const before = tree();
    installUnits(root(), HOME);
    rmSync(inside('sysinit.target.wants'), { recursive: true });
    rmSync(inside('debmend-audit.timer'));
    removeUnits(root());
    expect(tree()).toEqual(before);
  });
});
