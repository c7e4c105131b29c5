/**
 * One small sound file of every format that scan/structure.ts knows, built from the format's specification, so that
 * the tests need nothing of the host; and the package-owned files of the host, for those that want real ones.
 */
import { closeSync, fstatSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { crc32, deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { ReadAt } from '../../src/scan/structure.ts';

export interface Sample {
  name: string;
  /** As examineStructure names it. */
  format: string;
  bytes: Buffer;
  /** A prefix of any length in first..last can be proven to be cut. Shorter ones don't hold what proves it. */
  first: number;
  last: number;
}

/** Pieces: text as Latin-1, numbers of a given width, or what is there already. */
const u16 = (...values: number[]) => packed(2, values, (b, v, at) => b.writeUInt16LE(v, at));
const u32 = (...values: number[]) => packed(4, values, (b, v, at) => b.writeUInt32LE(v, at));
const u64 = (...values: number[]) => packed(8, values, (b, v, at) => b.writeBigUInt64LE(BigInt(v), at));
const u16be = (...values: number[]) => packed(2, values, (b, v, at) => b.writeUInt16BE(v, at));
const u32be = (...values: number[]) => packed(4, values, (b, v, at) => b.writeUInt32BE(v, at));

function packed(
  width: number,
  values: number[],
  write: (b: Buffer, value: number, at: number) => void,
): Buffer {
  const buffer = Buffer.alloc(width * values.length);
  for (const [index, value] of values.entries()) write(buffer, value, index * width);
  return buffer;
}

function join(...pieces: (string | Buffer)[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)),
  );
}

const zeros = (length: number) => Buffer.alloc(length);
/** Content without a NUL or a newline, so that no cut can be taken for padding. */
const filling = (length: number) => Buffer.alloc(length, 'debmend');

function elf64(): Buffer {
  const header = join('\x7fELF\x02\x01\x01', zeros(9), u16(3, 62), u32(1), u64(0, 64, 280), u32(0));
  const segment = join(u32(1, 5), u64(0, 0, 0, 200, 200, 4096));
  const section = (type: number, offset: number, size: number) =>
    join(u32(0, type), u64(0, 0, offset, size), u32(0, 0), u64(1, 0));
  return join(
    header,
    u16(64, 56, 1, 64, 3, 0),
    segment,
    filling(160),
    section(0, 0, 0),
    section(1, 120, 160),
    // .bss has a size and no bytes.
    section(8, 280, 1_000_000),
  );
}

function elf32BigEndian(): Buffer {
  const header = join(
    '\x7fELF\x01\x02\x01',
    zeros(9),
    u16be(2, 8),
    u32be(1, 0, 0, 52, 0),
    u16be(52, 32, 0, 40, 2, 0),
  );
  const section = (type: number, offset: number, size: number) =>
    u32be(0, type, 0, 0, offset, size, 0, 0, 1, 0);
  // Headers first, as Go's linker lays them.
  return join(header, section(0, 0, 0), section(1, 132, 300), filling(300));
}

function elfWithoutSections(): Buffer {
  const header = join('\x7fELF\x02\x01\x01', zeros(9), u16(2, 62), u32(1), u64(0, 64, 0), u32(0));
  const segment = join(u32(1, 5), u64(120, 0, 0, 200, 200, 4096));
  return join(header, u16(64, 56, 1, 64, 0, 0), segment, filling(200));
}

/** More sections than e_shnum can count: the first section's sh_size is the count. */
function elfManySections(): Buffer {
  const header = join('\x7fELF\x02\x01\x01', zeros(9), u16(1, 62), u32(1), u64(0, 0, 64), u32(0));
  const count = 0xff00;
  const first = join(u32(0, 0), u64(0, 0, 0, count), u32(0, 0), u64(1, 0));
  return join(header, u16(64, 0, 0, 64, 0, 0), first, zeros((count - 1) * 64));
}

export function arMember(name: string, data: Buffer, size = data.length): Buffer {
  const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}`;
  return join(header, `${size}`.padEnd(10), '`\n', data, data.length % 2 === 1 ? '\n' : '');
}

function staticLibrary(): Buffer {
  // The magic, the symbol table's member (60 + 22), and a first member of 60 + 100.
  const table = join(u32be(2, 90, 250), 'first\0last\0');
  return join(
    '!<arch>\n',
    arMember('/', join(table.subarray(0, 22))),
    arMember('a.o/', filling(100)),
    arMember('b.o/', filling(60)),
  );
}

function thinLibrary(): Buffer {
  const table = join(u32be(2, 86, 146), 'a\0last\0', '');
  return join(
    '!<thin>\n',
    arMember('/', table.subarray(0, 18)),
    arMember('a.o/', zeros(0), 999),
    arMember('b.o/', zeros(0), 99999),
  );
}

function deb(): Buffer {
  return join(
    '!<arch>\n',
    arMember('debian-binary', Buffer.from('2.0\n')),
    arMember('control.tar.xz', filling(100)),
    arMember('data.tar.xz', filling(300)),
  );
}

function zip(): Buffer {
  const data = deflateRawSync(filling(100));
  const fields = join(u16(20, 0, 8, 0, 0), u32(crc32(filling(100)), data.length, 100), u16(5, 0));
  const local = join('PK\x03\x04', fields, 'a.txt', data);
  const central = join('PK\x01\x02', u16(20), fields, u16(0, 0, 0), u32(0, 0), 'a.txt');
  const end = join('PK\x05\x06', u16(0, 0, 1, 1), u32(central.length, local.length), u16(4), 'note');
  return join(local, central, end);
}

function png(): Buffer {
  const chunk = (type: string, data: Buffer) =>
    join(u32be(data.length), type, data, u32be(crc32(join(type, data))));
  const header = join(u32be(4, 4), '\x08\x02\0\0\0');
  return join(
    '\x89PNG\r\n\x1a\n',
    chunk('IHDR', header),
    chunk('IDAT', filling(60)),
    chunk('IEND', zeros(0)),
  );
}

function jpeg(): Buffer {
  const segment = (code: string, data: Buffer) => join('\xff', code, u16be(data.length + 2), data);
  // A thumbnail in the first segment, with an end of image of its own.
  const thumbnail = segment('\xe1', join('Exif\0\0', '\xff\xd8', filling(20), '\xff\xd9'));
  return join(
    '\xff\xd8',
    thumbnail,
    segment('\xda', filling(10)),
    filling(50),
    '\xff\x00\xff\xd0',
    filling(50),
    '\xff\xd9',
  );
}

function gif(): Buffer {
  const screen = join('GIF89a', u16(4, 4), '\x80\0\0', filling(6));
  const image = join('\x2c', u16(0, 0, 4, 4), '\0', '\x02', '\x20', filling(32), '\0');
  return join(screen, '\x21\xf9\x04', filling(4), '\0', image, '\x3b');
}

function pdf(): Buffer {
  return join('%PDF-1.4\n', filling(1200), '\nxref\ntrailer\n<< >>\nstartxref\n1210\n%%EOF\n');
}

function mo(): Buffer {
  return join(
    u32(0x950412de, 0, 2, 28, 44, 0, 60),
    u32(0, 60, 5, 61),
    u32(8, 67, 7, 76),
    '\0hello\0',
    'Language\0Bonjour\0',
  );
}

function moBigEndian(): Buffer {
  return join(u32be(0x950412de, 0, 1, 28, 36, 0, 44), u32be(5, 44), u32be(7, 50), 'hello\0Bonjour\0');
}

function font(start = 0): Buffer {
  const entry = (tag: string, offset: number, length: number) => join(tag, u32be(0, start + offset, length));
  const directory = join(
    '\x00\x01\x00\x00',
    u16be(2, 32, 1, 0),
    entry('cmap', 44, 40),
    entry('glyf', 84, 120),
  );
  return join(directory, filling(160));
}

function tzif(): Buffer {
  const block = (timeSize: number) =>
    join('TZif2', zeros(15), u32be(0, 0, 0, 2, 1, 4), zeros(2 * timeSize + 2), zeros(6), 'UTC\0');
  return join(block(4), block(8), '\nUTC0\n');
}

function sqlite(): Buffer {
  const bytes = Buffer.alloc(3 * 512, 'debmend');
  bytes.write('SQLite format 3\0', 'latin1');
  bytes.writeUInt16BE(512, 16);
  bytes.writeUInt8(1, 18);
  for (const [offset, value] of [
    [24, 7],
    [28, 3],
    [92, 7],
  ] as const)
    bytes.writeUInt32BE(value, offset);
  return bytes;
}

function terminfo(magic: number, extended: boolean): Buffer {
  const number = (...values: number[]) => (magic === 0x021e ? u32(...values) : u16(...values));
  const names = 'dumb|a terminal\0';
  const base = join(
    u16(magic, names.length, 3, 2, 1, 4),
    names,
    '\x01\x00\x01',
    '\0',
    number(80, 24),
    u16(0),
    'abc\0',
  );
  if (!extended) return base;
  // One flag, one string; their offsets, then their texts and the two names.
  return join(base, u16(1, 0, 1, 3, 10), '\x01\0', u16(0, 0, 3), 'xyz\0', 'AX\0', 'E3\0');
}

function tarHeader(name: string, size: number, type: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  for (const at of [100, 108, 116]) header.write('0000644\0', at);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\x0000', 257, 'latin1');
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return header;
}

function tar(): Buffer {
  const content = join(filling(600), zeros(424));
  const parts = join(tarHeader('dir/', 0, '5'), tarHeader('dir/a', 600, '0'), content);
  return join(parts, zeros(10240 - parts.length));
}

function cpio(): Buffer {
  const entry = (name: string, data: Buffer) => {
    const fields = [1, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    return join(header, zeros(-header.length & 3), data, zeros(-data.length & 3));
  };
  const members = join(entry('init', filling(101)), entry('TRAILER!!!', zeros(0)));
  return join(members, zeros(-members.length & 511));
}

function pe(): Buffer {
  const optional = Buffer.alloc(240);
  optional.writeUInt16LE(0x20b, 0);
  // The certificate table: where, and how long.
  optional.writeUInt32LE(1024, 112 + 32);
  optional.writeUInt32LE(200, 112 + 36);
  const coff = join('PE\0\0', u16(0x8664, 1), u32(0, 0, 0), u16(optional.length, 0x22));
  const section = join('.text\0\0\0', u32(500, 4096, 512, 512, 0, 0), u16(0, 0), u32(0));
  const headers = join('MZ', zeros(58), u32(64), coff, optional, section);
  return join(headers, zeros(512 - headers.length), filling(512), filling(200));
}

function bzImage(): Buffer {
  const setup = Buffer.alloc(5 * 512, 'debmend');
  setup.writeUInt8(4, 0x1f1);
  setup.writeUInt32LE(100, 0x1f4);
  setup.writeUInt16LE(0xaa55, 0x1fe);
  setup.write('HdrS', 0x202);
  return join(setup, filling(1600));
}

function squashfs(): Buffer {
  const superblock = Buffer.alloc(96);
  superblock.write('hsqs');
  superblock.writeUInt16LE(4, 28);
  superblock.writeBigUInt64LE(3000n, 40);
  return join(superblock, filling(2904), zeros(1096));
}

/** `printf 'debmend mends what the power cut broke\n' | xz | base64` */
const XZ =
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAmZGVibWVuZCBtZW5kcyB3aGF0IHRoZSBwb3dlciBjdXQgYnJva2UKAADxHyJpozni3QABPyd8KlLdH7bzfQEAAAAABFla';

export const SAMPLES: readonly Sample[] = [
  sample('a 64-bit program', 'ELF', elf64(), 16),
  sample('a 32-bit big-endian program, headers first', 'ELF', elf32BigEndian(), 16),
  sample('a program without section headers', 'ELF', elfWithoutSections(), 16),
  sample('an object file with 65,280 sections', 'ELF', elfManySections(), 16),
  sample('a static library', 'ar', staticLibrary(), 9),
  sample('a thin static library', 'ar', thinLibrary(), 9),
  sample('a .deb', 'ar', deb(), 9),
  sample('a gzip file', 'gzip', gzipSync(filling(500)), 3),
  sample('an xz file', 'xz', Buffer.from(XZ, 'base64'), 6, 92),
  sample('a zstd file', 'zstd', zstdCompressSync(filling(500)), 4),
  sample(
    'a zstd file behind a skippable frame',
    'zstd',
    join(u32(0x184d2a50, 9), filling(9), zstdCompressSync(filling(500))),
    22,
  ),
  sample('a zip archive with a comment', 'zip', zip(), 30),
  sample('a .jmod', 'zip', join('JM\x01\x00', zip()), 34),
  sample('a PNG image', 'PNG', png(), 8),
  sample('a JPEG image with a thumbnail', 'JPEG', jpeg(), 3),
  sample('a GIF image', 'GIF', gif(), 39, 70),
  sample('a WebP image', 'RIFF', join('RIFF', u32(104), 'WEBP', filling(100)), 12, 102),
  sample('a PDF document', 'PDF', pdf(), 5, 1237),
  sample('a gettext catalogue', 'gettext catalogue', mo(), 4),
  sample('a big-endian gettext catalogue', 'gettext catalogue', moBigEndian(), 4),
  sample('a TrueType font', 'OpenType font', font(), 28, 200),
  sample('a font collection', 'OpenType font', join('ttcf', u32be(0x10000, 1, 16), font(16)), 44, 216),
  sample('a web font', 'web font', join('wOF2', u32be(0x10000, 212), filling(200)), 12),
  sample('a time zone', 'TZif', tzif(), 5),
  sample('a SQLite database', 'SQLite database', sqlite(), 16),
  sample('a terminal description', 'terminfo', terminfo(0x011a, false), 28),
  sample('a terminal description with wide numbers', 'terminfo', terminfo(0x021e, false), 28),
  sample('an extended terminal description', 'terminfo', terminfo(0x011a, true), 43),
  sample('a tar archive', 'tar', tar(), 513, 2047),
  sample('a cpio archive', 'cpio', cpio(), 6, 343),
  sample('an EFI program with certificates', 'PE', pe(), 88),
  sample('a Linux kernel', 'Linux kernel', bzImage(), 0x206),
  sample('a squashfs image', 'squashfs', squashfs(), 4, 2999),
];

function sample(name: string, format: string, bytes: Buffer, first: number, last = bytes.length - 1): Sample {
  return { name, format, bytes, first, last };
}

/** A reader of bytes in memory that counts what it is asked for. */
export function reader(bytes: Uint8Array): { read: ReadAt; count: { bytes: number; calls: number } } {
  const count = { bytes: 0, calls: 0 };
  const read: ReadAt = (offset, length) => {
    count.bytes += length;
    count.calls += 1;
    return bytes.subarray(offset, offset + length);
  };
  return { read, count };
}

export interface OwnedFile {
  path: Buffer;
  /** In hex, from the package's .md5sums. */
  md5: string;
}

/** Every regular file of this host that stands in a package's .md5sums; none where dpkg is not. */
export function* ownedFiles(): Generator<OwnedFile> {
  const info = '/var/lib/dpkg/info';
  let names: string[] = [];
  try {
    names = readdirSync(info).filter((name) => name.endsWith('.md5sums'));
  } catch {
    return;
  }
  for (const name of names.sort()) {
    for (const line of readFileSync(`${info}/${name}`, 'latin1').split('\n')) {
      const path = Buffer.from(`/${line.slice(34)}`, 'latin1');
      if (line.length > 34 && lstatSync(path, { throwIfNoEntry: false })?.isFile()) {
        yield { path, md5: line.slice(0, 32) };
      }
    }
  }
}

/** Opens a file for examineStructure, as if it ended after `cut` bytes; undefined if it can't be opened. */
export function withFile<T>(
  path: Buffer,
  use: (size: number, cutAt: (end: number) => ReadAt) => T,
): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    return use(fstatSync(fd).size, (end) => (offset, length) => {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, end - offset)));
      return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset));
    });
  } finally {
    closeSync(fd);
  }
}
