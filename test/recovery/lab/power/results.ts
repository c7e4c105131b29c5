/** What the lab has seen: a JSON object a line, each on disk before the next case begins. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { CONTESTANTS } from './contestants.ts';
import { VERDICTS } from './verdict.ts';

const count = z.int().min(0);

export const resultSchema = z.strictObject({
  case: z.string().describe('WORKLOAD/FILESYSTEM/DISK/SEED.NUMBER'),
  by: z.enum(CONTESTANTS),
  verdict: z.enum(VERDICTS),
  at: z.union([z.number(), z.string()]).describe('seconds from the start, or a system call and its number'),
  of: z.number().describe('seconds that an uninterrupted run took'),
  secondCut: z.number().optional().describe('seconds into the first recovery'),
  phase: z.string().describe("the last line of dpkg's log at the cut"),
  neighbour: z
    .boolean()
    .default(false)
    .describe('whether another program synced files of its own all the time'),
  begun: z.boolean().describe('whether the cut left anything other than it was before the workload'),
  lie: z
    .strictObject({
      seconds: z.union([z.number(), z.literal('all')]),
      changed: z.strictObject({ data: count, metadata: count }),
      lost: count,
      torn: count,
      foreign: count,
    })
    .optional()
    .describe('blocks of 4 KiB that the disk lied about'),
  beyond: z.string().optional().describe('why there was no filesystem left'),
  rescued: z
    .boolean()
    .optional()
    .describe('whether a sound machine did it, because the disk had destroyed debmend'),
  code: z.int().optional(),
  seconds: z.number().describe('of the recovery'),
  differs: count,
  differences: z.array(z.string()).describe('the first of them'),
  unnamed: z.array(z.string()).optional().describe('differences that debmend did not name'),
  lost: z.array(z.string()),
  audit: z.string().describe('what dpkg --audit said'),
  wrong: z.string().describe('what does not work of what was installed'),
  said: z.string().optional().describe('the end of what the recovery said, where it is not equal'),
  sources: z.string().describe('a hash of debmend and of the lab'),
});

export type Result = z.infer<typeof resultSchema>;

export const keyOf = ({ case: name, by }: Pick<Result, 'case' | 'by'>): string => `${name} ${by}`;

export class Results {
  readonly file: string;

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    this.file = join(directory, 'results.jsonl');
  }

  /** The newest of each case and contestant. A last line that a cut of this host left half is none. */
  read(): Map<string, Result> {
    return existsSync(this.file) ? parseResults(readFileSync(this.file, 'utf8')) : new Map();
  }

  append(result: Result): void {
    const fd = openSync(this.file, 'a', 0o644);
    try {
      writeSync(fd, `${JSON.stringify(resultSchema.parse(result))}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/** @throws ZodError for a whole line that is no result */
export function parseResults(text: string): Map<string, Result> {
  const results = new Map<string, Result>();
  for (const line of text.split('\n').filter((one) => one.endsWith('}'))) {
    const result = resultSchema.parse(JSON.parse(line));
    results.set(keyOf(result), result);
  }
  return results;
}
