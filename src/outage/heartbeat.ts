/**
 * The heartbeat: the last sign of life that an outage leaves behind. A small file is overwritten in place and synced
 * every few seconds; at the next boot its newest record says when the machine still ran.
 *
 *     block 0   debmend-heartbeat 1 seq=7 at=… boot=… uptime=… every=10 stopped=0 crc32=…
 *     block 1   the same with seq=8
 *
 * Beats go to the two blocks in turn, so that a beat which is torn by a cut leaves the one before it whole; the
 * checksum tells which are whole (I8: NUL bytes, garbage, half a record). A block is a page and a filesystem block, so
 * neighbours are never rewritten together, and as the blocks exist already, fdatasync(2) writes data only: ext4 and XFS
 * commit no metadata for it, least of all the journal of everybody else.
 */
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Bytes, bytesFromText } from '../system/bytes.ts';
import { syncDirectory, writeDurably } from '../system/durable.ts';
import { errnoOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';

/** The file's name in the store's directory. */
export const HEARTBEAT_FILE = 'heartbeat';
/** Beside it: the last beat of the boot before, which would be overwritten within seconds of the next boot's start. */
export const LAST_HEARTBEAT_FILE = 'last-heartbeat';

/** A page, and the block of nearly every filesystem, in bytes. */
const BLOCK = 4096;
const BLOCKS = 2;
/** More than the file ever has: a larger one is not ours. */
const LIMIT = 64 * 1024;
/** Beyond it sequences could not be counted any more; no machine beats that often. */
const RECORD =
  /^debmend-heartbeat 1 seq=(\d{1,15}) at=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) boot=(\S+) uptime=(-|\d+(?:\.\d+)?) every=(\d+(?:\.\d+)?) stopped=([01]) crc32=([0-9a-f]{8}) *\n$/;

export interface Heartbeat {
  /** Counts on over boots: the greatest is the newest, whatever the clock says. */
  readonly sequence: number;
  /** By the wall clock, which may be wrong after an outage. */
  readonly at: Date;
  /** The kernel's id of the boot; undefined where it was not to be had. */
  readonly boot: string | undefined;
  /** Seconds of that boot, suspension included (CLOCK_BOOTTIME). */
  readonly uptime: number | undefined;
  /** Seconds between two beats: the next one was due after so long. */
  readonly every: number;
  /** Whether it is the last beat of an agent that was told to stop. */
  readonly stopped: boolean;
}

/** One block of the file. */
export function formatBeat(beat: Heartbeat): Buffer {
  const text = [
    'debmend-heartbeat 1',
    `seq=${beat.sequence}`,
    `at=${beat.at.toISOString()}`,
    `boot=${beat.boot ?? '-'}`,
    `uptime=${beat.uptime ?? '-'}`,
    `every=${beat.every}`,
    `stopped=${beat.stopped ? 1 : 0}`,
  ].join(' ');
  const line = `${text} crc32=${checksum(text)}`;
  return Buffer.from(`${line.padEnd(BLOCK - 1)}\n`, 'latin1');
}

/** The newest whole beat of a heartbeat file's bytes; undefined when there is none. Never throws. */
export function parseHeartbeat(data: Bytes): Heartbeat | undefined {
  let newest: Heartbeat | undefined;
  for (let at = 0; at < data.length; at += BLOCK) {
    const beat = parseBlock(data.slice(at, at + BLOCK));
    if (beat !== undefined && (newest === undefined || beat.sequence > newest.sequence)) newest = beat;
  }
  return newest;
}

function parseBlock(block: Bytes): Heartbeat | undefined {
  const match = RECORD.exec(block);
  if (match === null) return undefined;
  const [, sequence, at = '', boot, uptime, every, stopped, sum] = match;
  if (checksum(block.slice(0, block.indexOf(' crc32='))) !== sum) return undefined;
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return undefined;
  return {
    sequence: Number(sequence),
    at: date,
    boot: boot === '-' ? undefined : boot,
    uptime: uptime === '-' ? undefined : Number(uptime),
    every: Number(every),
    stopped: stopped === '1',
  };
}

function checksum(text: string): string {
  return crc32(Buffer.from(text, 'latin1')).toString(16).padStart(8, '0');
}

export type HeartbeatReading =
  | { kind: 'beat'; beat: Heartbeat }
  | { kind: 'missing' }
  /** The file is there, and no record in it is whole. */
  | { kind: 'damaged' }
  | { kind: 'unreadable'; errno: string };

/** Reads the newest beat. @param file as a path of this host */
export function readHeartbeat(file: string): HeartbeatReading {
  const outcome = readRegularFile(bytesFromText(file), LIMIT);
  switch (outcome.kind) {
    case 'missing':
    case 'unreadable':
      return outcome;
    case 'read': {
      const beat = parseHeartbeat(outcome.data);
      return beat === undefined ? { kind: 'damaged' } : { kind: 'beat', beat };
    }
  }
}

/** The file, open for beating. One process may do so at a time. */
export class HeartbeatFile {
  readonly #handle: FileHandle;
  readonly #directory: string;
  #sequence: number;
  /** What was there before the first beat. */
  #before: Heartbeat | undefined;

  private constructor(handle: FileHandle, directory: string, before: Heartbeat | undefined) {
    this.#handle = handle;
    this.#directory = directory;
    this.#sequence = before?.sequence ?? 0;
    this.#before = before;
  }

  /**
   * Opens the file, and makes it where there is none that can be used. What it says so far stays until the second beat.
   *
   * @param file as a path of this host, in a directory of ours
   * @throws the error of the system call that failed
   */
  static async open(file: string): Promise<HeartbeatFile> {
    const before = readHeartbeat(file);
    if (before.kind !== 'beat') await make(file);
    const beat = before.kind === 'beat' ? before.beat : undefined;
    return new HeartbeatFile(await open(file, 'r+'), dirname(file), beat);
  }

  /**
   * Writes a beat, and returns when it is on disk. The first one of a boot keeps the last one of the boot before.
   *
   * @throws the error of the system call that failed
   */
  async beat(what: Omit<Heartbeat, 'sequence'>): Promise<Heartbeat> {
    const beat = { ...what, sequence: this.#sequence + 1 };
    this.#keepLast(beat.boot);
    // The other block than that of the newest beat, which stays whole whatever becomes of this write.
    const block = formatBeat(beat);
    const position = (beat.sequence % BLOCKS) * BLOCK;
    const { bytesWritten } = await this.#handle.write(block, 0, block.length, position);
    if (bytesWritten !== block.length) throw new Error(`only ${bytesWritten} bytes were written`);
    await this.#handle.datasync();
    this.#sequence = beat.sequence;
    return beat;
  }

  #keepLast(boot: string | undefined): void {
    const before = this.#before;
    this.#before = undefined;
    if (before === undefined || before.boot === boot) return;
    try {
      writeDurably(join(this.#directory, LAST_HEARTBEAT_FILE), formatBeat(before));
    } catch {
      // A disk that is full still takes beats: the sign of life of this boot is worth more than that of the last.
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Makes the file with all its blocks, durably; beating then changes no metadata. */
async function make(file: string): Promise<void> {
  const temporary = `${file}.debmend-new`;
  try {
    await unlink(temporary);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  const handle = await open(temporary, 'wx', 0o644);
  try {
    await handle.writeFile(`${' '.repeat(BLOCK - 1)}\n`.repeat(BLOCKS));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  syncDirectory(file.slice(0, file.lastIndexOf('/')) || '/');
}
