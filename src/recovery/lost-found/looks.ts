/** What a nameless file looks like, for the person who has to say what it is; by its first bytes (magic(5)). */
import { isUtf8 } from 'node:buffer';
import { bytesOf } from '../../system/bytes.ts';
import { looksDamaged } from '../content.ts';

const MAGIC: readonly (readonly [begins: string, what: string])[] = [
  ['\x7fELF', 'an ELF program or library'],
  ['#!', 'a script'],
  ['\x1f\x8b', 'gzip data'],
  ['\xfd7zXZ\0', 'xz data'],
  ['\x28\xb5\x2f\xfd', 'zstd data'],
  ['BZh', 'bzip2 data'],
  ['!<arch>\ndebian-binary', 'a Debian package'],
  ['!<arch>\n', 'an ar archive'],
  ['PK\x03\x04', 'a ZIP archive'],
  ['SQLite format 3\0', 'an SQLite database'],
  ['\x89PNG', 'a PNG image'],
  ['\xff\xd8\xff', 'a JPEG image'],
  ['%PDF-', 'a PDF document'],
  ['\xde\x12\x04\x95', 'a GNU message catalog'],
  ['MZ', 'a Windows or EFI program'],
  ['LPKSHHRH', 'a systemd journal'],
  ['-----BEGIN ', 'a PEM file: a key or a certificate'],
  ['<?xml', 'an XML document'],
];

/** @param head its first bytes, @param size its whole size in bytes */
export function looksLike(head: Buffer, size: number): string {
  if (size === 0) return 'an empty file';
  if (looksDamaged(head) === 'all NUL') return 'NUL bytes at its beginning';
  const begin = bytesOf(head.subarray(0, 64));
  const known = MAGIC.find(([magic]) => begin.startsWith(magic))?.[1];
  if (known !== undefined) {
    // The interpreter tells more than that it is a script; a hostile first line is cut and never printed raw.
    const interpreter = known === 'a script' ? /^#!\s*([\x21-\x7e]{1,60})/.exec(begin)?.[1] : undefined;
    return interpreter === undefined ? known : `${known} for ${interpreter}`;
  }
  // A character may be cut in two at the end.
  const whole = head.subarray(0, Math.max(0, head.length - 4));
  if (!head.includes(0) && isUtf8(head.length < 8 ? head : whole.subarray(0, lastBoundary(whole))))
    return 'text';
  return 'data of no kind that is known here';
}

function lastBoundary(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && ((bytes[end - 1] ?? 0) & 0x80) !== 0) end -= 1;
  return end;
}
