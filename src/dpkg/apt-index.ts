/**
 * What the archives' indexes say a .deb is: its size and SHA-256 (apt-get(8), /var/lib/apt/lists). The names there end
 * in `_Packages`, and in a compressor's ending where apt keeps them compressed (apt-pkg/acquire-item.cc). To parse tens
 * of thousands of stanzas takes longer than a hook may, so each index has a summary (dpkg/index-summary) in a cache.
 */
import { isUtf8 } from 'node:buffer';
import { hash, randomBytes } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { openQuietly } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { run } from '../system/run.ts';
import { type ArchiveDigest, type IndexIdentity, IndexSummary, SummaryBuilder } from './index-summary.ts';
import { PackagesReader } from './packages-index.ts';

export interface IndexProblem {
  /** The index, as a path inside the root; or the cache directory, where that is what cannot be used. */
  readonly file: Bytes;
  readonly message: string;
}

export interface Refreshment {
  /** Summaries that were missing, stale or damaged, and were made. */
  readonly built: number;
  /** Summaries of indexes that are gone. */
  readonly removed: number;
  readonly problems: IndexProblem[];
}

export interface ArchiveIndex {
  /**
   * What the indexes say of an archive: nothing, or one answer for each content that they know by this name. Never
   * throws.
   *
   * @param version with its epoch
   * @param architecture as the archive itself has it: `all` where it is that
   */
  lookup(name: Bytes, version: Bytes, architecture: Bytes): ArchiveDigest[];
  /**
   * Whether an index has no summary of its present state, or a look-up found one damaged: what only that one knows is
   * not found until the summaries are refreshed.
   */
  readonly stale: boolean;
  /** Closes the files; nothing is found from then on. */
  close(): void;
}

const LISTS = '/var/lib/apt/lists';
const INDEX_NAME = /_Packages(?:\.(?:lz4|gz|xz|zst|bz2|lzma))?$/;
const APT_HELPER = '/usr/lib/apt/apt-helper';
/** The main index of Debian, 50 MB, takes a tenth of a second to unpack from LZ4 and a few from bzip2. */
const UNPACK_TIMEOUT_MS = 120_000;
const CHUNK_BYTES = 256 * 1024;

const SUMMARY_NAME = /^[0-9a-f]{32}\.summary$/;
const TEMPORARY_NAME = /^[0-9a-f]{32}\.summary\.[0-9a-f]{16}$/;
/** A temporary file of this age is nobody's work any more. */
const TEMPORARY_AGE_MS = 3_600_000;

interface Index extends IndexIdentity {
  readonly host: Bytes;
}

/**
 * Makes the summaries that are missing, stale or damaged, and takes away those of indexes that are gone. Never throws;
 * an index that can't be read to its end gets no summary, and one of which some stanzas are damaged gets one of the
 * others.
 *
 * @param cacheDirectory of this program's own, one a root; it is made when it is missing
 */
export async function refreshIndexSummaries(root: Root, cacheDirectory: string): Promise<Refreshment> {
  const problems: IndexProblem[] = [];
  let built = 0;
  let names: string[];
  try {
    mkdirSync(cacheDirectory, { recursive: true, mode: 0o755 });
    names = readdirSync(cacheDirectory);
  } catch (error) {
    const problem = { file: cacheDirectory, message: `the cache can't be used: ${messageOf(error)}` };
    return { built: 0, removed: 0, problems: [problem] };
  }
  const indexes = indexesOf(root);
  for (const index of indexes) {
    if (hasSoundSummary(cacheDirectory, index)) continue;
    const message = await build(index, cacheDirectory, () => {
      built += 1;
    });
    if (message !== undefined) problems.push({ file: index.path, message });
  }
  const known = new Set(indexes.map(summaryName));
  const gone = names.filter((name) => SUMMARY_NAME.test(name) && !known.has(name));
  const removed = gone.filter((name) => discard(join(cacheDirectory, name))).length;
  for (const name of names) if (TEMPORARY_NAME.test(name)) discardOld(join(cacheDirectory, name));
  return { built, removed, problems };
}

/** Opens the summaries that are up to date. Never throws; without any, nothing is found. */
export function openIndex(root: Root, cacheDirectory: string): ArchiveIndex {
  const indexes = indexesOf(root);
  const opened = indexes.flatMap((index) => openSummary(cacheDirectory, index) ?? []);
  let stale = opened.length < indexes.length;
  return {
    get stale() {
      return stale;
    },
    lookup: (name, version, architecture) => {
      const found = new Map<string, ArchiveDigest>();
      for (const { summary } of opened) {
        const digests = summary.lookup(name, version, architecture);
        if (digests === undefined) stale = true;
        for (const digest of digests ?? []) found.set(`${digest.sha256} ${digest.size}`, digest);
      }
      return [...found.values()];
    },
    close: () => {
      for (const { fd } of opened.splice(0)) closeSync(fd);
    },
  };
}

/** The indexes of packages, sorted; none when the directory can't be read. */
function indexesOf(root: Root): Index[] {
  const found = root.resolveDirectory(LISTS);
  if (found.kind === 'unreachable') return [];
  let names: Bytes[];
  try {
    names = readdirSync(fsPath(found.host), { encoding: 'buffer' }).map(bytesOf).sort();
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    if (!INDEX_NAME.test(name)) return [];
    // Of an archive on this machine apt makes no copy but a link to its index, which may be followed inside the root.
    const at = root.resolveFully(`${LISTS}/${name}`);
    const state = at.kind === 'found' ? look(at.host) : undefined;
    return at.kind === 'unreachable' || state === undefined
      ? []
      : [{ path: `${LISTS}/${name}`, host: at.host, ...state }];
  });
}

function look(host: Bytes): Omit<IndexIdentity, 'path'> | undefined {
  try {
    const stat = lstatSync(fsPath(host), { bigint: true });
    return stat.isFile() ? { inode: stat.ino, size: stat.size, mtime: stat.mtimeNs } : undefined;
  } catch {
    return undefined;
  }
}

/** The names of indexes are nearly as long as a name may be. */
function summaryName({ path }: IndexIdentity): string {
  return `${hash('sha256', path).slice(0, 32)}.summary`;
}

interface Opened {
  readonly summary: IndexSummary;
  readonly fd: number;
}

/** Undefined where there is none of the index's present state. Who gets one closes it. */
function openSummary(cacheDirectory: string, index: Index): Opened | undefined {
  let fd: number;
  try {
    fd = openQuietly(join(cacheDirectory, summaryName(index)));
  } catch {
    return undefined;
  }
  try {
    const stat = fstatSync(fd);
    const read = (offset: number, length: number): Buffer | undefined => readAt(fd, offset, length);
    const summary = stat.isFile() ? IndexSummary.open({ length: stat.size, read }, index) : undefined;
    if (summary !== undefined) return { summary, fd };
  } catch {
    // As good as none.
  }
  closeSync(fd);
  return undefined;
}

function hasSoundSummary(cacheDirectory: string, index: Index): boolean {
  const opened = openSummary(cacheDirectory, index);
  if (opened === undefined) return false;
  try {
    return opened.summary.isSound();
  } finally {
    closeSync(opened.fd);
  }
}

function readAt(fd: number, offset: number, length: number): Buffer | undefined {
  try {
    const piece = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const count = readSync(fd, piece, done, length - done, offset + done);
      if (count === 0) return undefined;
      done += count;
    }
    return piece;
  } catch {
    return undefined;
  }
}

/** @returns what is wrong with the index, or why there is no summary */
async function build(index: Index, cacheDirectory: string, done: () => void): Promise<string | undefined> {
  const builder = new SummaryBuilder();
  const reader = new PackagesReader((archive) => builder.add(archive));
  const failure = await readIndex(index, (chunk) => reader.push(chunk));
  if (failure !== undefined) return failure;
  reader.end();
  const now = look(index.host);
  if (now?.inode !== index.inode || now.size !== index.size || now.mtime !== index.mtime)
    return 'the package index changed while it was read';
  // A cut index has lost more than its last stanza, and apt will not use it either.
  if (reader.cut) return 'the package index ends in the middle of a line';
  try {
    write(join(cacheDirectory, summaryName(index)), builder.encode(index));
  } catch (error) {
    return `its summary can't be written: ${messageOf(error)}`;
  }
  done();
  if (reader.damaged === 0) return undefined;
  return `the package index has ${reader.damaged} damaged stanza${reader.damaged === 1 ? '' : 's'}`;
}

/** @returns why it can't be read to its end */
async function readIndex(index: Index, take: (chunk: Buffer) => void): Promise<string | undefined> {
  try {
    const fd = openQuietly(fsPath(index.host));
    try {
      // Of an .xz that is all NUL apt-helper makes an empty one.
      if (readAt(fd, 0, 1)?.[0] === 0) return 'the package index begins with NUL bytes';
      if (index.path.endsWith('_Packages')) readPlain(fd, take);
      else if (index.path.endsWith('.gz')) await readGzip(fd, take);
      else return await readPacked(index, take);
      return undefined;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return `the package index can't be read: ${messageOf(error)}`;
  }
}

function readPlain(fd: number, take: (chunk: Buffer) => void): void {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let count = readSync(fd, chunk); count > 0; count = readSync(fd, chunk))
    take(chunk.subarray(0, count));
}

/** Not by apt-helper, which is content with half of such a file (apt 2.6): it has zlib pass on what is there. */
async function readGzip(fd: number, take: (chunk: Buffer) => void): Promise<void> {
  const packed = createReadStream('', { fd, autoClose: false, highWaterMark: CHUNK_BYTES });
  await pipeline(packed, createGunzip({ chunkSize: CHUNK_BYTES }), async (unpacked) => {
    for await (const chunk of unpacked) take(chunk);
  });
}

async function readPacked(index: Index, take: (chunk: Buffer) => void): Promise<string | undefined> {
  const path = bufferOf(index.host);
  // An argument of a program is UTF-8 for Node; apt itself escapes what is not ASCII in these names.
  if (!isUtf8(path)) return 'the name of the package index is not UTF-8';
  const result = await run(APT_HELPER, ['cat-file', path.toString('utf8')], {
    timeout: UNPACK_TIMEOUT_MS,
    onStdout: take,
  });
  if (result.code === 0) return undefined;
  const reason = result.timedOut ? 'it takes too long' : result.stderr.trim().split('\n')[0];
  return `the package index can't be unpacked: ${result.failure ?? (reason || 'apt-helper failed')}`;
}

/** @throws the error of the system call that failed */
function write(file: string, data: Buffer): void {
  const temporary = `${file}.${randomBytes(8).toString('hex')}`;
  const fd = openSync(temporary, 'wx', 0o644);
  try {
    try {
      for (let written = 0; written < data.length; ) written += writeSync(fd, data, written);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    discard(temporary);
    throw error;
  }
}

function discard(file: string): boolean {
  try {
    unlinkSync(file);
    return true;
  } catch {
    return false;
  }
}

/** Takes away what a cut left of an earlier run, and not what another one is writing. */
function discardOld(file: string): void {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat !== undefined && Date.now() - stat.mtimeMs > TEMPORARY_AGE_MS) discard(file);
}
