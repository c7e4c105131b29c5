/**
 * A filesystem check that was asked for, from the intention to what came of it; and what an online check found. Parts of
 * the report and of the inventory. Texts are as model/path-text.ts writes them.
 */
import { z } from 'zod';
import { bootCheckSchema } from './filesystem.ts';

/**
 * How a check is asked for at the next boot. `error-flag`: the superblock says that there are errors (ext4 as the root).
 * `mount-count`: the superblock counts more mounts than it allows (ext4 elsewhere). `command-line`: fsck.mode=force, once,
 * by the boot loader. `every-boot`: nothing has to be asked, fsck reads all of it each time (FAT).
 */
export const CHECK_METHODS = ['error-flag', 'mount-count', 'command-line', 'every-boot'] as const;

/** `intended`: it was going to be asked for, and nobody knows whether it was; `missed`: a boot came, and no check. */
export const CHECK_STAGES = ['intended', 'asked', 'checked', 'missed', 'withdrawn'] as const;

export const requestedCheckSchema = z
  .strictObject({
    mountPoint: z.string().describe('inside the root'),
    type: z.string(),
    device: z.string().describe("the kernel's name, at that time"),
    uuid: z.string().describe('of the filesystem; devices change their names, this stays'),
    method: z.enum(CHECK_METHODS),
    reasons: z.array(z.string()).describe('why it was asked for'),
    askedAt: z.iso.datetime(),
    boot: z.string().optional().describe('the boot in which it was asked for'),
    stage: z.enum(CHECK_STAGES),
    marked: z
      .literal(true)
      .optional()
      .describe('the superblock’s mark of errors is debmend’s own: there were none before'),
    settledAt: z.iso.datetime().optional().describe('when what came of it was seen'),
    settledBoot: z.string().optional(),
    result: bootCheckSchema.optional().describe('what fsck said; absent where no log tells'),
    said: z.array(z.string()).optional().describe('the lines of fsck’s that tell what it found and changed'),
    restored: z.boolean().describe('whether all that was changed to ask for it is as it was before'),
    problem: z.string().optional().describe('why it was missed, or what could not be put back'),
  })
  .meta({ id: 'RequestedCheck' });

/** What asking for a check, or taking it back, did or would do. */
export const checkStepSchema = z
  .strictObject({
    mountPoint: z.string(),
    type: z.string(),
    decision: z
      .enum(['ask', 'already', 'refused', 'not-applicable', 'withdraw'])
      .describe('already: it was asked for before; not-applicable: it has nothing that could be checked'),
    method: z.enum(CHECK_METHODS).optional(),
    reasons: z.array(z.string()),
    commands: z.array(z.strictObject({ command: z.array(z.string()), input: z.string().optional() })),
    warnings: z.array(z.string()),
    reason: z.string().optional().describe('why it is refused, or not applicable'),
    hint: z.string().optional().describe('what can be done instead'),
  })
  .meta({ id: 'CheckStep' });

/** What a check of a mounted filesystem found. */
export const onlineCheckSchema = z
  .strictObject({
    mountPoint: z.string(),
    type: z.string(),
    device: z.string(),
    program: z.enum(['btrfs scrub', 'e2scrub']),
    outcome: z.enum(['sound', 'corrected', 'uncorrectable', 'cancelled', 'failed']),
    seconds: z.number().min(0),
    bytes: z.int().min(0).optional().describe('bytes that were read'),
    corrected: z.int().min(0).optional(),
    uncorrectable: z.int().min(0).optional(),
    paths: z.array(z.string()).describe('files that are damaged, inside the root, as the kernel named them'),
    said: z.array(z.string()).describe('what the program said'),
  })
  .meta({ id: 'OnlineCheck' });

export type CheckMethod = (typeof CHECK_METHODS)[number];
export type CheckStep = z.infer<typeof checkStepSchema>;
export type RequestedCheck = z.infer<typeof requestedCheckSchema>;
export type OnlineCheck = z.infer<typeof onlineCheckSchema>;
