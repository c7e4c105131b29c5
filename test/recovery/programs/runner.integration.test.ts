/** A root's own programs at work: nothing of them stays, and nothing of the host is touched. */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect } from 'vitest';
import { Programs } from '../../../src/recovery/programs/runner.ts';
import { holdLocks } from '../../../src/system/hold-locks.ts';
import { Root } from '../../../src/system/root.ts';
import { inRoot } from '../../lab/chroot.ts';
import { type DebianRoot, debianRoot, rootDescribe, rootTest } from '../../lab/roots.ts';
import { build, must, states } from './lab.ts';

const TIMEOUT = { timeout: 60_000 };

rootDescribe('programs of another root', () => {
  let root: DebianRoot;
  let directory: string;
  let programs: Programs;
  const lines: string[] = [];

  beforeAll(async () => {
    root = await debianRoot('bookworm', { include: ['libatomic1'] });
    directory = root.directory;
    programs = await Programs.open(new Root(directory), { onOutput: (line) => lines.push(line) });
    return async () => {
      await programs.close();
      root.remove();
    };
  }, 600_000);

  /** The host's mounts, but for the disks and overlays that other tests make beside this one. */
  const mounted = (): string[] =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(directory) || !line.includes(`${dirname(directory)}/debmend-`));
  const sh = (script: string, options = {}) => programs.run('sh', ['-c', script], { ...TIMEOUT, ...options });

  rootTest('they see a system of their own, and the host and the root stay as they were', async () => {
    const mounts = mounted();
    const hostname = readFileSync('/proc/sys/kernel/hostname', 'utf8');
    const places = ['dev', 'run', 'proc', 'sys', 'tmp', 'usr/sbin'];
    const content = () => places.map((name) => readdirSync(join(directory, name)));
    const before = content();
    const { stdout, code } = await sh(`
      cat /proc/sys/kernel/hostname; ls /dev | tr '\\n' ' '; echo; ls /run; cat /sys/kernel/notes >/dev/null && echo sys
      echo x > /dev/null && head -c 3 /dev/zero | wc -c; ls /proc | grep -c '^[0-9]'; ls /sys/class/net
      touch /run/mine /dev/mine; echo changed > /proc/sys/kernel/hostname || echo refused`);
    expect(code).toBe(0);
    expect(stdout.trim().split('\n')).toEqual([
      'debian',
      'fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ',
      'lock',
      'sys',
      '3',
      expect.stringMatching(/^[1-9]$/),
      'lo',
      'refused',
    ]);
    expect(content()).toEqual(before);
    expect(mounted()).toEqual(mounts);
    expect(readFileSync('/proc/sys/kernel/hostname', 'utf8')).toBe(hostname);
    expect(lines).toContain('debian');
  });

  rootTest('what they leave running ends with them, and does not hold them up', async () => {
    const begun = performance.now();
    const { code, stdout } = await sh('(exec sleep 98765) & setsid sleep 98766 & echo started');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'started\n' });
    expect(performance.now() - begun).toBeLessThan(30_000);
    expect(running('sleep\x009876')).toEqual([]);
    const late = await sh('setsid sleep 98766 & exec sleep 98765', { timeout: 1500 });
    expect(late).toMatchObject({ timedOut: true, interrupted: false });
    await until(() => running('sleep\x009876').length === 0);
  });

  rootTest('SIGKILL of debmend ends all of it', async () => {
    const source = `
      const { Programs } = await import(${JSON.stringify(import.meta.resolve('../../../src/recovery/programs/runner.ts'))});
      const { Root } = await import(${JSON.stringify(import.meta.resolve('../../../src/system/root.ts'))});
      const programs = await Programs.open(new Root(${JSON.stringify(directory)}));
      await programs.run('sh', ['-c', 'setsid sleep 98767 & exec sleep 98767'], { timeout: 600000 });`;
    const mounts = mounted();
    const node = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' });
    await until(() => running('sleep\x0098767').length === 2);
    node.kill('SIGKILL');
    await until(() => running('sleep\x0098767').length === 0);
    expect(mounted()).toEqual(mounts);
  });

  rootTest('a signal ends what runs, and lets nothing else begin', async () => {
    const controller = new AbortController();
    const mine = await Programs.open(new Root(directory), { signal: controller.signal });
    const run = mine.run('sleep', ['98768'], TIMEOUT);
    await until(() => running('sleep\x0098768').length > 0);
    controller.abort();
    expect(await run).toMatchObject({ interrupted: true });
    await until(() => running('sleep\x0098768').length === 0);
    expect(await mine.run('true', [], TIMEOUT)).toMatchObject({ code: undefined, interrupted: true });
    await mine.close();
  });

  rootTest('files of the host are shown read-only where they are asked for', async () => {
    const file = import.meta.filename;
    const name = programs.inside(file);
    const { stdout } = await sh(`cat ${name}; echo x > ${name} || echo refused`, { visible: [file] });
    expect(stdout).toBe(`${readFileSync(file, 'latin1')}refused\n`);
    expect((await sh(`cat ${name}`)).code).not.toBe(0);
    expect(programs.inside(join(directory, 'srv/x.deb'))).toBe('/srv/x.deb');
  });

  rootTest('no service is started, whatever way a maintainer script takes', async () => {
    const init =
      '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: tiny\n# Default-Start: 2 3 4 5\n### END INIT INFO\ntouch /tiny-started\n';
    const postinst = `#!/bin/sh
ln -sf ../init.d/tiny /etc/rc2.d/S01tiny
invoke-rc.d tiny start
invoke-rc.d tiny restart
if [ -d /run/systemd/system ]; then deb-systemd-invoke start tiny.service; fi
exit 0
`;
    const deb = build(directory, {
      name: 'tiny',
      files: {
        '/etc/init.d/tiny': { content: init, mode: 0o755 },
        '/sbin/init': { content: init, mode: 0o755 },
      },
      control: { postinst },
    });
    const result = await programs.dpkg(['--install', programs.inside(deb)], [deb]);
    expect(result).toMatchObject({ code: 0, problems: [] });
    expect(readdirSync(directory)).not.toContain('tiny-started');
    expect(readdirSync(join(directory, 'usr/sbin'))).not.toContain('policy-rc.d');
    await programs.dpkg(['--purge', 'tiny']);
  });

  rootTest('dpkg keeps conffiles, and what fails is said', async () => {
    const conf = { files: { '/etc/tc.conf': 'old\n' }, conffiles: ['/etc/tc.conf'] };
    const old = build(directory, { name: 'tc', ...conf });
    const two = build(directory, { name: 'tc', version: '2.0', ...conf, files: { '/etc/tc.conf': 'new\n' } });
    const bad = build(directory, { name: 'bad', control: { postinst: '#!/bin/sh\necho why >&2; exit 7\n' } });
    expect(await programs.dpkg(['-i', programs.inside(old)], [old])).toMatchObject({ problems: [] });
    writeFileSync(join(directory, 'etc/tc.conf'), 'mine\n');
    const debs = [two, bad];
    const { code, problems } = await programs.dpkg(['-i', ...debs.map((deb) => programs.inside(deb))], debs);
    expect(code).toBe(1);
    expect(problems).toEqual([
      {
        by: 'dpkg',
        package: 'bad',
        operation: '--install',
        message: 'installed bad package post-installation script subprocess returned error exit status 7',
      },
    ]);
    expect(readFileSync(join(directory, 'etc/tc.conf'), 'utf8')).toBe('mine\n');
    expect(states(directory, 'tc', 'bad')).toEqual(['bad:all 1.0 iF', 'tc:all 2.0 ii']);
    expect(await programs.run('nosuch', [], TIMEOUT)).toMatchObject({
      code: 127,
      failure: expect.stringContaining('nosuch'),
    });
  });

  rootTest('I5: while apt-get and dpkg run for us nobody else gets in', async () => {
    const locks = await holdLocks(join(directory, 'var/lib/dpkg'), 0);
    const mine = await Programs.open(new Root(directory), { locks });
    const waiting = '#!/bin/sh\ntouch /tmp/waits; until [ -e /tmp/go-on ]; do sleep 0.05; done\n';
    const deb = build(directory, { name: 'slow', control: { postinst: waiting } });
    const work = mine.aptGet(['install', mine.inside(deb)], { visible: [deb] });
    await until(() => readdirSync(join(directory, 'tmp')).includes('waits'));
    expect(() => must(directory, 'env', '-u', 'DPKG_FRONTEND_LOCKED', 'dpkg', '--configure', '-a')).toThrow(
      'frontend lock was locked',
    );
    expect(() => must(directory, 'apt-get', '-y', 'install', '--reinstall', 'hostname')).toThrow(
      'held by process',
    );
    writeFileSync(join(directory, 'tmp/go-on'), '');
    await work;
    expect(states(directory, 'slow')).toEqual(['slow:all 1.0 ii']);
    expect(locks.held()).toBe(true);
    locks.release();
  });

  rootTest('a directory that is no system’s root is refused', async () => {
    const empty = join(directory, 'srv/empty');
    mkdirSync(empty);
    await expect(Programs.open(new Root(empty))).rejects.toMatchObject({ code: 'cannot-run-programs' });
  });

  rootTest('in its own root dpkg comes to its end when debmend is killed', async () => {
    const checkout = join(import.meta.dirname, '../../..');
    cpSync(join(checkout, 'src'), join(directory, 'opt/src'), { recursive: true });
    cpSync(join(checkout, 'package.json'), join(directory, 'opt/package.json'));
    cpSync(process.execPath, join(directory, 'opt/node'));
    const slow = '#!/bin/sh\nsleep 3\nseq 20000\necho done > /tmp/came-to-its-end\n';
    build(directory, { name: 'chatty', control: { postinst: slow } });
    writeFileSync(
      join(directory, 'opt/main.ts'),
      `const { Programs } = await import('/opt/src/recovery/programs/runner.ts');
       const { Root } = await import('/opt/src/system/root.ts');
       const programs = await Programs.open(new Root('/'));
       setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1500);
       await programs.dpkg(['-i', '/srv/debs/chatty_1.0_all.deb']);`,
    );
    const script =
      '/opt/node /opt/main.ts; code=$?; while pidof dpkg >/dev/null; do sleep 0.1; done; echo $code';
    const ended = await inRoot(directory, ['sh', '-c', script]);
    expect(ended.stdout).toBe('137\n');
    expect(readFileSync(join(directory, 'tmp/came-to-its-end'), 'utf8')).toBe('done\n');
    expect(states(directory, 'chatty')).toEqual(['chatty:all 1.0 ii']);
  });
});

/** Processes whose command line begins so. */
function running(command: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(command);
    } catch {
      return false;
    }
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    if (waited > 30_000) throw new Error(`waited in vain for ${condition}`);
    await sleep(20);
  }
}
