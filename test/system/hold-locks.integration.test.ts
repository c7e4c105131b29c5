/** dpkg's locks held by debmend, against the real dpkg and apt (I5). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, expect } from 'vitest';
import { type HeldLocks, holdLocks } from '../../src/system/hold-locks.ts';
import { buildPackage } from '../lab/packages.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../lab/roots.ts';

let root: DebianRoot;
let admindir: string;
const held: HeldLocks[] = [];

async function hold(waitMs = 0): Promise<HeldLocks> {
  const locks = await holdLocks(admindir, waitMs);
  held.push(locks);
  return locks;
}

function inRoot(command: readonly string[], env: Record<string, string> = {}) {
  const result = spawnSync('chroot', [root.directory, ...command], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', ...env },
  });
  return { code: result.status, said: result.stdout + result.stderr };
}

/** Every file of dpkg's database whose name begins as a lock's does, with its size. */
function lockFiles(): Record<string, number> {
  const names = readdirSync(admindir).filter((name) => name.startsWith('lock'));
  return Object.fromEntries(names.sort().map((name) => [name, lstatSync(join(admindir, name)).size]));
}

const FREE = { lock: 0, 'lock-frontend': 0 };
const FRONTEND = 'dpkg frontend lock was locked by another process with pid';

rootDescribe('dpkg’s locks', () => {
  beforeAll(async () => {
    root = await debianRoot('bookworm');
    admindir = join(root.directory, 'var/lib/dpkg');
    return () => root.remove();
  });
  afterEach(() => {
    for (const locks of held.splice(0)) locks.release();
  });

  rootTest('I5: while they are held dpkg and apt are kept out, and say by whom', async () => {
    const locks = await hold();
    expect(locks.held()).toBe(true);
    const dpkg = inRoot(['dpkg', '--configure', '-a']);
    expect(dpkg.code).toBe(2);
    expect(dpkg.said).toContain(`${FRONTEND} ${process.pid}`);
    const apt = inRoot(['apt-get', '-y', 'install', '--reinstall', 'hostname']);
    expect(apt.code).toBe(100);
    expect(apt.said).toContain(
      `Could not get lock /var/lib/dpkg/lock-frontend. It is held by process ${process.pid}`,
    );
    // a dpkg that claims to have a front end with the lock meets the other one
    const below = inRoot(['dpkg', '--configure', '-a'], { DPKG_FRONTEND_LOCKED: 'true' });
    expect(below.said).toContain(`dpkg database lock was locked by another process with pid ${process.pid}`);
    expect(lockFiles()).toEqual(FREE);

    locks.release();
    locks.release();
    expect(locks.held()).toBe(false);
    expect(inRoot(['dpkg', '--configure', '-a'])).toEqual({ code: 0, said: '' });
    expect(lockFiles()).toEqual(FREE);
  });

  rootTest('I5: around dpkg only the dpkg that belongs to us gets in', async () => {
    const locks = await hold();
    const inside = await locks.aroundDpkg(async () => {
      expect(inRoot(['dpkg', '--configure', '-a']).said).toContain(FRONTEND);
      return inRoot(['dpkg', '--configure', '-a'], { DPKG_FRONTEND_LOCKED: 'true' });
    });
    expect(inside).toEqual({ code: 0, said: '' });
    expect(locks.held()).toBe(true);
    await expect(locks.aroundDpkg(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    expect(locks.held()).toBe(true);
  });

  rootTest('around an apt-get that locks itself they are handed over, and taken back', async () => {
    const locks = await hold();
    const deb = buildPackage({ name: 'tiny' }, root.directory).slice(root.directory.length);
    const apt = await locks.aroundApt(async () => inRoot(['apt-get', '-y', 'install', deb]));
    expect(apt).toMatchObject({ code: 0 });
    expect(locks.held()).toBe(true);
    expect(inRoot(['dpkg', '--configure', '-a']).said).toContain(FRONTEND);
  });

  rootTest('I5: while dpkg works they are not to be had, and waiting for its end is possible', async () => {
    const waiting = '#!/bin/sh\nuntil [ -e /tmp/go-on ]; do sleep 0.05; done\n';
    const deb = buildPackage({ name: 'slow', control: { postinst: waiting } }, root.directory);
    const dpkg = spawn('chroot', [root.directory, 'dpkg', '-i', deb.slice(root.directory.length)], {
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => dpkg.once('close', resolve));
    await until(() => readFileSync('/proc/locks', 'utf8').includes(` ${dpkg.pid} `));
    const message = `process ${dpkg.pid} (dpkg) holds ${admindir}/lock-frontend`;
    await expect(hold()).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining(message),
    });
    const before = performance.now();
    await expect(hold(300)).rejects.toMatchObject({ code: 'locked' });
    expect(performance.now() - before).toBeGreaterThan(300);
    const patient = hold(60_000);
    await sleep(200);
    writeFileSync(join(root.directory, 'tmp/go-on'), '');
    expect((await patient).held()).toBe(true);
    expect(await ended).toBe(0);
  });

  rootTest('one process has them once, and asking again takes nothing away', async () => {
    const locks = await hold();
    await expect(hold()).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining('this process itself'),
    });
    expect(locks.held()).toBe(true);
    expect(inRoot(['dpkg', '--configure', '-a']).said).toContain(FRONTEND);
  });

  rootTest('SIGKILL frees them', async () => {
    const source = `
      const { holdLocks } = await import(${JSON.stringify(import.meta.resolve('../../src/system/hold-locks.ts'))});
      await holdLocks(${JSON.stringify(admindir)}, 0);
      console.log('held');
      setInterval(() => {}, 1000);`;
    const holder: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => holder.once('close', resolve));
    await new Promise((resolve) => holder.stdout?.once('data', resolve));
    expect(inRoot(['dpkg', '--configure', '-a']).said).toContain(`${FRONTEND} ${holder.pid}`);
    holder.kill('SIGKILL');
    await ended;
    expect(inRoot(['dpkg', '--configure', '-a'])).toEqual({ code: 0, said: '' });
    expect(lockFiles()).toEqual(FREE);
  });

  rootTest(
    'a missing lock file is made as dpkg makes it, and what stands in one is no obstacle',
    async () => {
      rmSync(join(admindir, 'lock'));
      writeFileSync(join(admindir, 'lock-frontend'), Buffer.alloc(4096));
      expect((await hold()).held()).toBe(true);
      expect(lstatSync(join(admindir, 'lock')).mode & 0o7777).toBe(0o640);
      expect(inRoot(['dpkg', '--configure', '-a']).said).toContain(FRONTEND);
      expect(lockFiles()).toEqual(FREE);
    },
  );

  rootTest('I7: a link in a lock’s place is not followed, and no half of the locks is kept', async () => {
    const lock = join(admindir, 'lock');
    const victim = join(root.directory, 'tmp/victim');
    writeFileSync(victim, 'precious');
    rmSync(lock);
    symlinkSync(victim, lock);
    await expect(hold()).rejects.toMatchObject({ code: 'root-unwritable' });
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    rmSync(lock);
    mkdirSync(lock);
    await expect(hold()).rejects.toMatchObject({ code: 'root-unwritable' });
    rmSync(lock, { recursive: true });
    expect(inRoot(['dpkg', '--configure', '-a'])).toEqual({ code: 0, said: '' });
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    if (waited > 30_000) throw new Error(`waited in vain for ${condition}`);
    await sleep(20);
  }
}
