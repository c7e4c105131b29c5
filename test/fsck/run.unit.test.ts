/** The checkers' own sentences, as e2fsprogs 1.47, xfsprogs 6.1, btrfs-progs 6.2 and dosfstools 4.2 wrote them. */
import { describe, expect, it } from 'vitest';
import { parseNcheck } from '../../src/fsck/ncheck.ts';
import { BtrfsParser } from '../../src/fsck/run/btrfs-parse.ts';
import { type Damage, DamageList } from '../../src/fsck/run/damage.ts';
import { cameToItsEnd, fsckMeanings } from '../../src/fsck/run/exit-bits.ts';
import { ExtParser, unescapeName } from '../../src/fsck/run/ext-parse.ts';
import { Lines, runTool } from '../../src/fsck/run/program.ts';
import { FatParser } from '../../src/fsck/run/vfat.ts';
import { parseXfsNcheck } from '../../src/fsck/run/xfs-names.ts';
import { XfsParser } from '../../src/fsck/run/xfs-parse.ts';

type Parser = { line(text: string): void };

function parsed<T extends Parser>(
  make: (damages: DamageList) => T,
  text: string,
): { list: DamageList; parser: T } {
  const list = new DamageList();
  const parser = make(list);
  for (const line of text.split('\n')) parser.line(line);
  return { list, parser };
}

/** `kind inode path`, and a `~` before what is harmless. */
function short(list: DamageList): string[] {
  return list
    .list()
    .map(
      ({ kind, inode = '-', path = '-', harmless }: Damage) =>
        `${harmless ? '~' : ''}${kind} ${inode} ${path}`,
    );
}

const ext = (text: string) => parsed((list) => new ExtParser(list), text);

describe('e2fsck', () => {
  it('a sound filesystem has no sentence', () => {
    const { list, parser } = ext(`Pass 1: Checking inodes, blocks, and sizes
Pass 2: Checking directory structure
Pass 3: Checking directory connectivity
Pass 4: Checking reference counts
Pass 5: Checking group summary information
image: 16/8192 files (0.0% non-contiguous), 7137/32768 blocks`);
    expect(short(list)).toEqual([]);
    expect(parser.reachedLastPass).toBe(true);
  });

  it('an entry names its path, an inode waits for its name, bitmaps belong to nobody', () => {
    const { list } = ext(`Inode 27 has corrupt extent header.  Clear inode? no

Inode 27, i_blocks is 196, should be 0.  Fix? no

Entry 'it's a 'name'' in /usr/bin (13) has deleted/unused inode 14.  Clear? no

Entry 'it's a 'name'' in /usr/bin (13) has an incorrect filetype (was 1, should be 0).
Fix? no

Block bitmap differences:  -(2330--2427)
Fix? no

image: ********** WARNING: Filesystem still has errors **********`);
    expect(short(list)).toEqual(['file 27 -', "file - /usr/bin/it's a 'name'", 'structure - -']);
    expect(list.list()[0]?.said).toEqual([
      'Inode 27 has corrupt extent header.',
      'Inode 27, i_blocks is 196, should be 0.',
    ]);
    expect(list.nameless()).toEqual(['27']);
  });

  it('what has no name is an orphan, by whatever sentence', () => {
    const { list } = ext(`Unattached inode 14
Connect to /lost+found? yes

Unattached zero-length inode 15.  Clear? yes

Unconnected directory inode 31 (was in <30>)
Connect to /lost+found? no

Entry '..' in <30>/<31> (31) has deleted/unused inode 30.  Clear? no

'..' in ... (31) is <30> (30), should be <The NULL inode> (0).
Fix? no`);
    expect(short(list)).toEqual(['orphan 14 -', 'orphan 15 -', 'orphan 31 -']);
  });

  it('blocks that are claimed twice name the file', () => {
    const { list } = ext(`Multiply-claimed block(s) in inode 15: 2
Pass 1C: Scanning directories for inodes with multiply-claimed blocks
(There are 1 inodes containing multiply-claimed blocks.)

File /usr/bin/small (inode #15, mod time Thu Nov 26 06:53:28 2026) 
  has 1 multiply-claimed block(s), shared with 1 file(s):
\t<filesystem metadata>
Clone multiply-claimed blocks? no`);
    expect(short(list)[0]).toBe('file 15 /usr/bin/small');
  });

  it('totals that only an unmount writes are harmless; those of a group are not', () => {
    expect(short(ext('Free blocks count wrong (25631, counted=25582).\nFix? no').list)).toEqual([
      '~structure - -',
    ]);
    expect(short(ext('Free blocks count wrong for group #0 (5865, counted=5666).\nFix? no').list)).toEqual([
      'structure - -',
    ]);
  });

  it('names come back from its escapes', () => {
    expect(unescapeName('cafM-CM-)')).toBe('caf\xc3\xa9');
    expect(unescapeName('M-^@M-^?plain')).toBe('\x80\xffplain');
  });

  it('exit bits add up', () => {
    expect(fsckMeanings(12)).toEqual([
      'errors are left uncorrected',
      'the check could not be done to its end',
    ]);
    expect(fsckMeanings(0)).toEqual(['no errors']);
    expect([0, 1, 4, 5, 8, 12, 32, undefined].map(cameToItsEnd)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  it('ncheck tells names as they are', () => {
    expect(parseNcheck('27\t/usr/bin/with a\ttab')).toEqual({ inode: 27, path: '/usr/bin/with a\ttab' });
    expect(parseNcheck('Inode\tPathname')).toBeUndefined();
  });
});

describe('xfs_repair', () => {
  const xfs = (text: string) => parsed((list) => new XfsParser(list), text);

  it('phases say nothing', () => {
    const { list, parser } = xfs(`Phase 1 - find and verify superblock...
Cannot get host filesystem geometry.
Repair may fail if there is a sector size mismatch between
the image and the host filesystem.
        - zero log...
No modify flag set, skipping phase 5
No modify flag set, skipping filesystem flush and exiting.`);
    expect(short(list)).toEqual([]);
    expect(parser).toMatchObject({ reachedEnd: true, dirtyLog: false });
  });

  it('entries are held by their directories until those have names', () => {
    const { list, parser } = xfs(`bad inode format in inode 262273
entry "tool" at block 0 offset 96 in directory inode 262272 references free inode 262273
\twould clear inode number in entry at offset 96...
entry "tool" in directory inode 262272 points to free inode 262273, would junk entry
entry "bin" in dir ino 131 doesn't have a .. entry, will set it in ino 262272.
disconnected dir inode 99, would move to lost+found
would have reset inode 262272 nlinks from 2 to 3
Metadata CRC error detected at 0x55c49d2fdea0, xfs_dir3_data block 0x26c78/0x1000`);
    expect(parser.entries).toEqual(Array(2).fill({ directory: '262272', name: 'tool' }));
    expect(short(list).sort()).toEqual([
      'directory 262272 -',
      'file 262272/tool -',
      'file 262273 -',
      'orphan 99 -',
      'structure - -',
      'structure - -',
    ]);
    expect(list.list().flatMap(({ said }) => said)).toContain(
      'Metadata CRC error detected: xfs_dir3_data block 0x26c78/0x1000',
    );
  });

  it('a log with changes is known', () => {
    const { list, parser } = xfs(`ALERT: The filesystem has valuable metadata changes in a log which is being
ignored because the -n option was used.  Expect spurious inconsistencies
which may be resolved by first mounting the filesystem to replay the log.`);
    expect(parser.dirtyLog).toBe(true);
    expect(short(list)).toEqual([]);
  });

  it('ncheck marks directories', () => {
    expect(parseXfsNcheck('     131 usr/bin/bash')).toEqual({
      inode: '131',
      path: '/usr/bin/bash',
      isDirectory: false,
    });
    expect(parseXfsNcheck('     130 usr/bin/.')).toEqual({
      inode: '130',
      path: '/usr/bin',
      isDirectory: true,
    });
    expect(parseXfsNcheck('     128 .')).toEqual({ inode: '128', path: '/', isDirectory: true });
    expect(parseXfsNcheck('block 1/56 type unknown not expected')).toBeUndefined();
  });
});

describe('btrfs check', () => {
  const btrfs = (text: string) => parsed((list) => new BtrfsParser(list), text);

  it('a block with a sound copy is counted, and is no error of its own', () => {
    const { parser } = btrfs(`[2/7] checking extents
checksum verify failed on 31047680 wanted 0x3f0d9d4c found 0x73ee87d7
found 614400 bytes used, no error found`);
    expect(parser).toMatchObject({ errors: false, reachedEnd: true });
    expect(parser.blocks).toEqual([{ bytenr: '31047680', copies: 1 }]);
  });

  it('inodes, addresses and trees', () => {
    const { list, parser } = btrfs(`mirror 1 bytenr 13639680 csum 0x79dfe686 expected csum 0xa335870b
ERROR: errors found in csum tree
root 256 inode 394 errors 2001, no inode item, link count wrong
\tunresolved ref dir 258 index 137 namelen 13 name file with 134 filetype 1 errors 4, no inode ref
root 256 root dir 256 not found
The following tree block(s) is corrupted in tree 256:
\ttree block bytenr: 30949376, level: 1, node key: (256, 1, 0)
found 614400 bytes used, error(s) found`);
    expect([...parser.data]).toEqual(['13639680']);
    expect([...parser.trees]).toEqual(['256']);
    expect(parser.errors).toBe(true);
    expect(short(list).sort()).toEqual(['directory 256/256 -', 'file 256/394 -']);
  });
});

describe('fsck.vfat', () => {
  it('what is indented belongs to the path above it, or to both', () => {
    const { list, parser } = parsed(
      (damages) => new FatParser(damages),
      `fsck.fat 4.2 (2021-01-31)
/EFI/BOOT/a long name.efi
  File size is 100000 bytes, cluster chain length is 2560 bytes.
  Truncating file to 2560 bytes.
/EFI/DEBIAN/SHIMX64.EFI  and
/EFI/DEBIAN/GRUBX64.EFI
  share clusters.
Reclaimed 190 unused clusters (97280 bytes).
Free cluster summary wrong (128234 vs. really 128425)
  Auto-correcting.
Dirty bit is set. Fs was not properly unmounted and some data may be corrupt.
 Automatically removing dirty bit.

Leaving filesystem unchanged.
image: 8 files, 597/129022 clusters`,
    );
    expect(parser.reachedEnd).toBe(true);
    expect(short(list)).toEqual([
      'file - /EFI/BOOT/a long name.efi',
      'file - /EFI/DEBIAN/GRUBX64.EFI',
      'file - /EFI/DEBIAN/SHIMX64.EFI',
      '~structure - -',
      'orphan - -',
      'unclean - -',
    ]);
    expect(list.list()[1]?.said).toEqual(['it shares clusters with /EFI/DEBIAN/SHIMX64.EFI']);
  });
});

describe('DamageList', () => {
  it('joins what is said of a path and of its inode, and counts what is too much', () => {
    const list = new DamageList();
    for (let at = 0; at < 20; at += 1) list.add({ kind: 'file', inode: '5' }, `sentence ${at}`);
    list.add({ kind: 'file', path: '/a' }, 'by its name');
    list.name('5', '/a', false);
    expect(list.list()).toMatchObject([{ inode: '5', path: '/a', more: 14 }]);
    for (let at = 0; at < 100; at += 1)
      list.add({ kind: 'structure' }, `kind ${String.fromCharCode(0x100 + at)}`);
    expect(list.list().at(-1)?.said).toEqual(['60 further kinds of damage are not listed']);
  });
});

describe('Lines', () => {
  it('cuts chunks wherever they were cut', () => {
    const seen: string[] = [];
    const lines = new Lines((line) => seen.push(line));
    for (const chunk of ['on', 'e\ntw', 'o\n', '\nthree']) lines.push(Buffer.from(chunk));
    lines.end();
    expect(seen).toEqual(['one', 'two', '', 'three']);
  });
});

describe('runTool', () => {
  it('ends what runs when it is interrupted, and says what is missing', async () => {
    const interruption = new AbortController();
    const running = runTool('sleep', ['60'], { abort: interruption.signal });
    interruption.abort();
    await expect(running).rejects.toMatchObject({ code: 'interrupted' });
    await expect(runTool('xfs_no_such_program', [])).rejects.toMatchObject({ code: 'program-missing' });
  });
});
