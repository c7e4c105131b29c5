/** Who else is at work: dpkg's locks (I5), a database that changes under the audit, and a person who interrupts it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { rootTest } from '../lab/roots.ts';
import {
  at,
  atEnd,
  auditOf,
  BIN,
  buildDeb,
  debmend,
  install,
  open,
  type Said,
  temporaryDirectory,
} from './lab.ts';

/** A program that runs beside the test and ends with it. */
function beside(program: string, ...args: string[]): ChildProcess & { readonly ended: Promise<Said> } {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  atEnd(() => child.kill('SIGKILL'));
  const ended = new Promise<Said>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return Object.assign(child, { ended });
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    if (waited > 30_000) throw new Error(`waited in vain for ${condition}`);
    await sleep(20);
  }
}

/** The process that holds a lock file's fcntl lock, as the kernel tells it. */
function holds(pid: number | undefined): boolean {
  return new RegExp(`^\\d+: POSIX +ADVISORY +WRITE +${pid} `, 'm').test(readFileSync('/proc/locks', 'utf8'));
}

rootTest('while dpkg works nothing is audited, unless asked for', async () => {
  const directory = await open('trixie');
  const waiting = '#!/bin/sh\nuntil [ -e /tmp/go-on ]; do sleep 0.05; done\n';
  const deb = buildDeb(directory, { name: 'tiny', control: { postinst: waiting } });
  const dpkg = beside('chroot', directory, 'dpkg', '-i', deb);
  atEnd(() => writeFileSync(at(directory, 'tmp/go-on'), ''));
  await until(() => holds(dpkg.pid));

  const refused = debmend('audit', '--root', directory);
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 4, stdout: '' });
  const lock = at(directory, 'var/lib/dpkg/lock-frontend');
  expect(refused.stderr).toContain(`auditing while process ${dpkg.pid} (dpkg) holds ${lock} [locked]\n`);
  expect(refused.stderr).toMatch(/^hint: .*--ignore-lock/m);
  expect(debmend('audit', '--root', directory, '--quick', '--json').code).toBe(4);
  await expect(auditOf(directory)).rejects.toMatchObject({ code: 'locked' });

  // what is half-way is reported as it stands
  await until(() => readdirSync(at(directory, 'var/lib/dpkg/info')).includes('tiny.postinst'));
  const asked = debmend('audit', '--root', directory, '--ignore-lock', '--json');
  expect(asked.code).toBe(1);
  expect(asked.stdout).toContain('"package-half-configured"');

  writeFileSync(at(directory, 'tmp/go-on'), '');
  expect(await dpkg.ended).toMatchObject({ code: 0 });
  expect(debmend('audit', '--root', directory).code).toBe(0);
});

rootTest('a front end that holds its lock while dpkg does not run is respected too', async () => {
  const directory = await open('trixie');
  const lock = at(directory, 'var/lib/dpkg/lock-frontend');
  // apt's own fcntl lock, taken by the SQLite that the project ships (facts: dpkg, "Locks").
  const source = `
    const { default: Database } = await import(${JSON.stringify(import.meta.resolve('better-sqlite3'))});
    new Database(${JSON.stringify(lock)}).exec('BEGIN EXCLUSIVE');
    setInterval(() => {}, 1000);`;
  const holder = beside(process.execPath, '--input-type=module', '-e', source);
  await until(() => holds(holder.pid));
  const refused = debmend('audit', '--root', directory);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toContain(`process ${holder.pid} (`);
  expect(debmend('audit', '--root', directory, '--ignore-lock').code).toBe(0);
  holder.kill('SIGKILL');
  await holder.ended;
  expect(debmend('audit', '--root', directory).code).toBe(0);
});

rootTest('a database that changes during the audit is no ground for a verdict', async () => {
  const directory = await open('trixie');
  const status = at(directory, 'var/lib/dpkg/status');
  const replace = () => {
    copyFileSync(status, `${status}-test`);
    renameSync(`${status}-test`, status);
  };
  const timer = setInterval(replace, 20);
  atEnd(() => clearInterval(timer));
  const changed = await beside(BIN, 'audit', '--root', directory, '--json').ended;
  expect({ code: changed.code, stdout: changed.stdout }).toEqual({ code: 3, stdout: '' });
  expect(changed.stderr).toContain('[database-changed]\n');
  expect(changed.stderr).toMatch(/^hint: .*audit again/m);
  // who ignores locks takes it as it comes
  expect(await beside(BIN, 'audit', '--root', directory, '--ignore-lock').ended).toMatchObject({ code: 0 });
  clearInterval(timer);
  expect(debmend('audit', '--root', directory).code).toBe(0);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  rootTest(`${signal} ends the audit at once and leaves nothing behind`, async () => {
    const directory = await open('trixie');
    install(directory, { name: 'tiny', files: { '/usr/share/tiny/large': 'large\n' } });
    // As large as a file of a package can be, so that reading it takes a minute; it is sparse.
    truncateSync(at(directory, 'usr/share/tiny/large'), 9.9e9);
    const output = temporaryDirectory();
    const run = beside(BIN, 'audit', '--root', directory, '--output', join(output, 'report.json'), '--json');
    const read = () => Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${run.pid}/io`, 'utf8'))?.[1]);
    await until(() => read() > 300e6);
    const sent = performance.now();
    run.kill(signal);
    const { code, stdout, stderr } = await run.ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(performance.now() - sent).toBeLessThan(2000);
    expect(stderr).toContain('[interrupted]\n');
    expect(readdirSync(output)).toEqual([]);
  });
}
