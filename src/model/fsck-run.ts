/** What a check of a filesystem that is not mounted found, and what came of its repair. */
import { z } from 'zod';
import { findingSchema } from './finding.ts';
import { lostFoundSchema } from './lost-found.ts';

const checkSchema = z
  .strictObject({
    program: z.string(),
    args: z.array(z.string()),
    code: z.int().optional().describe('absent: a signal ended it'),
    meanings: z
      .array(z.string())
      .describe('what the code means by the program’s manual; never believed by itself'),
    state: z
      .enum(['sound', 'damaged', 'unfinished'])
      .describe('unfinished: it gave up, and nothing worse was found by then'),
    notes: z.array(z.string()).describe('how it was found out, where that is not plain'),
    output: z.array(z.string()).describe('what the program wrote, its first lines'),
    findings: z.array(findingSchema),
    seconds: z.number().min(0),
  })
  .meta({ id: 'FsckCheck' });

export const fsckRunSchema = z
  .strictObject({
    target: z.strictObject({
      file: z.string(),
      kind: z.enum(['device', 'image']),
      type: z.enum(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'vfat']),
      superblock: z.enum(['primary', 'backup']).describe('backup: the first superblock is not one any more'),
      uuid: z.string().optional(),
      label: z.string().optional(),
    }),
    packages: z.strictObject({
      source: z
        .enum(['itself', 'root', 'none'])
        .describe(
          'whose dpkg database named the packages: the one on this filesystem, another root’s, or none',
        ),
      root: z.string().optional().describe('that other root'),
      mountPoint: z.string().optional().describe('where this filesystem stands in it'),
      why: z.string().optional().describe('why packages are not named'),
    }),
    check: checkSchema,
    repair: z
      .strictObject({
        program: z.string(),
        args: z.array(z.string()),
        code: z.int().optional(),
        meanings: z.array(z.string()),
        output: z.array(z.string()),
        kept: z.string().optional().describe('the directory with its record, and with the way back'),
        wayBack: z
          .strictObject({
            kind: z.enum(['undo-file', 'copy']),
            file: z.string(),
            command: z
              .array(z.string())
              .describe('brings it back to how it was, as long as nothing else was written since'),
          })
          .optional(),
      })
      .optional(),
    after: checkSchema
      .optional()
      .describe('the check that was made after the repair: only it tells what came of it'),
    lostFound: lostFoundSchema
      .optional()
      .describe('what lies in lost+found after the repair, and where it belongs'),
  })
  .meta({ id: 'FsckRun' });

export type FsckRun = z.infer<typeof fsckRunSchema>;
export type FsckCheck = z.infer<typeof checkSchema>;
