/**
 * Roots made by someone who means harm (I7): nothing outside is looked at, nothing is waited for, nothing endless is
 * read, and no name reaches a terminal as it is.
 */
import {
  appendFileSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect } from 'vitest';
import { reportSchema } from '../../src/model/report.ts';
import { rootTest } from '../lab/roots.ts';
import {
  at,
  atEnd,
  auditOf,
  BIN,
  debmend,
  inside,
  install,
  line,
  linesOf,
  must,
  open,
  REPOSITORY,
  say,
  temporaryDirectory,
} from './lab.ts';

const INFO = 'var/lib/dpkg/info';
const FOLLOWING = /^(?:stat|access|chdir|execve|getcwd|statfs|truncate|utime)$/;

/** Paths that a run asked the kernel about, as the kernel resolved them. */
function touched(...args: string[]): { code: number | null; paths: Set<string>; stderr: string } {
  const trace = join(temporaryDirectory(), 'trace');
  // -yy would name sockets too; -y names each descriptor by the path that it was opened as.
  const { code, stderr } = say(
    'strace',
    '-f',
    '--seccomp-bpf',
    '-q',
    '-y',
    '-s',
    '8192',
    '-e',
    'trace=%file,getdents64',
    '-o',
    trace,
    BIN,
    ...args,
  );
  const paths = new Set<string>();
  for (const text of readFileSync(trace, 'latin1').split('\n')) {
    const call = /^\d+ +(\w+)\((.*)$/.exec(text);
    if (call === null) continue;
    const [, name = '', rest = ''] = call;
    // Descriptors: what was really opened.
    for (const [, path = ''] of rest.matchAll(/= \d+<([^>]*)>/g)) paths.add(path);
    const path = /"((?:[^"\\]|\\.)*)"/.exec(rest)?.[1];
    if (path === undefined || !path.startsWith('/')) continue;
    const follows =
      FOLLOWING.test(name) ||
      (name.startsWith('open') && !rest.includes('O_NOFOLLOW')) ||
      ((name === 'newfstatat' || name === 'statx') && !rest.includes('AT_SYMLINK_NOFOLLOW'));
    paths.add(resolved(path, follows));
  }
  return { code, paths, stderr };
}

/** Where a path leads on this host: links at parents are what the kernel follows in any case. */
function resolved(path: string, follow: boolean): string {
  try {
    return follow ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

/** What every program touches: itself and what it is made of, and what the kernel tells about it. */
const OF_DEBMEND = [REPOSITORY, realpathSync(process.execPath), '/proc', '/sys'];

/** Paths that lie neither in these directories nor in debmend itself. */
function outside(directories: readonly string[], paths: ReadonlySet<string>): string[] {
  const known = [...directories, ...OF_DEBMEND];
  const beneath = (path: string) => known.some((top) => path === top || path.startsWith(`${top}/`));
  return [...paths].filter((path) => !beneath(path)).sort();
}

/** Where a planted link points, all of it in the canary's directory. */
type Plant = readonly [path: string, target: 'directory' | 'directory, by ..' | 'file' | 'file, by ..'];

let usual: ReadonlySet<string> | undefined;

/** Audits a root with links to a canary in it, and shows that nobody looked at the canary. */
async function staysInside(plants: readonly Plant[]): Promise<void> {
  const directory = await open('trixie');
  const config = join(temporaryDirectory(), 'config.yaml');
  writeFileSync(
    config,
    `audit:\n  leftoverGlobs: ['/usr/share/doc/**', '/etc/tiny/*', '/usr/share/tiny/**']\n`,
  );
  install(directory, {
    name: 'tiny',
    files: {
      '/usr/share/tiny/absolute/file': 'a\n',
      '/usr/share/tiny/relative/file': 'b\n',
      '/usr/share/tiny/end': 'c\n',
      '/etc/tiny/conffile': 'd\n',
      '/etc/tiny.conf': 'e\n',
    },
    conffiles: ['/etc/tiny/conffile', '/etc/tiny.conf'],
  });
  // So that the root's accounts are asked for.
  inside(directory, 'dpkg-statoverride', '--add', 'root', 'root', '0755', '/usr/bin/tac');
  const audited = ['audit', '--root', directory, '--config', config, '--json'];
  const others = (paths: ReadonlySet<string>) =>
    outside([directory, dirname(config)], paths).filter((path) => usual?.has(path) !== true);
  // What a sound root makes it touch: the launcher's shell, the system's libraries.
  usual ??= new Set(others(touched(...audited).paths));

  // A canary whose names are those of the root, so that a link to it could be taken for the real thing.
  const canary = temporaryDirectory();
  const long = new Date('2001-02-03T04:05:06Z');
  for (const name of CANARY_FILES) writeFileSync(join(canary, name), `the canary ${name}\n`);
  for (const name of [...CANARY_FILES, '']) utimesSync(join(canary, name), long, long);
  for (const [path, target] of plants) {
    const end = target.startsWith('file') ? join(canary, 'file') : canary;
    rmSync(at(directory, path), { recursive: true, force: true });
    symlinkSync(target.endsWith('..') ? `${'../'.repeat(20)}${end.slice(1)}` : end, at(directory, path));
  }

  const hostile = touched(...audited);
  expect(hostile).toMatchObject({ code: 1, stderr: '' });
  expect(others(hostile.paths)).toEqual([]);
  for (const name of [...CANARY_FILES, '']) expect(statSync(join(canary, name)).atimeMs).toBe(long.getTime());
}

const CANARY_FILES = [
  ...['file', 'conffile', 'x.dpkg-new', 'tiny-excludes'],
  // what dpkg's directories hold
  ...['tiny.list', 'tar.list', 'format', '0000', 'tmp.i', 'awk', 'File', 'Unincorp', 'control'],
];

rootTest('links planted in the place of files and directories lead nowhere outside', async () => {
  await staysInside([
    ['usr/share/tiny/absolute', 'directory'],
    ['usr/share/tiny/relative', 'directory, by ..'],
    ['usr/share/tiny/end', 'file'],
    ['usr/share/doc', 'directory, by ..'],
    ['etc/tiny', 'directory'],
    ['etc/tiny.conf', 'file, by ..'],
    ['etc/os-release', 'file'],
    ['etc/passwd', 'file'],
    ['etc/group', 'file, by ..'],
    ['etc/dpkg/dpkg.cfg', 'file'],
    ['etc/dpkg/dpkg.cfg.d', 'directory'],
    ['etc/alternatives', 'directory'],
    [`${INFO}/tar.list`, 'file'],
    [`${INFO}/tar.md5sums`, 'file, by ..'],
    [`${INFO}/debconf.postinst`, 'file'],
    [`${INFO}/format`, 'file'],
    ['var/lib/dpkg/diversions', 'file'],
    ['var/lib/dpkg/statoverride', 'file, by ..'],
    ['var/lib/dpkg/arch', 'file'],
    ['var/lib/dpkg/triggers/File', 'file'],
    ['var/lib/dpkg/alternatives/awk', 'file'],
    ['var/lib/dpkg/updates/0000', 'file'],
    ['var/lib/apt/extended_states', 'file'],
    ['var/lib/apt/lists', 'directory'],
    ['var/cache/apt', 'directory, by ..'],
  ]);
});

rootTest("links planted in the place of dpkg's own directories lead nowhere outside", async () => {
  await staysInside([
    ['var/lib/dpkg/updates', 'directory'],
    ['var/lib/dpkg/triggers', 'directory, by ..'],
    ['var/lib/dpkg/alternatives', 'directory'],
    ['var/lib/dpkg/tmp.ci', 'directory'],
    [INFO, 'directory'],
  ]);
});

rootTest('FIFOs, sockets and devices in the place of files are waited for nowhere', async () => {
  const directory = await open('trixie');
  const fifo = (path: string) => {
    rmSync(at(directory, path), { force: true });
    must('mkfifo', at(directory, path));
  };
  const node = (path: string, ...how: string[]) => {
    rmSync(at(directory, path), { force: true });
    must('mknod', at(directory, path), ...how);
  };
  fifo('usr/bin/comm');
  fifo('etc/debconf.conf');
  fifo(`${INFO}/tar.list`);
  fifo(`${INFO}/debconf.postinst`);
  fifo('var/lib/dpkg/updates/0000');
  fifo('var/lib/dpkg/statoverride');
  fifo('var/lib/apt/extended_states');
  fifo('etc/dpkg/dpkg.cfg.d/excludes');
  node('usr/bin/tac', 'c', '1', '5'); // /dev/zero never ends
  node('usr/bin/join', 'b', '7', '7');
  node('etc/pam.conf', 'c', '5', '0'); // /dev/tty
  node('var/lib/dpkg/diversions', 'c', '1', '9'); // /dev/urandom
  const socket = at(directory, 'usr/bin/paste');
  rmSync(socket);
  const listening = `require('node:net').createServer().listen(${JSON.stringify(socket)}, () => process.abort())`;
  say(process.execPath, '-e', listening);
  expect(statSync(socket).isSocket()).toBe(true);

  const started = performance.now();
  expect(await linesOf(directory)).toEqual([
    'critical other database-unreadable - /var/lib/dpkg/diversions',
    'critical other database-unreadable - /var/lib/dpkg/statoverride',
    'critical other database-unreadable - /var/lib/dpkg/updates/0000',
    'critical other database-unreadable tar /var/lib/dpkg/info/tar.list',
    'error other database-unreadable debconf /var/lib/dpkg/info/debconf.postinst',
    'error other file-wrong-type coreutils /usr/bin/comm',
    'error other file-wrong-type coreutils /usr/bin/join',
    'error other file-wrong-type coreutils /usr/bin/paste',
    'error other file-wrong-type coreutils /usr/bin/tac',
    'warning other file-wrong-type debconf /etc/debconf.conf',
    'warning other file-wrong-type libpam-runtime /etc/pam.conf',
  ]);
  expect(performance.now() - started).toBeLessThan(20_000);
});

rootTest('odd names in a .list stay inside, and reach a terminal quoted', async () => {
  const directory = await open('trixie');
  const canary = temporaryDirectory();
  writeFileSync(join(canary, 'file'), 'canary\n');
  install(directory, { name: 'tiny', files: { '/usr/share/tiny/file': 'a\n' } });
  const up = '/..'.repeat(20);
  const odd = [
    `/usr/share${up}${canary}/file`,
    `${up}${up}`,
    '/usr/share/tiny/..',
    '/usr/share/tiny/../tiny/./file',
    '/usr//share///tiny/file',
    'relative/name',
    `/${'long/'.repeat(2000)}name`,
    `/${'x'.repeat(300)}`,
    '/usr/share/tiny/\x1b]0;title\x07\x1b[2J\x1b[31mred',
    '/usr/share/tiny/carriage\rreturn',
    '/usr/share/tiny/\u202egnp.exe',
    '/usr/share/tiny/file/beneath-a-file',
  ];
  appendFileSync(
    at(directory, `${INFO}/tiny.list`),
    Buffer.concat([
      Buffer.from(`${odd.join('\n')}\n`, 'utf8'),
      Buffer.from('/usr/share/tiny/\xff\xfe\n', 'latin1'),
    ]),
  );
  const json = Buffer.from(debmend('audit', '--root', directory, '--json').stdout, 'latin1').toString('utf8');
  const { findings } = reportSchema.parse(JSON.parse(json));
  expect(findings.map(({ code, path = '' }) => `${code} ${path}`).sort()).toEqual(
    [
      `file-missing /usr/share${up}${canary}/file`,
      'file-missing /relative/name',
      `file-missing /${'long/'.repeat(2000)}name`,
      `file-missing /${'x'.repeat(300)}`,
      'file-missing /usr/share/tiny/\x1b]0;title\x07\x1b[2J\x1b[31mred',
      'file-missing /usr/share/tiny/carriage\rreturn',
      'file-missing /usr/share/tiny/\u202egnp.exe',
      // a file cannot be a directory too
      'file-wrong-type /usr/share/tiny/file',
      'file-missing /usr/share/tiny/file/beneath-a-file',
      'file-missing file:///usr/share/tiny/%FF%FE',
    ].sort(),
  );
  const human = debmend('audit', '--root', directory, '--all');
  expect(human.code).toBe(1);
  expect(human.stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  expect(Buffer.from(human.stdout, 'latin1').toString('utf8')).not.toContain('\u202e');
});

rootTest('a .list of 50 MB of garbage is read, and nothing more happens', async () => {
  const directory = await open('trixie');
  const garbage = (name: string, bytes: number, text: string) =>
    // Whole lines, so that it is the content alone that is wrong.
    writeFileSync(
      at(directory, `${INFO}/${name}`),
      Buffer.alloc(bytes - (bytes % text.length), text, 'latin1'),
    );
  garbage(
    'tar.list',
    50e6,
    '/\xff\x00 is no name\n/etc/../\x1b is an odd one, and long\nx stands in no directory\n',
  );
  garbage('sed.list', 5e6, 'x');
  garbage('grep.md5sums', 5e6, 'garbage\n');
  const { findings } = await auditOf(directory);
  expect(findings.map(line)).toEqual([
    'critical outage database-list-unterminated sed /var/lib/dpkg/info/sed.list',
    'critical other file-missing tar /etc/../\x1b is an odd one, and long',
    'critical other file-missing tar /x stands in no directory',
    'error outage database-md5sums-malformed grep /var/lib/dpkg/info/grep.md5sums',
    'error outage database-list-nul tar /var/lib/dpkg/info/tar.list',
  ]);
});

rootTest('a file that grows for ever, or claims to be endless, is not read to its end', async () => {
  const directory = await open('trixie');
  const files = ['grows', 'huge'].map((name) => `/usr/share/tiny/${name}`);
  install(directory, { name: 'tiny', files: Object.fromEntries(files.map((path) => [path, 'a\n'])) });
  const [grows = '', huge = ''] = files.map((path) => at(directory, path));
  // Sparse, so that they take no room.
  let size = 100e6;
  truncateSync(grows, size);
  truncateSync(huge, 10 * 2 ** 40);
  let growing: NodeJS.Timeout | undefined;
  atEnd(() => clearInterval(growing));
  const { findings, bytesRead } = await auditOf(directory, {
    // Once it was looked at; in the other threads it is being read by then.
    onProgress: ({ phase }) => {
      if (phase !== 'reading') return;
      growing ??= setInterval(() => {
        size += 50e6;
        truncateSync(grows, size);
      }, 5);
    },
  });
  expect(findings.map(line)).toEqual(files.map((path) => `error other file-unreadable tiny ${path}`));
  for (const { message } of findings) expect(message).toContain('was not judged');
  expect(bytesRead).toBeLessThan(1e9);
  expect(size).toBeGreaterThan(200e6);
});
