/** The thread: is given a list of work, waits for a phase, does it on the list, says that it is done. */
import { parentPort } from 'node:worker_threads';
import type { Bytes } from '../system/bytes.ts';
import { lookAtEntries } from './look.ts';
import type { Work } from './work.ts';

/** What the phases are about; comes before the first of them. */
export interface Task {
  readonly kind: 'task';
  readonly work: Work;
  readonly md5: boolean;
  readonly xxh64: boolean;
  readonly markers: readonly string[];
}

export type Phase = { kind: 'look' } | { kind: 'read'; toRead: number };

export type WorkerAnswer = { kind: 'looked'; found: Bytes[] } | { kind: 'read' };

const port = parentPort;
if (port === null) throw new Error('worker.ts runs as a worker thread only');
let task: Task | undefined;

port.on('message', async (message: Task | Phase) => {
  if (message.kind === 'task') {
    task = message;
    return;
  }
  if (task === undefined) throw new Error('a phase came before the work');
  const { work, md5, markers } = task;
  switch (message.kind) {
    case 'look': {
      const found = lookAtEntries(work, { md5, lanes: true, xxh64: undefined, markers });
      port.postMessage({ kind: 'looked', found } satisfies WorkerAnswer);
      break;
    }
    case 'read': {
      // Loaded only now: where nothing is read, the hashes would take longer to load than a thread has to do.
      const { readEntries } = await import('./read.ts');
      const xxh64 = task.xxh64 ? await (await import('./xxh64.ts')).loadXxh64() : undefined;
      readEntries(work, message.toRead, { md5, lanes: true, xxh64, markers });
      port.postMessage({ kind: 'read' } satisfies WorkerAnswer);
      break;
    }
  }
});
