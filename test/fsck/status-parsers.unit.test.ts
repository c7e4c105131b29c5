import { describe, expect, it } from 'vitest';
import { parseExt4Superblock } from '../../src/fsck/ext4-superblock.ts';
import { judgeFsck, parseFsckRuns } from '../../src/fsck/fsck-log.ts';
import { journalFsckRuns } from '../../src/fsck/status/boot-check.ts';
import { parseDeviceStats } from '../../src/fsck/status/btrfs.ts';
import { parseIcheck, pathsIn } from '../../src/fsck/status/debugfs.ts';
import { isSince, kernelFaults, parseFault } from '../../src/fsck/status/kernel-errors.ts';
import { weakOptions } from '../../src/fsck/status/weak-options.ts';

const fault = (text: string) => parseFault({ uptime: 1, text });

describe('the kernel’s messages', () => {
  it.each([
    [
      'EXT4-fs error (device loop0): ext4_lookup:1787: inode #27: comm ls: iget: checksum invalid',
      { kind: 'damage', device: 'loop0', inode: 27 },
    ],
    [
      'EXT4-fs error (device sda1): ext4_lookup:1789: inode #33: comm ls: deleted inode referenced: 35',
      { kind: 'damage', device: 'sda1', inode: 35 },
    ],
    [
      'EXT4-fs error (device dm-0): ext4_find_entry:1463: inode #12: comm apt: reading directory lblock 0',
      { kind: 'damage', device: 'dm-0', inode: 12 },
    ],
    [
      'EXT4-fs error (device sda1): htree_dirblock_to_tree:1051: inode #2: block 9250: comm find: bad entry in directory: rec_len',
      { kind: 'damage', device: 'sda1', inode: 2, block: 9250 },
    ],
    [
      'EXT4-fs error (device sda1): ext4_validate_block_bitmap:423: comm dpkg: bg 1: bad block bitmap checksum',
      { kind: 'damage', device: 'sda1' },
    ],
    [
      'EXT4-fs warning (device sda1): ext4_end_bio:343: I/O error 10 writing to inode 27 starting block 143365)',
      { kind: 'io', device: 'sda1', inode: 27, block: 143365 },
    ],
    ['EXT4-fs (sda1): Remounting filesystem read-only', { kind: 'read-only', device: 'sda1' }],
    ['Aborting journal on device sda1-8.', { kind: 'damage', device: 'sda1' }],
    [
      'XFS (loop1): Metadata corruption detected at xfs_dinode_verify.part.0+0x1d4/0x590 [xfs], inode 0x83 dinode',
      { kind: 'damage', device: 'loop1', inode: 0x83 },
    ],
    [
      'XFS (loop1): metadata I/O error in "xfs_imap_to_bp+0x5c/0xe0" at daddr 0xc0080 len 32 error 117',
      { kind: 'damage', device: 'loop1' },
    ],
    [
      'XFS (sda2): metadata I/O error in "xfs_btree_read_buf_block+0x9f" at daddr 0x10 len 8 error 5',
      { kind: 'io', device: 'sda2' },
    ],
    [
      'XFS (sda2): Corruption of in-memory data (0x8) detected at xfs_defer_finish_noroll+0x2c/0x4b0 (fs/xfs/xfs_defer.c:580).  Shutting down filesystem.',
      { kind: 'read-only', device: 'sda2' },
    ],
    [
      'BTRFS warning (device loop0): csum failed root 5 ino 257 off 0 csum 0x01 expected csum 0x02 mirror 1',
      { kind: 'damage', device: 'loop0', inode: 257, subvolume: 5 },
    ],
    [
      'BTRFS warning (device loop0): checksum error at logical 298844160 on dev /dev/loop0, physical 30, root 5, inode 257, offset 0, length 4096, links 1 (path: d/bash)',
      { kind: 'damage', device: 'loop0', inode: 257, subvolume: 5, path: 'd/bash' },
    ],
    [
      'BTRFS critical (device sda1: state EA): corrupt leaf: root=5 block=30572544 slot=1, bad key order',
      { kind: 'damage', device: 'sda1' },
    ],
    ['BTRFS info (device sda1: state EA): forced readonly', { kind: 'read-only', device: 'sda1' }],
    [
      'FAT-fs (sda1): error, fat_get_cluster: invalid cluster chain (i_pos 123)',
      { kind: 'damage', device: 'sda1' },
    ],
    ['FAT-fs (sda1): Filesystem has been set read-only', { kind: 'read-only', device: 'sda1' }],
    [
      'I/O error, dev sda, sector 6648 op 0x0:(READ) flags 0x80700 phys_seg 49 prio class 2',
      { kind: 'io', device: 'sda', sector: 6648 },
    ],
    [
      'blk_update_request: critical medium error, dev nvme0n1, sector 12 op 0x0:(READ)',
      { kind: 'io', device: 'nvme0n1', sector: 12 },
    ],
    [
      'Buffer I/O error on dev sda1, logical block 5, lost async page write',
      { kind: 'io', device: 'sda1', block: 5 },
    ],
  ])('%s', (text, expected) => {
    const { text: _text, uptime: _uptime, ...rest } = fault(text) ?? {};
    expect(rest).toEqual(expected);
  });

  it.each([
    'EXT4-fs (sda1): mounted filesystem 1b1c with ordered data mode. Opts: (null)',
    'EXT4-fs (sda1): recovery complete',
    'XFS (sda1): Ending clean mount',
    'BTRFS info (device sda1): using free space tree',
    'usb 1-1: new high-speed USB device',
  ])('no fault: %s', (text) => {
    expect(fault(text)).toBeUndefined();
  });

  it('those of a filesystem that was on the device before are not the present one’s', () => {
    const texts = [
      'EXT4-fs error (device sda1): ext4_lookup:1: inode #5: comm ls: iget: checksum invalid',
      'I/O error, dev sda1, sector 8 op 0x0:(READ)',
      'EXT4-fs (sda1): mounted filesystem 0a88 r/w with ordered data mode. Quota mode: none.',
      'EXT4-fs error (device sda1): ext4_lookup:1: inode #6: comm ls: iget: checksum invalid',
    ];
    const faults = kernelFaults(texts.map((text, uptime) => ({ text, uptime })));
    // The second is of the disk, which has not become another one.
    expect(faults.map(({ uptime }) => uptime)).toEqual([1, 3]);
  });

  it.each([
    { device: 'loop0', uptime: 9.5, lastMount: 1010, is: false },
    { device: 'loop0', uptime: 10.5, lastMount: 1010, is: true },
    { device: 'loop0', uptime: 9.5, lastMount: 0, is: true },
    { device: 'loop0', uptime: undefined, lastMount: 1010, is: true },
    // The clock may have been set since, and a disk is what it was.
    { device: 'sda1', uptime: 9.5, lastMount: 1010, is: true },
  ])('of $device at $uptime, mounted at $lastMount: $is', ({ device, uptime, lastMount, is }) => {
    expect(isSince({ device, uptime, kind: 'damage', text: '' }, lastMount, 1000)).toBe(is);
  });

  it.each([
    ['loop0', 'loop0', 'loop0: detected capacity change from 0 to 131072'],
    ['sdb', 'sdb1', 'sd 3:0:0:0: [sdb] Attached SCSI removable disk'],
  ])('nothing that was said before of %s is of what it is now', (disk, device, renewed) => {
    const texts = [
      `EXT4-fs error (device ${device}): ext4_lookup:1: inode #5: comm ls: iget: checksum invalid`,
      `I/O error, dev ${disk}, sector 8 op 0x0:(READ)`,
      'I/O error, dev sda, sector 8 op 0x0:(READ)',
      renewed,
    ];
    const faults = kernelFaults(texts.map((text, uptime) => ({ text, uptime })));
    expect(faults.map((one) => one.device)).toEqual(['sda']);
  });
});

describe('this boot’s own check', () => {
  const LOG = `Log of fsck -C -a -T -t ext4 /dev/sda1
Thu Nov 26 06:00:00 2026

rootfs: recovering journal
rootfs: clean, 31034/655360 files, 362042/2620928 blocks
fsck exited with status code 0

Thu Nov 26 06:00:01 2026
----------------
Log of fsck -C -a -T -t ext4 /dev/mapper/vg-usr
Thu Nov 26 06:00:01 2026

/dev/mapper/vg-usr contains a file system with errors, check forced.
/dev/mapper/vg-usr: Inode 27 has an invalid extent node (blk 143365, lblk 0)

/dev/mapper/vg-usr: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.
	(i.e., without -a or -p options)
fsck exited with status code 4
`;

  it('is taken apart by device, and judged', () => {
    const runs = parseFsckRuns(LOG);
    expect(runs.map(({ device }) => device)).toEqual(['/dev/sda1', '/dev/mapper/vg-usr']);
    expect(runs.map(({ lines }) => judgeFsck(lines, 'log'))).toEqual([
      { outcome: 'recovered', source: 'log', text: 'rootfs: recovering journal', status: 0 },
      {
        outcome: 'errors-left',
        source: 'log',
        text: '/dev/mapper/vg-usr: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.',
        status: 4,
      },
    ]);
  });

  it.each([
    [['/dev/sda1: clean, 11/16384 files, 4400/65536 blocks'], 'clean'],
    [['x: 11/16384 files (0.0% non-contiguous), 4400/65536 blocks'], 'clean'],
    [
      [
        'x: Inode 12 ref count is 2, should be 1.  FIXED.',
        'x: 11/16384 files (0.0% non-contiguous), 4/6 blocks',
      ],
      'corrected',
    ],
    [['x: 11/16384 files (0.0% non-contiguous), 4/6 blocks', 'fsck exited with status code 1'], 'corrected'],
    [['x: clean, 11/16384 files, 4400/65536 blocks', 'fsck exited with status code 12'], 'errors-left'],
    [['fsck.ext4: Device or resource busy', 'fsck failed with exit status 8.'], 'failed'],
    [['fsck failed with error code 4.'], 'errors-left'],
    [['something new'], 'unknown'],
    [[], 'unknown'],
  ])('%s: %s', (lines, outcome) => {
    expect(judgeFsck(lines, 'log').outcome).toBe(outcome);
  });

  it('in systemd’s journal is known by the unit', () => {
    const entry = (unit: string, message: string) => ({
      at: new Date(),
      uptime: 1,
      messageId: undefined,
      message,
      unit,
    });
    const uuid = '0a87c996-c493-4d39-8397-44d580f20974';
    const data = `systemd-fsck@dev-disk-by\\x2duuid-${uuid.replaceAll('-', '\\x2d')}.service`;
    expect(
      journalFsckRuns([
        entry('systemd-fsck-root.service', 'rootfs: clean, 1/2 files, 3/4 blocks'),
        entry(data, 'data: recovering journal'),
        entry(data, 'data: clean, 1/2 files, 3/4 blocks'),
      ]),
    ).toEqual([
      { device: '/', lines: ['rootfs: clean, 1/2 files, 3/4 blocks'] },
      {
        device: `/dev/disk/by-uuid/${uuid}`,
        lines: ['data: recovering journal', 'data: clean, 1/2 files, 3/4 blocks'],
      },
    ]);
  });
});

describe('btrfs device stats', () => {
  const COUNTED = { device: '/dev/sda1', write: 0, read: 1, flush: 0, corruption: 2, generation: 3 };

  it('are read from JSON, and from lines', () => {
    const json = `{ "__header": { "version": "1" }, "device-stats": [ { "device": "/dev/sda1", "devid": "1",
      "write_io_errs": "0", "read_io_errs": "1", "flush_io_errs": "0", "corruption_errs": "2", "generation_errs": "3" } ] }`;
    expect(parseDeviceStats(json)).toEqual([COUNTED]);
    expect(
      parseDeviceStats(
        [
          'write_io_errs    0',
          'read_io_errs     1',
          'flush_io_errs    0',
          'corruption_errs  2',
          'generation_errs  3',
        ]
          .map((line) => `[/dev/sda1].${line}\n`)
          .join(''),
      ),
    ).toEqual([COUNTED]);
    expect(parseDeviceStats('{ "device-stats": [ ')).toEqual([]);
  });
});

describe('debugfs', () => {
  it('names inodes and paths', () => {
    expect(parseIcheck('Block\tInode number\n143365\t32788\n9999\t<block not found>\n')).toEqual(
      new Map([[143365, 32788]]),
    );
    expect(pathsIn('Inode\tPathname\n11\t//lost+found\n32788\t/d/bash\n15\t/a b/c d\n15\t/second\n')).toEqual(
      new Map([
        [11, '/lost+found'],
        [32788, '/d/bash'],
        [15, '/a b/c d'],
      ]),
    );
  });
});

describe('the superblock of ext4', () => {
  it('is none in what is too short, or holds something else', () => {
    expect(parseExt4Superblock(Buffer.alloc(100))).toBeUndefined();
    expect(parseExt4Superblock(Buffer.alloc(1024))).toBeUndefined();
  });
});

describe('weak options', () => {
  const of = (type: string, options: string[], readOnly = false) =>
    weakOptions({ type, options, readOnly, holds: ['packages'] }, undefined).map(({ option }) => option);

  it('are those of the type, and none of what nobody writes to', () => {
    expect(of('ext4', ['rw', 'data=ordered'])).toEqual([]);
    expect(of('ext4', ['rw', 'barrier=0'])).toEqual(['barrier=0']);
    expect(of('ext4', ['ro', 'nobarrier'], true)).toEqual([]);
    expect(of('btrfs', ['rw', 'nodatacow'])).toEqual(['nodatacow']);
    expect(of('ext2', ['rw', 'errors=continue'])).toEqual(['no journal', 'errors=continue']);
  });
});
