/**
 * Intents that a disk lost after it had promised to keep them: the row is gone, and the file beside it cannot be read.
 * Such a file is replaced by rename, so no cut of an honest disk leaves it like that. What was going to be installed is
 * still known, because the kept archives are links to what was on disk before; what was going to be removed is not, and
 * neither is the command.
 */
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { readControlArchive } from '../../dpkg/control-archive.ts';
import { parseArchiveName } from '../../dpkg/deb.ts';
import { bytesToText, pathToText } from '../../model/path-text.ts';
import type { IntendedPackageRecord, Transaction } from '../../model/transaction.ts';
import { bytesFromText } from '../../system/bytes.ts';
import { errnoOf, messageOf } from '../../system/errors.ts';
import { hashRegularFile } from '../../system/hash-file.ts';
import type { Store } from '../store.ts';
import {
  INTENT,
  putTransaction,
  TRANSACTIONS,
  transactionDirectory,
  transactionStates,
  writeJournal,
} from './record.ts';

/** `20260102T030405Z`, or with `-2` where it was taken. */
const ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-\d+)?$/;
/** A kept archive: the first digits of its SHA-256, and the name that it had (archives.ts). */
const KEPT = /^([0-9a-f]{12})-(.+\.deb)$/;
/** The file that could not be read is kept beside the new one. */
const DAMAGED = `${INTENT}.damaged`;

/**
 * Brings such transactions back, as far as they are known. The damaged files are set aside.
 *
 * @returns how many
 * @throws an error of SQLite or of the filesystem
 */
export async function rebuildIntents(store: Store): Promise<number> {
  let rebuilt = 0;
  const known = transactionStates(store);
  for (const id of namesIn(store.file(TRANSACTIONS))) {
    if (known.has(id)) continue;
    const directory = transactionDirectory(store, id);
    const startedAt = startOf(id);
    if (startedAt === undefined || !isDamaged(join(directory, INTENT))) continue;
    // None: it removed only, or had come to its end, which takes the archives away. It is told of all the same.
    const packages = await packagesIn(join(directory, 'archives'));
    renameSync(join(directory, INTENT), join(directory, DAMAGED));
    const transaction: Transaction = {
      id,
      state: 'interrupted',
      origin: 'rebuilt',
      startedAt,
      session: { command: [] },
      runs: [{ at: startedAt, source: 'watch', command: [], complete: false, packages }],
    };
    store.db.transaction(() => putTransaction(store, transaction))();
    writeJournal(store, transaction);
    rebuilt += 1;
  }
  return rebuilt;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function startOf(id: string): string | undefined {
  const match = ID.exec(id);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** One that another version of debmend wrote is none, though it may say what this one does not know. */
function isDamaged(file: string): boolean {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return errnoOf(error) === 'EIO';
  }
  try {
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}

async function packagesIn(directory: string): Promise<IntendedPackageRecord[]> {
  const packages: IntendedPackageRecord[] = [];
  for (const kept of namesIn(directory)) {
    const record = await packageOf(directory, kept);
    if (record !== undefined) packages.push(record);
  }
  return packages;
}

/** A damaged archive still tells by its name what it was, and the network may bring it again. */
async function packageOf(directory: string, kept: string): Promise<IntendedPackageRecord | undefined> {
  const [, digits, name = ''] = KEPT.exec(kept) ?? [];
  if (digits === undefined) return undefined;
  const file = join(directory, kept);
  try {
    const { sha256, size } = hashRegularFile(file);
    if (!sha256.startsWith(digits)) throw new Error('it is not what was kept');
    const control = await readControlArchive(file);
    return {
      name: bytesToText(control.package),
      architecture: bytesToText(control.architecture),
      action: 'install',
      newVersion: bytesToText(control.version),
      archive: {
        path: pathToText(bytesFromText(`/var/cache/apt/archives/${name}`)),
        size,
        sha256,
        index: 'unchecked',
        kept,
      },
    };
  } catch (error) {
    const named = parseArchiveName(name);
    if (named === undefined) return undefined;
    return {
      name: named.name,
      architecture: named.architecture,
      action: 'install',
      newVersion: named.version,
      problem: `its kept archive cannot be used: ${messageOf(error)}`,
    };
  }
}
