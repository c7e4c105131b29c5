import {
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { reportSchema } from '../../src/model/report.ts';
import { readMounts } from '../../src/system/mounts.ts';
import { denyServices, inRoot, installDebmend, mustInRoot } from './chroot.ts';
import { type Disk, diskTest, throwawayDisk } from './disk.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from './roots.ts';

const opened: (DebianRoot | Disk)[] = [];
afterEach(() => {
  for (const root of opened.splice(0)) root.remove();
});

rootDescribe('a command inside a root', () => {
  let root: DebianRoot;
  let directory: string;
  beforeAll(async () => {
    root = await debianRoot('bookworm');
    directory = root.directory;
  });
  afterAll(() => root.remove());

  const sh = (script: string, options = {}) => inRoot(directory, ['sh', '-c', script], options);

  rootTest('sees a system, and leaves no mount', async () => {
    const script = 'pwd; cat /proc/1/comm; ls /proc/self /sys/fs > /dev/null && echo there; tty < /dev/ptmx';
    const { code, stdout, stderr } = await sh(`${script}; env | sort; echo to stderr >&2`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'to stderr\n' });
    expect(stdout.split('\n')).toEqual(
      expect.arrayContaining([
        '/',
        'sh',
        'there',
        'HOME=/root',
        'LC_ALL=C',
        'DEBIAN_FRONTEND=noninteractive',
      ]),
    );
    expect(readdirSync(join(directory, 'proc'))).toEqual([]);
    expect(readMounts().filter(({ mountPoint }) => mountPoint.startsWith(directory))).toEqual([]);
  });

  rootTest('ends as it would by itself, and reads what it is given', async () => {
    expect(await sh('exit 7')).toMatchObject({ code: 7, signal: undefined });
    expect(await sh('kill -KILL $$')).toMatchObject({ code: 137 });
    expect(await sh('cat; echo $EXTRA', { input: 'given\n', env: { EXTRA: 'more' } })).toMatchObject({
      stdout: 'given\nmore\n',
    });
    await expect(mustInRoot(directory, ['sh', '-c', 'echo why >&2; exit 3'])).rejects.toThrow('3\nwhy');
  });

  rootTest('takes with it what it started, when it ends and when it is killed', async () => {
    const left = () => readdirSync('/proc').filter((pid) => linkOf(`/proc/${pid}/root`) === directory);
    expect((await sh('setsid sleep 600 > /dev/null 2>&1 & echo $!')).code).toBe(0);
    expect(left()).toEqual([]);
    const killed = await sh('setsid sleep 600 & wait', { timeout: 1000 });
    expect(killed).toMatchObject({ code: undefined, signal: 'SIGKILL', timedOut: true });
    expect(left()).toEqual([]);
  });

  rootTest("does not reach this host's name and kernel", async () => {
    const name = hostname();
    const { stdout, stderr } = await sh('hostname changed && hostname; echo 1 > /proc/sys/vm/swappiness');
    expect(stdout).toBe('changed\n');
    expect(stderr).toContain('Read-only file system');
    expect(hostname()).toBe(name);
  });

  rootTest('runs under a tracer of this host, which can end it between two system calls', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'debmend-chroot-'));
    try {
      const trace = join(scratch, 'trace');
      const second = ['-e', 'trace=rename', '-e', 'inject=rename:signal=KILL:when=2'];
      const rename = [
        'perl',
        '-e',
        'rename("/etc/hosts", "/etc/1"); rename("/etc/1", "/etc/2"); print "alive"',
      ];
      const { code, stdout } = await inRoot(directory, rename, {
        under: ['strace', '-f', '-o', trace, ...second],
      });
      // as strace has it, which ends as its tracee did
      expect({ code, stdout }).toEqual({ code: 137, stdout: '' });
      expect(readFileSync(trace, 'utf8').match(/rename\("[^"]*", "[^"]*"\)/g)).toEqual([
        'rename("/etc/hosts", "/etc/1")',
        'rename("/etc/1", "/etc/2")',
      ]);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

rootTest('apt-get installs from the archive, as it does on a real system', async () => {
  const root = await debianRoot('bookworm');
  opened.push(root);
  denyServices(root.directory);
  const apt = async (...args: string[]) => inRoot(root.directory, ['apt-get', ...args]);
  expect(await apt('update')).toMatchObject({ code: 0, stderr: '' });
  const installed = await apt('install', '-y', 'hello');
  expect({ code: installed.code, output: installed.stdout + installed.stderr }).toMatchObject({
    code: 0,
    output: expect.not.stringContaining('Can not write log'),
  });
  expect(await mustInRoot(root.directory, ['hello'])).toBe('Hello, world!\n');
  expect(readFileSync(join(root.directory, 'var/log/apt/term.log'), 'utf8')).toContain('Setting up hello');
  // a container's image has it, and then dpkg does not sync what it unpacks
  const options = await mustInRoot(root.directory, [
    'sh',
    '-c',
    'cat /etc/dpkg/dpkg.cfg /etc/dpkg/dpkg.cfg.d/*; :',
  ]);
  expect(options).not.toContain('force-unsafe-io');
});

rootTest('debmend is installed as it is shipped, and audits the root from the inside', async () => {
  const root = await debianRoot('bookworm', { include: ['libatomic1'] });
  opened.push(root);
  await installDebmend(root.directory);
  await installDebmend(root.directory); // again, over itself
  const home = join(root.directory, 'usr/lib/debmend');
  expect(existsSync(join(home, 'src'))).toBe(false);
  const libraries = readdirSync(join(home, 'node_modules'));
  expect(libraries).toEqual(expect.arrayContaining(['better-sqlite3', 'commander', 'zod']));
  for (const name of ['typescript', 'vitest', '@biomejs', '.bin']) expect(libraries).not.toContain(name);

  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string };
  expect(await inRoot(root.directory, ['debmend', '--version'])).toMatchObject({
    code: 0,
    stdout: `${version}\n`,
    stderr: '',
  });
  const audit = await inRoot(root.directory, ['debmend', 'audit', '--quick', '--json']);
  expect({ code: audit.code, stderr: audit.stderr }).toEqual({ code: 0, stderr: '' });
  expect(reportSchema.parse(JSON.parse(audit.stdout))).toMatchObject({
    findings: [],
    summary: { verdict: 'sound' },
  });
});

rootTest('a root that lacks a library of the shipped Node.js is told so', async () => {
  const root = await debianRoot('bookworm', { include: ['libatomic1'] });
  opened.push(root);
  for (const library of globSync('usr/lib/*/libatomic.so.1', { cwd: root.directory })) {
    rmSync(join(root.directory, library));
  }
  await expect(installDebmend(root.directory)).rejects.toThrow('without libatomic.so.1');
});

diskTest('a root on a disk outlives a cut, and what ran in it does not', async () => {
  const disk = throwawayDisk({ type: 'ext4' });
  opened.push(disk);
  await disk.fill('bookworm');
  const file = join(disk.directory, 'etc/unsynced');
  const running = inRoot(disk.directory, ['sh', '-c', 'while :; do date > /etc/unsynced; done']);
  await expect.poll(() => existsSync(file)).toBe(true);
  writeFileSync(file, 'from the outside\n');
  disk.cut();
  expect(await running).toMatchObject({ code: 137 });
  disk.restore();
  expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toBe('');
  expect(await inRoot(disk.directory, ['dpkg', '--verify'])).toMatchObject({
    code: 0,
    stdout: '',
    stderr: '',
  });
  expect(await inRoot(disk.directory, ['dpkg', '--audit'])).toMatchObject({
    code: 0,
    stdout: '',
    stderr: '',
  });
});
