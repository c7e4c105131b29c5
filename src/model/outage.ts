/**
 * Whether the last end of a system was an outage, when, and why: dated evidence, and what follows from all of it.
 * `schemas/outage.schema.json` is generated from here (`npm run schemas`).
 */
import { z } from 'zod';
import { SCHEMA_VERSION } from './schema-version.ts';

export const VERDICTS = ['clean', 'unclean', 'forced-reboot', 'panic', 'unknown', 'not-applicable'] as const;

/** What one piece of evidence says; the code of its meaning, as `text` is its wording. */
export const EVIDENCE_KINDS = [
  // debmend's own marker file, which is there while a boot lasts.
  'marker-left',
  'marker-removed',
  'marker-damaged',
  // The systemd journal.
  'journal-stopped',
  'journal-not-stopped',
  'journal-renamed',
  'boot-first-entry',
  // wtmp, as a file of records or as wtmpdb's database.
  'wtmp-shutdown',
  'wtmp-crash',
  // Filesystems, as fsck and the kernel found them in this boot.
  'fsck-recovered',
  'fsck-clean',
  'filesystem-recovered',
  'filesystem-orphans',
  // Signs of life of the boot that ended, and the beginning of this one.
  'heartbeat',
  'heartbeat-stopped',
  'alive',
  'log-torn',
  'boot-began',
  // Why.
  'panic',
  'oops',
  'watchdog',
  'reset-reason',
  'power-failed',
  'io-error',
  'ups',
  // Where the question makes no sense.
  'container',
  'chroot',
  'no-disks',
  // What could not be asked.
  'other-root',
  'unavailable',
] as const;

const when = {
  at: z.iso.datetime().optional().describe('by the clock of that moment, which may be wrong after an outage'),
  uptime: z
    .number()
    .min(0)
    .optional()
    .describe(
      'seconds since that boot began (CLOCK_BOOTTIME; of the journal CLOCK_MONOTONIC, which does not count suspension)',
    ),
  boot: z.string().optional().describe('the kernel’s id of the boot it belongs to, as far as that is known'),
};

export const evidenceSchema = z
  .strictObject({
    ...when,
    source: z.string().describe('the file or program that says so'),
    kind: z.enum(EVIDENCE_KINDS).describe('kinds are stable; ups: the log of a UPS'),
    text: z.string().describe('one sentence for a person'),
    supports: z
      .enum([
        'clean',
        'unclean',
        'forced-reboot',
        'panic',
        'not-applicable',
        'alive',
        'boot',
        'cause',
        'nothing',
      ])
      .describe('a verdict; or alive, boot: a bound of the interval; or the cause'),
  })
  .meta({ id: 'Evidence' });

export const momentSchema = z.strictObject({
  at: z.iso.datetime(),
  uptime: when.uptime,
  boot: when.boot,
  source: z.string(),
});

export const CAUSES = [
  'power-loss',
  'panic',
  'watchdog',
  'overheating',
  'power-button',
  'reset',
  'forced-reboot',
  'shutdown-cut-short',
  'unknown',
] as const;

export const timelineSchema = z
  .array(
    z.strictObject({
      at: z.iso.datetime(),
      uptime: when.uptime,
      boot: when.boot,
      source: z.string(),
      text: z.string(),
    }),
  )
  .describe('by boot and time since it began where both are known, else by the clock');

export const outageSchema = z
  .strictObject({
    verdict: z
      .enum(VERDICTS)
      .describe('how the boot before this one ended; of another root than /, the newest boot that it knows'),
    boot: z.string().optional().describe('the id of the boot that ended'),
    why: z.string().describe('one sentence: which signs decided'),
    interval: z.strictObject({
      from: momentSchema.optional().describe('the last evidence of life'),
      to: momentSchema.optional().describe('the first evidence of the next boot; absent for another root'),
      clock: z.string().optional().describe('what makes the clock doubtful'),
    }),
    cause: z.strictObject({ kind: z.enum(CAUSES), text: z.string() }).optional(),
    contradictions: z.array(z.string()).describe('signs that speak against the verdict'),
    evidence: z.array(evidenceSchema),
    timeline: timelineSchema,
  })
  .meta({ id: 'Outage' });

/** What `debmend outage --json` prints. */
export const outageReportSchema = z
  .strictObject({
    schemaVersion: z.literal(SCHEMA_VERSION),
    tool: z.strictObject({ name: z.literal('debmend'), version: z.string() }),
    root: z.string().describe('the root that was looked at, as a path of this host'),
    outage: outageSchema,
    seconds: z.number().min(0).describe('until the verdict'),
  })
  .meta({ id: 'OutageReport', title: 'debmend outage' });

export type Evidence = z.infer<typeof evidenceSchema>;
export type EvidenceKind = Evidence['kind'];
export type Outage = z.infer<typeof outageSchema>;
export type OutageReport = z.infer<typeof outageReportSchema>;
export type OutageVerdict = Outage['verdict'];
export type OutageCause = NonNullable<Outage['cause']>;
export type Moment = z.infer<typeof momentSchema>;
export type Timeline = z.infer<typeof timelineSchema>;
