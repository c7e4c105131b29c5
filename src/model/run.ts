/**
 * What a recovery did, as its journal says it (recovery/journal.ts) and as the commands about runs and quarantine print
 * it. Paths are texts as model/path-text.ts writes them. A record is one line of the journal; what is in a line is never
 * changed later, so a field may be added here and never renamed.
 */
import { z } from 'zod';

const count = z.int().min(0);
const octal = z.string().regex(/^[0-7]{4}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/);

export const THING_TYPES = [
  'file',
  'directory',
  'link',
  'fifo',
  'socket',
  'character-device',
  'block-device',
] as const;

/** What stands at a path: enough to know it again, whatever happened in between. */
export const thingSchema = z.strictObject({
  type: z.enum(THING_TYPES),
  inode: z.string().describe('decimal: it may exceed what a JSON number holds exactly'),
  mode: octal,
  uid: count,
  gid: count,
  size: count.describe('bytes; 0 for everything but files and links'),
  mtime: z.string().describe('nanoseconds since 1970, decimal'),
  links: count,
  device: z.string().optional().describe('the number of a device node, decimal'),
  target: z.string().optional().describe('where a link points'),
  capability: hex.optional().describe('the attribute security.capability'),
});

export const attributesSchema = z.strictObject({
  mode: octal,
  uid: count,
  gid: count,
  mtime: z.string().optional().describe('nanoseconds since 1970, decimal'),
  capability: hex
    .optional()
    .describe('security.capability; empty: there has to be none; absent: as it is, or none in a new file'),
});

/** Where something is quarantined: below the store, or, where it begins with a slash, inside the root. */
const place = z.string().min(1);

export const stepSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('quarantine'), path: z.string(), place }),
  z.strictObject({ kind: z.literal('remove'), path: z.string(), place, sha256: sha256.optional() }),
  z.strictObject({
    kind: z.literal('put'),
    path: z.string(),
    place,
    temporary: z.string(),
    size: count,
    sha256,
    attributes: attributesSchema,
  }),
  z.strictObject({
    kind: z.literal('link'),
    path: z.string(),
    place,
    temporary: z.string(),
    target: z.string(),
    uid: count,
    gid: count,
  }),
  z.strictObject({
    kind: z.literal('directory'),
    path: z.string(),
    place,
    temporary: z.string(),
    attributes: attributesSchema,
  }),
  z.strictObject({ kind: z.literal('attributes'), path: z.string(), attributes: attributesSchema }),
  z.strictObject({ kind: z.literal('rename'), path: z.string(), to: z.string(), place }),
  z.strictObject({
    kind: z.literal('restore'),
    path: z.string(),
    place: place.describe('where what stands at the path goes'),
    from: place,
    item: z.string().describe('RUN/N'),
    thing: thingSchema,
  }),
  z.strictObject({
    kind: z.literal('purge'),
    path: z.string().optional().describe('where it once stood, if that is known'),
    from: place,
    item: z.string(),
  }),
]);

export const whySchema = z.strictObject({
  reason: z.string(),
  package: z.string().optional(),
  finding: z.string().optional(),
  source: z.string().optional().describe('where good content came from'),
});

const line = { n: count.describe('position in the journal; a gap is a lost line'), at: z.iso.datetime() };
const action = z.int().min(1).describe('number of the action within the run');
const ending = z.enum(['done', 'not-begun']);

export const journalRecordSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    ...line,
    kind: z.literal('begin'),
    run: z.string(),
    version: z.string().describe('of debmend'),
    command: z.array(z.string()),
    policy: z.unknown().optional(),
    transaction: z.string().optional(),
    undoes: z.string().optional().describe('the run that this one takes back'),
    boot: z.string().optional(),
    pid: z.int(),
    startTicks: z.int().optional(),
  }),
  z.strictObject({
    ...line,
    kind: z.literal('intent'),
    action,
    step: stepSchema,
    why: whySchema,
    before: thingSchema.nullable().describe('what stood at the path'),
    undoes: z
      .strictObject({ run: z.string(), action })
      .optional()
      .describe('the action that this one takes back'),
  }),
  z.strictObject({
    ...line,
    kind: z.literal('done'),
    action,
    after: thingSchema.nullable().describe('what stands at the path now'),
  }),
  z.strictObject({
    ...line,
    kind: z.literal('failed'),
    action,
    error: z.string(),
    left: ending.describe('what is on disk: all of the action, or nothing of it'),
    after: thingSchema.nullable().optional(),
  }),
  z.strictObject({
    ...line,
    kind: z.literal('settled'),
    action,
    left: ending,
    after: thingSchema.nullable().optional(),
    note: z.string().optional(),
  }),
  z.strictObject({
    ...line,
    kind: z.literal('program'),
    number: z.int().min(1),
    program: z.string(),
    args: z.array(z.string()),
    why: whySchema,
  }),
  z.strictObject({
    ...line,
    kind: z.literal('program-done'),
    number: z.int().min(1),
    code: z.int().optional().describe('absent: a signal ended it'),
    output: z.string().describe('the end of what it said'),
  }),
  z.strictObject({ ...line, kind: z.literal('note'), text: z.string() }),
  z.strictObject({
    ...line,
    kind: z.literal('end'),
    outcome: z.enum(['mended', 'incomplete', 'failed', 'interrupted']),
  }),
]);

export const undoSchema = z
  .strictObject({
    run: z.string(),
    applied: z.boolean(),
    by: z.string().optional().describe('the run that took it back; absent when nothing was changed'),
    actions: z
      .array(
        z.strictObject({
          id: z.string().describe('RUN/N'),
          kind: z.string(),
          path: z.string(),
          outcome: z
            .enum(['undone', 'would-undo', 'undone-before', 'changed-since', 'impossible', 'failed'])
            .describe(
              'changed-since: someone else changed it, so it stays; impossible: nothing is left to go back to',
            ),
          text: z.string(),
        }),
      )
      .describe('the newest first, as they are taken back'),
    programs: z
      .array(z.string())
      .describe('what was run, and may have changed what no action here says: it is not taken back'),
  })
  .meta({ id: 'Undo' });

export const quarantineItemSchema = z
  .strictObject({
    id: z.string().describe('RUN/N'),
    run: z.string(),
    at: z.iso.datetime().optional(),
    path: z.string().optional().describe('where it stood; absent: the journal of its run is lost'),
    place: z.string().describe('where it is, as a path of this host'),
    thing: thingSchema.optional().describe('absent: it is not there any more, or cannot be looked at'),
    why: whySchema.optional(),
  })
  .meta({ id: 'QuarantineItem' });

export const quarantineSchema = z
  .strictObject({
    items: z.array(quarantineItemSchema),
    restored: z.array(z.string()).optional(),
    purged: z.array(z.string()).optional(),
    wouldPurge: z.array(z.string()).optional(),
  })
  .meta({ id: 'Quarantine' });

export type Thing = z.infer<typeof thingSchema>;
export type ThingType = Thing['type'];
export type AttributesRecord = z.infer<typeof attributesSchema>;
export type Step = z.infer<typeof stepSchema>;
export type WhyRecord = z.infer<typeof whySchema>;
export type JournalRecord = z.infer<typeof journalRecordSchema>;
export type Intent = Extract<JournalRecord, { kind: 'intent' }>;
export type Undo = z.infer<typeof undoSchema>;
export type QuarantineItem = z.infer<typeof quarantineItemSchema>;
export type Quarantine = z.infer<typeof quarantineSchema>;
