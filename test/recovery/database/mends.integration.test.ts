/**
 * Every kind of damage to the database, made on a real one: what dpkg says of it before, and that afterwards the database
 * is what it was, byte for byte where that is possible, and dpkg and apt say of it what they said before.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../../src/config/settings.ts';
import { readDatabase } from '../../../src/dpkg/database.ts';
import type { FindingCode } from '../../../src/model/codes.ts';
import { type DatabasePlan, planDatabaseMends } from '../../../src/recovery/database/plan.ts';
import { standardSources } from '../../../src/recovery/database/standard-sources.ts';
import { createFullSnapshot } from '../../../src/snapshot/create.ts';
import { openStore, type Store } from '../../../src/snapshot/store.ts';
import { type Bytes, bufferOf } from '../../../src/system/bytes.ts';
import { Root } from '../../../src/system/root.ts';
import { buildPackage } from '../../lab/packages.ts';
import { type DebianRoot, debianRoot, LONG_SUITES, rootDescribe, someOf } from '../../lab/roots.ts';

/** What a plan may draw on. `archives`: apt's cache and a directory; `log`: dpkg's. */
type Source = 'old' | 'backups' | 'store' | 'archives' | 'log';
const EVERY: readonly Source[] = ['old', 'backups', 'store', 'archives', 'log'];

interface Files {
  read(path: string): Bytes;
  write(path: string, data: Bytes): void;
  change(path: string, change: (data: Bytes) => Bytes): void;
  remove(path: string): void;
}

interface Case {
  readonly what: string;
  readonly damage: (files: Files) => void;
  readonly codes: readonly FindingCode[];
  /** A command that shows the damage, and what it says; without it dpkg says nothing. */
  readonly shows?: { readonly by: readonly string[]; readonly says: string };
  /** The sets of sources each of which is enough to get everything back. */
  readonly by: readonly (readonly Source[])[];
  /** Files that can't be what they were: what they held is lost with them. */
  readonly except?: readonly string[];
  /** With no source at all; undefined: the same as with sources. */
  readonly without?: 'unmended';
}

const cut = (data: Bytes): Bytes => data.slice(0, -5);
const zeroed = (data: Bytes): Bytes => '\0'.repeat(data.length);
const D = '/var/lib/dpkg/';
const LIST = ['dpkg', '-l'];
const VERIFY = ['dpkg', '--verify', 'dash'];
const TRIGGERS = ['dpkg', '--triggers-only', '-a'];

const STANZAS: readonly (readonly Source[])[] = [['store'], ['old', 'log', 'archives'], ['backups']];
const FROM_PACKAGE: readonly (readonly Source[])[] = [['archives'], ['store']];

const CASES: readonly Case[] = [
  {
    what: 'status is NUL',
    damage: (files) => files.change(`${D}status`, zeroed),
    codes: ['database-status-nul'],
    shows: { by: LIST, says: "end of file after field name ''" },
    by: [...STANZAS, ['log', 'archives']],
    without: 'unmended',
  },
  {
    what: 'status is empty',
    damage: (files) => files.write(`${D}status`, ''),
    codes: ['database-status-empty'],
    by: STANZAS,
    without: 'unmended',
  },
  {
    what: 'status is missing',
    damage: (files) => files.remove(`${D}status`),
    codes: ['database-status-missing'],
    by: STANZAS,
    without: 'unmended',
  },
  {
    what: 'status has foreign bytes over two records',
    damage: (files) =>
      files.change(`${D}status`, (data) => {
        const at = data.indexOf('Package: dash\n') + 30;
        return data.slice(0, at) + '\xff\xd8\xff\xe0JFIF\n\n'.repeat(100) + data.slice(at + 1100);
      }),
    codes: ['database-status-unparsable'],
    shows: { by: LIST, says: 'parsing file' },
    by: [...STANZAS, ['log', 'archives']],
  },
  {
    what: 'status is cut in the middle of a line',
    damage: (files) =>
      files.change(`${D}status`, (data) =>
        data.slice(0, data.indexOf('\nMaintainer: ', data.length >> 1) + 20),
      ),
    codes: ['database-status-unparsable'],
    shows: { by: LIST, says: 'end of file' },
    by: STANZAS,
  },
  {
    what: 'status is cut at the end of a line, which dpkg takes for its end',
    damage: (files) =>
      files.change(`${D}status`, (data) =>
        data.slice(0, data.indexOf('\nDescription: ', data.length >> 1) + 1),
      ),
    codes: ['database-orphan'],
    by: [...STANZAS, ['log', 'archives']],
    without: 'unmended',
  },
  {
    what: 'a record that only updates/ has stays, with status NUL and another update empty',
    damage: (files) => {
      const [stanza = ''] = /^Package: dash\n(?:.+\n)+/m.exec(files.read(`${D}status`)) ?? [];
      files.write(`${D}updates/0000`, stanza);
      files.write(`${D}updates/0001`, '');
      files.change(`${D}status`, zeroed);
    },
    codes: ['database-status-nul', 'database-update-empty'],
    by: [['store']],
  },
  ...(
    [
      ['NUL', 'database-update-nul', '\0'.repeat(300), "end of file after field name ''"],
      ['padding', 'database-update-padding', '#padding\n'.repeat(512), "newline in field name '#padding'"],
      ['empty', 'database-update-empty', '', undefined],
      [
        'foreign',
        'database-update-unparsable',
        '\xff\xd8\xff\xe0JFIF and more\n',
        'must be followed by colon',
      ],
    ] as const
  ).map(
    ([what, code, data, says]): Case => ({
      what: `an update is ${what}`,
      damage: (files) => files.write(`${D}updates/0000`, data),
      codes: [code],
      ...(says === undefined ? {} : { shows: { by: LIST, says } }),
      by: [[]],
    }),
  ),
  {
    what: 'an update with a record before its NUL tail is merged',
    damage: (files) => {
      const [stanza = ''] = /^Package: dash\n(?:.+\n)+/m.exec(files.read(`${D}status`)) ?? [];
      files.write(`${D}updates/0000`, `${stanza}\n${'\0'.repeat(512)}`);
    },
    codes: ['database-update-nul'],
    shows: { by: LIST, says: "end of file after field name ''" },
    by: [[]],
  },
  {
    what: 'updates of names that dpkg refuses',
    damage: (files) => {
      files.write(`${D}updates/0000`, '');
      files.write(`${D}updates/00001`, '');
    },
    codes: ['database-update-empty', 'database-update-name'],
    shows: { by: LIST, says: 'files with different length names' },
    by: [[]],
  },
  ...(
    [
      ['cut', 'database-list-unterminated', cut, 'is missing final newline'],
      ['NUL', 'database-list-nul', zeroed, 'is missing final newline'],
      [
        'with an empty line',
        'database-list-empty-name',
        (d: Bytes) => d.replace('/bin\n', '/bin\n\n'),
        'contains empty filename',
      ],
      ['empty', 'database-list-empty', () => '', undefined],
    ] as const
  ).map(
    ([what, code, change, says]): Case => ({
      what: `a .list is ${what}`,
      damage: (files) => files.change(`${D}info/dash.list`, change),
      codes: [code],
      ...(says === undefined ? {} : { shows: { by: VERIFY, says } }),
      by: FROM_PACKAGE,
      without: 'unmended',
    }),
  ),
  {
    what: 'a .list is missing',
    damage: (files) => files.remove(`${D}info/dash.list`),
    codes: ['database-list-missing'],
    shows: { by: VERIFY, says: 'missing; assuming package has no files currently installed' },
    by: FROM_PACKAGE,
    without: 'unmended',
  },
  {
    what: 'a .list that names an obsolete conffile, and an .md5sums that dpkg made',
    damage: (files) => {
      files.change(`${D}info/tiny.list`, cut);
      files.change(`${D}info/tiny.md5sums`, cut);
    },
    codes: ['database-list-unterminated', 'database-md5sums-unterminated'],
    by: FROM_PACKAGE,
    without: 'unmended',
  },
  ...(
    [
      ['cut', 'database-md5sums-unterminated', cut, 'is missing final newline'],
      ['NUL', 'database-md5sums-nul', zeroed, 'is missing final newline'],
      [
        'with a foreign line',
        'database-md5sums-malformed',
        (d: Bytes) => `${d}d41d8cd9\n`,
        'is missing value',
      ],
      ['empty', 'database-md5sums-empty', () => '', undefined],
    ] as const
  ).map(
    ([what, code, change, says]): Case => ({
      what: `an .md5sums is ${what}`,
      damage: (files) => files.change(`${D}info/dash.md5sums`, change),
      codes: [code],
      ...(says === undefined ? {} : { shows: { by: VERIFY, says } }),
      by: FROM_PACKAGE,
      without: 'unmended',
    }),
  ),
  {
    what: 'maintainer scripts are empty or NUL',
    damage: (files) => {
      files.write(`${D}info/dash.postinst`, '');
      files.change(`${D}info/base-passwd.postinst`, zeroed);
    },
    codes: ['database-script-nul', 'database-script-empty'],
    by: FROM_PACKAGE,
    without: 'unmended',
  },
  {
    what: 'another control file is NUL',
    damage: (files) => files.change(`${D}info/debconf.templates`, zeroed),
    codes: ['database-control-nul'],
    by: FROM_PACKAGE,
    without: 'unmended',
  },
  {
    what: 'a package’s triggers file is torn',
    damage: (files) => files.change(`${D}info/libc-bin.triggers`, (data) => data.slice(0, -3)),
    codes: ['database-control-malformed'],
    by: FROM_PACKAGE,
    without: 'unmended',
  },
  {
    what: 'diversions are cut',
    damage: (files) => files.change(`${D}diversions`, (data) => data.slice(0, -1)),
    codes: ['database-diversions-damaged'],
    shows: { by: ['dpkg-divert', '--list'], says: 'missing newline in' },
    by: [['store'], ['backups']],
    without: 'unmended',
  },
  {
    what: 'statoverride is NUL',
    damage: (files) => files.change(`${D}statoverride`, zeroed),
    codes: ['database-statoverride-damaged'],
    shows: { by: ['dpkg-statoverride', '--list'], says: 'missing final newline' },
    by: [['store'], ['backups']],
    without: 'unmended',
  },
  {
    what: 'statoverride names an unknown account',
    damage: (files) => files.change(`${D}statoverride`, (data) => data.replace('root', 'rooq')),
    codes: ['database-statoverride-unknown-owner'],
    by: [['store'], ['backups']],
    without: 'unmended',
  },
  {
    what: 'arch is cut',
    damage: (files) => files.change(`${D}arch`, (data) => data.slice(0, -2)),
    codes: ['database-arch-damaged'],
    shows: { by: LIST, says: 'missing newline in' },
    by: [['store'], ['backups']],
  },
  {
    what: 'triggers/File and an explicit interest are NUL',
    damage: (files) => {
      files.change(`${D}triggers/File`, zeroed);
      files.change(`${D}triggers/ldconfig`, zeroed);
    },
    codes: ['database-triggers-file-damaged'],
    shows: { by: TRIGGERS, says: 'fgets gave an empty string from' },
    by: [['store'], []],
  },
  {
    what: 'triggers/File is older, and an explicit interest is gone',
    damage: (files) => {
      files.change(`${D}triggers/File`, (data) => data.replace(/.*\n/, ''));
      files.remove(`${D}triggers/ldconfig`);
    },
    codes: ['database-triggers-interest-missing'],
    by: [[]],
    except: ['triggers/File'],
  },
  {
    what: 'triggers/Unincorp has a NUL tail',
    damage: (files) => files.write(`${D}triggers/Unincorp`, `ldconfig -\n${'\0'.repeat(64)}`),
    codes: ['database-triggers-unincorp-damaged'],
    shows: { by: TRIGGERS, says: 'fgets gave an empty string from' },
    by: [[]],
    except: ['triggers/Unincorp'],
  },
  {
    what: 'an alternative is empty',
    damage: (files) => files.write(`${D}alternatives/awk`, ''),
    codes: ['database-alternatives-damaged'],
    by: [['store'], ['backups'], []],
  },
  ...(
    [
      [
        'corrupt',
        'database-format-corrupt',
        (files: Files) => files.write(`${D}info/format`, '\0\0'),
        'corrupt info database format file',
      ],
      [
        'missing',
        'database-format-missing',
        (files: Files) => files.remove(`${D}info/format`),
        'missing; assuming',
      ],
      [
        'too new',
        'database-format-unknown',
        (files: Files) => files.write(`${D}info/format`, '2\n'),
        'bogus or too new',
      ],
      [
        'taken for another',
        'database-format-unknown',
        (files: Files) => files.write(`${D}info/format-new`, ''),
        'bogus or too new',
      ],
    ] as const
  ).map(
    ([what, code, damage, says]): Case => ({
      what: `info/format is ${what}`,
      damage,
      codes: [code],
      shows: { by: ['dpkg', '--verify', 'libacl1'], says },
      by: [[]],
    }),
  ),
  {
    what: 'dpkg left temporary files',
    damage: (files) => {
      files.write(`${D}status-new`, 'Package: x\n');
      files.write(`${D}info/dash.list-new`, '/.\n');
      files.write(`${D}updates/tmp.i`, 'Pack');
      files.write(`${D}tmp.ci/control`, 'Package: x\n');
    },
    codes: ['database-leftover'],
    by: [[]],
    except: ['tmp.ci'],
  },
  {
    what: 'a directory stands where dpkg keeps the status file of before',
    damage: (files) => {
      files.remove(`${D}status-old`);
      files.write(`${D}status-old/helper`, 'of another directory');
    },
    codes: ['database-leftover'],
    shows: { by: ['dpkg', '--set-selections'], says: 'Is a directory' },
    by: [[]],
    except: ['status-old'],
  },
  {
    what: 'a package has lost its record and nothing else is damaged',
    damage: (files) => files.change(`${D}status`, (data) => data.replace(/^Package: dash\n(?:.+\n)+\n/m, '')),
    codes: ['database-orphan'],
    by: [['store'], ['log', 'archives'], ['backups']],
    without: 'unmended',
  },
];

for (const suite of LONG_SUITES) {
  rootDescribe(`mending the database of ${suite}`, () => {
    let root: DebianRoot;
    let store: Store;
    let sound: Map<string, string>;
    let words: string;
    const home = (...names: string[]): string => join(root.directory, ...names);
    const chroot = (...command: readonly string[]) =>
      spawnSync('chroot', [root.directory, ...command], {
        encoding: 'latin1',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
        maxBuffer: 64 * 1024 * 1024,
      });
    const must = (...command: readonly string[]): string => {
      const { status, stdout, stderr } = chroot(...command);
      if (status !== 0) throw new Error(`${command.join(' ')}: ${status}\n${stdout}${stderr}`);
      return stdout;
    };
    const files: Files = {
      read: (path) => readFileSync(home(path), 'latin1'),
      write: (path, data) => {
        mkdirSync(dirname(home(path)), { recursive: true });
        rmSync(home(path), { force: true }); // a hard link to the pristine one
        writeFileSync(home(path), bufferOf(data), { mode: path.includes('postinst') ? 0o755 : 0o644 });
      },
      change: (path, change) => files.write(path, change(files.read(path))),
      remove: (path) => rmSync(home(path)),
    };
    const restore = (): void => {
      rmSync(home('var/lib/dpkg'), { recursive: true });
      execFileSync('cp', ['-al', home('var/lib/pristine'), home('var/lib/dpkg')]);
    };
    /** Mode and content of every file, except what is no part of the database. */
    const everything = (): Map<string, string> => {
      const found = new Map<string, string>();
      for (const name of readdirSync(home('var/lib/dpkg'), { recursive: true, encoding: 'latin1' })) {
        const stat = lstatSync(home('var/lib/dpkg', name));
        if (/-old$|lock|Lock/.test(name) || stat.isDirectory()) continue;
        found.set(
          name,
          `${(stat.mode & 0o7777).toString(8)} ${readFileSync(home('var/lib/dpkg', name), 'latin1')}`,
        );
      }
      return found;
    };
    /** What dpkg and apt say of the system; apt also looks whether the dependencies hold. */
    const said = (): string =>
      [
        ['dpkg', '--audit'],
        ['dpkg', '-l'],
        ['dpkg-query', '-L', 'dash', 'tiny', 'base-passwd', 'libc-bin'],
        ['dpkg', '--verify', 'dash', 'tiny', 'base-passwd'],
        ['dpkg-divert', '--list'],
        ['dpkg-statoverride', '--list'],
        ['dpkg', '--print-foreign-architectures'],
        ['update-alternatives', '--query', 'awk'],
        ['apt-get', 'check'],
      ]
        .map((command) => {
          const { status, stdout, stderr } = chroot(...command);
          return `${command.join(' ')}: ${status}\n${stdout}${stderr}`;
        })
        .join('\n');
    const plan = async (from: readonly Source[]): Promise<DatabasePlan> => {
      const hidden: string[] = [];
      const hide = (path: string): void => {
        if (!existsSync(home(path))) return;
        renameSync(home(path), home(`${path}.hidden`));
        hidden.push(path);
      };
      if (!from.includes('old'))
        for (const name of ['status-old', 'diversions-old', 'statoverride-old']) hide(`var/lib/dpkg/${name}`);
      if (!from.includes('backups')) hide('var/backups');
      if (!from.includes('archives')) hide('var/cache/apt/archives');
      if (!from.includes('log')) hide('var/log/dpkg.log');
      const inside = new Root(root.directory);
      const sources = standardSources(inside, from.includes('store') ? store : undefined, {
        admindir: '/var/lib/dpkg',
        archives: from.includes('archives') ? [home('srv')] : [],
      });
      try {
        return await planDatabaseMends(inside, readDatabase(inside), sources);
      } finally {
        sources.close();
        for (const path of hidden) renameSync(home(`${path}.hidden`), home(path));
      }
    };
    const apply = ({ mends }: DatabasePlan): void => {
      for (const { file, action } of mends) {
        rmSync(home(file), { recursive: true, force: true });
        if (action.kind === 'write') writeFileSync(home(file), bufferOf(action.data), { mode: action.mode });
      }
    };

    beforeAll(async () => {
      root = await debianRoot(suite, { keepArchives: true });
      mkdirSync(home('srv'), { recursive: true });
      const dropped = '/etc/tiny/dropped.conf';
      const conf = '/etc/tiny/tiny.conf';
      const versions = [
        buildPackage(
          { name: 'tiny', files: { [dropped]: 'one\n', [conf]: 'a\n' }, conffiles: [dropped, conf] },
          home('srv'),
        ),
        buildPackage(
          {
            name: 'tiny',
            version: '2.0',
            files: {
              '/usr/share/tiny/two': 'two\n',
              '/usr/share/tiny/caf\xe9': 'b\n',
              [conf]: 'b\n',
              '/usr/share/tiny/link': { link: 'two' },
            },
            conffiles: [conf],
            md5sums: 'absent',
            control: {
              triggers: 'interest /usr/share/tiny\ninterest-noawait tiny-done\n',
              postinst: '#!/bin/sh\nexit 0\n',
            },
          },
          home('srv'),
        ),
      ];
      for (const deb of versions) must('dpkg', '-i', deb.slice(root.directory.length));
      must('dpkg', '--add-architecture', suite === 'bookworm' ? 'i386' : 'arm64');
      must('dpkg-statoverride', '--add', 'root', 'root', '0750', '/usr/bin/fold');
      must('dpkg-divert', '--local', '--rename', '--add', '/usr/bin/nl');
      must('/usr/libexec/dpkg/dpkg-db-backup');
      store = await openStore(new Root(root.directory), { directory: home('store') });
      await createFullSnapshot(store, new Root(root.directory), {
        config: { ...DEFAULT_CONFIG.snapshots, tracked: [], copied: [] },
        head: { kind: 'manual', scope: 'full', transaction: undefined, sealed: true },
      });
      renameSync(home('var/lib/dpkg'), home('var/lib/pristine'));
      execFileSync('cp', ['-al', home('var/lib/pristine'), home('var/lib/dpkg')]);
      sound = everything();
      words = said();
      expect((await plan(EVERY)).mends).toEqual([]);
    }, 600_000);
    afterEach(restore);
    afterAll(() => {
      store?.close();
      root?.remove();
    });

    it.each(someOf(CASES, 4))('$what', async ({ damage, codes, shows, by, except = [], without }) => {
      for (const from of by) {
        damage(files);
        if (shows !== undefined) {
          const { stderr } = chroot(...shows.by);
          expect(stderr.replace(/\s+/g, ' ')).toContain(shows.says);
          // A dpkg that stopped leaves its own temporary files.
          restore();
          damage(files);
        }
        const planned = await plan(from);
        expect([...new Set(planned.mends.flatMap((mend) => mend.codes))].sort(), from.join()).toEqual(
          [...codes].sort(),
        );
        expect(planned.unmended, from.join()).toEqual([]);
        expect(planned.reinstall, from.join()).toEqual([]);
        for (const { source, reason } of planned.mends) expect(source && reason).toBeTruthy();
        apply(planned);
        const now = everything();
        for (const name of except) if (name !== 'tmp.ci') now.set(name, sound.get(name) ?? '');
        expect(differences(sound, now), from.join()).toEqual([]);
        if (except.length === 0) expect(said()).toBe(words);
        restore();
      }
      if (without === undefined) return;
      damage(files);
      const planned = await plan([]);
      // Where no record is left, each package in info/ is one more that nothing is known of.
      const unmended = planned.unmended.map(({ problem }) => problem.code);
      expect([...new Set(unmended)].filter((code) => codes.includes(code)).sort()).toEqual([...codes].sort());
      expect(planned.mends.filter(({ action }) => action.kind === 'write')).toEqual([]);
    });
  });
}

/** Names of files that differ. */
function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => before.get(name) !== after.get(name)).sort();
}
