/**
 * The one way to write a file durably: beside its place under a temporary name, synced, renamed, and the directory
 * synced. A power cut leaves the old file or the new one, never a mixture (as dpkg's lib/dpkg/atomic-file.c does it).
 */
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Writes `data` to `file`, replacing what is there.
 *
 * @param mode permission bits of the new file
 * @throws the error of the system call that failed; the old file is then untouched
 */
export function writeDurably(file: string, data: string | Uint8Array, mode = 0o644): void {
  const directory = dirname(file);
  const temporary = join(directory, `.${basename(file)}.debmend-${process.pid}`);
  const fd = openSync(temporary, 'wx', mode);
  try {
    try {
      const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
  const parent = openSync(directory, 'r');
  try {
    fsyncSync(parent);
  } finally {
    closeSync(parent);
  }
}
