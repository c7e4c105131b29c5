/** New things are made whole under a temporary name, in the directory where they will stand, before anything gives way. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  statfsSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { textToPath } from '../../model/path-text.ts';
import type { AttributesRecord, Step } from '../../model/run.ts';
import { bytesFromText, fsPath } from '../../system/bytes.ts';
import { openQuietly } from '../../system/files.ts';
import { at, changed } from './moves.ts';
import type { Directory, Spot } from './places.ts';
import { failedAction, refused } from './refusal.ts';
import { Held } from './things.ts';

/** Content: bytes, or a file of this host. */
export type Data = Buffer | { readonly file: string };

const CHUNK = 1024 * 1024;
/** Left free beside a new file, for the directory's own growth and for everybody else. */
const SPARE_ROOM = 1024 * 1024;

/** Size and SHA-256 of the content. @throws DebmendError when it cannot be read, or is no regular file */
export function measure(data: Data, doing: string): { size: number; sha256: string } {
  const hash = createHash('sha256');
  let size = 0;
  pour(data, doing, (piece) => {
    hash.update(piece);
    size += piece.length;
  });
  return { size, sha256: hash.digest('hex') };
}

/** @throws DebmendError `disk-full` when so many bytes would not fit beside what has to stay free */
export function needsRoom(directory: Directory, size: number, doing: string): void {
  const { bfree, bavail, bsize } = statfsSync(directory.entry('.'));
  const free = (process.geteuid?.() === 0 ? bfree : bavail) * bsize;
  if (free >= size + SPARE_ROOM) return;
  const error = Object.assign(new Error(`${size} bytes`), { code: 'ENOSPC' });
  throw failedAction(error, `${doing}, ${size} bytes`);
}

/** Makes what a step puts in place. @throws the error of a system call; what is made by then stays */
export function makeTemporary(
  temporary: Spot,
  step: Extract<Step, { kind: 'put' | 'link' | 'directory' }>,
  data: Data | undefined,
  doing: string,
): void {
  switch (step.kind) {
    case 'put':
      if (data === undefined) throw refused(doing, 'its content is not at hand', 'run it again');
      writeNew(temporary, step, data, doing);
      return;
    case 'link':
      symlinkSync(fsPath(textToPath(step.target)), at(temporary));
      giveAway(temporary, { mode: '0777', uid: step.uid, gid: step.gid }, 'isSymbolicLink', doing);
      return;
    case 'directory':
      mkdirSync(at(temporary), { mode: 0o700 });
      giveAway(temporary, step.attributes, 'isDirectory', doing);
      return;
  }
}

/** Sets what belongs to a thing that was made a moment ago; what others put in its place meanwhile is left alone. */
function giveAway(
  temporary: Spot,
  attributes: AttributesRecord,
  is: 'isSymbolicLink' | 'isDirectory',
  doing: string,
): void {
  Held.with(temporary, (held) => {
    if (!held.stat[is]() || Number(held.stat.uid) !== process.geteuid?.()) throw changed(doing);
    held.set(attributes);
  });
}

function writeNew(
  temporary: Spot,
  { size, sha256, attributes }: Extract<Step, { kind: 'put' }>,
  data: Data,
  doing: string,
): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(at(temporary), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    const hash = createHash('sha256');
    let written = 0;
    pour(data, doing, (piece) => {
      hash.update(piece);
      written += piece.length;
      if (written > size) throw sourceChanged(doing);
      for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done, piece.length - done);
    });
    if (hash.digest('hex') !== sha256) throw sourceChanged(doing);
    // By the open file and not by its name, which others may have given to something of their own meanwhile.
    Held.of(fd).set(attributes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function sourceChanged(doing: string): Error {
  return refused(doing, 'the good content changed while it was copied', 'run it again');
}

function pour(data: Data, doing: string, take: (piece: Buffer) => void): void {
  if (Buffer.isBuffer(data)) {
    take(data);
    return;
  }
  const source = `reading ${data.file}`;
  const path = fsPath(bytesFromText(data.file));
  let fd: number;
  try {
    // Looked at first: opening a device can act on it.
    if (!lstatSync(path).isFile())
      throw refused(`${doing}: ${source}`, 'it is no regular file', 'name another source');
    fd = openQuietly(path);
  } catch (error) {
    throw failedAction(error, `${doing}: ${source}`);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw refused(`${doing}: ${source}`, 'it is no regular file', 'name another source');
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let left = stat.size; left > 0; ) {
      const count = readSync(fd, buffer, 0, Math.min(CHUNK, left), null);
      if (count === 0) throw sourceChanged(doing);
      take(buffer.subarray(0, count));
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
}
