/**
 * What a .deb would install (deb(5)): the headers of its data.tar, as dpkg-deb(1) unpacks it. Content is skipped unless
 * a reader wants it.
 */
import { basename } from 'node:path';
import { type Bytes, bytesOf } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { run } from '../system/run.ts';
import { skipSlashes } from './names.ts';

export interface TarEntry {
  /** Absolute, without a trailing slash. */
  readonly path: Bytes;
  readonly type: 'file' | 'hard-link' | 'link' | 'directory' | 'fifo' | 'character-device' | 'block-device';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 for everything but files. */
  readonly size: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  /** Of links: where they point. Of hard links: the absolute path of the file. */
  readonly target: Bytes;
}

/** Unpacking the largest packages takes about ten seconds a GB. */
const UNPACK_TIMEOUT_MS = 300_000;
const BLOCK = 512;

/**
 * Reads the file list of a .deb.
 *
 * @throws DebmendError `archive-unreadable` when dpkg-deb fails or its output ends early
 */
export async function readArchive(file: string): Promise<TarEntry[]> {
  const parser = new TarParser();
  await unpack(file, '--fsys-tarfile', parser);
  return parser.entries;
}

/**
 * Has dpkg-deb write one of the two tar archives of a .deb into a parser.
 *
 * @param file absolute
 * @throws DebmendError `archive-unreadable` when dpkg-deb fails or its output ends early
 */
export async function unpack(
  file: string,
  part: '--fsys-tarfile' | '--ctrl-tarfile',
  parser: TarParser,
): Promise<void> {
  const result = await run('dpkg-deb', [part, file], {
    timeout: UNPACK_TIMEOUT_MS,
    onStdout: (chunk) => parser.push(chunk),
  });
  if (result.code !== 0 || result.failure !== undefined || !parser.ended) {
    throw archiveUnreadable(file, result.failure ?? (result.stderr.trim().split('\n')[0] || 'it ends early'));
  }
}

export function archiveUnreadable(file: string, reason: string): DebmendError {
  return new DebmendError(
    'archive-unreadable',
    `reading ${file}: ${reason}`,
    'the archive is damaged: take it away, or download it again',
  );
}

/** `name`, `version` and `architecture` from an archive's file name, as apt writes it (`:` of an epoch as `%3a`). */
export function parseArchiveName(
  file: string,
): { name: string; version: string; architecture: string } | undefined {
  const match = /^([^_]+)_([^_]+)_([^_]+)\.deb$/.exec(basename(file));
  if (match === null) return undefined;
  const [, name = '', version = '', architecture = ''] = match;
  return { name, version: version.replace(/%3a/gi, ':'), architecture };
}

/** The tar formats that dpkg reads: v7, ustar, and GNU long names (lib/dpkg/tarfn.c). */
export class TarParser {
  readonly entries: TarEntry[] = [];
  /** The content of the files that were wanted, by path, as soon as it has come whole. */
  readonly contents = new Map<Bytes, Bytes>();
  /** A block of NUL bytes, which ends an archive, was seen. */
  ended = false;
  readonly #wants: (entry: TarEntry) => boolean;
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes of content still to come. */
  #skip = 0;
  /** Content being collected, how many bytes of it there are, and who takes it. */
  #collected: { size: number; data: Buffer[]; take: (content: Buffer) => void } | undefined;
  #longName: Bytes | undefined;
  #longTarget: Bytes | undefined;

  /** @param wants whether a file's content is kept: it has to mind the size, for content is kept in memory */
  constructor(wants: (entry: TarEntry) => boolean = () => false) {
    this.#wants = wants;
  }

  push(chunk: Buffer): void {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (data.length > 0 && !this.ended) {
      if (this.#skip > 0) {
        const taken = Math.min(this.#skip, data.length);
        this.#collected?.data.push(Buffer.from(data.subarray(0, taken)));
        this.#skip -= taken;
        data = data.subarray(taken);
        if (this.#skip === 0) this.#endContent();
        continue;
      }
      if (data.length < BLOCK) break;
      this.#header(data.subarray(0, BLOCK));
      data = data.subarray(BLOCK);
    }
    this.#rest = Buffer.from(data);
  }

  #endContent(): void {
    if (this.#collected === undefined) return;
    const { size, data, take } = this.#collected;
    this.#collected = undefined;
    take(Buffer.concat(data).subarray(0, size));
  }

  #collect(size: number, take: (content: Buffer) => void): void {
    this.#collected = { size, data: [], take };
    if (size === 0) this.#endContent();
  }

  #header(block: Buffer): void {
    if (block.every((byte) => byte === 0)) {
      this.ended = true;
      return;
    }
    const text = (from: number, length: number): Bytes =>
      cString(bytesOf(block.subarray(from, from + length)));
    const size = number(block, 124, 12);
    this.#skip = Math.ceil(size / BLOCK) * BLOCK;
    const flag = String.fromCharCode(block[156] ?? 0);
    if (flag === 'L' || flag === 'K') {
      this.#collect(size, (content) => {
        const name = cString(bytesOf(content));
        if (flag === 'L') this.#longName = name;
        else this.#longTarget = name;
      });
      return;
    }
    const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(345, 155) : '';
    const short = prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`;
    const path = absolute(this.#longName ?? short);
    const target = this.#longTarget ?? text(157, 100);
    this.#longName = undefined;
    this.#longTarget = undefined;
    const type = typeOf(flag);
    if (type === undefined) return;
    const entry: TarEntry = {
      path,
      type,
      mode: number(block, 100, 8) & 0o7777,
      uid: number(block, 108, 8),
      gid: number(block, 116, 8),
      size: type === 'file' ? size : 0,
      mtime: number(block, 136, 12),
      target: type === 'hard-link' ? absolute(target) : target,
    };
    this.entries.push(entry);
    if (type !== 'file') this.#skip = 0;
    else if (this.#wants(entry)) this.#collect(size, (content) => this.contents.set(path, bytesOf(content)));
  }
}

function typeOf(flag: string): TarEntry['type'] | undefined {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      return 'file';
    case '1':
      return 'hard-link';
    case '2':
      return 'link';
    case '3':
      return 'character-device';
    case '4':
      return 'block-device';
    case '5':
      return 'directory';
    case '6':
      return 'fifo';
    default:
      return undefined;
  }
}

function absolute(name: Bytes): Bytes {
  const skipped = skipSlashes(name);
  let end = skipped.length;
  while (end > 0 && skipped.charAt(end - 1) === '/') end -= 1;
  return skipped === '.' ? '/' : `/${skipped.slice(0, end)}`;
}

function cString(bytes: Bytes): Bytes {
  const nul = bytes.indexOf('\0');
  return nul < 0 ? bytes : bytes.slice(0, nul);
}

/** A number in octal digits, or in base 256 when the first bit is set (GNU). */
function number(block: Buffer, from: number, length: number): number {
  if (((block[from] ?? 0) & 0x80) !== 0) {
    let value = 0;
    for (let i = from + 1; i < from + length; i += 1) value = value * 256 + (block[i] ?? 0);
    return Number.isSafeInteger(value) ? value : 0;
  }
  const digits = /[0-7]+/.exec(block.toString('latin1', from, from + length))?.[0];
  return digits === undefined ? 0 : Number.parseInt(digits, 8);
}
