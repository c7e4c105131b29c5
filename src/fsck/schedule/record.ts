/**
 * What was asked for, in one small file in the store's directory: written durably before anything is changed and again
 * after it (I4), and readable when the store's database is damaged (I8).
 *
 *     intended ──► asked ──► checked ──► (settings put back) ──► results
 *                    │  └──► missed  ──► checked, at a later boot
 *                    └─────► withdrawn, by --cancel
 */
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { requestedCheckSchema } from '../../model/requested-check.ts';
import { bytesFromText } from '../../system/bytes.ts';
import { syncDirectory, writeDurably } from '../../system/durable.ts';
import { DebmendError, errnoOf, messageOf } from '../../system/errors.ts';
import { readRegularFile } from '../../system/files.ts';

const FILE = 'fsck-scheduled.json';
const VERSION = 1;
/** Past results that stay. */
const KEPT = 20;
const LIMIT = 4 * 1024 * 1024;

/** A superblock's settings as they were before they were changed. */
const settingsSchema = z.strictObject({
  mountCount: z.int(),
  maxMountCount: z.int(),
  lastCheck: z.int(),
  hasErrors: z.boolean(),
});

const recordedCheckSchema = requestedCheckSchema.extend({
  /** Of ext4; absent for what was not asked for by the superblock. */
  before: settingsSchema.optional(),
});

const commandLineSchema = z.strictObject({
  repair: z.enum(['preen', 'yes']),
  /** False between the intention and its end. */
  told: z.boolean(),
  askedAt: z.iso.datetime(),
  boot: z.string().optional().describe('the boot in which it was asked'),
});

const recordSchema = z.strictObject({
  version: z.literal(VERSION),
  checks: z.array(recordedCheckSchema),
  /** The boot loader's part, as long as anything of it may be there. */
  commandLine: commandLineSchema.optional(),
  results: z.array(requestedCheckSchema),
});

export type Settings = z.infer<typeof settingsSchema>;
export type RecordedCheck = z.infer<typeof recordedCheckSchema>;
export type CommandLine = z.infer<typeof commandLineSchema>;
export type CheckRecord = z.infer<typeof recordSchema>;

const EMPTY: CheckRecord = { version: VERSION, checks: [], results: [] };

export interface ReadRecord {
  readonly record: CheckRecord;
  /** Why what stood there could not be used; it is kept beside its place with the next write. */
  readonly damage: string | undefined;
}

/** @param directory the store's, as a path of this host */
export function recordFile(directory: string): string {
  return join(directory, FILE);
}

/** Never throws. */
export function readRecord(directory: string): ReadRecord {
  const outcome = readRegularFile(bytesFromText(recordFile(directory)), LIMIT);
  if (outcome.kind === 'missing') return { record: EMPTY, damage: undefined };
  if (outcome.kind === 'unreadable') return { record: EMPTY, damage: outcome.errno };
  try {
    const content: unknown = JSON.parse(Buffer.from(outcome.data, 'latin1').toString('utf8'));
    return { record: recordSchema.parse(content), damage: undefined };
  } catch (error) {
    return { record: EMPTY, damage: messageOf(error).split('\n')[0] ?? 'it is no JSON' };
  }
}

/**
 * Writes the record; when this returns, it is on disk.
 *
 * @throws DebmendError `store-unusable`
 */
export function writeRecord(directory: string, record: CheckRecord): void {
  const file = recordFile(directory);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (readRecord(directory).damage !== undefined) {
      renameSync(file, `${file}.damaged-${Date.now()}`); // never deleted (I1)
      syncDirectory(directory);
    }
    const text = JSON.stringify({ ...record, results: record.results.slice(-KEPT) }, undefined, 2);
    writeDurably(file, `${text}\n`, 0o600);
  } catch (error) {
    throw new DebmendError(
      'store-unusable',
      `remembering which checks were asked for in ${file}: ${errnoOf(error) ?? messageOf(error)}`,
      'nothing is asked for that cannot be remembered and put back; make room there, or run as root',
      error,
    );
  }
}
