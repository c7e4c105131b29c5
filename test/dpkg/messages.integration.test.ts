/**
 * dpkg's own word on every damage that we know. Each case damages one file of a real root's database, lets the root's
 * own dpkg read it, and holds our problem against what it printed: the message, whether it went on, and what is still
 * read of everything else.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { judgeOverrides } from '../../src/audit/overrides.ts';
import { type Database, readDatabase, readManifest } from '../../src/dpkg/database.ts';
import type { DatabaseProblem } from '../../src/dpkg/problem.ts';
import { type Bytes, bufferOf } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';
import { type DebianRoot, debianRoot, rootDescribe } from '../lab/roots.ts';

/** Any file of the database, by its name in it. */
interface Files {
  read(name: string): Bytes;
  write(name: string, data: Bytes): void;
  change(name: string, change: (data: Bytes) => Bytes): void;
  remove(name: string): void;
}

interface Case {
  readonly name: string;
  readonly damage: (files: Files) => void;
  /** The command of the root that reads the file. */
  readonly run: readonly string[];
  readonly code: DatabaseProblem['code'];
  /** The damaged file, in the database. */
  readonly file: string;
  /** What dpkg prints; without it dpkg must be silent. A prefix where the rest depends on the release. */
  readonly says?: string;
  /** dpkg goes on after what it said. */
  readonly goesOn?: true;
  /** Packages whose record is lost. `all` where nothing of status is left. */
  readonly lost?: readonly string[] | 'all';
  /** Packages whose manifest is no longer whole. */
  readonly partial?: readonly string[];
}

const LIST = ['dpkg', '-l'];
const VERIFY = ['dpkg', '--verify'];
const TRIGGERS = ['dpkg', '--triggers-only', '-a'];
const OVERRIDES = ['dpkg-statoverride', '--list'];
const DIVERSIONS = ['dpkg-divert', '--list'];

/** Everything before the last newline, and a few bytes less. */
const cut = (data: Bytes): Bytes => data.slice(0, -5);
const zeroed = (data: Bytes): Bytes => '\0'.repeat(data.length);
/** A page of NUL bytes at the end, as ext4 leaves it behind an append that did not reach the disk. */
const nulTail = (data: Bytes): Bytes => data.slice(0, data.length >> 1) + '\0'.repeat(4096);

/** Changes a package's record in status. */
function record(files: Files, name: string, change: (stanza: Bytes) => Bytes): void {
  files.change('status', (data) =>
    data
      .split('\n\n')
      .map((stanza) => (stanza.trimStart().startsWith(`Package: ${name}\n`) ? change(stanza) : stanza))
      .join('\n\n'),
  );
}
const field =
  (name: string, value: Bytes) =>
  (stanza: Bytes): Bytes => {
    const without = stanza.replace(new RegExp(`^${name}:.*\n(?: .*\n)*`, 'm'), '');
    return without.replace(/^Maintainer:/m, `${name}: ${value}\nMaintainer:`);
  };

const status = (
  name: string,
  damage: (files: Files) => void,
  says: string,
  more: Partial<Case> = {},
): Case => ({
  name: `status: ${name}`,
  damage,
  run: LIST,
  code: 'database-status-unparsable',
  file: 'status',
  says,
  lost: ['coreutils'],
  ...more,
});

const CASES: readonly Case[] = [
  status(
    'NUL-filled',
    (files) => files.change('status', zeroed),
    "parsing file '/var/lib/dpkg/status' near line 0: end of file after field name ''",
    { code: 'database-status-nul', lost: 'all' },
  ),
  status(
    'a NUL tail, as after an append that was lost',
    (files) => files.change('status', (data) => data + '\0'.repeat(4096)),
    "end of file after field name ''",
    { code: 'database-status-nul', lost: [] },
  ),
  status(
    'NUL bytes over the middle of a record',
    (files) =>
      record(files, 'coreutils', (stanza) => stanza.slice(0, 40) + '\0'.repeat(200) + stanza.slice(240)),
    'near line ',
    { code: 'database-status-nul' },
  ),
  {
    name: 'status: NUL bytes inside a value, which C takes for its end',
    damage: (files) => record(files, 'coreutils', (stanza) => stanza.replace(/^Section: /m, 'Section: \0\0')),
    run: LIST,
    code: 'database-status-nul',
    file: 'status',
  },
  {
    name: 'status: empty',
    damage: (files) => files.write('status', ''),
    run: LIST,
    code: 'database-status-empty',
    file: 'status',
    lost: 'all',
  },
  {
    name: 'status: missing',
    damage: (files) => files.remove('status'),
    run: LIST,
    code: 'database-status-missing',
    file: 'status',
    lost: 'all',
  },
  status(
    'cut in the middle of a record',
    (files) => files.change('status', (data) => data.slice(0, data.indexOf('\n\nPackage: ', 400) + 60)),
    'end of file during value of field ',
    { lost: 'all' },
  ),
  status(
    'cut in the middle of a field name',
    (files) => files.change('status', (data) => `${data}Package: lost\nStatus: install ok installed\nPrior`),
    "package 'lost': end of file after field name 'Prio",
    { lost: [] },
  ),
  status(
    'foreign bytes in Status',
    (files) => record(files, 'coreutils', field('Status', 'install \xff\xd8\xff ok')),
    "package 'coreutils': second (error) word in 'Status' field: has invalid value '\xff\xd8\xff ok'",
  ),
  status(
    'junk that hangs on to a word of Status',
    (files) => record(files, 'coreutils', field('Status', 'install ok installed\x01')),
    "third (status) word in 'Status' field: has trailing junk",
  ),
  status(
    'foreign bytes in Depends',
    (files) => record(files, 'coreutils', field('Depends', 'libc6 (>= 2.36), \xffjpeg')),
    "'Depends' field, invalid package name '\xffjpeg': must start with an alphanumeric character",
  ),
  status(
    'a byte in Depends that Latin-1 calls a blank',
    (files) => record(files, 'coreutils', field('Depends', 'fo\xa0o')),
    "'Depends' field, invalid package name 'fo\xa0o': character '\xa0' not allowed",
  ),
  status(
    'a version in Depends that does not end',
    (files) => record(files, 'coreutils', field('Depends', 'libc6 (>= 2.36')),
    "'Depends' field, reference to 'libc6': version unterminated",
  ),
  status(
    'an architecture in Depends that is none',
    (files) => record(files, 'coreutils', field('Depends', 'libc6:am\xe9')),
    "reference to 'libc6': invalid architecture name 'am\xe9': character '\xe9' not allowed",
  ),
  status(
    'junk behind a package of Depends',
    (files) => record(files, 'coreutils', field('Depends', 'LibC6 x')),
    "'Depends' field, syntax error after reference to package 'libc6'",
  ),
  status(
    'alternatives in Conflicts',
    (files) => record(files, 'coreutils', field('Conflicts', 'a | b')),
    "alternatives ('|') not allowed in 'Conflicts' field",
  ),
  status(
    'a foreign line in Conffiles',
    (files) =>
      record(files, 'coreutils', field('Conffiles', '\n /etc/a d41d8cd98f00b204e9800998ecf8427e\n x')),
    "value for 'Conffiles' field has malformed line 'x'",
  ),
  status(
    'a tab before a conffile',
    (files) => record(files, 'coreutils', field('Conffiles', '\n\t/etc/a 1234')),
    "value for 'Conffiles' field has line starting with non-space '\t'",
  ),
  status(
    'foreign bytes in Package',
    (files) => record(files, 'coreutils', (stanza) => stanza.replace('Package: core', 'Package: c\xc0re')),
    "invalid package name in 'Package' field: character '\xc0' not allowed",
  ),
  status(
    'a version that is none',
    (files) => record(files, 'coreutils', field('Version', '9.1 -1')),
    "'Version' field value '9.1 -1': version string has embedded spaces",
  ),
  status(
    'no version',
    (files) => record(files, 'coreutils', (stanza) => stanza.replace(/^Version:.*\n/m, '')),
    "package 'coreutils': missing 'Version' field",
  ),
  status(
    'a priority that begins like one',
    (files) => record(files, 'coreutils', field('Priority', 'required\xff')),
    "word in 'Priority' field: has trailing junk",
  ),
  status(
    'an Essential that is neither yes nor no',
    (files) => record(files, 'coreutils', field('Essential', 'maybe')),
    "boolean (yes/no) 'Essential' field: has invalid value 'maybe'",
  ),
  status(
    'a Multi-Arch of another kind',
    (files) => record(files, 'coreutils', field('Multi-Arch', 'some')),
    "quadstate (foreign/allowed/same/no) 'Multi-Arch' field: has invalid value 'some'",
  ),
  status(
    'a block of a package index over it',
    (files) => record(files, 'coreutils', field('Size', '1234')),
    "archive details 'Size' field not allowed in status file",
  ),
  status(
    'a field twice',
    (files) => record(files, 'coreutils', (stanza) => `${stanza}\nVersion: 1`),
    "duplicate value for 'Version' field",
  ),
  status(
    'a line that is no field',
    (files) => record(files, 'coreutils', (stanza) => `${stanza}\nforeign`),
    "newline in field name 'foreign'",
  ),
  status(
    'a record twice',
    (files) =>
      files.change('status', (data) => {
        const stanza = data.split('\n\n').find((text) => text.startsWith('Package: coreutils\n')) ?? '';
        return `${data}\n${stanza}\n`;
      }),
    'multiple non-coinstallable package instances present',
    { lost: [] },
  ),
  status(
    'pending triggers of an installed package',
    (files) => record(files, 'coreutils', field('Triggers-Pending', 'ldconfig')),
    'package has status installed but triggers are pending',
  ),
  status(
    'a trigger name that is none',
    (files) => record(files, 'coreutils', field('Triggers-Pending', 'ld\xffconfig')),
    "illegal pending trigger name 'ld\xffconfig': trigger name contains invalid character",
  ),
  status(
    'an awaited trigger of a package that is none',
    (files) => record(files, 'coreutils', field('Triggers-Awaited', '\xff')),
    "illegal package name in awaited trigger '\xff': illegal package name in specifier '\xff': must start",
  ),
  status(
    'two damages: dpkg names the first',
    (files) => record(files, 'coreutils', (stanza) => `${field('Depends', ')')(stanza)}\nforeign`),
    "'Depends' field, invalid package name ')'",
  ),

  {
    name: '.list: cut',
    damage: (files) => files.change('info/coreutils.list', cut),
    run: VERIFY,
    code: 'database-list-unterminated',
    file: 'info/coreutils.list',
    says: "files list file for package 'coreutils' is missing final newline",
    partial: ['coreutils'],
  },
  {
    name: '.list: NUL-filled',
    damage: (files) => files.change('info/coreutils.list', zeroed),
    run: VERIFY,
    code: 'database-list-nul',
    file: 'info/coreutils.list',
    says: "files list file for package 'coreutils' is missing final newline",
    partial: ['coreutils'],
  },
  {
    name: '.list: a NUL tail',
    damage: (files) => files.change('info/coreutils.list', nulTail),
    run: VERIFY,
    code: 'database-list-nul',
    file: 'info/coreutils.list',
    says: "files list file for package 'coreutils' is missing final newline",
    partial: ['coreutils'],
  },
  {
    name: '.list: an empty line',
    damage: (files) => files.change('info/coreutils.list', (data) => data.replace('/bin\n', '/bin\n\n')),
    run: VERIFY,
    code: 'database-list-empty-name',
    file: 'info/coreutils.list',
    says: "files list file for package 'coreutils' contains empty filename",
  },
  {
    name: '.list: an empty line before its cut end: dpkg names the first',
    damage: (files) => files.change('info/coreutils.list', (data) => cut(data.replace('/bin\n', '/bin\n\n'))),
    run: VERIFY,
    code: 'database-list-unterminated',
    file: 'info/coreutils.list',
    says: "files list file for package 'coreutils' contains empty filename",
    partial: ['coreutils'],
  },
  {
    name: '.list: missing',
    damage: (files) => files.remove('info/coreutils.list'),
    run: VERIFY,
    code: 'database-list-missing',
    file: 'info/coreutils.list',
    says: "files list file for package 'coreutils' missing; assuming package has no files currently installed",
    goesOn: true,
    partial: ['coreutils'],
  },
  {
    name: '.list: empty',
    damage: (files) => files.write('info/coreutils.list', ''),
    run: VERIFY,
    code: 'database-list-empty',
    file: 'info/coreutils.list',
    partial: ['coreutils'],
  },
  {
    name: '.md5sums: cut',
    damage: (files) => files.change('info/coreutils.md5sums', cut),
    run: VERIFY,
    code: 'database-md5sums-unterminated',
    file: 'info/coreutils.md5sums',
    says: "control file 'md5sums' for package 'coreutils' is missing final newline",
  },
  {
    name: '.md5sums: NUL-filled',
    damage: (files) => files.change('info/coreutils.md5sums', zeroed),
    run: VERIFY,
    code: 'database-md5sums-nul',
    file: 'info/coreutils.md5sums',
    says: "control file 'md5sums' for package 'coreutils' is missing final newline",
  },
  {
    name: '.md5sums: a line without a name',
    damage: (files) => files.change('info/coreutils.md5sums', (data) => `${data}d41d8cd9\n`),
    run: VERIFY,
    code: 'database-md5sums-malformed',
    file: 'info/coreutils.md5sums',
    says: "control file 'md5sums' for package 'coreutils' is missing value",
  },
  {
    name: '.md5sums: one blank instead of two',
    damage: (files) => files.change('info/coreutils.md5sums', (data) => data.replace('  ', ' ')),
    run: VERIFY,
    code: 'database-md5sums-malformed',
    file: 'info/coreutils.md5sums',
    says: "control file 'md5sums' for package 'coreutils' is missing value separator",
  },

  {
    name: 'updates: NUL-filled',
    damage: (files) => files.write('updates/0000', '\0'.repeat(300)),
    run: LIST,
    code: 'database-update-nul',
    file: 'updates/0000',
    says: "parsing file '/var/lib/dpkg/updates/0000' near line 0: end of file after field name ''",
  },
  ...['#padding', '#padded'].map((padding) => ({
    name: `updates: nothing but ${padding}`,
    damage: (files: Files) => files.write('updates/0000', `${padding}\n`.repeat(512)),
    run: LIST,
    code: 'database-update-padding' as const,
    file: 'updates/0000',
    says: `parsing file '/var/lib/dpkg/updates/0000' near line 0: newline in field name '${padding}'`,
  })),
  {
    name: 'updates: empty',
    damage: (files) => files.write('updates/0000', ''),
    run: LIST,
    code: 'database-update-empty',
    file: 'updates/0000',
  },
  {
    name: 'updates: foreign content',
    damage: (files) => files.write('updates/0003', '\xff\xd8\xff\xe0JFIF and more\n'),
    run: LIST,
    code: 'database-update-unparsable',
    file: 'updates/0003',
    says: "parsing file '/var/lib/dpkg/updates/0003' near line 0: field name '\xff\xd8\xff\xe0JFIF' must be followed by colon",
  },
  {
    name: 'updates: names of different lengths',
    damage: (files) => {
      files.write('updates/0000', '');
      files.write('updates/00001', '');
    },
    run: LIST,
    code: 'database-update-name',
    file: 'updates/00001',
    says: 'updates directory contains files with different length names',
  },
  {
    name: 'updates: a name that is too long',
    damage: (files) => files.write('updates/00000000001', ''),
    run: LIST,
    code: 'database-update-name',
    file: 'updates/00000000001',
    says: "updates directory contains file '00000000001' whose name is too long (length=11, max=10)",
  },

  {
    name: 'triggers/File: NUL-filled',
    damage: (files) => files.change('triggers/File', zeroed),
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/File',
    says: "fgets gave an empty string from '/var/lib/dpkg/triggers/File'",
  },
  {
    name: 'triggers/File: cut',
    damage: (files) => files.change('triggers/File', cut),
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/File',
    says: "too-long line or missing newline in '/var/lib/dpkg/triggers/File'",
  },
  {
    name: 'triggers/File: a foreign line',
    damage: (files) => files.change('triggers/File', (data) => `foreign\n${data}`),
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/File',
    says: "syntax error in file triggers file '/var/lib/dpkg/triggers/File'",
  },
  {
    name: 'triggers/File: a name that is no package',
    damage: (files) => files.change('triggers/File', (data) => `${data}/a _x\n`),
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/File',
    says: "file triggers record mentions illegal package name '_x' (for interest in file '/a'): illegal package name in specifier '_x': must start with an alphanumeric character",
  },
  {
    name: 'triggers/File: a line twice',
    damage: (files) => files.change('triggers/File', (data) => `${data}/zz dpkg\n/zz dpkg/noawait\n`),
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/File',
    says: "duplicate file trigger interest for filename '/zz' and package 'dpkg'",
  },
  {
    name: 'triggers/Unincorp: NUL-filled',
    damage: (files) => files.write('triggers/Unincorp', '\0'.repeat(16)),
    run: TRIGGERS,
    code: 'database-triggers-unincorp-damaged',
    file: 'triggers/Unincorp',
    says: "fgets gave an empty string from '/var/lib/dpkg/triggers/Unincorp'",
  },
  {
    name: 'triggers/Unincorp: cut',
    damage: (files) => files.write('triggers/Unincorp', 'ldconfig libc-b'),
    run: TRIGGERS,
    code: 'database-triggers-unincorp-damaged',
    file: 'triggers/Unincorp',
    says: "too-long line or missing newline in '/var/lib/dpkg/triggers/Unincorp'",
  },
  {
    name: 'triggers/Unincorp: foreign bytes',
    damage: (files) => files.write('triggers/Unincorp', 'ldconfig -\n  ldconfig lib\xff x\n'),
    run: TRIGGERS,
    code: 'database-triggers-unincorp-damaged',
    file: 'triggers/Unincorp',
    says: "syntax error in triggers deferred file '/var/lib/dpkg/triggers/Unincorp' at line 2 character 15 '\xff x'",
  },
  {
    name: 'an explicit interest: NUL-filled',
    damage: (files) => {
      files.write('triggers/ldconfig', '\0'.repeat(9));
      files.write('triggers/Unincorp', 'ldconfig dpkg\n');
    },
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/ldconfig',
    says: "fgets gave an empty string from '/var/lib/dpkg/triggers/ldconfig'",
  },
  {
    name: 'an explicit interest: cut',
    damage: (files) => {
      files.write('triggers/ldconfig', 'libc-b');
      files.write('triggers/Unincorp', 'ldconfig dpkg\n');
    },
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/ldconfig',
    says: "too-long line or missing newline in '/var/lib/dpkg/triggers/ldconfig'",
  },
  {
    name: 'an explicit interest: a name that is no package',
    damage: (files) => {
      files.write('triggers/ldconfig', 'libc-bin:am_d/noawait\n');
      files.write('triggers/Unincorp', 'ldconfig dpkg\n');
    },
    run: TRIGGERS,
    code: 'database-triggers-file-damaged',
    file: 'triggers/ldconfig',
    says: "trigger interest file '/var/lib/dpkg/triggers/ldconfig' syntax error; illegal package name 'libc-bin:am_d': illegal architecture name in specifier 'libc-bin:am_d': character '_' not allowed",
  },

  {
    name: 'diversions: NUL-filled',
    damage: (files) => files.write('diversions', '\0'.repeat(30)),
    run: DIVERSIONS,
    code: 'database-diversions-damaged',
    file: 'diversions',
    says: "fgets gave an empty string from '/var/lib/dpkg/diversions'",
  },
  {
    name: 'diversions: cut',
    damage: (files) => files.write('diversions', '/a\n/b\ndpk'),
    run: VERIFY,
    code: 'database-diversions-damaged',
    file: 'diversions',
    says: "too-long line or missing newline in '/var/lib/dpkg/diversions'",
  },
  {
    name: 'diversions: two lines of three',
    damage: (files) => files.write('diversions', '/a\n/b\n'),
    run: VERIFY,
    code: 'database-diversions-damaged',
    file: 'diversions',
    says: "unexpected end of file reading '/var/lib/dpkg/diversions'",
  },
  {
    name: 'diversions: two of the same file',
    damage: (files) => files.write('diversions', '/a\n/b\ndpkg\n/c\n/b\ntar\n'),
    run: VERIFY,
    code: 'database-diversions-damaged',
    file: 'diversions',
    says: "conflicting diversions involving '/c' or '/b'",
  },
  {
    name: 'diversions: a line lost, so that names stand for paths: dpkg does not notice',
    damage: (files) => files.write('diversions', '/b\ndpkg\n/c\n'),
    run: VERIFY,
    code: 'database-diversions-damaged',
    file: 'diversions',
  },

  {
    name: 'statoverride: no final newline',
    damage: (files) => files.write('statoverride', 'root root 0755 /a\nroot root 0755 /b'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: 'statoverride file is missing final newline',
  },
  {
    name: 'statoverride: NUL-filled',
    damage: (files) => files.write('statoverride', '\0'.repeat(64)),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: 'statoverride file is missing final newline',
  },
  {
    name: 'statoverride: NUL bytes inside a line: dpkg does not notice',
    damage: (files) => files.write('statoverride', 'root root 0755 /a\0\0\0\n'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
  },
  {
    name: 'statoverride: an empty line',
    damage: (files) => files.write('statoverride', 'root root 0755 /a\n\n'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: 'statoverride file contains empty line',
  },
  {
    name: 'statoverride: a mode that is none',
    damage: (files) => files.write('statoverride', 'root root 0788 /a\n'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: 'invalid statoverride mode 0788',
  },
  {
    name: 'statoverride: a user id that is none',
    damage: (files) => files.write('statoverride', '#1x root\n'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: 'invalid statoverride uid #1x',
  },
  {
    name: 'statoverride: a line too short',
    damage: (files) => files.write('statoverride', 'root root 0755\n'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: 'syntax error in statoverride file',
  },
  {
    name: 'statoverride: a file twice',
    damage: (files) => files.write('statoverride', 'root root 0755 /a\n#0 #0 0700 /a\n'),
    run: OVERRIDES,
    code: 'database-statoverride-damaged',
    file: 'statoverride',
    says: "multiple statoverrides present for file '/a'",
  },

  {
    name: 'info/format: corrupt',
    damage: (files) => files.write('info/format', '\0\0'),
    run: VERIFY,
    code: 'database-format-corrupt',
    file: 'info/format',
    says: "corrupt info database format file '/var/lib/dpkg/info/format'",
  },
  {
    name: 'info/format: empty',
    damage: (files) => files.write('info/format', ''),
    run: VERIFY,
    code: 'database-format-corrupt',
    file: 'info/format',
    says: "corrupt info database format file '/var/lib/dpkg/info/format'",
  },
  {
    name: 'info/format: too new',
    damage: (files) => files.write('info/format', '2\n'),
    run: VERIFY,
    code: 'database-format-unknown',
    file: 'info/format',
    says: 'info database format (2) is bogus or too new; try getting a newer dpkg',
  },
  {
    name: 'info/format: negative',
    damage: (files) => files.write('info/format', '-1\n'),
    run: VERIFY,
    code: 'database-format-unknown',
    file: 'info/format',
    says: 'info database format (-1) is bogus or too new; try getting a newer dpkg',
  },
  {
    name: 'info/format: a new one left beside it',
    damage: (files) => files.write('info/format-new', ''),
    run: VERIFY,
    code: 'database-format-unknown',
    file: 'info/format',
    says: 'info database format (2) is bogus or too new; try getting a newer dpkg',
  },
  {
    name: 'arch: cut',
    damage: (files) => files.write('arch', 'amd64\ni38'),
    run: LIST,
    code: 'database-arch-damaged',
    file: 'arch',
    says: "too-long line or missing newline in '/var/lib/dpkg/arch'",
  },
  {
    name: 'arch: NUL-filled',
    damage: (files) => files.write('arch', '\0'.repeat(6)),
    run: LIST,
    code: 'database-arch-damaged',
    file: 'arch',
    says: "fgets gave an empty string from '/var/lib/dpkg/arch'",
  },
  {
    name: 'a maintainer script: empty',
    damage: (files) => files.write('info/dash.postinst', ''),
    run: ['dpkg', '--audit'],
    code: 'database-script-empty',
    file: 'info/dash.postinst',
  },
  {
    name: 'a maintainer script: NUL-filled',
    damage: (files) => files.change('info/dash.postinst', zeroed),
    run: ['dpkg', '--audit'],
    code: 'database-script-nul',
    file: 'info/dash.postinst',
  },
  {
    name: 'another control file: NUL-filled',
    damage: (files) => files.write('info/dash.templates', '\0'.repeat(80)),
    run: VERIFY,
    code: 'database-control-nul',
    file: 'info/dash.templates',
  },
];

/** A line of these fields (dpkg-query(1), --showformat). */
const show = (...fields: string[]): string => `${fields.map((name) => `\${${name}}`).join(' ')}\\n`;

/** dpkg breaks lines where it likes. */
const flat = (text: Bytes): Bytes => text.replace(/[ \n]+/g, ' ').trim();

for (const suite of ['bookworm', 'trixie'] as const) {
  rootDescribe(`the database of ${suite}`, () => {
    let root: DebianRoot;
    let sound: Map<string, number>;
    const at = (...names: string[]): string => join(root.directory, 'var/lib/dpkg', ...names);
    const pristine = (): string => join(root.directory, 'var/lib/pristine');
    const files: Files = {
      read: (name) => readFileSync(at(name), 'latin1'),
      write: (name, data) => {
        mkdirSync(dirname(at(name)), { recursive: true });
        rmSync(at(name), { force: true }); // a hard link to the pristine one
        writeFileSync(at(name), bufferOf(data));
      },
      change: (name, change) => files.write(name, change(files.read(name))),
      remove: (name) => rmSync(at(name)),
    };
    const run = (command: readonly string[]) => {
      const result = spawnSync('chroot', [root.directory, ...command], {
        encoding: 'latin1',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
        maxBuffer: 64 * 1024 * 1024,
      });
      return { code: result.status, stdout: result.stdout, stderr: result.stderr };
    };
    const restore = (): void => {
      rmSync(at(), { recursive: true });
      execFileSync('cp', ['-al', pristine(), at()]);
    };
    /** Everything, and how many paths each package owns. */
    const readAll = (): { database: Database; owned: Map<string, number> } => {
      const database = readDatabase(new Root(root.directory));
      const owned = new Map<string, number>();
      for (const pkg of database.packages) {
        if (pkg.state !== 'unknown') owned.set(pkg.name, readManifest(database, pkg, true).paths.length);
      }
      return { database, owned };
    };

    beforeAll(async () => {
      root = await debianRoot(suite);
      renameSync(at(), pristine());
      execFileSync('cp', ['-al', pristine(), at()]);
      const { database, owned } = readAll();
      expect(database.problems).toEqual([]);
      sound = owned;
    }, 600_000);
    afterEach(restore);
    afterAll(() => root?.remove());

    it.each(CASES)('$name', ({ damage, run: command, code, file, says, goesOn, lost = [], partial = [] }) => {
      damage(files);
      const { database, owned } = readAll();
      const said = run(command);

      const path = `/var/lib/dpkg/${file}`;
      const found = database.problems.filter((problem) => problem.code === code && problem.file === path);
      expect(found, JSON.stringify(database.problems)).toHaveLength(1);
      const message = found[0]?.dpkgMessage;
      if (says === undefined) {
        expect(message).toBeUndefined();
        expect(said).toMatchObject({ code: 0, stderr: '' });
      } else {
        expect(flat(message ?? '')).toContain(flat(says));
        expect(flat(said.stderr)).toContain(flat(message ?? ''));
        expect(said.code === 0).toBe(goesOn === true);
      }
      // .md5sums stop only the commands that read them
      if (!code.startsWith('database-md5sums')) expect(found[0]?.blocksDpkg).toBe(said.code !== 0);

      // reading goes on
      if (lost !== 'all') {
        const others = [...sound].filter(([name]) => !lost.includes(name) && !partial.includes(name));
        expect([...owned].filter(([name]) => !lost.includes(name) && !partial.includes(name))).toEqual(
          others,
        );
      }
    });

    it('info/format: missing: dpkg misses the lists of co-installable packages and says so for each', () => {
      files.remove('info/format');
      const { database } = readAll();
      expect(database.problems.map(({ code, file }) => `${code} ${file}`)).toEqual([
        'database-format-missing /var/lib/dpkg/info/format',
      ]);
      const { stderr } = run(VERIFY);
      expect(stderr).toMatch(/files list file for package 'libacl1:\w+' missing/);
    });

    it('an .md5sums without a byte is legal, and dpkg is silent', () => {
      files.write('info/coreutils.md5sums', '');
      const { database } = readAll();
      expect(database.problems).toEqual([]);
      const pkg = database.packages.find(({ name }) => name === 'coreutils');
      expect(pkg && readManifest(database, pkg, true).md5sumsEmpty).toBe(true);
      expect(run(VERIFY).stderr).toBe('');
    });

    it('a name without its slash in a .list is owned all the same', () => {
      files.change('info/coreutils.list', (data) => `${data}opt/lost\n.//opt/found/\n`);
      const { database } = readAll();
      const pkg = database.packages.find(({ name }) => name === 'coreutils');
      expect(pkg && readManifest(database, pkg, true).paths.slice(-2)).toEqual(['/opt/lost', '/opt/found']);
      const { stdout } = run(['dpkg', '-L', 'coreutils']);
      expect(stdout.trimEnd().split('\n').slice(-2)).toEqual(['/opt/lost', '/opt/found']);
    });

    it('updates are merged over status in the order of their names, and across architectures', () => {
      const state = (name: string, word: string) => (stanza: Bytes) =>
        `${field('Status', `install ok ${word}`)(stanza)}\n`.replace(/^Package: .*/m, `Package: ${name}`);
      const stanza = (name: string): Bytes =>
        files
          .read('status')
          .split('\n\n')
          .find((text) => text.trimStart().startsWith(`Package: ${name}\n`)) ?? '';
      files.write('updates/0000', state('dash', 'half-configured')(stanza('dash')));
      files.write('updates/0001', state('dash', 'unpacked')(stanza('dash')));
      files.write('updates/0002', field('Architecture', 'all')(`${stanza('sed')}\n`));
      files.write('updates/0003', field('Multi-Arch', 'same')(`${stanza('sed')}\n`));
      const { database } = readAll();
      const { stdout } = run(['dpkg-query', '-W', '-f', show('Package', 'Architecture', 'db:Status-Status')]);
      const theirs = stdout.trimEnd().split('\n').sort();
      const known = database.packages.filter((pkg) => pkg.state !== 'unknown');
      expect(known.map((pkg) => `${pkg.name} ${pkg.architecture} ${pkg.state}`).sort()).toEqual(theirs);
      expect(theirs.filter((line) => /^(?:dash|sed) /.test(line))).toEqual([
        expect.stringMatching(/^dash \w+ unpacked$/),
        expect.stringMatching(/^sed \w+ installed$/),
      ]);
    });

    it('statoverride: an unknown user stops an installation', async () => {
      const package_ = join(mkdtempSync(join(tmpdir(), 'debmend-deb-')), 't');
      mkdirSync(join(package_, 'DEBIAN'), { recursive: true });
      writeFileSync(
        join(package_, 'DEBIAN/control'),
        'Package: t\nVersion: 1\nArchitecture: all\nMaintainer: t <t@t>\nDescription: t\n',
      );
      execFileSync('dpkg-deb', ['-Znone', '-b', package_, join(root.directory, 'tmp/t.deb')]);
      rmSync(dirname(package_), { recursive: true });

      for (const [line, says] of [
        ['nobody-else root 0755 /bin/sh', "unknown system user 'nobody-else' in statoverride file"],
        ['root nogroup-else 0755 /bin/sh', "unknown system group 'nogroup-else' in statoverride file"],
      ] as const) {
        files.write('statoverride', `${line}\n`);
        const { database } = readAll();
        expect(database.problems).toEqual([]);
        const findings = await judgeOverrides(new Root(root.directory), database, () => true);
        const finding = findings.find(({ code }) => code === 'database-statoverride-unknown-owner');
        expect(finding?.dpkgMessage).toBe(says);
        const { code, stderr } = run(['dpkg', '--unpack', '/tmp/t.deb']);
        expect(flat(stderr)).toContain(says);
        expect(code).not.toBe(0);
      }
      expect(existsSync(at('info/t.list'))).toBe(false);
    });

    it('status files damaged at random: our first message is dpkg’s, and so are the packages', () => {
      const whole = files.read('status').trimEnd().split('\n\n');
      const dpkg = whole.find((stanza) => stanza.startsWith('Package: dpkg\n')) ?? '';
      const junk = fc.oneof(
        fc.constantFrom(
          '\0',
          '\0'.repeat(99),
          '\xff',
          '\xa0',
          ' ',
          '\n',
          '\n\n',
          ':',
          '\x1a',
          '\t',
          '\r\n',
          '\x0b',
        ),
        fc.constantFrom(
          '(',
          ')',
          '|',
          ',',
          '-',
          '/',
          'A',
          '\n ',
          '\n.\n',
          '<<',
          'same',
          'Package: x\n',
          'Size: 1\n',
        ),
      );
      const damage = fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        removed: fc.nat(80),
        put: junk,
      });
      const damaged = fc.record({
        stanzas: fc.array(fc.constantFrom(...whole), { minLength: 1, maxLength: 4 }),
        damages: fc.array(damage, { minLength: 1, maxLength: 3 }),
        kept: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true })),
      });
      fc.assert(
        fc.property(damaged, ({ stanzas, damages, kept }) => {
          let text = `${stanzas.join('\n\n')}\n`;
          for (const { at: where, removed, put } of damages) {
            const from = Math.floor(where * text.length);
            text = text.slice(0, from) + put + text.slice(from + removed);
          }
          // A sound record of dpkg says which architecture is the native one.
          files.write('status', `${dpkg}\n\n${text.slice(0, Math.ceil(kept * text.length))}`);
          const database = readDatabase(new Root(root.directory));
          const { stdout, stderr } = run(['dpkg-query', '-W', '-f', show('Package', 'db:Status-Status')]);
          const theirs = /^dpkg-query: error: (.*)/ms.exec(stderr)?.[1];
          const ours = database.problems.find(({ dpkgMessage }) => dpkgMessage !== undefined)?.dpkgMessage;
          expect(ours && flat(ours)).toBe(theirs && flat(theirs));
          if (theirs === undefined) {
            const listed = stdout
              .split('\n')
              .filter((line) => line !== '' && !line.endsWith(' not-installed'));
            const known = database.packages.filter(({ state }) => state !== 'unknown');
            expect(known.map(({ name, state }) => `${name} ${state}`).sort()).toEqual(listed.sort());
          }
        }),
        { numRuns: 200 },
      );
    });
  });
}
