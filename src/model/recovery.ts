/** What a recovery is going to do, and what came of it. Texts are as model/path-text.ts writes them. */
import { z } from 'zod';
import { FINDING_CODES, type FindingCode } from './codes.ts';

const count = z.int().min(0);
const codes = Object.keys(FINDING_CODES) as [FindingCode, ...FindingCode[]];

/** In the order in which they are done: each is decided again on what the one before it left. */
export const PHASES = [
  'database',
  'tools',
  'boot',
  'transaction',
  'packages',
  'files',
  'generated',
  'leftovers',
] as const;
export type Phase = (typeof PHASES)[number];

export const stepSchema = z
  .strictObject({
    phase: z.enum(PHASES),
    what: z
      .enum([
        'return-lost',
        'mend-database',
        'quarantine',
        'remove',
        'put-back',
        'restore-file',
        'restore-link',
        'restore-directory',
        'install-once-more',
        'take-back',
        'reinstall',
        'configure',
        'regenerate',
        'download',
      ])
      .describe('what would be done'),
    path: z.string().optional(),
    package: z.string().optional(),
    version: z.string().optional(),
    transaction: z.string().optional().describe('the interrupted installation'),
    reason: z.string().describe('why, as one sentence for a person'),
    source: z.string().optional().describe('where the good content comes from'),
    command: z.array(z.string()).optional(),
    findings: z.array(z.enum(codes)).describe('what it answers'),
    needsNetwork: z.boolean(),
  })
  .meta({ id: 'Step' });

export const leftAloneSchema = z
  .strictObject({
    finding: z.enum(codes),
    path: z.string().optional(),
    package: z.string().optional(),
    reason: z.string().describe('why nothing is done about it'),
    harmless: z
      .boolean()
      .describe('whether it needs no hand: a local change, a version kept for the administrator'),
  })
  .meta({ id: 'LeftAlone' });

export const planSchema = z
  .strictObject({ steps: z.array(stepSchema), leftAlone: z.array(leftAloneSchema) })
  .meta({ id: 'Plan' });

export const actionSchema = z
  .strictObject({
    id: z.string().describe('RUN/N, by which debmend quarantine and debmend undo know it'),
    kind: z.string(),
    path: z.string().optional(),
    quarantined: z.boolean().describe('whether what stood there is in quarantine under this id'),
  })
  .meta({ id: 'Action' });

export const recoverySchema = z
  .strictObject({
    run: z.string().optional().describe('its name for debmend undo; absent when nothing was changed'),
    mode: z.enum(['dry-run', 'apply', 'service']),
    policy: z.enum(['report', 'quarantine', 'repair']),
    outcome: z
      .enum(['nothing-to-do', 'planned', 'mended', 'incomplete'])
      .describe(
        'mended: everything was read again and is sound; incomplete: something is left, see unmended',
      ),
    passes: count,
    mended: count.describe('findings that were there before and, read again, are not there any more'),
    unmended: z.array(leftAloneSchema).describe('what is still wrong'),
    problems: z.array(z.string()).describe('what went wrong on the way'),
    transaction: z
      .strictObject({ id: z.string(), end: z.enum(['finished', 'taken-back', 'open']) })
      .optional(),
    retry: z.boolean().describe('whether something waits for the network'),
    seconds: z.number().min(0),
  })
  .meta({ id: 'Recovery' });

export type Step = z.infer<typeof stepSchema>;
export type LeftAlone = z.infer<typeof leftAloneSchema>;
export type Plan = z.infer<typeof planSchema>;
export type Recovery = z.infer<typeof recoverySchema>;
