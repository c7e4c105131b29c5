/** Digests of files; apart from system/files.ts, because node:crypto takes a tenth of a start to load. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { openQuietly } from './files.ts';

/** Kept between calls: reading is synchronous, so no two share it at once. */
const CHUNK = Buffer.allocUnsafeSlow(1024 * 1024);

/**
 * SHA-256 of a regular file, as hexadecimal digits, and its size in bytes.
 *
 * @throws the error of a system call; an Error when it is no regular file
 */
export function hashRegularFile(host: string | Buffer): { sha256: string; size: number } {
  const { digest, size } = digestOf(host, 'sha256');
  return { sha256: digest, size };
}

/** MD5 of a regular file, which is what dpkg keeps of conffiles. @throws as hashRegularFile does */
export function md5OfRegularFile(host: string | Buffer): string {
  return digestOf(host, 'md5').digest;
}

function digestOf(host: string | Buffer, algorithm: 'sha256' | 'md5'): { digest: string; size: number } {
  const fd = openQuietly(host);
  try {
    if (!fstatSync(fd).isFile()) throw new Error('it is no regular file');
    const hash = createHash(algorithm);
    let size = 0;
    for (let count = readSync(fd, CHUNK); count > 0; count = readSync(fd, CHUNK)) {
      hash.update(CHUNK.subarray(0, count));
      size += count;
    }
    return { digest: hash.digest('hex'), size };
  } finally {
    closeSync(fd);
  }
}
