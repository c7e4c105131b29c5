/** The configuration's schema; every key has a default, and an unknown key is a mistake. */
import { z } from 'zod';
import { type Config, DEFAULT_CONFIG } from './settings.ts';

const absolute = z
  .string()
  .startsWith('/', 'a path begins with a slash')
  .refine((value) => !/(?:^|\/)\.\.(?:\/|$)/.test(value), 'a path does not lead upwards');

const glob = z
  .string()
  .startsWith('/', 'a glob begins with a slash')
  .refine((value) => !/(?:^|[/{,])\.\.(?:[/},]|$)/.test(value), 'a glob does not lead upwards')
  .describe('an absolute glob inside the root, as fast-glob takes it');

/** A key with nothing behind it, as YAML reads `audit:`, is one that was left out. */
const orNothing = (value: unknown): unknown => value ?? undefined;

function key<T extends z.ZodType>(type: T, value: z.infer<T>) {
  return z.preprocess(orNothing, type.optional()).transform((given) => given ?? value);
}

const globs = (value: readonly string[]) => key(z.array(glob), [...value]);
const number = (least: number, most: number, value: number) => key(z.number().min(least).max(most), value);
const count = (least: number, most: number, value: number) => key(z.int().min(least).max(most), value);

const { snapshots, hooks, recovery, fsck, watch } = DEFAULT_CONFIG;
const DAY = 24 * 60 * 60;

export const configSchema: z.ZodType<Config> = z.strictObject({
  audit: z.preprocess(orNothing, z.strictObject({ leftoverGlobs: globs([]) }).prefault({})),
  snapshots: z.preprocess(
    orNothing,
    z
      .strictObject({
        tracked: globs(snapshots.tracked),
        trackedLimit: count(0, 10_000_000, snapshots.trackedLimit),
        copied: globs(snapshots.copied),
        copyLimit: count(0, 128 * 1024 * 1024, snapshots.copyLimit),
        keep: count(2, 1_000_000, snapshots.keep),
        keepDays: number(0, 100_000, snapshots.keepDays),
      })
      .prefault({}),
  ),
  hooks: z.preprocess(
    orNothing,
    z
      .strictObject({
        policy: key(z.enum(['log', 'enforce']), hooks.policy),
        timeLimit: number(1, DAY, hooks.timeLimit),
        syncLimit: number(0, DAY, hooks.syncLimit),
        syncExclude: key(z.array(absolute), [...hooks.syncExclude]),
        keepArchives: key(z.boolean(), hooks.keepArchives),
        keepReplaced: key(z.boolean(), hooks.keepReplaced),
      })
      .prefault({}),
  ),
  recovery: z.preprocess(
    orNothing,
    z
      .strictObject({
        policy: key(z.enum(['report', 'quarantine', 'repair']), recovery.policy),
        partialFiles: key(z.enum(['quarantine', 'remove']), recovery.partialFiles),
        transaction: key(z.enum(['finish', 'take-back']), recovery.transaction),
        network: key(z.boolean(), recovery.network),
      })
      .prefault({}),
  ),
  fsck: z.preprocess(
    orNothing,
    z.strictObject({ schedule: key(z.enum(['auto', 'never']), fsck.schedule) }).prefault({}),
  ),
  watch: z.preprocess(
    orNothing,
    z
      .strictObject({
        guarded: globs(watch.guarded),
        heartbeat: number(1, DAY, watch.heartbeat),
        poll: number(1, DAY, watch.poll),
        sample: number(1, DAY, watch.sample),
      })
      .prefault({}),
  ),
});
