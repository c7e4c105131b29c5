/** The configuration's schema; every key has a default, and an unknown key is a mistake. */
import { z } from 'zod';
import type { Config } from './config.ts';

const glob = z
  .string()
  .startsWith('/', 'a glob begins with a slash')
  .describe('an absolute glob inside the root, as fast-glob takes it');

export const configSchema: z.ZodType<Config> = z.strictObject({
  audit: z.strictObject({ leftoverGlobs: z.array(glob).default([]) }).prefault({}),
});
