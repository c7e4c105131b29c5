/**
 * What fsck found in this boot. Debian's initramfs checks the root filesystem and /usr before it mounts them, and keeps
 * what e2fsck printed in /run/initramfs/fsck.log, which the next end of the system takes away: a copy is kept.
 *
 *     /dev/sda1: recovering journal
 *     /dev/sda1: clean, 31034/655360 files, 362042/2620928 blocks      follows on both, and alone it means: was clean
 */
import { lstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Evidence } from '../model/outage.ts';
import { bytesToText } from '../model/path-text.ts';
import { bufferOf, bytesFromText } from '../system/bytes.ts';
import { writeDurably } from '../system/durable.ts';
import { errnoOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { evidence } from './evidence.ts';
import { readInside } from './inside.ts';

const FILE = '/run/initramfs/fsck.log';
/** The copies, in the store's directory. */
export const FSCK_LOGS = 'fsck-logs';
const LIMIT = 1024 * 1024;
const KEPT = 20;

const RECOVERED = /^(\S+): (?:recovering journal|.*was not cleanly unmounted|.*was not properly unmounted)/;
const CLEAN = /^(\S+): clean,/;

/** What fsck's lines say, of each device once. Never throws (I8). */
export function parseFsck(
  text: string,
): { readonly device: string; readonly recovered: boolean; readonly line: string }[] {
  const found = new Map<string, { recovered: boolean; line: string }>();
  for (const line of text.split('\n')) {
    const recovered = RECOVERED.exec(line)?.[1];
    if (recovered !== undefined && found.get(recovered)?.recovered !== true)
      found.set(recovered, { recovered: true, line });
    const clean = CLEAN.exec(line)?.[1];
    if (clean !== undefined && !found.has(clean)) found.set(clean, { recovered: false, line });
  }
  return [...found].map(([device, what]) => ({ device, ...what }));
}

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
  const live = readInside(root, FILE, LIMIT);
  if (live.kind === 'read') return fsckEvidence(live.data, FILE, boot);
  const copy = boot === undefined || directory === undefined ? undefined : join(directory, FSCK_LOGS, boot);
  const kept = copy === undefined ? undefined : readRegularFile(bytesFromText(copy), LIMIT);
  if (copy !== undefined && kept?.kind === 'read') return fsckEvidence(kept.data, copy, boot);
  return live.kind === 'missing'
    ? []
    : [evidence('unavailable', FILE, `fsck's log cannot be read: ${live.errno}`)];
}

/**
 * Keeps a copy of this boot's log, durably, and the newest twenty of those of other boots.
 *
 * @param directory the store's, as a path of this host
 * @returns whether there is a copy now
 * @throws the error of the system call that failed
 */
export function keepFsckLog(root: Root, directory: string, boot: string): boolean {
  const live = readInside(root, FILE, LIMIT);
  const folder = join(directory, FSCK_LOGS);
  const copy = join(folder, boot);
  if (readRegularFile(bytesFromText(copy), LIMIT).kind === 'read') return true;
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
