/**
 * Real damage to real roots, and exactly the findings for it: twenty kinds at once, dpkg stopped for real at each of
 * its phases, and one damage for every other code there is.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { FINDING_CODES } from '../../src/model/codes.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../lab/roots.ts';
import { cut, DATABASE_DAMAGES, type Damage, FILE_DAMAGES, makeAll, nul, overwrite } from './damages.ts';
import {
  at,
  buildDeb,
  debmend,
  inside,
  install,
  linesOf,
  must,
  open,
  type Said,
  SUITES,
  say,
  type TinyPackage,
} from './lab.ts';

const ADMIN = 'var/lib/dpkg';
const INFO = `${ADMIN}/info`;
const LISTS = 'var/lib/apt/lists';

const TWENTY = [...FILE_DAMAGES, ...DATABASE_DAMAGES];

for (const suite of SUITES) {
  rootTest(`${suite}: twenty damages, and exactly their twenty findings`, async () => {
    const directory = await open(suite, { keepArchives: true });
    const expected = makeAll(directory, TWENTY);
    expect([TWENTY.length, expected.length]).toEqual([20, 20]);
    expect(await linesOf(directory, { archives: [at(directory, 'var/cache/apt/archives')] })).toEqual(
      expected,
    );
  });
}

const CONFFILES = ['/etc/tiny.conf'];
const ONE: TinyPackage = {
  name: 'tiny',
  files: { '/usr/bin/tiny': 'one\n', '/usr/bin/tiny-too': 'one\n', '/etc/tiny.conf': '1\n' },
  conffiles: CONFFILES,
};
const TWO: TinyPackage = {
  ...ONE,
  version: '2.0',
  files: { '/usr/bin/tiny': 'two\n', '/usr/bin/tiny-too': 'two\n', '/etc/tiny.conf': '2\n' },
};
const KILLING = '#!/bin/sh\nkill -KILL $PPID\n';

/** dpkg -i, killed when it makes one of these calls for the path (strace(1), tampering). */
function killedAt(directory: string, pkg: TinyPackage, path: string, ...names: string[]): Said {
  // Which of a family is called depends on the machine; a question mark allows for names that it does not have.
  const calls = names.flatMap((name) => [`?${name}`, `?${name}at`, `?${name}at2`]).join(',');
  const trace = [
    '-f',
    '-o',
    '/dev/null',
    '-P',
    path,
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${calls}:signal=KILL`,
  ];
  return say(
    'strace',
    ...trace,
    'chroot',
    directory,
    'dpkg',
    '--force-confnew',
    '-i',
    buildDeb(directory, pkg),
  );
}

interface Interruption {
  readonly what: string;
  readonly stop: (directory: string) => Said;
  readonly findings: readonly string[];
}

/** dpkg's phases in their order (facts: dpkg, "What a cut leaves, phase by phase"). */
const INTERRUPTIONS: readonly Interruption[] = [
  {
    what: 'before anything was unpacked',
    stop: (root) => killedAt(root, TWO, '/var/lib/dpkg/updates/tmp.i', 'rename'),
    findings: [
      'warning outage database-leftover - /var/lib/dpkg/tmp.ci',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
    ],
  },
  {
    what: 'while the files were extracted',
    stop: (root) => killedAt(root, TWO, '/usr/bin/tiny-too.dpkg-new', 'open'),
    findings: [
      'error outage package-half-installed tiny -',
      'error outage package-reinst-required tiny -',
      'warning outage database-leftover - /var/lib/dpkg/tmp.ci',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
      'warning outage leftover-backup tiny /usr/bin/tiny.dpkg-tmp',
      'warning outage leftover-partial tiny /usr/bin/tiny.dpkg-new',
      'warning outage leftover-pending-conffile tiny /etc/tiny.conf.dpkg-new',
    ],
  },
  {
    what: 'while the files were renamed',
    stop: (root) => killedAt(root, TWO, '/usr/bin/tiny-too.dpkg-new', 'rename'),
    findings: [
      'error outage package-half-installed tiny -',
      'error outage package-reinst-required tiny -',
      'warning outage database-leftover - /var/lib/dpkg/tmp.ci',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
      'warning outage file-modified tiny /usr/bin/tiny',
      'warning outage leftover-backup tiny /usr/bin/tiny-too.dpkg-tmp',
      'warning outage leftover-backup tiny /usr/bin/tiny.dpkg-tmp',
      'warning outage leftover-partial tiny /usr/bin/tiny-too.dpkg-new',
      'warning outage leftover-pending-conffile tiny /etc/tiny.conf.dpkg-new',
    ],
  },
  {
    what: 'while its list of files was replaced',
    stop: (root) => killedAt(root, TWO, '/var/lib/dpkg/info/tiny.list-new', 'rename'),
    findings: [
      'error outage package-half-installed tiny -',
      'error outage package-reinst-required tiny -',
      'warning outage database-leftover - /var/lib/dpkg/info/tiny.list-new',
      'warning outage database-leftover - /var/lib/dpkg/tmp.ci',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
      'warning outage file-modified tiny /usr/bin/tiny',
      'warning outage file-modified tiny /usr/bin/tiny-too',
      'warning outage leftover-backup tiny /usr/bin/tiny-too.dpkg-tmp',
      'warning outage leftover-backup tiny /usr/bin/tiny.dpkg-tmp',
      'warning outage leftover-pending-conffile tiny /etc/tiny.conf.dpkg-new',
    ],
  },
  {
    what: 'while the backups were removed',
    stop: (root) => killedAt(root, TWO, '/usr/bin/tiny-too.dpkg-tmp', 'unlink'),
    findings: [
      'error outage package-reinst-required tiny -',
      'error outage package-unpacked tiny -',
      'warning outage database-leftover - /var/lib/dpkg/tmp.ci',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
      'warning outage leftover-backup tiny /usr/bin/tiny-too.dpkg-tmp',
      'warning outage leftover-pending-conffile tiny /etc/tiny.conf.dpkg-new',
    ],
  },
  {
    what: 'before the conffile was put in place',
    stop: (root) => killedAt(root, TWO, '/etc/tiny.conf.dpkg-new', 'rename'),
    findings: [
      'error outage package-unpacked tiny -',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
      'warning outage leftover-pending-conffile tiny /etc/tiny.conf.dpkg-new',
    ],
  },
  {
    what: 'while its maintainer script ran',
    stop: (root) =>
      say(
        'chroot',
        root,
        'dpkg',
        '--force-confnew',
        '-i',
        buildDeb(root, { ...TWO, control: { postinst: KILLING } }),
      ),
    findings: [
      'error outage package-half-configured tiny -',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
    ],
  },
];

/** Each dpkg has the phases that the other has, so each suite stands for every second one, and for the heaviest. */
INTERRUPTIONS.forEach(({ what, stop, findings }, index) => {
  for (const suite of what.includes('renamed') ? SUITES : [SUITES[index % SUITES.length] ?? 'trixie']) {
    rootTest(`${suite}: dpkg was stopped ${what}`, async () => {
      const directory = await open(suite);
      install(directory, ONE);
      expect(stop(directory).signal).toBe('SIGKILL');
      expect(await linesOf(directory)).toEqual([...findings].sort());
    });
  }
});

/** What is left of the codes outside dpkg's database: all at once, in one root. */
const OTHERS: readonly Damage[] = [
  {
    what: 'the link of a slave of an alternative is missing',
    make: (root) => rmSync(at(root, 'usr/bin/nawk')),
    findings: ['error outage file-missing - /usr/bin/nawk'],
  },
  {
    what: 'triggers were left for later',
    make: (root) => {
      install(root, {
        name: 'tiny-watching',
        control: { triggers: 'interest /usr/share/watched\n', postinst: '#!/bin/sh\n' },
      });
      const deb = buildDeb(root, { name: 'tiny-watched', files: { '/usr/share/watched/file': 'new\n' } });
      inside(root, 'dpkg', '--no-triggers', '-i', deb);
    },
    findings: [
      'warning outage package-triggers-awaited tiny-watched -',
      'warning outage package-triggers-pending tiny-watching -',
    ],
  },
  {
    what: 'a directory became a link to itself',
    make: (root) => {
      install(root, { name: 'tiny-loop', files: { '/usr/share/tiny-loop/file': 'one\n' } });
      rmSync(at(root, 'usr/share/tiny-loop'), { recursive: true });
      symlinkSync('tiny-loop', at(root, 'usr/share/tiny-loop'));
    },
    findings: [
      'error other file-wrong-type tiny-loop /usr/share/tiny-loop',
      'error other file-unreadable tiny-loop /usr/share/tiny-loop/file',
    ],
  },
  {
    what: 'a regular file took the place of a directory',
    make: (root) => {
      install(root, { name: 'tiny-flat', files: { '/usr/share/tiny-flat/file': 'one\n' } });
      rmSync(at(root, 'usr/share/tiny-flat'), { recursive: true });
      writeFileSync(at(root, 'usr/share/tiny-flat'), '');
    },
    findings: [
      'error other file-wrong-type tiny-flat /usr/share/tiny-flat',
      'error other file-missing tiny-flat /usr/share/tiny-flat/file',
    ],
  },
  {
    what: 'a hand took back what a statoverride set',
    make: (root) => {
      inside(root, 'dpkg-statoverride', '--update', '--add', 'root', 'mail', '2755', '/usr/bin/nl');
      chownSync(at(root, 'usr/bin/nl'), 0, 0);
      chmodSync(at(root, 'usr/bin/nl'), 0o755);
    },
    findings: ['warning other file-wrong-mode - /usr/bin/nl', 'warning other file-wrong-owner - /usr/bin/nl'],
  },
  {
    what: 'a conffile consists of NUL bytes',
    make: (root) => nul(root, 'etc/debconf.conf'),
    findings: ['error outage conffile-nul-filled debconf /etc/debconf.conf'],
  },
  {
    what: 'a conffile ends in NUL bytes',
    make: (root) => nul(root, 'etc/bash.bashrc', 1000),
    findings: ['critical outage conffile-nul-tail bash /etc/bash.bashrc'],
  },
  {
    what: "an upgrade kept the administrator's conffile aside",
    make: (root) => {
      install(root, ONE);
      writeFileSync(at(root, 'etc/tiny.conf'), 'mine\n');
      inside(root, 'dpkg', '--force-confnew', '-i', buildDeb(root, TWO));
    },
    findings: ['info other leftover-administrator tiny /etc/tiny.conf.dpkg-old'],
  },
  {
    what: 'a maintainer script was stopped after it had moved a conffile aside',
    make: (root) => {
      const conffile = '/etc/tiny-gone.conf';
      const script = `#!/bin/sh\ndpkg-maintscript-helper rm_conffile ${conffile} 2.0~ -- "$@"\n[ "$1" != upgrade ] || kill -KILL $PPID\n`;
      install(root, { name: 'tiny-gone', files: { [conffile]: 'one\n' }, conffiles: [conffile] });
      const deb = buildDeb(root, { name: 'tiny-gone', version: '2.0', control: { preinst: script } });
      expect(say('chroot', root, 'dpkg', '-i', deb).signal).toBe('SIGKILL');
    },
    findings: [
      'error outage package-half-installed tiny-gone -',
      'error outage package-reinst-required tiny-gone -',
      'info other conffile-missing tiny-gone /etc/tiny-gone.conf',
      'warning outage database-leftover - /var/lib/dpkg/tmp.ci',
      'warning outage database-leftover - /var/lib/dpkg/updates/tmp.i',
      'warning outage leftover-backup tiny-gone /etc/tiny-gone.conf.dpkg-remove',
    ],
  },
  {
    what: 'an index of apt is empty',
    make: (root) => writeFileSync(at(root, `${LISTS}/example.org_dists_x_main_binary-all_Packages`), ''),
    findings: [`warning outage apt-list-damaged - /${LISTS}/example.org_dists_x_main_binary-all_Packages`],
  },
  {
    what: 'a download was interrupted',
    make: (root) => writeFileSync(at(root, 'var/cache/apt/archives/partial/tiny_1.0_all.deb'), 'half'),
    findings: ['warning outage apt-partial - /var/cache/apt/archives/partial/tiny_1.0_all.deb'],
  },
  {
    what: 'the record of automatic installations ends in the middle of a line',
    make: (root) => {
      inside(root, 'apt-mark', 'auto', 'debconf');
      cut(root, 'var/lib/apt/extended_states', 25);
    },
    findings: ['warning outage apt-extended-states-damaged - /var/lib/apt/extended_states'],
  },
  {
    // After the last call of apt, which makes the cache again.
    what: "apt's cache consists of NUL bytes",
    make: (root) => writeFileSync(at(root, 'var/cache/apt/pkgcache.bin'), Buffer.alloc(65_536)),
    findings: ['warning outage apt-cache-damaged - /var/cache/apt/pkgcache.bin'],
  },
  {
    what: "a name that the configuration's globs match",
    make: (root) => writeFileSync(at(root, 'var/tmp/image.part'), ''),
    findings: ['warning other leftover-configured - /var/tmp/image.part'],
  },
];

for (const suite of SUITES) {
  rootTest(`${suite}: the other kinds of damage to files, packages and apt`, async () => {
    const directory = await open(suite);
    const expected = makeAll(directory, OTHERS);
    expect(await linesOf(directory, { leftoverGlobs: ['/var/tmp/*.part'] })).toEqual(expected);
  });
}

/** Damage to dpkg's database, each alone: many hide or explain one another. */
const ALONE: readonly Damage[] = [
  {
    what: 'no status',
    make: (root) => rmSync(at(root, `${ADMIN}/status`)),
    findings: [`critical outage database-status-missing - /${ADMIN}/status`],
  },
  {
    what: 'an empty status',
    make: (root) => cut(root, `${ADMIN}/status`, 0),
    findings: [`critical outage database-status-empty - /${ADMIN}/status`],
  },
  {
    what: 'a status that ends in NUL bytes',
    make: (root) => nul(root, `${ADMIN}/status`, 40_960),
    findings: [`critical outage database-status-nul - /${ADMIN}/status`],
  },
  {
    what: 'foreign bytes in a record of the status',
    make: (root) => {
      const start = readFileSync(at(root, `${ADMIN}/status`), 'latin1').indexOf('Package: tar\n');
      overwrite(root, `${ADMIN}/status`, start, Buffer.from('\x00\x01\x02\x03garbage'.slice(1)));
    },
    findings: [`critical outage database-status-unparsable - /${ADMIN}/status`],
  },
  {
    what: 'a journal entry of NUL bytes',
    make: (root) => journal(root, '0000', '\0'.repeat(230)),
    findings: [`critical outage database-update-nul - /${ADMIN}/updates/0000`],
  },
  {
    what: 'a journal entry that still is its padding',
    make: (root) => journal(root, '0000', '#padding\n'.repeat(512)),
    findings: [`critical outage database-update-padding - /${ADMIN}/updates/0000`],
  },
  {
    what: 'a journal entry of something else',
    make: (root) => journal(root, '0000', 'a line of a log\n'),
    findings: [`critical outage database-update-unparsable - /${ADMIN}/updates/0000`],
  },
  {
    what: 'journal entries whose names differ in length',
    make: (root) => {
      const record =
        /^Package: tar\n(?:.+\n)+/m.exec(readFileSync(at(root, `${ADMIN}/status`), 'utf8'))?.[0] ?? '';
      journal(root, '0000', record);
      journal(root, '00001', record);
    },
    findings: [`critical other database-update-name - /${ADMIN}/updates/00001`],
  },
  {
    what: 'no .list',
    make: (root) => rmSync(at(root, `${INFO}/tar.list`)),
    findings: [`error outage database-list-missing tar /${INFO}/tar.list`],
  },
  {
    what: 'an empty .list',
    make: (root) => cut(root, `${INFO}/tar.list`, 0),
    findings: [`error outage database-list-empty tar /${INFO}/tar.list`],
  },
  {
    what: 'a .list that ends in NUL bytes',
    make: (root) => nul(root, `${INFO}/tar.list`, 100),
    findings: [`critical outage database-list-nul tar /${INFO}/tar.list`],
  },
  {
    what: 'an empty line in a .list',
    make: (root) => writeFileSync(at(root, `${INFO}/tar.list`), '\n', { flag: 'a' }),
    findings: [`critical outage database-list-empty-name tar /${INFO}/tar.list`],
  },
  {
    what: 'an empty .md5sums of a package with files',
    make: (root) => cut(root, `${INFO}/tar.md5sums`, 0),
    findings: [`error outage database-md5sums-empty tar /${INFO}/tar.md5sums`],
  },
  {
    what: 'an .md5sums that ends in NUL bytes',
    make: (root) => nul(root, `${INFO}/tar.md5sums`, 100),
    findings: [`error outage database-md5sums-nul tar /${INFO}/tar.md5sums`],
  },
  {
    what: 'an .md5sums that ends in the middle of a line',
    make: (root) => cut(root, `${INFO}/tar.md5sums`, 100),
    findings: [`error outage database-md5sums-unterminated tar /${INFO}/tar.md5sums`],
  },
  {
    what: 'an .md5sums with a line of something else',
    make: (root) => writeFileSync(at(root, `${INFO}/tar.md5sums`), 'a line of a log\n', { flag: 'a' }),
    findings: [`error outage database-md5sums-malformed tar /${INFO}/tar.md5sums`],
  },
  {
    what: 'an empty maintainer script',
    make: (root) => cut(root, `${INFO}/debconf.postinst`, 0),
    findings: [`critical outage database-script-empty debconf /${INFO}/debconf.postinst`],
  },
  {
    what: 'another control file that ends in NUL bytes',
    make: (root) => nul(root, `${INFO}/debconf.conffiles`, 4),
    findings: [`error outage database-control-nul debconf /${INFO}/debconf.conffiles`],
  },
  {
    what: 'a triggers file with a line of something else',
    make: (root) => writeFileSync(at(root, `${INFO}/libc-bin.triggers`), 'a line of a log\n', { flag: 'a' }),
    findings: [`error outage database-control-malformed libc-bin /${INFO}/libc-bin.triggers`],
  },
  {
    what: 'diversions cut off',
    make: (root) => writeFileSync(at(root, `${ADMIN}/diversions`), '/usr/bin/one\n/usr/bin/o'),
    findings: [`critical outage database-diversions-damaged - /${ADMIN}/diversions`],
  },
  ...(['diversions', 'statoverride'] as const).map(
    (name): Damage => ({
      what: `${name} gone, and only its version of before is there`,
      make: (root) => {
        rmSync(at(root, `${ADMIN}/${name}`), { force: true });
        writeFileSync(at(root, `${ADMIN}/${name}-old`), '');
      },
      findings: [`error outage database-${name}-damaged - /${ADMIN}/${name}`],
    }),
  ),
  {
    what: 'statoverrides cut off',
    make: (root) => writeFileSync(at(root, `${ADMIN}/statoverride`), 'root root 0755 /usr/bin/n'),
    findings: [`critical outage database-statoverride-damaged - /${ADMIN}/statoverride`],
  },
  {
    what: 'a statoverride of a user who is gone',
    make: (root) => {
      must('useradd', '--root', root, '--system', 'tiny');
      inside(root, 'dpkg-statoverride', '--add', 'tiny', 'root', '0755', '/usr/share/none');
      must('userdel', '--root', root, 'tiny');
    },
    findings: [`critical other database-statoverride-unknown-owner - /${ADMIN}/statoverride`],
  },
  {
    what: 'a format of NUL bytes',
    make: (root) => nul(root, `${INFO}/format`),
    findings: [`critical outage database-format-corrupt - /${INFO}/format`],
  },
  {
    what: 'no format',
    make: (root) => rmSync(at(root, `${INFO}/format`)),
    findings: [`error outage database-format-missing - /${INFO}/format`],
  },
  {
    what: 'a format of the future',
    make: (root) => writeFileSync(at(root, `${INFO}/format`), '7\n'),
    findings: [`critical other database-format-unknown - /${INFO}/format`],
  },
  {
    what: 'file triggers of NUL bytes',
    make: (root) => nul(root, `${ADMIN}/triggers/File`),
    findings: [`critical outage database-triggers-file-damaged - /${ADMIN}/triggers/File`],
  },
  {
    what: 'an interest in a trigger that is gone',
    make: (root) => rmSync(at(root, `${ADMIN}/triggers/ldconfig`)),
    findings: [`error outage database-triggers-interest-missing libc-bin /${ADMIN}/triggers/ldconfig`],
  },
  {
    what: 'activated triggers cut off',
    make: (root) => writeFileSync(at(root, `${ADMIN}/triggers/Unincorp`), 'ldconfig libc'),
    findings: [`critical outage database-triggers-unincorp-damaged - /${ADMIN}/triggers/Unincorp`],
  },
  {
    what: 'architectures cut off',
    make: (root) => writeFileSync(at(root, `${ADMIN}/arch`), 'amd64\narm'),
    findings: [`critical outage database-arch-damaged - /${ADMIN}/arch`],
  },
  {
    what: 'an empty entry of the alternatives',
    make: (root) => cut(root, `${ADMIN}/alternatives/awk`, 0),
    findings: [`error outage database-alternatives-damaged - /${ADMIN}/alternatives/awk`],
  },
  {
    what: 'a file where dpkg unpacks control files',
    make: (root) => writeFileSync(at(root, `${ADMIN}/tmp.ci`), 'of another directory\n'),
    findings: [`warning outage database-leftover - /${ADMIN}/tmp.ci`],
  },
  {
    what: 'a directory where dpkg keeps the old status',
    make: (root) => {
      rmSync(at(root, `${ADMIN}/status-old`), { force: true });
      mkdirSync(at(root, `${ADMIN}/status-old`));
    },
    findings: [`error outage database-leftover - /${ADMIN}/status-old`],
  },
  {
    what: 'a list of a package that no record tells of',
    make: (root) => writeFileSync(at(root, `${INFO}/tiny.list`), '/.\n/usr\n'),
    findings: [`error outage database-orphan tiny /${INFO}/tiny.list`],
  },
  {
    what: 'a directory where a .list should be',
    make: (root) => {
      rmSync(at(root, `${INFO}/tar.list`));
      mkdirSync(at(root, `${INFO}/tar.list`));
    },
    findings: [`critical other database-unreadable tar /${INFO}/tar.list`],
  },
];

function journal(root: string, name: string, text: string): void {
  writeFileSync(at(root, `${ADMIN}/updates/${name}`), text);
}

rootDescribe("dpkg's database on trixie, with nothing else wrong:", () => {
  let root: DebianRoot | undefined;
  const there = () => root?.directory ?? '';
  beforeAll(async () => {
    root = await debianRoot('trixie');
    must('cp', '-a', at(there(), ADMIN), at(there(), 'var/lib/dpkg.sound'));
  });
  afterEach(() => {
    rmSync(at(there(), ADMIN), { recursive: true });
    must('cp', '-a', at(there(), 'var/lib/dpkg.sound'), at(there(), ADMIN));
  });
  afterAll(() => root?.remove());

  it.each(ALONE)('$what', async ({ make, findings }) => {
    make(there());
    expect(await linesOf(there())).toEqual(findings);
  });
});

const STORE = 'var/lib/debmend';

/** An installation that the hooks told of, in a boot that is over. */
function interrupted(root: string): void {
  const transaction = {
    id: '20260102T030405Z',
    state: 'open',
    origin: 'apt',
    startedAt: '2026-01-02T03:04:05.000Z',
    boot: '11111111-2222-3333-4444-555555555555',
    session: { pid: 4, startTicks: 5, command: ['apt-get', 'install', 'mariadb-server'] },
    runs: [
      {
        at: '2026-01-02T03:04:05.000Z',
        source: 'apt',
        command: [],
        complete: true,
        packages: [{ name: 'mariadb-server', architecture: 'all', action: 'install', newVersion: '1' }],
      },
    ],
  };
  const directory = at(root, `${STORE}/transactions/${transaction.id}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, 'intent.json'), JSON.stringify(transaction));
}

/** Damage to debmend's own store, each in a root of its own. */
const OWN: readonly Damage[] = [
  {
    what: 'the store consists of NUL bytes, and its journal tells of an installation that never ended',
    make: (root) => {
      expect(debmend('snapshot', 'create', '--root', root).code).toBe(0);
      interrupted(root);
      nul(root, `${STORE}/state.db`);
    },
    findings: [`error outage store-damaged - /${STORE}/state.db`, 'error outage transaction-interrupted - -'],
  },
  {
    what: 'a damaged store was set aside',
    make: (root) => {
      expect(debmend('snapshot', 'create', '--root', root).code).toBe(0);
      nul(root, `${STORE}/state.db`);
      const said = debmend('snapshot', 'list', '--root', root);
      expect(said.stderr).toContain('the store was damaged');
    },
    findings: [`info outage store-set-aside - /${STORE}/damaged/state.db.TIME`],
  },
];

for (const { what, make, findings } of OWN) {
  rootTest(`bookworm: ${what}`, async () => {
    const directory = await open('bookworm');
    make(directory);
    const lines = await linesOf(directory);
    expect(lines.map((entry) => entry.replace(/state\.db\.\d+T\d+Z$/, 'state.db.TIME'))).toEqual(findings);
  });
}

/**
 * Made for real in test/audit/boot and test/recovery/regenerate, which take systems with a kernel and more packages, on
 * filesystems in test/fsck, and what only a recovery tells in test/recovery/recover.
 */
const ELSEWHERE = /^(?:generated|boot|filesystem|fsck|scrub)-|^package-forgotten$/;

it('every code there is comes from a damage that was really made', () => {
  const made = [TWENTY, INTERRUPTIONS, OTHERS, ALONE, OWN].flat().flatMap(({ findings }) => findings);
  const codes = new Set(made.map((entry) => entry.split(' ')[2]));
  expect([...codes].sort()).toEqual(
    Object.keys(FINDING_CODES)
      .filter((code) => !ELSEWHERE.test(code))
      .sort(),
  );
});
