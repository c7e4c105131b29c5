/**
 * The one JSON document that a run produces. A part that a command did not look at is absent, never empty.
 * `schemas/report.schema.json` is generated from here (`npm run schemas`), and a test holds the two together.
 */
import { z } from 'zod';
import { filesystemSchema } from './filesystem.ts';
import { findingSchema } from './finding.ts';
import { outageSchema, timelineSchema } from './outage.ts';
import { actionSchema, planSchema, recoverySchema } from './recovery.ts';
import { checkStepSchema, requestedCheckSchema } from './requested-check.ts';
import { SCHEMA_VERSION } from './schema-version.ts';
import { SEVERITIES, type Severity } from './severity.ts';
import { transactionSchema } from './transaction.ts';

const count = z.int().min(0);

export const hostSchema = z.strictObject({
  hostname: z.string().optional().describe('absent when a root other than / was looked at'),
  os: z.string().optional().describe('PRETTY_NAME of the root’s os-release'),
  kernel: z.string().optional().describe('release of the running kernel; absent for a root other than /'),
  architecture: z.string().optional().describe('the architecture of the root’s own dpkg'),
  root: z.string().describe('the root that was looked at, as a path of this host'),
  admindir: z.string().describe('dpkg’s database inside that root'),
  privileged: z.boolean().describe('whether the run had root’s rights'),
});

export const summarySchema = z.strictObject({
  verdict: z
    .enum(['sound', 'findings', 'incomplete'])
    .describe('incomplete: something could not be checked, and nothing worse than info was found elsewhere'),
  severities: z.strictObject(
    Object.fromEntries(SEVERITIES.map((s) => [s, count])) as Record<Severity, typeof count>,
  ),
  likelyOutage: count.describe('findings that look like the work of a power cut'),
  packages: count.describe('packages looked at'),
  files: count.describe('paths looked at'),
  bytesRead: count.describe('bytes of content read'),
  unchecked: z
    .strictObject({ count, paths: z.array(z.string()).describe('in order, as far as they were kept') })
    .describe('what could not be read for want of rights'),
  scope: z.strictObject({
    quick: z.boolean().describe('states and leftovers only, no content'),
    packages: z.array(z.string()).describe('empty: all'),
    paths: z.array(z.string()).describe('empty: all'),
    archives: z.array(z.string()).describe('directories whose .deb files were compared with'),
  }),
  startedAt: z.iso.datetime(),
  seconds: z.number().min(0),
});

export const reportSchema = z
  .strictObject({
    schemaVersion: z.literal(SCHEMA_VERSION),
    tool: z.strictObject({ name: z.literal('debmend'), version: z.string() }),
    host: hostSchema,
    summary: summarySchema,
    transaction: transactionSchema.optional().describe('the newest installation that never ended'),
    outage: outageSchema.optional().describe('how the boot before ended, where that was asked'),
    timeline: timelineSchema
      .optional()
      .describe('what happened around the outage, the run’s own deeds among it'),
    plan: planSchema.optional().describe('what a recovery was going to do, as far as the first look told'),
    actions: z
      .array(actionSchema)
      .optional()
      .describe('what a recovery changed itself, in order; programs stand in its journal'),
    recovery: recoverySchema.optional().describe('what came of it; the findings are those of the last look'),
    filesystems: z
      .array(filesystemSchema)
      .optional()
      .describe('how the filesystems are, where that was asked: by role, the root’s first'),
    checks: z
      .strictObject({
        steps: z
          .array(checkStepSchema)
          .describe('checks that a recovery found due, and what it did about them'),
        asked: z.array(requestedCheckSchema).describe('what waits, what was missed, and what came of others'),
      })
      .optional()
      .describe('filesystem checks at boot, where that was asked'),
    findings: z.array(findingSchema).describe('the worst first, then by package, path and code'),
  })
  .meta({ id: 'Report', title: 'debmend report' });

export type Report = z.infer<typeof reportSchema>;
export type Host = z.infer<typeof hostSchema>;
export type Summary = z.infer<typeof summarySchema>;
