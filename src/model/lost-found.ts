/** What lies in lost+found directories, and where it belongs. Paths are as model/path-text.ts writes them. */
import { z } from 'zod';
import { THING_TYPES } from './run.ts';

const count = z.int().min(0);

export const lostReturnSchema = z
  .strictObject({
    from: z.string(),
    to: z.string().describe('where it belongs'),
    type: z.enum(THING_TYPES),
    package: z.string().optional(),
    source: z.string().describe('what knows it: a manifest, a snapshot, or both'),
    reason: z.string().describe('why it belongs there, as one sentence for a person'),
    replaces: z.boolean().describe('something damaged stands there, which goes to quarantine'),
    others: z.array(z.string()).describe('further places that lack the very same content'),
    outcome: z.enum(['proposed', 'returned', 'failed']),
    problem: z.string().optional().describe('why it failed'),
  })
  .meta({ id: 'LostReturn' });

export const lostUnknownSchema = z
  .strictObject({
    path: z.string(),
    type: z.enum(THING_TYPES),
    size: count.describe('bytes; of a directory the files in it'),
    mode: z.string(),
    uid: count,
    gid: count,
    modifiedAt: z.iso.datetime().optional(),
    looksLike: z.string().describe('what its content looks like'),
    reason: z.string().describe('why it stays'),
    hints: z.array(z.string()).describe('where it may belong, though nothing proves it'),
  })
  .meta({ id: 'LostUnknown' });

export const lostFoundSchema = z
  .strictObject({
    directories: z.array(z.string()).describe('the lost+found directories that were looked at'),
    applied: z.boolean(),
    run: z.string().optional().describe('its name for debmend undo; absent when nothing was changed'),
    returns: z.array(lostReturnSchema),
    stays: z.array(lostUnknownSchema),
    problems: z.array(z.string()),
  })
  .meta({ id: 'LostFound' });

export type LostFound = z.infer<typeof lostFoundSchema>;
export type LostReturn = z.infer<typeof lostReturnSchema>;
export type LostUnknown = z.infer<typeof lostUnknownSchema>;
