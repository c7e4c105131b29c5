/**
 * The control archive of a .deb without dpkg-deb (deb(5)): the member behind `debian-binary`, unpacked in this process.
 * To fork Node, start dpkg-deb and wait for it takes 40 ms, a quarter of what a hook may take. What is large, damaged or
 * unusual is dpkg-deb's to read, and to say what is wrong with it.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { unpackXz } from './xz.ts';

/** A control archive is a few kilobytes; lists of ten thousand files have some hundred. In bytes. */
const PACKED_LIMIT = 256 * 1024;
/** The decoder of xz is not compiled yet when it begins, and takes 5 ms a kilobyte: then dpkg-deb is the faster one. */
const XZ_LIMIT = 8 * 1024;
const UNPACKED_LIMIT = 4 * 1024 * 1024;
const MAGIC = '!<arch>\n';
const HEADER = 60;

/** @returns control.tar; undefined when dpkg-deb has to read it. Never throws. */
export function readControlMember(file: string): Buffer | undefined {
  try {
    const fd = openSync(file, 'r');
    try {
      if (!fstatSync(fd).isFile()) return undefined;
      const start = Buffer.alloc(MAGIC.length + HEADER + 4 + HEADER);
      readSync(fd, start, 0, start.length, 0);
      if (start.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
      const first = memberAt(start, MAGIC.length);
      const version = start.toString('latin1', MAGIC.length + HEADER, MAGIC.length + HEADER + 4);
      if (first?.name !== 'debian-binary' || first.size !== 4 || version !== '2.0\n') return undefined;
      const member = memberAt(start, start.length - HEADER);
      if (member === undefined || member.size > PACKED_LIMIT) return undefined;
      const packed = Buffer.alloc(member.size);
      if (readSync(fd, packed, 0, packed.length, start.length) < packed.length) return undefined;
      return unpacked(member.name, packed);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** A member's header (deb(5); ar(5)). */
function memberAt(data: Buffer, at: number): { name: string; size: number } | undefined {
  const name = data
    .toString('latin1', at, at + 16)
    .trimEnd()
    .replace(/\/$/, '');
  const size = data.toString('latin1', at + 48, at + 58).trimEnd();
  const end = data.toString('latin1', at + 58, at + 60);
  return end === '`\n' && /^\d+$/.test(size) ? { name, size: Number(size) } : undefined;
}

/** @throws the error of zlib for what is damaged or too large */
function unpacked(name: string, packed: Buffer): Buffer | undefined {
  switch (name) {
    case 'control.tar':
      return packed;
    case 'control.tar.gz':
      return gunzipSync(packed, { maxOutputLength: UNPACKED_LIMIT });
    case 'control.tar.zst':
      return zstdDecompressSync(packed, { maxOutputLength: UNPACKED_LIMIT });
    case 'control.tar.xz':
      return packed.length > XZ_LIMIT ? undefined : unpackXz(packed, UNPACKED_LIMIT);
    default:
      return undefined;
  }
}
