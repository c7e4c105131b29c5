import { describe, expect, it } from 'vitest';
import { type Named, pieceOf } from '../../src/fsck/boot-check/collect.ts';
import { isWhole, namesIn, tellingLines } from '../../src/fsck/boot-check/log.ts';
import { judgeFsck, parseFsckRuns } from '../../src/fsck/fsck-log.ts';
import { scrubPaths } from '../../src/fsck/online/btrfs.ts';
import { checkFindings } from '../../src/fsck/schedule/findings.ts';
import type { RequestedCheck } from '../../src/model/requested-check.ts';

/** As Debian 12's initramfs left it. */
const LOG = `Log of fsck -C -a -T -t ext4 /dev/vda
Thu Nov 26 07:00:00 2026

rootfs contains a file system with errors, check forced.
\x01rootfs: |======           | 50.0%\r\x02rootfs: 29631/196608 files (0.1% non-contiguous), 282347/786432 blocks
fsck exited with status code 1

Thu Nov 26 07:00:03 2026
----------------
Log of fsck -C -a -T -t ext4 /dev/vdc
Thu Nov 26 07:00:03 2026

usr: clean, 11/65536 files, 12955/262144 blocks

Thu Nov 26 07:00:03 2026
----------------
`;
const pieces = parseFsckRuns(LOG).map((one) => ({ ...one, source: '/run/initramfs/fsck.log' }));

function named(node: string, more: Partial<Named> = {}): Named {
  return { node, device: node.slice('/dev/'.length), role: 'data', uuid: undefined, ...more };
}

describe("the boot's own log", () => {
  it('tells each filesystem its own piece, by device or by label', () => {
    expect(pieceOf(pieces, named('/dev/vda'), '')?.lines.join('\n')).toContain('check forced');
    expect(pieceOf(pieces, named('/dev/vdc'), '')?.device).toBe('/dev/vdc');
    expect(pieceOf(pieces, named('/dev/vdb'), 'DATA')).toBeUndefined();
    const unnamed = pieces.map((one) => ({ ...one, device: undefined }));
    expect(pieceOf(unnamed, named('/dev/vdz'), 'rootfs')).toBe(unnamed[0]);
    expect(namesIn({ source: '', device: undefined, lines: ['a b: clean,', '/dev/x: 1/2 files'] })).toEqual([
      'a b',
      '/dev/x',
    ]);
  });

  it('tells a check of the whole from a look at the mark', () => {
    const whole = (line: string) => isWhole({ source: '', device: undefined, lines: [line] });
    expect(pieces.map(isWhole)).toEqual([true, false]);
    expect(whole('Phase 1 - find and verify superblock...')).toBe(true);
    expect(whole('/dev/vdb1: 5 files, 20/130000 clusters')).toBe(true);
    expect(whole('/sbin/fsck.xfs: XFS file system.')).toBe(false);
    expect(whole('DATA: clean, 11/65536 files, 12955/262144 blocks')).toBe(false);
  });

  it('is shown without progress bars and times', () => {
    const [first] = pieces;
    expect(first && tellingLines(first, 9)).toEqual([
      'rootfs contains a file system with errors, check forced.',
      'rootfs: 29631/196608 files (0.1% non-contiguous), 282347/786432 blocks',
      'fsck exited with status code 1',
    ]);
  });

  it('a replayed journal alone is no correction, though e2fsck says 1 of it', () => {
    const lines = [
      'rootfs: recovering journal',
      'rootfs contains a file system with errors, check forced.',
      'rootfs: 13667/196608 files (0.1% non-contiguous), 181683/786432 blocks',
    ];
    const status = 'fsck exited with status code 1';
    const outcome = (...all: string[]) => judgeFsck(all, 'log').outcome;
    expect(outcome(...lines, status)).toBe('recovered');
    expect(outcome(...lines.slice(1), status)).toBe('corrected');
    expect(outcome(...lines, 'rootfs: Inode 27 has an invalid size.  FIXED.', status)).toBe('corrected');
  });

  it('of xfs_repair tells what it said beside its phases, and a log that was replayed before', () => {
    const phases = [
      'Phase 1 - find and verify superblock...',
      'Phase 2 - using internal log',
      '        - zero log...',
      'Phase 7 - verify and correct link counts...',
      'done',
    ];
    const dirty = [
      'ERROR: The filesystem has valuable metadata changes in a log',
      'Replaying log for /dev/vdb',
    ];
    const outcome = (...all: string[]) => judgeFsck(all, 'log').outcome;
    expect(outcome(...phases)).toBe('clean');
    expect(outcome(...phases.slice(0, 2), ...dirty, ...phases)).toBe('recovered');
    expect(outcome(...phases.slice(0, 3), 'bad magic number', ...phases.slice(3))).toBe('corrected');
    expect(outcome(...phases.slice(0, 3))).toBe('unknown');
    expect(outcome(...phases, 'fsck failed with exit status 4.')).toBe('errors-left');
  });

  it("systemd's own root unit belongs to the root, whatever it is called", () => {
    const late = [{ source: 'systemd-fsck', device: '/', lines: ['rootfs: clean, 1/2 files'] }];
    expect(pieceOf(late, named('/dev/vda', { role: 'root' }), '')).toBe(late[0]);
    expect(pieceOf(late, named('/dev/vdb'), '')).toBeUndefined();
  });
});

describe('findings of asked checks', () => {
  const check: RequestedCheck = {
    mountPoint: '/srv',
    type: 'ext4',
    device: 'vdb',
    uuid: 'u',
    method: 'mount-count',
    reasons: ['the kernel recorded 3 errors in it'],
    askedAt: '2026-11-26T07:00:00.000Z',
    stage: 'checked',
    restored: true,
  };
  const result = (outcome: NonNullable<RequestedCheck['result']>['outcome']) => ({
    ...check,
    result: { outcome, source: 'systemd-fsck', text: 'as it said' },
  });
  const codes = (one: RequestedCheck) => checkFindings([one]).map(({ code, severity }) => [code, severity]);

  it('there are none of a check that was made and found nothing', () => {
    expect(codes(check)).toEqual([]);
    expect(codes(result('clean'))).toEqual([]);
    expect(codes(result('recovered'))).toEqual([]);
    expect(codes({ ...check, stage: 'asked', restored: false })).toEqual([]);
  });

  it('one that was not made, one that changed something, and one that left errors are findings', () => {
    const missed: RequestedCheck = { ...check, stage: 'missed', problem: 'no check since', restored: false };
    expect(codes(missed)).toEqual([['fsck-check-missed', 'warning']]);
    expect(codes(result('corrected'))).toEqual([['filesystem-check-corrected', 'warning']]);
    expect(codes(result('errors-left'))).toEqual([['filesystem-check-failed', 'critical']]);
    expect(codes(result('failed'))).toEqual([['filesystem-check-failed', 'error']]);
    expect(checkFindings([missed])[0]).toMatchObject({
      path: '/srv',
      found: 'no check since',
      reason: 'it was asked for because the kernel recorded 3 errors in it',
    });
  });

  it('settings that could not be put back are one', () => {
    expect(codes({ ...check, restored: false, problem: 'tune2fs: read-only' })).toEqual([
      ['fsck-settings-left', 'warning'],
    ]);
  });
});

it("the kernel's messages of a scrub name the files, each once, and other devices' not", () => {
  const line = (device: string, root: number, path: string) =>
    `BTRFS warning (device ${device}): checksum error at logical 298844160 on dev /dev/${device}, physical 307232768, root ${root}, inode 257, offset 0, length 4096, links 1 (path: ${path})`;
  expect(
    scrubPaths(
      [
        line('loop0', 5, 'etc/a (b)'),
        line('loop0', 5, 'etc/a (b)'),
        line('loop1', 5, 'other'),
        'BTRFS error (device loop0): unable to fixup (regular) error at logical 298844160 on dev /dev/loop0 physical 307232768',
        'BTRFS warning (device loop0 state M): checksum error at logical 1 on dev /dev/loop0, physical 2 root 256 inode 3 offset 0 length 4096 links 1 (path: x)',
      ],
      'loop0',
    ),
  ).toEqual([
    { root: 5, path: 'etc/a (b)' },
    { root: 256, path: 'x' },
  ]);
});
