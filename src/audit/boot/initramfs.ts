/**
 * Whether an initramfs is whole to its end: every archive in it is read as the kernel reads it, the compressed one
 * decompressed, and the last one has to end in its trailer.
 *
 * Source of the format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c:
 * archives (cpio, newc) one after the other, each maybe compressed, NUL bytes between them. The first may be for
 * microcode and is never compressed; the kernel's decompressors are told apart by lib/decompress.c's magic numbers.
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import type { Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { openQuietly } from '../../system/files.ts';
import { run } from '../../system/run.ts';

export type InitramfsVerdict =
  /** Every archive came to its trailer. */
  | { kind: 'whole' }
  | { kind: 'damaged'; what: string }
  /** It could not be read, or nothing here decompresses it. */
  | { kind: 'unknown' };

const UNKNOWN: InitramfsVerdict = { kind: 'unknown' };
const PIECE = 1024 * 1024;
/** Half of what an initramfs of a whole firmware collection has; one that goes on beyond it is not read to its end. */
const MOST_OUTPUT = 4 * 1024 * 1024 * 1024;
/** What is handed to a program of this host is held in memory. */
const MOST_INPUT = 512 * 1024 * 1024;
const PROGRAM_TIMEOUT_MS = 5 * 60 * 1000;

type Decompressor = { builtin: 'gzip' | 'zstd' } | { program: string; args: readonly string[] };

/** lib/decompress.c, compressed_formats; lz4 is the legacy frame. */
const DECOMPRESSORS: readonly (readonly [magic: string, by: Decompressor])[] = [
  ['\x1f\x8b', { builtin: 'gzip' }],
  ['\x28\xb5\x2f\xfd', { builtin: 'zstd' }],
  ['\xfd7zXZ\0', { program: 'xz', args: ['--decompress', '--stdout', '--single-stream'] }],
  ['\x5d\0\0', { program: 'xz', args: ['--decompress', '--stdout', '--format=lzma'] }],
  ['BZh', { program: 'bzip2', args: ['-dc'] }],
  ['\x02\x21\x4c\x18', { program: 'lz4', args: ['-dc'] }],
  ['\x89LZO', { program: 'lzop', args: ['-dc'] }],
];

const CPIO_MAGIC = /^07070[12]/;
const CPIO_HEADER = 110;
const TRAILER = 'TRAILER!!!';
const MOST_NAME = 4096;

/** Reads one archive piece by piece and keeps none of it. */
class CpioReader {
  state: 'reading' | 'ended' | 'bad' = 'reading';
  /** Bytes of the archive so far, its trailer included. */
  consumed = 0;
  #held = Buffer.alloc(0);
  #skip = 0;

  feed(piece: Buffer): void {
    let at = 0;
    while (at < piece.length && this.state === 'reading') {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, piece.length - at);
        this.#skip -= step;
        this.consumed += step;
        at += step;
        continue;
      }
      const wanted = this.#wanted();
      const part = piece.subarray(at, at + wanted - this.#held.length);
      this.#held = Buffer.concat([this.#held, part]);
      at += part.length;
      if (this.#held.length === wanted) this.#take();
    }
  }

  /** A header, and when that is there, its name. */
  #wanted(): number {
    if (this.#held.length < CPIO_HEADER) return CPIO_HEADER;
    return CPIO_HEADER + this.#field(11);
  }

  #take(): void {
    if (!CPIO_MAGIC.test(this.#held.toString('latin1', 0, 6))) {
      this.state = 'bad';
      return;
    }
    const nameSize = this.#field(11);
    const size = this.#field(6);
    if (!(nameSize > 0 && nameSize <= MOST_NAME) || Number.isNaN(size)) {
      this.state = 'bad';
      return;
    }
    if (this.#held.length === CPIO_HEADER) return; // its name comes next
    const name = this.#held.toString('latin1', CPIO_HEADER, CPIO_HEADER + nameSize - 1);
    this.consumed += this.#held.length;
    this.#skip = padding(this.#held.length) + size + padding(size);
    this.#held = Buffer.alloc(0);
    if (name === TRAILER) this.state = 'ended';
  }

  /** The fields are eight hexadecimal digits each, after the magic number. */
  #field(index: number): number {
    const digits = this.#held.toString('latin1', 6 + index * 8, 14 + index * 8);
    return /^[0-9a-f]{8}$/i.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
  }
}

function padding(length: number): number {
  return (4 - (length % 4)) % 4;
}

/**
 * Reads an initramfs to its end.
 *
 * @param host a path of this host; its last component is not followed
 */
export async function examineInitramfs(host: Bytes): Promise<InitramfsVerdict> {
  let fd: number;
  try {
    fd = openQuietly(fsPath(host));
  } catch {
    return UNKNOWN;
  }
  try {
    if (!fstatSync(fd).isFile()) return UNKNOWN;
    return await examine(new FileReader(fd, fstatSync(fd).size));
  } catch {
    return UNKNOWN; // an I/O error, which the one who reads the file for its manifest reports
  } finally {
    closeSync(fd);
  }
}

class FileReader {
  readonly #fd: number;
  readonly size: number;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
  }

  /** A copy: what reads it may keep it until later. */
  at(offset: number, length: number): Buffer {
    const buffer = Buffer.alloc(Math.max(0, Math.min(length, this.size - offset)));
    const count = readSync(this.#fd, buffer, 0, buffer.length, offset);
    return buffer.subarray(0, count);
  }
}

async function examine(file: FileReader): Promise<InitramfsVerdict> {
  if (file.size === 0) return damaged('is empty');
  let at = 0;
  for (let archives = 0; ; archives += 1) {
    at = skipNul(file, at);
    if (at >= file.size) return archives > 0 ? { kind: 'whole' } : damaged('consists of NUL bytes');
    const head = file.at(at, 16).toString('latin1');
    if (CPIO_MAGIC.test(head)) {
      const reader = new CpioReader();
      for (let from = at; from < file.size && reader.state === 'reading'; from += PIECE)
        reader.feed(file.at(from, PIECE));
      if (reader.state !== 'ended') return damaged(`has an archive at byte ${at} that ${broken(reader)}`);
      at += reader.consumed;
      continue;
    }
    const by = DECOMPRESSORS.find(([magic]) => head.startsWith(magic))?.[1];
    if (by === undefined) return damaged(`has neither an archive nor NUL bytes at byte ${at}`);
    return 'builtin' in by ? decompress(file, at, by.builtin) : decompressBy(file, at, by);
  }
}

function skipNul(file: FileReader, from: number): number {
  for (let at = from; at < file.size; at += PIECE) {
    const found = file.at(at, PIECE).findIndex((byte) => byte !== 0);
    if (found >= 0) return at + found;
  }
  return file.size;
}

function damaged(what: string): InitramfsVerdict {
  return { kind: 'damaged', what };
}

function broken(reader: CpioReader): string {
  return reader.state === 'bad' ? 'has something else where a file begins' : 'ends before its trailer';
}

/** What follows a compressed archive is not looked at: nothing that Debian has puts anything there but NUL bytes. */
async function decompress(
  file: FileReader,
  from: number,
  format: 'gzip' | 'zstd',
): Promise<InitramfsVerdict> {
  const stream: Transform = format === 'gzip' ? createGunzip() : createZstdDecompress();
  const reader = new CpioReader();
  let output = 0;
  let failed: unknown;
  stream.on('error', (error) => {
    failed = error;
  });
  const done = (async () => {
    for await (const piece of stream) {
      output += (piece as Buffer).length;
      reader.feed(piece as Buffer);
      if (output > MOST_OUTPUT) break;
    }
  })().catch((error: unknown) => {
    failed = error;
  });
  for (let at = from; at < file.size && failed === undefined && !stream.destroyed; at += PIECE) {
    if (!stream.write(file.at(at, PIECE))) await roomIn(stream);
  }
  if (!stream.destroyed) stream.end();
  await done;
  if (output > MOST_OUTPUT) return UNKNOWN;
  return judgeStream(reader, format, failed === undefined ? undefined : trailing(failed, file, from));
}

/** Waits until a stream takes more, or will take no more at all. */
function roomIn(stream: Transform): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      for (const event of ['drain', 'close', 'error'] as const) stream.off(event, go);
      resolve();
    };
    for (const event of ['drain', 'close', 'error'] as const) stream.on(event, go);
    if (stream.destroyed) go();
  });
}

/** NUL bytes behind the stream are no part of it, and a decompressor may say so as an error. */
function trailing(error: unknown, file: FileReader, from: number): string | undefined {
  const last = file.at(Math.max(from, file.size - 4), 4);
  if (last.length === 4 && last.every((byte) => byte === 0)) return undefined;
  return error instanceof Error ? error.message : String(error);
}

async function decompressBy(
  file: FileReader,
  from: number,
  { program, args }: { program: string; args: readonly string[] },
): Promise<InitramfsVerdict> {
  if (file.size - from > MOST_INPUT) return UNKNOWN;
  const reader = new CpioReader();
  const result = await run(program, args, {
    timeout: PROGRAM_TIMEOUT_MS,
    input: file.at(from, file.size - from),
    onStdout: (piece) => reader.feed(piece),
  });
  if (result.failure !== undefined || result.timedOut) return UNKNOWN;
  // A program that stumbles over what follows the stream has decompressed the stream all the same (I11).
  return judgeStream(reader, program, undefined);
}

function judgeStream(reader: CpioReader, format: string, error: string | undefined): InitramfsVerdict {
  if (reader.state !== 'ended') return damaged(`has a ${format} archive that ${broken(reader)}`);
  return error === undefined ? { kind: 'whole' } : damaged(`does not decompress (${format}: ${error})`);
}
