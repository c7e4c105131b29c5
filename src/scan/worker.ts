/** The thread: waits for a phase, does it on the shared list of work, says that it is done. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Bytes } from '../system/bytes.ts';
import { lookAtEntries, type ReaderOptions } from './look.ts';
import { readEntries } from './read.ts';
import type { Work } from './work.ts';

export interface WorkerData {
  readonly work: Work;
  readonly md5: boolean;
  readonly xxh64: boolean;
  readonly markers: readonly string[];
}

export type Phase = { kind: 'look' } | { kind: 'read'; toRead: number };

export type WorkerAnswer = { kind: 'looked'; found: Bytes[] } | { kind: 'read' };

const port = parentPort;
if (port === null) throw new Error('worker.ts runs as a worker thread only');
const { work, md5, xxh64, markers } = workerData as WorkerData;
const options: ReaderOptions = {
  md5,
  lanes: true,
  xxh64: xxh64 ? await (await import('./xxh64.ts')).loadXxh64() : undefined,
  markers,
};

port.on('message', (phase: Phase) => {
  switch (phase.kind) {
    case 'look':
      port.postMessage({ kind: 'looked', found: lookAtEntries(work, options) } satisfies WorkerAnswer);
      break;
    case 'read':
      readEntries(work, phase.toRead, options);
      port.postMessage({ kind: 'read' } satisfies WorkerAnswer);
      break;
  }
});
