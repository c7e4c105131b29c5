/** Running the filesystems' own tools: found, not interrupted, and their output line by line, however much it is. */

import type { Bytes } from '../../system/bytes.ts';
import { bytesOf } from '../../system/bytes.ts';
import { DebmendError } from '../../system/errors.ts';
import { type RunResult, run } from '../../system/run.ts';

export interface ProgramOptions {
  readonly onLine?: ((line: Bytes, stream: 'stdout' | 'stderr') => void) | undefined;
  readonly abort?: AbortSignal | undefined;
  /** Milliseconds. Default: a day, for a check reads what a disk of many terabytes has of metadata. */
  readonly timeout?: number | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** A line beyond this is no sentence, in bytes. */
const MAX_LINE = 64 * 1024;

/** Which Debian package brings a program. */
const PACKAGES: Readonly<Record<string, string>> = {
  e2fsck: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  e2image: 'e2fsprogs',
  xfs_repair: 'xfsprogs',
  xfs_db: 'xfsprogs',
  xfs_metadump: 'xfsprogs',
  xfs_mdrestore: 'xfsprogs',
  btrfs: 'btrfs-progs',
  'fsck.vfat': 'dosfstools',
};

/**
 * Runs a tool to its end.
 *
 * @throws DebmendError `program-missing`, `interrupted`
 */
export async function runTool(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<RunResult> {
  const { onLine, abort } = options;
  const lines = {
    stdout: new Lines((line) => onLine?.(line, 'stdout')),
    stderr: new Lines((line) => onLine?.(line, 'stderr')),
  };
  const result = await run(program, args, {
    timeout: options.timeout ?? DAY_MS,
    abort,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(onLine === undefined
      ? {}
      : {
          onStdout: (chunk: Buffer) => lines.stdout.push(chunk),
          onStderr: (chunk: Buffer) => lines.stderr.push(chunk),
        }),
  });
  lines.stdout.end();
  lines.stderr.end();
  if (result.failure !== undefined) {
    const brings = PACKAGES[program];
    throw new DebmendError(
      'program-missing',
      `running ${program}: ${result.failure}`,
      brings === undefined ? 'install it' : `install ${brings}, on this system and not on the damaged one`,
    );
  }
  if (abort?.aborted === true) {
    throw new DebmendError(
      'interrupted',
      `running ${program}: it was interrupted`,
      'run it again from the beginning: half a check says nothing',
    );
  }
  return result;
}

/** Cuts what a program writes into lines. */
export class Lines {
  readonly #take: (line: Bytes) => void;
  #rest: Bytes = '';

  constructor(take: (line: Bytes) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    const pieces = (this.#rest + bytesOf(chunk)).split('\n');
    this.#rest = (pieces.pop() ?? '').slice(-MAX_LINE);
    for (const piece of pieces) this.#take(piece);
  }

  end(): void {
    if (this.#rest !== '') this.#take(this.#rest);
    this.#rest = '';
  }
}
