/**
 * A package's own lists: `.list` (lib/dpkg/db-fsys-files.c) and `.md5sums` (deb-md5sums(5),
 * lib/dpkg/db-fsys-digest.c). A damaged one still yields every entry that stands whole before or after the damage.
 */
import type { Bytes } from '../system/bytes.ts';
import { skipSlashes } from './names.ts';

export interface ListFile {
  /** Absolute paths, without the `/.` of the first line and without trailing slashes. */
  readonly paths: Bytes[];
  readonly damage: 'none' | 'empty' | 'nul' | 'unterminated' | 'empty-name';
  /** What dpkg says after `files list file for package '…' `: of several damages the first. */
  readonly dpkgSays: string | undefined;
}

/**
 * Parses a `.list`. A last line without its newline is left out: it may be the beginning of a longer name, and adding
 * the newline would hide what was lost.
 */
export function parseList(data: Bytes): ListFile {
  if (data === '') return { paths: [], damage: 'empty', dpkgSays: undefined };
  const lines = data.split('\n');
  const unterminated = lines.pop() !== '';
  const paths: Bytes[] = [];
  let emptyName = false;
  for (let line of lines) {
    if (line.endsWith('/')) line = line.slice(0, -1);
    if (line === '') emptyName = true;
    else if (!line.includes('\0')) {
      // dpkg gives a name its slash where it has none: what stands there is owned all the same.
      const name = skipSlashes(line);
      if (name !== '' && name !== '.') paths.push(`/${name}`);
    }
  }
  const dpkgSays = emptyName
    ? 'contains empty filename'
    : unterminated
      ? 'is missing final newline'
      : undefined;
  if (data.includes('\0')) return { paths, damage: 'nul', dpkgSays };
  if (unterminated) return { paths, damage: 'unterminated', dpkgSays };
  return { paths, damage: emptyName ? 'empty-name' : 'none', dpkgSays };
}

export interface Md5sumsFile {
  /** Lower-case hexadecimal MD5 by absolute path. */
  readonly hashes: Map<Bytes, Bytes>;
  readonly damage: 'none' | 'empty' | 'nul' | 'unterminated' | 'malformed';
  /** What dpkg says after `control file 'md5sums' for package '…' is `. */
  readonly dpkgSays: string | undefined;
}

const HASH_LENGTH = 32;
const HASH = /^[0-9a-f]{32}$/;

/** Parses an `.md5sums`: 32 hex digits, two blanks, a path without its leading slash (or with `./` before it). */
export function parseMd5sums(data: Bytes): Md5sumsFile {
  const hashes = new Map<Bytes, Bytes>();
  if (data === '') return { hashes, damage: 'empty', dpkgSays: undefined };
  let malformed = false;
  let dpkgSays: string | undefined;
  let at = 0;
  while (at < data.length) {
    const end = data.indexOf('\n', at);
    if (end < 0) break;
    const hash = data.slice(at, at + HASH_LENGTH);
    if (end - at <= HASH_LENGTH + 2) {
      malformed = true;
      dpkgSays ??= 'missing value';
    } else if (data.charCodeAt(at + HASH_LENGTH) !== 32 || data.charCodeAt(at + HASH_LENGTH + 1) !== 32) {
      malformed = true;
      dpkgSays ??= 'missing value separator';
    } else if (!HASH.test(hash)) {
      malformed = true; // dpkg takes it as it is, and every comparison with it fails
    } else {
      const to = data.charCodeAt(end - 1) === 47 ? end - 1 : end;
      const name = skipSlashes(data.slice(at + HASH_LENGTH + 2, to));
      if (name !== '' && !name.includes('\0')) hashes.set(`/${name}`, hash);
    }
    at = end + 1;
  }
  const unterminated = at < data.length;
  if (unterminated) dpkgSays ??= 'missing final newline';
  if (data.includes('\0')) return { hashes, damage: 'nul', dpkgSays };
  if (unterminated) return { hashes, damage: 'unterminated', dpkgSays };
  return { hashes, damage: malformed ? 'malformed' : 'none', dpkgSays };
}
