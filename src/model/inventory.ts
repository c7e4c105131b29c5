/**
 * The JSON of the commands about snapshots, transactions, hooks, runs and their quarantine. As in a report, a part that a command did not look
 * at is absent. Nothing of the contents that the store keeps is ever in it: names, sizes and hashes only.
 * `schemas/inventory.schema.json` is generated from here.
 */
import { z } from 'zod';
import { findingSchema } from './finding.ts';
import { fsckRunSchema } from './fsck-run.ts';
import { lostFoundSchema } from './lost-found.ts';
import { checkStepSchema, onlineCheckSchema, requestedCheckSchema } from './requested-check.ts';
import { quarantineSchema, undoSchema } from './run.ts';
import { SCHEMA_VERSION } from './schema-version.ts';
import { transactionSchema } from './transaction.ts';

const count = z.int().min(0);

export const snapshotSchema = z
  .strictObject({
    id: z.int(),
    kind: z.enum(['manual', 'scheduled', 'before', 'after']),
    scope: z
      .enum(['full', 'transaction'])
      .describe('transaction: only what it touches, and all that is tracked, was looked at'),
    takenAt: z.iso.datetime(),
    boot: z.string().optional(),
    transaction: z.string().optional(),
    sealed: z.boolean().describe('what it saw is known to be on disk'),
    entries: count.describe('paths that it knows'),
    changed: count.describe('paths that differ from the snapshot before it'),
    filesRead: count,
    bytesRead: count,
    seconds: z.number().min(0),
  })
  .meta({ id: 'Snapshot' });

export const entrySchema = z
  .strictObject({
    path: z.string(),
    type: z.enum([
      'file',
      'directory',
      'link',
      'fifo',
      'socket',
      'character-device',
      'block-device',
      'unknown',
    ]),
    mode: z.string().regex(/^[0-7]{4}$/),
    uid: count,
    gid: count,
    size: count.describe('bytes; 0 for everything but files'),
    modifiedAt: z.iso.datetime().optional().describe('absent for directories'),
    inode: z.number(),
    target: z.string().optional().describe('where a link points'),
    capability: z.string().optional().describe('the attribute security.capability, hexadecimal'),
    xxh64: z.string().optional().describe('of the content; absent for what is no file or could not be read'),
    sound: z.boolean().optional().describe('whether the content was what the package’s manifest says'),
    copied: z.boolean().describe('whether the store has a copy of the content'),
    origins: z.array(z.enum(['owned', 'tracked', 'database', 'intended'])),
    since: z.int().describe('the snapshot that first saw it so'),
  })
  .meta({ id: 'Entry' });

export const changeSchema = z
  .strictObject({
    path: z.string(),
    change: z.enum(['added', 'removed', 'changed']),
    what: z
      .array(z.enum(['type', 'content', 'mode', 'owner', 'target', 'capability', 'time']))
      .describe('of what changed; empty otherwise'),
    before: entrySchema.optional(),
    after: entrySchema.optional(),
  })
  .meta({ id: 'Change' });

export const inventorySchema = z
  .strictObject({
    schemaVersion: z.literal(SCHEMA_VERSION),
    tool: z.strictObject({ name: z.literal('debmend'), version: z.string() }),
    root: z.string(),
    snapshots: z.array(snapshotSchema).optional(),
    snapshot: snapshotSchema.optional(),
    entries: z.array(entrySchema).optional(),
    created: z
      .strictObject({ added: count, changed: count, gone: count, unreadable: z.array(z.string()) })
      .optional(),
    diff: z.strictObject({ from: z.int(), to: z.int(), changes: z.array(changeSchema) }).optional(),
    pruned: z.strictObject({ snapshots: z.array(z.int()), states: count, contents: count }).optional(),
    transactions: z.array(transactionSchema).optional(),
    hooks: z
      .strictObject({
        program: z.string(),
        fragments: z.array(
          z.strictObject({ path: z.string(), state: z.enum(['installed', 'missing', 'different']) }),
        ),
        failures: z.array(z.string()).describe('the last lines of the hooks’ log'),
      })
      .optional(),
    services: z
      .strictObject({
        program: z.string(),
        units: z.array(
          z.strictObject({
            name: z.string(),
            path: z.string(),
            state: z
              .enum(['installed', 'missing', 'different', 'foreign'])
              .describe('foreign: not made by debmend, or masked'),
            enabled: z.boolean().optional().describe('absent for what only a timer starts'),
          }),
        ),
      })
      .optional(),
    checks: z
      .strictObject({
        dryRun: z.boolean(),
        steps: z.array(checkStepSchema),
        asked: z
          .array(requestedCheckSchema)
          .describe('all that is remembered: what waits, and what came of others'),
      })
      .optional(),
    scrubs: z
      .strictObject({
        dryRun: z.boolean(),
        planned: z.array(
          z.strictObject({
            mountPoint: z.string(),
            type: z.string(),
            command: z.array(z.string()).optional(),
            reason: z.string().optional().describe('why it cannot be checked while it is mounted'),
          }),
        ),
        results: z.array(onlineCheckSchema),
      })
      .optional(),
    fsck: fsckRunSchema.optional().describe('a check of a filesystem that is not mounted'),
    lostFound: lostFoundSchema.optional(),
    findings: z.array(findingSchema).optional(),
    undo: undoSchema.optional(),
    quarantine: quarantineSchema.optional(),
  })
  .meta({ id: 'Inventory', title: 'debmend inventory' });

export type Inventory = z.infer<typeof inventorySchema>;
export type InventoryEntry = z.infer<typeof entrySchema>;
export type InventoryChange = z.infer<typeof changeSchema>;
