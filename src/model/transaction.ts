/**
 * One apt or dpkg run, from its intent to its seal. The intent is on disk before the first package is touched; the
 * seal when all that the run wrote is. Texts are as model/path-text.ts writes them.
 */
import { z } from 'zod';

const count = z.int().min(0);

export const archiveSchema = z.strictObject({
  path: z.string().describe('where the front end has it, inside the root'),
  size: count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  index: z
    .enum(['matches', 'differs', 'unknown', 'unchecked'])
    .describe(
      'held against the archive’s own index: unknown, no index names this version; unchecked, no summary of the index was at hand',
    ),
  kept: z.string().optional().describe('its copy in the store, until the seal; absent: it could not be kept'),
  files: count.optional().describe('files that its control archive names; absent: it could not be read'),
});

export const intendedSchema = z.strictObject({
  name: z.string(),
  architecture: z.string(),
  action: z.enum(['install', 'upgrade', 'downgrade', 'reinstall', 'remove', 'configure']),
  oldVersion: z.string().optional(),
  newVersion: z.string().optional(),
  archive: archiveSchema.optional(),
  problem: z.string().optional().describe('what could not be found out about it'),
});

export const runSchema = z.strictObject({
  at: z.iso.datetime(),
  source: z.enum(['apt', 'dpkg', 'watch']),
  command: z.array(z.string()).describe('the command line of the process that does it; empty: not known'),
  complete: z.boolean().describe('whether all that the front end said was read and understood'),
  packages: z.array(intendedSchema),
});

export const outcomeSchema = z.strictObject({
  name: z.string(),
  architecture: z.string(),
  oldVersion: z.string().optional(),
  newVersion: z.string().optional(),
  oldState: z.string(),
  newState: z.string(),
  reinstRequired: z.boolean().optional(),
});

export const syncSchema = z.strictObject({
  method: z.enum(['filesystems', 'none']),
  seconds: z.number().min(0),
  filesystems: z.array(
    z.strictObject({
      mountPoint: z.string(),
      result: z.enum(['synced', 'not-waited-for', 'failed', 'excluded']),
    }),
  ),
  files: z
    .strictObject({ synced: count, failed: count, notWaitedFor: count })
    .optional()
    .describe('files synced one by one, where a whole filesystem took too long'),
});

export const sealSchema = z.strictObject({
  at: z.iso.datetime(),
  by: z.enum(['apt', 'dpkg', 'watch', 'next-start', 'recovery']),
  complete: z.boolean().describe('every package of the intent came to where it was meant to come'),
  synced: z.boolean().describe('all that was written is known to be on disk'),
  sync: syncSchema.optional(),
  packages: z.array(outcomeSchema).describe('every package whose record changed'),
  steps: z
    .array(z.string())
    .describe(
      'what dpkg said of its work, in order: "install t:amd64", "status t:amd64 unpacked", "error t …"',
    ),
  missed: z.array(z.string()).describe('packages of the intent that are not where they were meant to come'),
});

export const transactionSchema = z
  .strictObject({
    id: z.string(),
    state: z
      .enum(['open', 'sealed', 'interrupted', 'abandoned'])
      .describe(
        'interrupted: it changed something and never ended; abandoned: it ended without changing anything',
      ),
    origin: z
      .enum(['apt', 'dpkg', 'watch', 'rebuilt'])
      .describe('rebuilt: the disk lost what was written of it, and the kept archives alone tell of it'),
    startedAt: z.iso.datetime(),
    endedAt: z.iso.datetime().optional(),
    boot: z.string().optional().describe('boot id of the kernel; absent where /proc is not mounted'),
    uptime: z.number().optional().describe('seconds of that boot, suspension included'),
    session: z.strictObject({
      pid: z.int().optional(),
      startTicks: z.int().optional().describe('when the process was started, in clock ticks of the boot'),
      command: z.array(z.string()),
    }),
    runs: z.array(runSchema),
    snapshotBefore: z.int().optional(),
    snapshotAfter: z.int().optional(),
    replaced: z
      .strictObject({
        kept: count,
        unsound: count.describe('not kept: they are not what their manifest says'),
        failed: count.describe('not kept: the filesystem allows no link'),
      })
      .optional()
      .describe('old versions of files that the transaction replaces or removes'),
    seal: sealSchema.optional().describe('while it is open: of the runs before'),
  })
  .meta({ id: 'Transaction', title: 'debmend transaction' });

export type Transaction = z.infer<typeof transactionSchema>;
export type TransactionRun = z.infer<typeof runSchema>;
export type IntendedPackageRecord = z.infer<typeof intendedSchema>;
export type ArchiveRecord = z.infer<typeof archiveSchema>;
export type PackageOutcome = z.infer<typeof outcomeSchema>;
export type SyncRecord = z.infer<typeof syncSchema>;
export type Seal = z.infer<typeof sealSchema>;
