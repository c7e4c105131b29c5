import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { readMounts } from '../../src/system/mounts.ts';
import { type DebianRoot, type DebianRootOptions, type DebianSuite, debianRoot, rootTest } from './roots.ts';

/** What a program says, to both of its outputs, and how it ends. */
function say(program: string, ...args: string[]): { code: number | null; output: string } {
  const result = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  return { code: result.status, output: `${result.stdout}${result.stderr}` };
}
const silence = { code: 0, output: '' };

const mountsBeneath = (directory: string) =>
  readMounts().filter(({ mountPoint }) => `${mountPoint}/`.startsWith(`${directory}/`));

const opened: DebianRoot[] = [];
async function open(suite: DebianSuite, options?: DebianRootOptions): Promise<DebianRoot> {
  const root = await debianRoot(suite, options);
  opened.push(root);
  return root;
}
afterEach(() => {
  for (const root of opened.splice(0)) root.remove();
});

for (const suite of ['bookworm', 'trixie'] as const) {
  rootTest(`${suite}: a root in which dpkg finds nothing wrong`, async () => {
    const { directory } = await open(suite);
    expect(readFileSync(join(directory, 'etc/os-release'), 'utf8')).toContain(`VERSION_CODENAME=${suite}\n`);
    expect(say('dpkg', '--root', directory, '--audit')).toEqual(silence);
    expect(say('chroot', directory, 'dpkg', '--verify')).toEqual(silence);
    expect(say('chroot', directory, 'dpkg', '--audit')).toEqual(silence);
  });

  rootTest(`${suite}: a root as a user would have it`, async () => {
    const { directory } = await open(suite);
    const at = (path: string) => join(directory, path);
    // nothing of this host's, nor of mmdebstrap's
    expect(readdirSync(at('etc/dpkg/dpkg.cfg.d'))).toEqual([]);
    expect(readdirSync(at('etc/apt/apt.conf.d')).sort()).toEqual(['01autoremove', '70debconf']);
    expect(existsSync(at('usr/sbin/policy-rc.d'))).toBe(false);
    expect(readdirSync(at('tmp'))).toEqual([]);
    expect(readdirSync(at('proc'))).toEqual([]);
    expect(readFileSync(at('etc/hosts'), 'utf8')).toContain('127.0.0.1\tlocalhost\n');
    // what an installation leaves behind
    expect(readFileSync(at('var/log/dpkg.log'), 'utf8')).toMatch(/ status installed base-files:/);
    expect(readdirSync(at('var/cache/apt/archives')).filter((name) => name.endsWith('.deb'))).toEqual([]);
    // apt knows the packages, and /dev/null works without a mount
    expect(say('chroot', directory, 'sh', '-c', 'apt-cache policy hello > /dev/null')).toEqual(silence);
    expect(say('chroot', directory, 'apt-cache', 'policy', 'hello').output).toMatch(/Candidate: \d/);
  });
}

rootTest('a root is private: what one test does to its own shows in no other', async () => {
  const first = await open('bookworm');
  const file = (root: DebianRoot) => join(root.directory, 'etc/debian_version');
  const sound = readFileSync(file(first), 'utf8');
  writeFileSync(file(first), '');
  const second = await open('bookworm');
  expect(second.directory).not.toBe(first.directory);
  expect(readFileSync(file(second), 'utf8')).toBe(sound);
  expect(readFileSync(file(first), 'utf8')).toBe('');
});

rootTest('keepArchives keeps the archive of every package, and apt reinstalls from it', async () => {
  const { directory } = await open('bookworm', { include: ['iputils-ping'], keepArchives: true });
  const query = say('dpkg-query', '--root', directory, '-W').output.trim().split('\n');
  const names = query.map((line) => line.replace(/[:\t].*$/, ''));
  const archives = readdirSync(join(directory, 'var/cache/apt/archives')).filter((n) => n.endsWith('.deb'));
  expect(names).toContain('iputils-ping');
  expect(archives.map((name) => name.split('_')[0]).sort()).toEqual(names.sort());

  rmSync(join(directory, 'bin/hostname'));
  const reinstall = ['apt-get', 'install', '-y', '--reinstall', '--no-download', 'hostname'];
  expect(say('chroot', directory, ...reinstall).code).toBe(0);
  expect(say('chroot', directory, 'dpkg', '--verify')).toEqual(silence);
});

rootTest('file capabilities survive the cache', async () => {
  const { directory } = await open('bookworm', { include: ['iputils-ping'], keepArchives: true });
  expect(say('chroot', directory, 'getcap', '/bin/ping').output).toContain('cap_net_raw=ep');
});

rootTest('remove leaves nothing, and refuses while something is mounted', async () => {
  const root = await open('bookworm');
  const proc = join(root.directory, 'proc');
  expect(say('mount', '-t', 'proc', 'proc', proc)).toEqual(silence);
  try {
    expect(() => root.remove()).toThrow(`${proc} is still mounted`);
    expect(existsSync(join(root.directory, 'etc/passwd'))).toBe(true);
  } finally {
    expect(say('umount', proc)).toEqual(silence);
  }
  root.remove();
  expect(existsSync(root.directory)).toBe(false);
  expect(() => root.remove()).not.toThrow();
});

const MODULE = JSON.stringify(new URL('roots.ts', import.meta.url).href);

/** Another process that makes and removes a root, with a cache of its own. */
function other(
  cache: string,
  suite: DebianSuite,
  options = '{}',
  watch: (child: ChildProcess) => void = () => {},
): Promise<{ code: number | null; error: string }> {
  const source = `const { debianRoot } = await import(${MODULE}); (await debianRoot('${suite}', ${options})).remove();`;
  const env = { ...process.env, DEBMEND_TEST_CACHE: cache };
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    env,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  watch(child);
  let error = '';
  child.stderr.on('data', (chunk: Buffer) => {
    error += chunk.toString('utf8');
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, error })));
}

async function withCache(body: (cache: string) => Promise<void>): Promise<void> {
  const cache = mkdtempSync(join(tmpdir(), 'debmend-roots-test-'));
  try {
    await body(cache);
  } finally {
    rmSync(cache, { recursive: true });
  }
}

/** Names in a cache, as their endings. */
const endings = (cache: string) => readdirSync(cache).map((name) => name.replace(/^.*\./, ''));

rootTest('two processes at once build one tarball, and a third takes it', async () => {
  await withCache(async (cache) => {
    const done = { code: 0, error: '' };
    const both = await Promise.all([other(cache, 'bookworm'), other(cache, 'bookworm')]);
    expect(both).toEqual([done, done]);
    expect(endings(cache).sort()).toEqual(['lock', 'tar']);
    const tarball = join(cache, readdirSync(cache).find((name) => name.endsWith('.tar')) ?? '');
    const { ino, mtimeMs } = statSync(tarball);
    expect(await other(cache, 'bookworm')).toEqual(done);
    expect(statSync(tarball)).toMatchObject({ ino, mtimeMs });
    // and when it is eight days old it is built again
    utimesSync(tarball, new Date(), new Date(Date.now() - 8 * 24 * 60 * 60 * 1000));
    expect(await other(cache, 'bookworm')).toEqual(done);
    expect(statSync(tarball).ino).not.toBe(ino);
  });
});

rootTest('a build that fails says why and leaves no tarball, scratch directory or mount', async () => {
  await withCache(async (cache) => {
    const { code, error } = await other(cache, 'bookworm', `{ include: ['no-such-package-debmend'] }`);
    expect(code).not.toBe(0);
    expect(error).toContain('Unable to locate package no-such-package-debmend');
    expect(endings(cache)).toEqual(['lock']);
    expect(mountsBeneath(cache)).toEqual([]);
  });
});

rootTest(
  'a build that is killed leaves no mount or process, and the next one clears what it left',
  async () => {
    await withCache(async (cache) => {
      const killed = other(cache, 'bookworm', '{}', (child) => {
        // mmdebstrap has mounted /proc by the time that dpkg has written its log.
        const installing = (directory: string) => existsSync(join(directory, 'var/log/dpkg.log'));
        const timer = setInterval(() => {
          const scratch = readdirSync(cache).find((name) => name.endsWith('.scratch'));
          if (scratch === undefined) return;
          const inside = readdirSync(join(cache, scratch)).map((name) => join(cache, scratch, name));
          if (inside.some(installing)) child.kill('SIGKILL');
        }, 20);
        child.once('exit', () => clearInterval(timer));
      });
      expect((await killed).code).toBe(null);
      expect(endings(cache).sort()).toEqual(['lock', 'scratch']);
      expect(mountsBeneath(cache)).toEqual([]);
      expect(await other(cache, 'bookworm')).toEqual({ code: 0, error: '' });
      expect(endings(cache).sort()).toEqual(['lock', 'tar']);
    });
  },
);
