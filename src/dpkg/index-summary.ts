/**
 * What a hook has the time to read of an archive's index: a file of records of one length, sorted by a key, with a
 * table of the buckets that keys fall into by their first bits. To open it is to read its head; to look an archive up
 * is to read one bucket. It is a cache: nothing is synced, and what a power cut left in pieces is known by its
 * checksums and made again.
 *
 *     offset  bytes  (numbers are little-endian)
 *          0      8  magic
 *          8      4  version of this layout
 *         12      4  CRC-32 of what follows, up to the end of the table
 *         16      8  inode  ┐
 *         24      8  size   ├ of the index that it was made from
 *         32      8  mtime  ┘ in nanoseconds
 *         40      4  number of records
 *         44      4  length of the path
 *         48      4  first bits of the key, big-endian, that number a bucket
 *         52      …  path of the index inside the root
 *          …      8  a bucket: 4 bytes of the number of records up to its end, 4 of the CRC-32 of its records
 *          …     48  a record: 8 bytes of key, 8 of size, 32 of SHA-256
 *
 * The key is the beginning of the SHA-256 of name, version and architecture: among a million archives two share one
 * with a probability of 1 in 30 million, and then a look-up has one answer too many.
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type Bytes, bytesOf } from '../system/bytes.ts';
import type { IndexedArchive } from './packages-index.ts';

/** Which state of an index a summary was made from. */
export interface IndexIdentity {
  /** Inside the root. */
  readonly path: Bytes;
  readonly inode: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
}

/** What an index says of an archive. */
export interface ArchiveDigest {
  /** 64 lower-case hex digits. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

const MAGIC: Bytes = 'dbmndix\x1a';
const LAYOUT = 1;
const CHECKED_FROM = 16;
const PATH_AT = 52;
const BUCKET_BYTES = 8;
const KEY_BYTES = 8;
const SIZE_AT = 8;
const HASH_AT = 16;
const RECORD_BYTES = 48;
/** A bucket of so many records has 6 kB, two pages. */
const RECORDS_A_BUCKET = 128;
const MAX_BITS = 16;
/** PATH_MAX (limits.h). */
const MAX_PATH_BYTES = 4096;

function keyOf(name: Bytes, version: Bytes, architecture: Bytes): Buffer {
  return hash('sha256', `${name}\0${version}\0${architecture}`, 'buffer').subarray(0, KEY_BYTES);
}

function bucketOf(keyHigh: number, bits: number): number {
  // A shift by 32 would be none.
  return bits === 0 ? 0 : keyHigh >>> (32 - bits);
}

/** Collects records; 48 bytes of memory each. */
export class SummaryBuilder {
  #records = Buffer.allocUnsafe(1024 * RECORD_BYTES);
  #count = 0;

  add({ name, version, architecture, size, sha256 }: IndexedArchive): void {
    const at = this.#count * RECORD_BYTES;
    if (at === this.#records.length) {
      const larger = Buffer.allocUnsafe(2 * at);
      this.#records.copy(larger);
      this.#records = larger;
    }
    keyOf(name, version, architecture).copy(this.#records, at);
    this.#records.writeBigUInt64LE(BigInt(size), at + SIZE_AT);
    this.#records.write(sha256, at + HASH_AT, 'hex');
    this.#count += 1;
  }

  /** The whole file. */
  encode(identity: IndexIdentity): Buffer {
    const path = Buffer.from(identity.path, 'latin1');
    const bits = Math.min(MAX_BITS, Math.ceil(Math.log2(Math.max(1, this.#count / RECORDS_A_BUCKET))));
    const table = PATH_AT + path.length;
    const records = table + 2 ** bits * BUCKET_BYTES;
    const file = Buffer.allocUnsafe(records + this.#count * RECORD_BYTES);
    file.write(MAGIC, 0, 'latin1');
    file.writeUInt32LE(LAYOUT, 8);
    file.writeBigUInt64LE(BigInt.asUintN(64, identity.inode), 16);
    file.writeBigUInt64LE(BigInt.asUintN(64, identity.size), 24);
    file.writeBigUInt64LE(BigInt.asUintN(64, identity.mtime), 32);
    file.writeUInt32LE(this.#count, 40);
    file.writeUInt32LE(path.length, 44);
    file.writeUInt32LE(bits, 48);
    path.copy(file, PATH_AT);
    let to = records;
    for (const record of this.#sorted()) {
      this.#records.copy(file, to, record * RECORD_BYTES, (record + 1) * RECORD_BYTES);
      to += RECORD_BYTES;
    }
    let end = 0;
    for (let bucket = 0; bucket < 2 ** bits; bucket += 1) {
      const start = end;
      const at = (record: number): number => records + record * RECORD_BYTES;
      while (end < this.#count && bucketOf(file.readUInt32BE(at(end)), bits) === bucket) end += 1;
      file.writeUInt32LE(end, table + bucket * BUCKET_BYTES);
      file.writeUInt32LE(crc32(file.subarray(at(start), at(end))), table + bucket * BUCKET_BYTES + 4);
    }
    file.writeUInt32LE(crc32(file.subarray(CHECKED_FROM, records)), 12);
    return file;
  }

  /** Numbers of records in the order of their keys. Keys are compared as two numbers: a call of memcmp costs more. */
  #sorted(): Uint32Array {
    const high = new Uint32Array(this.#count);
    const low = new Uint32Array(this.#count);
    const order = new Uint32Array(this.#count);
    for (let record = 0; record < this.#count; record += 1) {
      high[record] = this.#records.readUInt32BE(record * RECORD_BYTES);
      low[record] = this.#records.readUInt32BE(record * RECORD_BYTES + 4);
      order[record] = record;
    }
    return order.sort((a, b) => (high[a] ?? 0) - (high[b] ?? 0) || (low[a] ?? 0) - (low[b] ?? 0) || a - b);
  }
}

/** The file that a summary lies in. */
export interface SummaryFile {
  /** Bytes. */
  readonly length: number;
  /** Undefined when there are not so many bytes there, or they can't be read. */
  readonly read: (offset: number, length: number) => Buffer | undefined;
}

export class IndexSummary {
  readonly #file: SummaryFile;
  readonly #table: Buffer;
  readonly #bits: number;
  readonly #records: number;
  readonly #buckets = new Map<number, Buffer>();

  private constructor(file: SummaryFile, table: Buffer, bits: number, records: number) {
    this.#file = file;
    this.#table = table;
    this.#bits = bits;
    this.#records = records;
  }

  /** Undefined where the head is not whole, of another layout, or of another state of the index. Never throws. */
  static open(file: SummaryFile, identity: IndexIdentity): IndexSummary | undefined {
    const head = file.read(0, PATH_AT);
    if (head === undefined || bytesOf(head.subarray(0, MAGIC.length)) !== MAGIC) return undefined;
    const pathLength = head.readUInt32LE(44);
    const bits = head.readUInt32LE(48);
    if (head.readUInt32LE(8) !== LAYOUT || pathLength > MAX_PATH_BYTES || bits > MAX_BITS) return undefined;
    const same =
      head.readBigUInt64LE(16) === BigInt.asUintN(64, identity.inode) &&
      head.readBigUInt64LE(24) === BigInt.asUintN(64, identity.size) &&
      head.readBigUInt64LE(32) === BigInt.asUintN(64, identity.mtime);
    const table = PATH_AT + pathLength;
    const records = table + 2 ** bits * BUCKET_BYTES;
    if (!same || file.length !== records + head.readUInt32LE(40) * RECORD_BYTES) return undefined;
    const checked = file.read(CHECKED_FROM, records - CHECKED_FROM);
    if (checked === undefined || crc32(checked) !== head.readUInt32LE(12)) return undefined;
    if (bytesOf(checked.subarray(PATH_AT - CHECKED_FROM, table - CHECKED_FROM)) !== identity.path)
      return undefined;
    return new IndexSummary(file, checked.subarray(table - CHECKED_FROM), bits, records);
  }

  /** Reads every bucket: whether none is damaged. */
  isSound(): boolean {
    for (let bucket = 0; bucket < 2 ** this.#bits; bucket += 1)
      if (this.#read(bucket) === undefined) return false;
    return true;
  }

  /** Undefined where the bucket is damaged that would tell. */
  lookup(name: Bytes, version: Bytes, architecture: Bytes): ArchiveDigest[] | undefined {
    const key = keyOf(name, version, architecture);
    const number = bucketOf(key.readUInt32BE(0), this.#bits);
    const bucket = this.#buckets.get(number) ?? this.#read(number);
    if (bucket === undefined) return undefined;
    this.#buckets.set(number, bucket);
    const compare = (record: number): number =>
      bucket.compare(key, 0, KEY_BYTES, record * RECORD_BYTES, record * RECORD_BYTES + KEY_BYTES);
    const count = bucket.length / RECORD_BYTES;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compare(middle) < 0) low = middle + 1;
      else high = middle;
    }
    const found: ArchiveDigest[] = [];
    for (let record = low; record < count && compare(record) === 0; record += 1) {
      const at = record * RECORD_BYTES;
      found.push({
        sha256: bucket.toString('hex', at + HASH_AT, at + RECORD_BYTES),
        size: Number(bucket.readBigUInt64LE(at + SIZE_AT)),
      });
    }
    return found;
  }

  #read(bucket: number): Buffer | undefined {
    const at = bucket * BUCKET_BYTES;
    const start = bucket === 0 ? 0 : this.#table.readUInt32LE(at - BUCKET_BYTES);
    const length = (this.#table.readUInt32LE(at) - start) * RECORD_BYTES;
    if (length < 0) return undefined;
    const records = this.#file.read(this.#records + start * RECORD_BYTES, length);
    return records !== undefined && crc32(records) === this.#table.readUInt32LE(at + 4) ? records : undefined;
  }
}
