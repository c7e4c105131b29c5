import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readHeartbeat } from '../../src/outage/heartbeat.ts';
import { openStore } from '../../src/snapshot/store.ts';
import { Root } from '../../src/system/root.ts';
import { listNotices } from '../../src/watch/notices.ts';
import { debmend } from '../cli/debmend.ts';
import { HELLO, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';
import { type Agent, killAgents, launchAgent, startAgent } from './agent.ts';

let root: TinyRoot;
beforeEach(() => {
  root = tinyRoot([HELLO]);
  for (const directory of ['var/lib/dpkg/updates', 'var/log', 'boot'])
    mkdirSync(root.at(`/${directory}`), { recursive: true });
});
afterEach(() => {
  killAgents();
  root.remove();
});

const quick = 'watch: { heartbeat: 1, poll: 1, sample: 1 }\n';
function start(config = quick): Promise<Agent> {
  root.write('/config.yaml', config);
  const taken = debmend(['snapshot', 'create', '--root', root.directory]);
  expect(taken.stderr).toBe('');
  return startAgent(['--root', root.directory, '--config', root.at('/config.yaml')]);
}
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const notices = async () => {
  const store = await openStore(new Root(root.directory));
  const found = listNotices(store).map(({ event }) => event);
  store.close();
  return found;
};
const hello = (event: { path: string }) => event.path === '/usr/bin/hello';

describe('a guarded file of a package', () => {
  it('is said within two seconds when it is changed, with the package and what is different', async () => {
    const agent = await start();
    const before = performance.now();
    appendFileSync(root.at('/usr/bin/hello'), '# a rootkit\n');
    const event = await agent.event('owned-file-changed', hello);
    expect(performance.now() - before).toBeLessThan(2000);
    expect(event).toMatchObject({ package: 'hello', changed: ['content'] });
  });

  it('is said once a state, however often it is touched', async () => {
    const agent = await start();
    for (let times = 0; times < 20; times += 1) {
      writeFileSync(root.at('/usr/bin/hello'), `version ${times}\n`);
      await pause(10);
    }
    await agent.event('owned-file-changed', hello);
    await pause(700);
    writeFileSync(root.at('/usr/bin/hello'), 'version 19\n'); // the same again
    chmodSync(root.at('/usr/bin/hello'), 0o644);
    await pause(1000);
    chmodSync(root.at('/usr/bin/hello'), 0o600);
    await agent.event('owned-file-changed', (event) => event.changed.includes('mode'));
    expect(agent.of('owned-file-changed').map(({ changed }) => changed)).toEqual([
      ['content'],
      ['mode', 'content'],
    ]);
  });

  it('counts once when an editor replaces it, and is said again when it is as it was', async () => {
    const agent = await start();
    const file = root.at('/usr/bin/hello');
    const content = readFileSync(file);
    // What vim and emacs do.
    renameSync(file, `${file}~`);
    writeFileSync(`${file}.tmp`, 'edited\n');
    renameSync(`${file}.tmp`, file);
    await agent.event('owned-file-changed', hello);
    unlinkSync(file);
    writeFileSync(file, content);
    await agent.event('owned-file-restored', hello);
    expect(agent.of('owned-file-changed').map(({ changed }) => changed)).toEqual([['content']]);
  });

  it('may be gone, be something else, or be in a directory that was moved away and back', async () => {
    root.write('/usr/lib/systemd/hello/unit.d/x.conf', 'x');
    appendFileSync(root.at('/var/lib/dpkg/info/hello.list'), '/usr/lib/systemd/hello/unit.d/x.conf\n');
    const agent = await start();
    rmSync(root.at('/usr/bin/hello'));
    await agent.event('owned-file-changed', ({ changed }) => changed[0] === 'missing');
    symlinkSync('dpkg', root.at('/usr/bin/hello'));
    await agent.event('owned-file-changed', ({ changed }) => changed[0] === 'type');
    const unit = ({ path }: { path: string }) => path === '/usr/lib/systemd/hello/unit.d/x.conf';
    renameSync(root.at('/usr/lib/systemd/hello'), root.at('/usr/lib/systemd/away'));
    await agent.event('owned-file-changed', unit);
    renameSync(root.at('/usr/lib/systemd/away'), root.at('/usr/lib/systemd/hello'));
    await agent.event('owned-file-restored', unit);
    appendFileSync(root.at('/usr/lib/systemd/hello/unit.d/x.conf'), 'y'); // it is watched where it is now
    await agent.event('owned-file-changed', (event) => unit(event) && event.changed[0] === 'content');
  });

  it('is seen in a directory that is made anew, and in one with a backslash in its name', async () => {
    const odd = '/etc/systemd/dev-disk-by\\x2dlabel.d/x.conf';
    root.write(odd, 'x');
    appendFileSync(root.at('/var/lib/dpkg/info/hello.list'), `${odd}\n`);
    const agent = await start();
    appendFileSync(root.at(odd), 'y');
    await agent.event('owned-file-changed', ({ path }) => path === odd);
    rmSync(root.at('/etc/systemd'), { recursive: true });
    await agent.event('owned-file-changed', ({ changed }) => changed[0] === 'missing');
    root.write(odd, 'x');
    await agent.event('owned-file-restored', ({ path }) => path === odd);
    for (let times = 0; times < 30; times += 1) {
      rmSync(root.at('/etc/systemd'), { recursive: true });
      root.write(odd, 'x');
      await pause(5);
    }
    await pause(600);
    appendFileSync(root.at(odd), 'zz');
    await agent.event(
      'owned-file-changed',
      (event) =>
        event.path === odd && event.changed[0] === 'content' && agent.of('owned-file-changed').length >= 3,
    );
  });

  it("is information when it is a conffile, and nothing when it is nobody's or only touched", async () => {
    const agent = await start();
    writeFileSync(root.at('/etc/mine'), 'mine\n');
    writeFileSync(root.at('/usr/bin/hello'), readFileSync(root.at('/usr/bin/hello')));
    writeFileSync(root.at('/etc/hello.conf'), 'greeting = hi\n');
    expect(await agent.event('conffile-changed')).toMatchObject({
      path: '/etc/hello.conf',
      package: 'hello',
      changed: ['content'],
    });
    await pause(700);
    expect(agent.events.map(({ kind }) => kind)).toEqual(['started', 'conffile-changed']);
  });

  it('is seen in a burst of more events than the kernel keeps', async () => {
    const agent = await start();
    process.kill(agent.pid, 'SIGSTOP'); // so that the queue overflows for certain
    for (let at = 0; at < 20_000; at += 1) writeFileSync(root.at(`/usr/bin/other-${at}`), '');
    appendFileSync(root.at('/usr/bin/hello'), 'x');
    process.kill(agent.pid, 'SIGCONT');
    await agent.event('owned-file-changed', hello);
  });

  it('with a name that is no UTF-8 is seen too', async () => {
    appendFileSync(root.at('/var/lib/dpkg/info/hello.list'), Buffer.from('/usr/bin/caf\xe9\n', 'latin1'));
    const file = Buffer.from(root.at('/usr/bin/caf\xe9'), 'latin1');
    writeFileSync(file, 'x');
    const agent = await start();
    appendFileSync(file, 'y');
    await agent.event('owned-file-changed', ({ path }) => path === 'file:///usr/bin/caf%E9');
  });
});

describe('what an agent leaves behind', () => {
  it('is a heartbeat that advances, and a last one that says that it stopped', async () => {
    const agent = await start();
    const file = join(root.directory, 'var/lib/debmend/heartbeat');
    const beat = () => {
      const reading = readHeartbeat(file);
      if (reading.kind !== 'beat') throw new Error(reading.kind);
      return reading.beat;
    };
    const first = beat();
    expect(first).toMatchObject({ every: 1, stopped: false });
    expect(first.boot).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    await pause(2500);
    const later = beat();
    expect(later.sequence).toBeGreaterThanOrEqual(first.sequence + 2);
    expect((later.uptime ?? 0) - (first.uptime ?? 0)).toBeGreaterThan(1.5);
    expect(await agent.end()).toMatchObject({ code: 0 });
    expect(beat()).toMatchObject({ stopped: true });
    expect(beat().sequence).toBeGreaterThan(later.sequence);
  });

  it('survives a kill: the beat before is whole, and the next agent counts on', async () => {
    const agent = await start();
    await agent.end('SIGKILL');
    const before = readHeartbeat(join(root.directory, 'var/lib/debmend/heartbeat'));
    expect(before).toMatchObject({ kind: 'beat', beat: { stopped: false } });
    const again = await startAgent(['--root', root.directory]);
    await again.end();
    const after = readHeartbeat(join(root.directory, 'var/lib/debmend/heartbeat'));
    expect(
      after.kind === 'beat' && before.kind === 'beat' && after.beat.sequence - before.beat.sequence,
    ).toBe(2);
  });

  it('is a record of what matters, in the store', async () => {
    const agent = await start();
    appendFileSync(root.at('/usr/bin/hello'), 'x');
    const event = await agent.event('owned-file-changed', hello);
    await agent.end();
    expect(await notices()).toEqual([event]);
  });
});

describe('an agent that is told to stop', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`by ${signal} stops within a second, says so, and exits with 0`, async () => {
      const agent = await start();
      const { code, ms } = await agent.end(signal);
      expect(code).toBe(0);
      expect(ms).toBeLessThan(1000);
      expect(agent.events.at(-1)).toMatchObject({ kind: 'stopped' });
      expect(agent.stderr).toBe('');
    });
  }

  it('while it begins stops too', async () => {
    for (const ms of [50, 150, 250, 350, 450, 550]) {
      const agent = launchAgent(['--root', root.directory]);
      await pause(ms);
      const ended = await agent.end();
      // Before it listens for the signal, the signal ends it.
      expect([0, null]).toContain(ended.code);
      expect(ended.ms).toBeLessThan(1500);
    }
    const store = await openStore(new Root(root.directory));
    expect(store.setAside).toBeUndefined();
    store.close();
  });
});

describe('an agent', () => {
  it('is the only one of its root', async () => {
    const agent = await start();
    const other = debmend(['watch', '--root', root.directory]);
    expect(other.code).toBe(4);
    expect(other.stderr).toContain(`another agent does that already, process ${agent.pid} [locked]`);
  });

  it('says that nothing is known where there is no snapshot', async () => {
    const agent = await startAgent(['--root', root.directory]);
    await agent.event('no-snapshot');
  });

  it('refuses a root without a dpkg database', () => {
    rmSync(root.at('/var/lib/dpkg'), { recursive: true });
    const { code, stderr } = debmend(['watch', '--root', root.directory]);
    expect(code).toBe(3);
    expect(stderr).toContain('[no-dpkg-database]');
  });
});
