/** Each source's own format, as real programs write it, and what a cut makes of it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseFsck } from '../../src/fsck/fsck-log.ts';
import { bootStatusEvidence, chassisEvidence } from '../../src/outage/hardware.ts';
import { endedBoots, parseBootList } from '../../src/outage/journal.ts';
import { parseJournalHeader } from '../../src/outage/journal-files.ts';
import { kernelEvidence, systemDevices } from '../../src/outage/kernel-log.ts';
import { parseLogTail } from '../../src/outage/life.ts';
import { parseDump } from '../../src/outage/panic.ts';
import { parseWtmp, wtmpEvidence } from '../../src/outage/wtmp.ts';
import { bytesOf } from '../../src/system/bytes.ts';
import { parseEntries } from '../../src/system/journal-entries.ts';
import { parseKernLog, parseKmsg } from '../../src/system/kernel-log.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/outage');
const fixture = (name: string): string => bytesOf(readFileSync(join(FIXTURES, name)));
const kinds = (evidence: readonly { readonly kind: string }[]): string[] => evidence.map(({ kind }) => kind);

describe('wtmp, as utmpdump -r wrote it', () => {
  const wtmp = fixture('wtmp');
  const at = (time: string): Date => new Date(`2026-11-${time}Z`);
  const beginning = (time: string, uptime = 600) => ({ times: [at(time)], uptime });

  it('is boots, shutdowns and the rest', () => {
    const records = parseWtmp(wtmp);
    expect(records.map(({ kind }) => kind)).toEqual([
      'boot',
      'other',
      'other',
      'other',
      'shutdown',
      'boot',
      'other',
      'boot',
    ]);
    expect(records.at(4)?.at).toEqual(at('22T22:00:00'));
  });

  it('tells of a crash before this boot, and when somebody was last alive', () => {
    expect(wtmpEvidence(parseWtmp(wtmp), beginning('23T09:30:00'), 'wtmp')).toMatchObject([
      { kind: 'wtmp-crash' },
      { kind: 'alive', at: '2026-11-23T09:24:15.000Z' },
    ]);
  });

  it('tells of a shutdown before a boot', () => {
    const day = parseWtmp(wtmp.slice(0, 384 * 6));
    expect(wtmpEvidence(day, beginning('23T06:00:00'), 'wtmp')).toMatchObject([
      { kind: 'wtmp-shutdown', at: '2026-11-22T22:00:00.000Z' },
    ]);
  });

  it('knows this boot by the clock of its first moments, too', () => {
    const two = { times: [at('23T20:00:00'), at('23T09:30:03')], uptime: 600 };
    expect(kinds(wtmpEvidence(parseWtmp(wtmp), two, 'wtmp'))).toContain('wtmp-crash');
  });

  it('in the first moments of a boot its own record may not be there yet', () => {
    const before = parseWtmp(wtmp.slice(0, 384 * 5));
    expect(kinds(wtmpEvidence(before, beginning('23T06:00:00', 20), 'wtmp'))).toEqual(['wtmp-shutdown']);
  });

  it('makes no crash of a clock that jumped', () => {
    expect(kinds(wtmpEvidence(parseWtmp(wtmp), beginning('24T20:00:00'), 'wtmp'))).toEqual(['unavailable']);
  });

  it('tells of a root that does not run how its newest boot ended', () => {
    expect(kinds(wtmpEvidence(parseWtmp(wtmp.slice(0, 384 * 5)), undefined, 'wtmp'))).toEqual([
      'wtmp-shutdown',
    ]);
    expect(kinds(wtmpEvidence(parseWtmp(wtmp), undefined, 'wtmp'))).toEqual(['wtmp-crash', 'alive']);
  });

  it('loses the records that a cut tore or filled with NUL bytes, and no others', () => {
    expect(parseWtmp(wtmp.slice(0, 384 * 3 + 100))).toHaveLength(3);
    const hole = wtmp.slice(0, 384 * 3) + '\0'.repeat(384 * 2) + wtmp.slice(384 * 5);
    expect(parseWtmp(hole)).toHaveLength(6);
    expect(parseWtmp(`${wtmp}${'\0'.repeat(4096)}`)).toHaveLength(8);
    expect(parseWtmp('\0'.repeat(384 * 5))).toEqual([]);
  });

  it('has longer records where times have 64 bits (arm64)', () => {
    const wide = Array.from({ length: 8 }, (_, n) => {
      const record = Buffer.from(wtmp.slice(n * 384, n * 384 + 340), 'latin1');
      const seconds = Buffer.from(wtmp.slice(n * 384 + 340, n * 384 + 344), 'latin1').readUInt32LE();
      const long = Buffer.alloc(400);
      record.copy(long, 0, 0, 336);
      long.writeBigInt64LE(BigInt(seconds), 344);
      return long;
    });
    expect(parseWtmp(bytesOf(Buffer.concat(wide)))).toEqual(parseWtmp(wtmp));
  });
});

describe('the header of a journal file, as journald wrote it', () => {
  it('of a file that was closed', () => {
    expect(parseJournalHeader(fixture('journal-offline.header'))).toMatchObject({
      state: 'offline',
      boot: '33333333333343338333333333333333',
      entries: 4,
    });
  });

  it('of a file that a cut left open', () => {
    const header = parseJournalHeader(fixture('journal-online.header'));
    expect(header).toMatchObject({
      state: 'online',
      boot: '22222222222242228222222222222222',
      size: 8388608,
    });
    expect(new Date((header?.tail ?? 0) / 1000).toISOString()).toBe('2026-11-24T08:02:15.788Z');
  });

  it.each([
    ['empty', ''],
    ['NUL', '\0'.repeat(264)],
    ['cut off', fixture('journal-online.header').slice(0, 200)],
    ['foreign', 'x'.repeat(264)],
  ])('is none when it is %s', (_, data) => expect(parseJournalHeader(data)).toBeUndefined());
});

describe("journalctl's answers", () => {
  const LIST =
    '[{"index":-2,"boot_id":"11111111111141118111111111111111","first_entry":1795507334224511,"last_entry":1795507334778575},{"index":-1,"boot_id":"22222222222242228222222222222222","first_entry":1795507335116032,"last_entry":1795507335788153},{"index":0,"boot_id":"33333333333343338333333333333333","first_entry":1795507336776057,"last_entry":1795507338010680}]';
  const id = (n: number): string => parseBootList(LIST).at(n)?.boot ?? '';

  it('are boots, whose ids get the dashes of the kernel', () => {
    expect(parseBootList(LIST)).toHaveLength(3);
    expect(id(0)).toBe('11111111-1111-4111-8111-111111111111');
  });

  it.each(['', '[', '{}', '[null, 7, {"boot_id": 3}]', LIST.slice(0, 200)])('are none in %j', (text) => {
    expect(parseBootList(text)).toEqual([]);
  });

  it('the boots whose end counts are those from the marker’s on, or the last', () => {
    const boots = parseBootList(LIST);
    const asked = (current: string | undefined, since: string | undefined) =>
      endedBoots(boots, current, since).map(({ boot }) => boot);
    expect(asked(id(2), undefined)).toEqual([id(1)]);
    expect(asked(id(2), id(0))).toEqual([id(0), id(1)]);
    expect(asked(id(2), id(1))).toEqual([id(1)]);
    expect(asked(undefined, undefined)).toEqual([id(2)]);
    expect(asked(id(0), undefined)).toEqual([]);
    // A journal that has not been written in this boot yet.
    expect(asked('44444444-4444-4444-8444-444444444444', id(2))).toEqual([id(2)]);
  });

  it('are entries, a line each, with text that may be bytes', () => {
    const line =
      '{"_BOOT_ID":"22222222222242228222222222222222","__CURSOR":"s=4","__MONOTONIC_TIMESTAMP":"15795615846","MESSAGE":"hello","__REALTIME_TIMESTAMP":"1795507335788153"}';
    expect(parseEntries(`${line}\n{"MESS\n${line.replace('"hello"', '[104,255,105]')}\n`)).toMatchObject([
      { at: new Date('2026-11-24T08:02:15.788Z'), uptime: 15795.615846, message: 'hello' },
      { message: 'h\ufffdi' },
    ]);
  });
});

describe("the kernel's log", () => {
  const devices = new Set(['sda1', 'dm-0']);
  const of = (...messages: string[]) =>
    kernelEvidence(
      messages.map((text) => ({ uptime: 1.5, text })),
      devices,
      'b',
      new Date('2026-01-31T09:25:10Z'),
    );

  it.each([
    ['filesystem-recovered', 'EXT4-fs (sda1): INFO: recovery required on readonly filesystem'],
    ['filesystem-recovered', 'EXT4-fs (sda1): recovery complete'],
    ['filesystem-orphans', 'EXT4-fs (sda1): 3 orphan inodes deleted'],
    ['filesystem-orphans', 'EXT4-fs (sda1): 1 orphan inode deleted'],
    ['filesystem-recovered', 'XFS (dm-0): Starting recovery (logdev: internal)'],
    ['filesystem-recovered', 'XFS (dm-0): Ending recovery (logdev: internal)'],
    ['filesystem-recovered', 'BTRFS info (device sda1): start tree-log replay'],
    ['filesystem-recovered', 'BTRFS: device sda1 start tree-log replay'],
    ['filesystem-recovered', 'BTRFS info (device sda1 state M): start tree-log replay'],
    [
      'reset-reason',
      'x86/amd: Previous system reset reason [0x08000800]: an uncorrected error caused a data fabric sync flood event',
    ],
    ['io-error', 'blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ)'],
    [
      'io-error',
      'EXT4-fs error (device sda1): ext4_lookup:1855: inode #2: comm ls: deleted inode referenced: 11',
    ],
    [
      'journal-renamed',
      'systemd-journald[214]: File /var/log/journal/0123/system.journal corrupted or uncleanly shut down, renaming and replacing.',
    ],
  ])('says %s: %s', (kind, message) => {
    expect(of(message)).toMatchObject([{ kind, at: '2026-01-31T09:25:11.500Z', uptime: 1.5 }]);
  });

  it.each([
    'XFS (sda1): Ending clean mount',
    'EXT4-fs (sda1): mounted filesystem 1234 r/w with ordered data mode. Quota mode: none.',
    // A disk that was plugged in, an image that was mounted: their outages are others'.
    'EXT4-fs (sdz9): recovery complete',
    'XFS (loop3): Starting recovery (logdev: internal)',
    'EXT4-fs error (device loop0): trigger_test_error:129: comm node: for a test',
  ])('says nothing: %s', (message) => expect(of(message)).toEqual([]));

  it('takes a journal that was renamed in mid-boot for the work of a journald that was killed', () => {
    const text = 'systemd-journald[9]: File /x corrupted or uncleanly shut down, renaming and replacing.';
    expect(kernelEvidence([{ uptime: 4000, text }], devices, 'b', new Date())).toEqual([]);
  });

  it('tells a few errors, not thousands', () => {
    expect(of(...Array.from({ length: 1000 }, () => 'I/O error, dev sda, sector 1'))).toHaveLength(5);
  });

  it('is read from records of /dev/kmsg', () => {
    expect(parseKmsg('6,339,5140900,-;EXT4-fs (sda1): recovery complete\n SUBSYSTEM=x\n')).toEqual({
      sequence: 339,
      uptime: 5.1409,
      text: 'EXT4-fs (sda1): recovery complete',
    });
    expect(parseKmsg(' SUBSYSTEM=block')).toBeUndefined();
  });

  it('is read from kern.log, of the newest boot', () => {
    const log = [
      'Jan 30 06:00:02 vm kernel: [    0.000000] Linux version 6.1.0-18-amd64',
      'Jan 30 06:00:03 vm kernel: [    1.400000] EXT4-fs (sda1): recovery complete',
      '2026-01-31T09:25:10.1+00:00 vm kernel: [    0.000000] Linux version 6.1.0-18-amd64',
      '2026-01-31T09:25:11.1+00:00 vm kernel: [    1.500000] EXT4-fs (sda1): mounted filesystem',
      '2026-01-31T09:25:11.1+00:00 vm sshd[5]: EXT4-fs (sda1): recovery complete',
    ];
    expect(parseKernLog(log.join('\n'))).toEqual([
      { uptime: 0, text: 'Linux version 6.1.0-18-amd64' },
      { uptime: 1.5, text: 'EXT4-fs (sda1): mounted filesystem' },
    ]);
    expect(parseKernLog('torn')).toEqual([]);
  });

  it('counts the filesystems of the system alone', () => {
    const mount = (mountPoint: string, source: string) => ({ mountPoint, source, type: 'ext4', options: [] });
    const names = systemDevices([
      mount('/', '/dev/null'),
      mount('/mnt/usb', '/dev/zero'),
      mount('/var/lib', '/dev/full'),
    ]);
    expect([...names].sort()).toEqual(['full', 'null']);
  });
});

describe("fsck's log", () => {
  const LOG = (line: string): string =>
    `Log of fsck -C3 -a -T -t ext4 /dev/sda1 \nSat Jan 31 09:25:11 2026\n\n${line}/dev/sda1: clean, 31034/655360 files, 362042/2620928 blocks\n\nSat Jan 31 09:25:11 2026\n----------------\n`;

  it('is clean after an orderly end', () => {
    expect(parseFsck(LOG(''))).toMatchObject([{ device: '/dev/sda1', recovered: false }]);
  });

  it.each([
    '/dev/sda1: recovering journal\n',
    '/dev/sda1 was not cleanly unmounted, check forced.\n'.replace(' was', ': was'),
  ])('is not when it says %j, although it says clean after that', (line) =>
    expect(parseFsck(LOG(line))).toMatchObject([{ recovered: true }]),
  );

  it('tells devices apart', () => {
    expect(
      parseFsck(`${LOG('')}${LOG('/dev/sda1: recovering journal\n').replaceAll('sda1', 'sda2')}`),
    ).toMatchObject([
      { device: '/dev/sda1', recovered: false },
      { device: '/dev/sda2', recovered: true },
    ]);
  });

  it.each(['', '\0'.repeat(4096), LOG('').slice(0, 60)])('says nothing in %j', (text) => {
    expect(parseFsck(text)).toEqual([]);
  });
});

describe("the end of dpkg's log", () => {
  const LINES =
    '2026-01-31 09:24:48 status half-configured mysql 1.0\n2026-01-31 09:24:50 status installed mysql 1.0\n';

  it('is its last line', () => {
    expect(parseLogTail(LINES)).toMatchObject({ local: '2026-01-31 09:24:50', nul: 0 });
  });

  it('is the last line before the NUL bytes that a cut leaves, and before a torn one', () => {
    expect(parseLogTail(`${LINES}2026-01-31 09:2${'\0'.repeat(3000)}`)).toMatchObject({
      local: '2026-01-31 09:24:50',
      nul: 3000,
    });
  });

  it('is nothing in NUL bytes alone', () => {
    expect(parseLogTail('\0'.repeat(4096))).toEqual({ line: undefined, local: undefined, nul: 4096 });
  });
});

describe('a dump of the kernel', () => {
  it('of a panic', () => {
    const text =
      'Panic#1 Part1\n<0>[  12.3] Kernel panic - not syncing: sysrq triggered crash\n<4>[  12.3] CPU: 0\n';
    expect(parseDump(text)).toEqual({
      kind: 'panic',
      line: 'Kernel panic - not syncing: sysrq triggered crash',
    });
    expect(parseDump(`====1769851490.12-D\n${text}`)?.kind).toBe('panic');
    expect(parseDump('Panic#2 Part3\n<4>[ 1.0] and so on')?.kind).toBe('panic');
  });

  it('of an oops that the system outlived', () => {
    expect(parseDump('Oops#1 Part1\n<1>[ 9.1] BUG: kernel NULL pointer dereference, address: 0\n')).toEqual({
      kind: 'oops',
      line: 'BUG: kernel NULL pointer dereference, address: 0',
    });
  });

  it('is none when it is the console’s log of an orderly end', () => {
    expect(parseDump('[  99.0] reboot: Power down\n')).toBeUndefined();
    expect(parseDump('')).toBeUndefined();
  });
});

describe('hardware', () => {
  it.each([
    ['0', []],
    ['32', ['watchdog']],
    ['16', ['power-failed']],
    ['33', ['reset-reason', 'watchdog']],
    ['0x20', ['watchdog']],
    ['garbage', []],
    ['', []],
  ])('bootstatus %j', (status, expected) => {
    expect(kinds(bootStatusEvidence(`${status}\n`, 'w', 'b'))).toEqual(expected);
  });

  const CHASSIS = (event: string): string =>
    `System Power         : on\nPower Overload       : false\nPower Restore Policy : always-off\nLast Power Event     : ${event}\nChassis Intrusion    : inactive\n`;
  it.each([
    ['ac-failed', ['power-failed']],
    ['overload', ['power-failed']],
    ['command', ['reset-reason']],
    ['', []],
  ])('ipmitool: %j', (event, expected) => expect(kinds(chassisEvidence(CHASSIS(event)))).toEqual(expected));
});
