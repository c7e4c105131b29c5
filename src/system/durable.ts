/**
 * The one way to write a file durably: beside its place under a temporary name, synced, renamed, and the directory
 * synced. A power cut leaves the old file or the new one, never a mixture (as dpkg's lib/dpkg/atomic-file.c does it).
 */
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf } from './errors.ts';

/**
 * Writes `data` to `file`, replacing what is there. What a cut left of an earlier attempt is taken away first; the
 * name is then made anew, so that nobody else's file or link is ever written to.
 *
 * @param mode permission bits of the new file, whatever the umask says
 * @throws the error of the system call that failed; the old file is then untouched
 */
export function writeDurably(file: string, data: string | Uint8Array, mode = 0o644): void {
  const directory = dirname(file);
  const temporary = join(directory, `.${basename(file)}.debmend-new`);
  discard(temporary);
  const fd = openSync(temporary, 'wx', mode);
  try {
    try {
      const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
      fchmodSync(fd, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    try {
      discard(temporary);
    } catch {
      // What failed first is what the caller has to hear of.
    }
    throw error;
  }
  syncDirectory(directory);
}

/**
 * Makes the names in a directory durable: those that were made, renamed or taken away in it.
 *
 * @throws the error of the system call that failed
 */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function discard(temporary: string): void {
  try {
    unlinkSync(temporary);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
