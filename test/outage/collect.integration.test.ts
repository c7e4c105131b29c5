/** All evidence from real files: journals by journald, wtmp by utmpdump, a disk of another machine, and a running one. */
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EvidenceKind, type Outage, outageReportSchema, outageSchema } from '../../src/model/outage.ts';
import { collectEvidence } from '../../src/outage/collect.ts';
import { keepFsckLog } from '../../src/outage/fsck-log.ts';
import { HeartbeatFile } from '../../src/outage/heartbeat.ts';
import { mergeEvidence } from '../../src/outage/merge.ts';
import { Root } from '../../src/system/root.ts';
import { debmend, shell, straceTest, traced } from '../cli/debmend.ts';
import { type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';
import { journaldTest, logBoots } from './journald.ts';

const FIRST = '11111111-1111-4111-8111-111111111111';
const SECOND = '22222222-2222-4222-8222-222222222222';
const THIRD = '33333333-3333-4333-8333-333333333333';
const FOURTH = '44444444-4444-4444-8444-444444444444';
const STORE = '/var/lib/debmend';
/** Nothing is too slow here: what is asked for is what it says, on a busy machine too. */
const LIMIT = 60_000;

let root: TinyRoot;
let started: Date;
beforeEach(() => {
  started = new Date();
  root = tinyRoot();
  mkdirSync(root.at(STORE), { recursive: true, mode: 0o700 });
});
afterEach(() => root.remove());

/** Of a machine that was booted now, after all that the test wrote. */
async function running(boot = THIRD, now = new Date(Date.now() + 20_000), uptime = 20): Promise<Outage> {
  const { evidence } = await collectEvidence({
    root: new Root(root.directory),
    directory: root.at(STORE),
    running: { boot, uptime, now },
    limit: LIMIT,
  });
  return mergeEvidence(evidence);
}
const of = (outage: Outage, kind: EvidenceKind) => outage.evidence.filter((item) => item.kind === kind);
const mark = (boot: string): void => {
  root.write(`${STORE}/running`, `boot=${boot} at=${started.toISOString()} uptime=1.50\n`);
};
function wtmp(...records: [type: number, user: string, at: string][]): void {
  const text = records
    .map(
      ([type, user, at]) =>
        `[${type}] [00000] [~~  ] [${user.padEnd(8)}] [~           ] [6.1.0               ] [0.0.0.0        ] [${at},000000+00:00]\n`,
    )
    .join('');
  const made = spawnSync('utmpdump', ['-r'], { input: text });
  if (made.status !== 0) throw new Error(`utmpdump: ${made.stderr}`);
  root.write('/var/log/wtmp', made.stdout);
}

describe('a journal by journald itself', () => {
  journaldTest(
    'of a boot that was cut: no Journal stopped, and the next journald renamed its file',
    async () => {
      logBoots(root.directory, [
        { boot: FIRST, end: 'stop' },
        { boot: SECOND, end: 'kill' },
        { boot: THIRD, end: 'kill' },
      ]);
      mark(SECOND);
      const outage = await running(THIRD, new Date(), 1);
      expect(outage).toMatchObject({ verdict: 'unclean', boot: SECOND });
      expect(outageSchema.parse(outage)).toEqual(outage);
      expect(of(outage, 'journal-not-stopped')).toMatchObject([
        { boot: SECOND, text: expect.stringContaining(`the last words of ${SECOND}`) },
      ]);
      expect(of(outage, 'journal-renamed')).toMatchObject([{ boot: THIRD }]);
      expect(of(outage, 'boot-first-entry')).toMatchObject([{ boot: THIRD }]);
      expect(of(outage, 'alive').filter(({ boot }) => boot === SECOND)).toHaveLength(1);
      // In mid-boot it is another matter: a journald was killed.
      expect(of(await running(THIRD, new Date(), 3600), 'journal-renamed')).toHaveLength(1);
      expect(of(await running(FOURTH, new Date(), 3600), 'journal-renamed')).toEqual([]);
    },
  );

  journaldTest('of a boot that ended as it should, with its marker and without', async () => {
    logBoots(root.directory, [
      { boot: SECOND, end: 'stop' },
      { boot: THIRD, end: 'kill' },
    ]);
    const outage = await running(THIRD, new Date(), 1);
    expect(outage).toMatchObject({ verdict: 'clean', boot: SECOND });
    expect(of(outage, 'journal-stopped')).toMatchObject([{ boot: SECOND }]);
    expect(of(outage, 'journal-renamed')).toEqual([]);
    // reboot -f leaves the marker.
    mark(SECOND);
    expect(await running(THIRD, new Date(), 1)).toMatchObject({ verdict: 'forced-reboot' });
  });

  journaldTest('on the disk of another machine: its newest boot is asked for', async () => {
    logBoots(root.directory, [
      { boot: FIRST, end: 'stop' },
      { boot: SECOND, end: 'kill' },
    ]);
    const { code, stdout } = debmend(['outage', '--root', root.directory, '--json', '--wait', '60']);
    const { outage } = outageReportSchema.parse(JSON.parse(stdout));
    expect({ code, outage }).toMatchObject({ code: 1, outage: { verdict: 'unclean', boot: SECOND } });
    expect(of(outage, 'other-root')).toHaveLength(1);
    expect(outage.interval).not.toHaveProperty('to');
    logBoots(root.directory, [{ boot: THIRD, end: 'stop' }]);
    expect(debmend(['outage', '--root', root.directory, '--wait', '60'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^no outage: the boot before ended cleanly\n/),
    });
  });

  journaldTest('I8: damaged files of it are left out, and said; the others still tell', async () => {
    logBoots(root.directory, [
      { boot: SECOND, end: 'kill' },
      { boot: THIRD, end: 'kill' },
    ]);
    const machine = join(root.at('/var/log/journal'), readdirSync(root.at('/var/log/journal'))[0] ?? '');
    writeFileSync(join(machine, 'system@0006610120ff2742-101320b0f789122b.journal~'), '\0'.repeat(4096));
    writeFileSync(
      join(machine, 'system@torn.journal'),
      readFileSync(join(machine, 'system.journal')).subarray(0, 5000),
    );
    symlinkSync('/etc/passwd', join(machine, 'system@link.journal'));
    const outage = await running(THIRD, new Date(), 1);
    expect(outage).toMatchObject({ verdict: 'unclean', boot: SECOND });
    expect(of(outage, 'unavailable').map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        'this journal is damaged, and is left out',
        '1 names of journals are no regular files',
      ]),
    );
  });
});

describe('without a journal', () => {
  it('nothing is known of a root that tells nothing', async () => {
    expect((await running()).verdict).toBe('unknown');
  });

  it('wtmp and fsck tell of a cut, and when it was', async () => {
    wtmp([2, 'reboot', '2026-01-30T06:00:00'], [7, 'root', '2026-01-31T09:24:15']);
    root.write('/run/initramfs/fsck.log', '/dev/sda1: recovering journal\n/dev/sda1: clean, 1/2 files\n');
    const outage = await running();
    expect(outage.verdict).toBe('unclean');
    expect(of(outage, 'wtmp-crash')).toHaveLength(1);
    expect(of(outage, 'fsck-recovered')).toMatchObject([{ boot: THIRD }]);
    // The disk was written to after that: by this test.
    expect(outage.interval.from?.source).toContain(root.directory);
  });

  it('wtmp tells of a shutdown', async () => {
    wtmp([2, 'reboot', '2026-01-30T06:00:00'], [1, 'shutdown', '2026-01-31T09:24:15']);
    expect((await running()).verdict).toBe('clean');
  });

  it('so does wtmpdb, as a database that a cut left open too', async () => {
    mkdirSync(root.at('/var/lib/wtmpdb'), { recursive: true });
    const db = new Database(root.at('/var/lib/wtmpdb/wtmp.db'));
    db.pragma('journal_mode = WAL');
    // wtmpdb's lib/sqlite.c.
    db.exec(
      'CREATE TABLE wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL, Login INTEGER, Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT) STRICT;',
    );
    const add = db.prepare("INSERT INTO wtmp (Type, User, Login, Logout) VALUES (?, 'reboot', ?, ?)");
    const micro = (time: string): number => Date.parse(time) * 1000;
    add.run(1, micro('2026-01-30T06:00:00Z'), micro('2026-01-30T22:00:00Z'));
    db.pragma('wal_checkpoint(TRUNCATE)');
    expect((await running()).verdict).toBe('clean');
    add.run(1, micro('2026-01-31T06:00:00Z'), null);
    add.run(3, micro('2026-01-31T09:24:00Z'), null);
    db.pragma('wal_checkpoint(TRUNCATE)');
    const outage = await running();
    db.close();
    expect(outage.verdict).toBe('unclean');
    expect(of(outage, 'alive').map(({ at }) => at)).toContain('2026-01-31T09:24:00.000Z');
    writeFileSync(root.at('/var/lib/wtmpdb/wtmp.db'), '\0'.repeat(8192));
    expect((await running()).verdict).toBe('unknown');
  });

  it('a heartbeat, a saved clock and dpkg’s torn log tell when', async () => {
    mark(SECOND);
    const file = await HeartbeatFile.open(root.at(`${STORE}/heartbeat`));
    await file.beat({ at: new Date(), boot: SECOND, uptime: 490, every: 2, stopped: false });
    await file.close();
    root.write('/var/log/dpkg.log', `2026-01-31 09:24:50 status installed mysql 1.0\n${'\0'.repeat(500)}`);
    root.write('/var/lib/systemd/timesync/clock', '');
    utimesSync(root.at('/var/lib/systemd/timesync/clock'), 1_769_851_480, 1_769_851_480);
    const outage = await running();
    expect(outage.verdict).toBe('unclean');
    expect(of(outage, 'heartbeat')).toMatchObject([{ boot: SECOND, uptime: 490 }]);
    expect(of(outage, 'log-torn')).toHaveLength(1);
    expect(of(outage, 'alive').map(({ source }) => source)).toEqual(
      expect.arrayContaining(['/var/log/dpkg.log', '/var/lib/systemd/timesync/clock']),
    );
  });

  it('a dump tells of a panic, of this end and not of an older one', async () => {
    const dump = 'Panic#1 Part1\n<0>[  12.3] Kernel panic - not syncing: sysrq triggered crash\n';
    root.write('/var/lib/systemd/pstore/1769851490/001/dmesg.txt', dump);
    const old = root.at('/var/lib/systemd/pstore/1769851490/001/dmesg.txt');
    utimesSync(old, 1_600_000_000, 1_600_000_000);
    expect((await running()).verdict).toBe('unknown');
    root.write('/sys/fs/pstore/dmesg-efi-176985149001001', dump);
    expect(await running()).toMatchObject({
      verdict: 'panic',
      cause: { text: expect.stringContaining('sysrq triggered crash') },
    });
  });

  it('a watchdog tells that it did it', async () => {
    mark(SECOND);
    root.write('/sys/class/watchdog/watchdog0/bootstatus', '32\n');
    expect(await running()).toMatchObject({ verdict: 'unclean', cause: { kind: 'watchdog' } });
  });

  it('kern.log tells what the kernel recovered', async () => {
    // A filesystem of the system by this host's own mounts is what counts: none is called so.
    root.write(
      '/var/log/kern.log',
      'Jan 31 vm kernel: [    0.0] Linux version 6.16\nJan 31 vm kernel: [    0.1] x86/amd: Previous system reset reason [0x1]: hardware watchdog timer expired\nJan 31 vm kernel: [    1.0] EXT4-fs (sdzz9): recovery complete\n',
    );
    mark(SECOND);
    const outage = await running();
    expect(outage).toMatchObject({ cause: { kind: 'watchdog' } });
    expect(of(outage, 'filesystem-recovered')).toEqual([]);
  });
});

describe('fsck’s log', () => {
  it('is kept for the time when its tmpfs is gone, and the newest twenty are', async () => {
    root.write('/run/initramfs/fsck.log', '/dev/sda1: recovering journal\n');
    expect(keepFsckLog(new Root(root.directory), root.at(STORE), THIRD)).toBe(true);
    root.write('/run/initramfs/fsck.log', '');
    spawnSync('rm', ['-r', root.at('/run/initramfs')]);
    expect(keepFsckLog(new Root(root.directory), root.at(STORE), THIRD)).toBe(true);
    expect(keepFsckLog(new Root(root.directory), root.at(STORE), SECOND)).toBe(false);
    const outage = await running();
    expect(of(outage, 'fsck-recovered')).toMatchObject([{ source: root.at(`${STORE}/fsck-logs/${THIRD}`) }]);
    for (let n = 0; n < 25; n += 1) {
      root.write('/run/initramfs/fsck.log', `${n}`);
      keepFsckLog(new Root(root.directory), root.at(STORE), `boot-${n}`);
    }
    expect(readdirSync(root.at(`${STORE}/fsck-logs`))).toHaveLength(20);
    expect(readdirSync(root.at(`${STORE}/fsck-logs`))).toContain('boot-24');
  });
});

describe('I7: nothing outside the root is read', () => {
  it('through links where the sources should be', async () => {
    const outside = tinyRoot();
    outside.write('/running', `boot=${SECOND} at=${started.toISOString()} uptime=1\n`);
    outside.write('/fsck.log', '/dev/sda1: recovering journal\n');
    outside.write('/dmesg', 'Panic#1 Part1\nKernel panic - not syncing: x\n');
    for (const [path, target] of [
      [`${STORE}/running`, '/running'],
      ['/run/initramfs/fsck.log', '/fsck.log'],
      ['/sys/fs/pstore/dmesg', '/dmesg'],
    ] as const) {
      mkdirSync(dirname(root.at(path)), { recursive: true });
      symlinkSync(outside.at(target), root.at(path));
    }
    mkdirSync(root.at('/var/log'));
    symlinkSync(outside.directory, root.at('/var/log/journal'));
    const outage = await running();
    outside.remove();
    expect(of(outage, 'fsck-recovered')).toEqual([]);
    expect(of(outage, 'panic')).toEqual([]);
    expect(of(outage, 'marker-left')).toEqual([]);
  });

  it('through a link in the place of the store', async () => {
    const outside = tinyRoot();
    outside.write('/store/running', `boot=${SECOND} at=${started.toISOString()} uptime=1\n`);
    rmSync(root.at(STORE), { recursive: true });
    symlinkSync(outside.at('/store'), root.at(STORE));
    const { verdict } = await running();
    outside.remove();
    expect(verdict).toBe('unknown');
  });
});

describe('the command', () => {
  it('says that this is a container where it is one, and else finds a verdict', () => {
    const { code, stdout } = debmend(['outage', '--json']);
    const { outage } = outageReportSchema.parse(JSON.parse(stdout));
    const virtual = spawnSync('systemd-detect-virt', ['--container'], { encoding: 'utf8' });
    if (virtual.status === 0) expect(outage.verdict).toBe('not-applicable');
    expect(code).toBe(['clean', 'not-applicable'].includes(outage.verdict) ? 0 : 1);
  });

  straceTest('starts no process on a root without a journal, and opens no device', () => {
    mark(SECOND);
    const { code, calls } = traced('execve,openat', [
      'outage',
      '--root',
      root.directory,
      '--json',
      '--wait',
      '60',
    ]);
    expect(code).toBe(1);
    expect(
      calls
        .filter(({ name, line }) => name === 'execve' && line.includes(' = 0'))
        .map(({ line }) => /"([^"]+)"/.exec(line)?.[1]),
    ).toEqual([expect.stringMatching(/bin\/debmend$/), expect.stringMatching(/bin\/node$/)]);
    expect(calls.filter(({ line }) => /"\/dev\/(?!null|urandom)/.test(line))).toEqual([]);
  });

  journaldTest('starts three processes for a journal: the boots, the last entry, the errors', () => {
    logBoots(root.directory, [{ boot: SECOND, end: 'kill' }]);
    const { code, calls } = traced('execve', ['outage', '--root', root.directory, '--wait', '60']);
    expect(code).toBe(1);
    const programs = calls
      .filter(({ line }) => line.includes(' = 0'))
      .map(({ line }) => /"([^"]+)"/.exec(line)?.[1]);
    expect(programs.slice(2)).toEqual(
      Array.from({ length: 3 }, () => expect.stringMatching(/\/journalctl$/)),
    );
  });

  // The time of the clock depends on what else the machine does; what it costs does not.
  journaldTest('takes less than a second of processor time', () => {
    logBoots(root.directory, [{ boot: SECOND, end: 'kill' }]);
    const line = `TIMEFORMAT='%U %S'; time "$debmend" outage --root ${root.directory} --wait 60 >/dev/null`;
    shell(line); // fills the cache of compiled code
    const seconds = shell(line).stderr.trim().split(' ').map(Number);
    expect(seconds).toHaveLength(2);
    expect(seconds.reduce((sum, one) => sum + one, 0)).toBeLessThan(1);
  });

  it('marker set and clear are there, and not in the help', () => {
    expect(debmend(['--help']).stdout).not.toMatch(/^ {2}marker/m);
    expect(debmend(['marker', 'set', '--root', root.directory])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readdirSync(root.at(STORE))).toEqual(['running']);
    expect(debmend(['marker', 'clear', '--root', root.directory])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(readdirSync(root.at(STORE))).toEqual(['clean-ends']);
  });
});
