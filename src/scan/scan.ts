/**
 * The face of this folder: reads the disk for a list of work. The results are facts in columns (scan/work.ts); what
 * they mean is the audit's to say.
 */
import type { Bytes } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { collectGarbage } from '../system/memory.ts';
import { lookAtEntries, type ReaderOptions } from './look.ts';
import { planReading } from './order.ts';
import type { Pool } from './pool.ts';
import { readEntries } from './read.ts';
import { Control, type Work, type WorkList } from './work.ts';
import type { Task } from './worker.ts';

export interface ScanProgress {
  readonly phase: 'looking' | 'reading';
  /** Entries while looking, bytes while reading. */
  readonly done: number;
  readonly total: number;
}

export interface ScanOptions {
  readonly md5: boolean;
  readonly xxh64: boolean;
  /** Parts of names that are looked for in directories. */
  readonly markers: readonly string[];
  /** Starts no threads for looking, however many entries there are: a hook is over before they have started. */
  readonly inline?: boolean | undefined;
  /** Threads that were started already (startThreads); they end with the scan. */
  readonly threads?: Pool | undefined;
  /** Called between looking and reading: what `want` says then decides what is read. */
  readonly choose?: ((work: Work) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
}

export interface Scan {
  readonly work: Work;
  /** Host paths of names that hold a marker, in no order. */
  readonly named: Bytes[];
  /** Bytes of content read. */
  readonly bytesRead: number;
}

/** Below this many entries threads would cost more than they gain (starting one takes 30 ms). */
export const INLINE_ENTRIES = 1500;
/** And below this much content. */
const INLINE_BYTES = 16 * 1024 * 1024;
const PROGRESS_MS = 100;

/**
 * Looks at every entry, then reads the content that is wanted; without any hash nothing is read.
 *
 * @throws DebmendError `interrupted` when the signal aborts, `scan-failed` when a thread dies
 */
export async function scan(list: WorkList, options: ScanOptions): Promise<Scan> {
  const work = list.layOut();
  const cancel = () => Atomics.store(work.control, Control.cancelled, 1);
  options.signal?.addEventListener('abort', cancel, { once: true });
  const { md5, xxh64, markers } = options;
  const task: Task = { kind: 'task', work, md5, xxh64, markers };
  let pool = options.threads;
  try {
    if (options.signal?.aborted) cancel();
    let inline: ReaderOptions | undefined;
    if (options.inline === true || work.count < INLINE_ENTRIES) {
      const xxh64 = options.xxh64 ? await (await import('./xxh64.ts')).loadXxh64() : undefined;
      inline = { md5: options.md5, lanes: false, xxh64, markers: options.markers };
    } else {
      if (pool === undefined) collectGarbage();
      pool ??= await startThreads();
      pool.give(task);
    }

    const named = await watched(options, 'looking', work, work.count, async () => {
      if (inline !== undefined) return lookAtEntries(work, inline);
      const answers = (await pool?.run({ kind: 'look' }, false)) ?? [];
      return answers.flatMap((answer) => (answer.kind === 'looked' ? answer.found : []));
    });
    throwIfInterrupted(options.signal);

    options.choose?.(work);
    if (!options.md5 && !options.xxh64) return { work, named, bytesRead: 0 };
    const plan = planReading(work);
    // Nothing changed since the last snapshot: the threads need not get ready for it.
    if (plan.count === 0) return { work, named, bytesRead: 0 };
    Atomics.store(work.control, Control.cursor, 0);
    await watched(options, 'reading', work, plan.bytes, async () => {
      if (inline !== undefined && plan.bytes < INLINE_BYTES) readEntries(work, plan.count, inline);
      else {
        if (inline !== undefined) {
          pool ??= await startThreads();
          pool.give(task);
        }
        if (pool === undefined) return;
        await pool.run({ kind: 'read', toRead: plan.count }, true);
      }
    });
    throwIfInterrupted(options.signal);
    plan.shareResults();
    return { work, named, bytesRead: Number(Atomics.load(work.bytesRead, 0)) };
  } finally {
    options.signal?.removeEventListener('abort', cancel);
    await pool?.close();
  }
}

/**
 * Starts threads for a scan, which ends them; without one they have to be closed. Loaded only here: most runs of a hook
 * need no threads, and no module for them.
 */
export async function startThreads(): Promise<Pool> {
  const { Pool } = await import('./pool.ts');
  return new Pool();
}

function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new DebmendError('interrupted', 'interrupted', 'nothing was changed; run it again');
}

async function watched<T>(
  options: ScanOptions,
  phase: ScanProgress['phase'],
  work: Work,
  total: number,
  action: () => Promise<T>,
): Promise<T> {
  const { onProgress } = options;
  if (onProgress === undefined) return await action();
  const report = () =>
    onProgress({
      phase,
      done:
        phase === 'reading'
          ? Number(Atomics.load(work.bytesRead, 0))
          : Atomics.load(work.control, Control.entriesDone),
      total,
    });
  const timer = setInterval(report, PROGRESS_MS);
  try {
    return await action();
  } finally {
    clearInterval(timer);
    report();
  }
}
