/** What fsck's log of this boot is evidence of, and the copy that is kept of it (fsck/fsck-log.ts). */
import { lstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { FSCK_LOG, FSCK_LOG_BYTES, FSCK_LOGS, parseFsck, readFsckLog } from '../fsck/fsck-log.ts';
import type { Evidence } from '../model/outage.ts';
import { bytesToText } from '../model/path-text.ts';
import { bufferOf, bytesFromText } from '../system/bytes.ts';
import { writeDurably } from '../system/durable.ts';
import { errnoOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import { readInside } from '../system/inside.ts';
import type { Root } from '../system/root.ts';
import { evidence } from './evidence.ts';

const KEPT = 20;

/** The evidence of fsck's output. */
export function fsckEvidence(text: string, source: string, boot: string | undefined): Evidence[] {
  return parseFsck(text).map(({ recovered, line }) => {
    const said = bytesToText(line).replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ');
    return evidence(recovered ? 'fsck-recovered' : 'fsck-clean', source, `fsck said: ${said}`, { boot });
  });
}

/**
 * What the initramfs' fsck said in this boot, from its log or from the copy. Never throws.
 *
 * @param directory the store's, as a path of this host
 */
export function fsckLog(root: Root, directory: string | undefined, boot: string | undefined): Evidence[] {
  const log = readFsckLog(root, directory, boot);
  switch (log.kind) {
    case 'read':
      return fsckEvidence(log.data, log.source, boot);
    case 'missing':
      return [];
    case 'unreadable':
      return [evidence('unavailable', FSCK_LOG, `fsck's log cannot be read: ${log.errno}`)];
  }
}

/**
 * Keeps a copy of this boot's log, durably, and the newest twenty of those of other boots.
 *
 * @param directory the store's, as a path of this host
 * @returns whether there is a copy now
 * @throws the error of the system call that failed
 */
export function keepFsckLog(root: Root, directory: string, boot: string): boolean {
  const live = readInside(root, FSCK_LOG, FSCK_LOG_BYTES);
  const folder = join(directory, FSCK_LOGS);
  const copy = join(folder, boot);
  if (readRegularFile(bytesFromText(copy), FSCK_LOG_BYTES).kind === 'read') return true;
  if (live.kind !== 'read') return false;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  writeDurably(copy, bufferOf(live.data), 0o600);
  prune(folder, boot);
  return true;
}

/** Boots have no order in their ids; the copies' own times have. */
function prune(folder: string, boot: string): void {
  const copies = readdirSync(folder).filter((name) => name !== boot);
  if (copies.length < KEPT) return;
  const oldestFirst = copies
    .map((name) => ({ name, at: lstatSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => a.at - b.at);
  for (const { name } of oldestFirst.slice(0, copies.length - KEPT + 1)) unlinkSync(join(folder, name));
}
