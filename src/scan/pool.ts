/**
 * The threads. As many as there are processors to begin with; while they wait for a cold disk more are added, because
 * only more requests at once make it faster (docs/benchmarks.md).
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DebmendError } from '../system/errors.ts';
import type { Phase, Task, WorkerAnswer } from './worker.ts';

/** Read depth on a cold disk; beyond it a virtual disk gained a tenth, and each thread costs 10 MB. */
const MAX_THREADS = 6;
/** How often the load is looked at, in milliseconds. */
const SAMPLE_MS = 150;
/** Below this share of the processors' time the threads are waiting for something. */
const BUSY = 0.8;
/** And when at least this much came from the disk since the last look, it is the disk that they wait for. */
const COLD_BYTES = 1024 * 1024;

/** A thread's own heap holds a few names at a time; without a limit it would let garbage lie until 16 MB of it. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 256 };

const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);

export class Pool {
  #task: Task | undefined;
  readonly #workers: Worker[] = [];
  readonly #failed = Promise.withResolvers<never>();
  readonly #processors = availableParallelism();

  /** Starts the threads; while they load what they need, there is time to make the list of their work. */
  constructor() {
    this.#failed.promise.catch(() => {}); // it is raced in every phase; between phases no one waits
    for (let i = 0; i < Math.min(this.#processors, MAX_THREADS); i += 1) this.#add();
  }

  /** Says what the work is; before the first phase. */
  give(task: Task): void {
    this.#task = task;
    for (const worker of this.#workers) worker.postMessage(task);
  }

  #add(): Worker {
    const worker = new Worker(WORKER, { resourceLimits: LIMITS });
    if (this.#task !== undefined) worker.postMessage(this.#task);
    worker.on('error', (error) => {
      this.#failed.reject(
        new DebmendError(
          'scan-failed',
          'a reading thread failed',
          'report this with the command that was run',
          error,
        ),
      );
    });
    this.#workers.push(worker);
    return worker;
  }

  /**
   * Runs a phase in all threads until the list is done.
   *
   * @param mayGrow whether threads are added while the processors are idle
   * @throws DebmendError `scan-failed` when a thread dies
   */
  async run(phase: Phase, mayGrow: boolean): Promise<WorkerAnswer[]> {
    const answers: Promise<WorkerAnswer>[] = this.#workers.map((worker) => ask(worker, phase));
    let finished = false;
    const grow = mayGrow ? this.#growWhileIdle(phase, answers, () => finished) : undefined;
    try {
      // Threads may join while others are waited for, so the list is gone through by position.
      const results: WorkerAnswer[] = [];
      for (let i = 0; i < answers.length; i += 1) {
        const answer = answers[i];
        if (answer !== undefined) results.push(await Promise.race([answer, this.#failed.promise]));
        finished = true; // one thread found nothing left to take
      }
      return results;
    } finally {
      finished = true;
      clearInterval(grow);
    }
  }

  #growWhileIdle(phase: Phase, answers: Promise<WorkerAnswer>[], isFinished: () => boolean): NodeJS.Timeout {
    let usage = process.cpuUsage();
    let time = performance.now();
    let fetched = bytesFetched();
    return setInterval(() => {
      const used = process.cpuUsage(usage);
      const elapsed = performance.now() - time;
      const before = fetched;
      usage = process.cpuUsage();
      time = performance.now();
      fetched = bytesFetched();
      if (fetched - before < COLD_BYTES) return;
      if (isFinished() || this.#workers.length >= MAX_THREADS) return;
      const share = (used.user + used.system) / 1000 / elapsed / this.#processors;
      if (share < BUSY) answers.push(ask(this.#add(), phase));
    }, SAMPLE_MS);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Bytes that this process made the disk deliver (proc_pid_io(5), read_bytes). */
function bytesFetched(): number {
  try {
    return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1] ?? 0);
  } catch {
    return 0; // not told: no more threads
  }
}

function ask(worker: Worker, phase: Phase): Promise<WorkerAnswer> {
  const answer = new Promise<WorkerAnswer>((resolve) => {
    worker.once('message', resolve);
  });
  worker.postMessage(phase);
  return answer;
}
