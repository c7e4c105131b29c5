/** The configuration's schema; every key has a default, and an unknown key is a mistake. */
import { z } from 'zod';
import type { Config } from './settings.ts';

const glob = z
  .string()
  .startsWith('/', 'a glob begins with a slash')
  .refine((value) => !/(?:^|[/{,])\.\.(?:[/},]|$)/.test(value), 'a glob does not lead upwards')
  .describe('an absolute glob inside the root, as fast-glob takes it');

/** A key with nothing behind it, as YAML reads `audit:`, is one that was left out. */
const orNothing = (value: unknown): unknown => value ?? undefined;

export const configSchema: z.ZodType<Config> = z.strictObject({
  audit: z.preprocess(
    orNothing,
    z.strictObject({ leftoverGlobs: z.preprocess(orNothing, z.array(glob).default([])) }).prefault({}),
  ),
});
