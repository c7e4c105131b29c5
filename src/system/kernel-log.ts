/** The kernel's log of this boot: its own buffer (Documentation/ABI/testing/dev-kmsg), or what rsyslog wrote of it. */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { type Bytes, bufferOf } from './bytes.ts';
import { errnoOf } from './errors.ts';

const KMSG = '/dev/kmsg';
/** A record is at most 8 KiB (kernel/printk: PRINTK_MESSAGE_MAX and its prefix). */
const RECORD_BYTES = 16 * 1024;
const MAX_RECORDS = 50_000;
const MAX_MS = 150;

export interface KernelMessage {
  /** Seconds since the boot began. */
  readonly uptime: number | undefined;
  readonly text: string;
}

export interface KernelLog {
  readonly messages: KernelMessage[];
  /** False when the beginning of the boot is not in it any more, or it could not be read. */
  readonly whole: boolean;
}

/** One record of /dev/kmsg: `6,339,5140900,-;NET: Registered protocol family 10` and lines of properties. */
export function parseKmsg(record: string): (KernelMessage & { readonly sequence: number }) | undefined {
  const match = /^\d+,(\d+),(\d+),[^;]*;([^\n]*)/.exec(record);
  if (match === null) return undefined;
  const [, sequence, microseconds, text = ''] = match;
  return { sequence: Number(sequence), uptime: Number(microseconds) / 1e6, text };
}

/**
 * Reads the kernel's log of the machine that this runs on, without a process. Never throws.
 *
 * @param limit milliseconds; what comes later is left out
 */
export function readKernelLog(limit = MAX_MS): KernelLog {
  const messages: KernelMessage[] = [];
  let whole = false;
  try {
    const fd = openSync(KMSG, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const buffer = Buffer.alloc(RECORD_BYTES);
      const end = performance.now() + limit;
      for (let seen = 0; seen < MAX_RECORDS && performance.now() < end; seen += 1) {
        let length: number;
        try {
          length = readSync(fd, buffer, 0, buffer.length, null);
        } catch (error) {
          if (errnoOf(error) === 'EPIPE') continue; // overwritten while it was read
          break; // EAGAIN: that was all
        }
        if (length === 0) break;
        const message = parseKmsg(buffer.toString('utf8', 0, length));
        if (message === undefined) continue;
        if (messages.length === 0) whole = message.sequence === 0;
        messages.push({ uptime: message.uptime, text: message.text });
      }
    } finally {
      closeSync(fd);
    }
  } catch {
    // Not there, or not ours to read.
  }
  return { messages, whole };
}

/**
 * The messages of the newest boot in a kern.log (rsyslog's): those after its last `Linux version`. Never throws.
 *
 * @param data the end of the file
 */
export function parseKernLog(data: Bytes): KernelMessage[] {
  const lines = data.split('\n');
  const start = lines.findLastIndex((line) => /kernel: .*Linux version \d/.test(line));
  if (start < 0) return [];
  return lines.slice(start).flatMap((line) => {
    const match = / kernel: (?:\[ *(\d+\.\d+)\] ?)?(.*)$/.exec(line);
    if (match === null) return [];
    const [, uptime, text = ''] = match;
    return [
      { uptime: uptime === undefined ? undefined : Number(uptime), text: bufferOf(text).toString('utf8') },
    ];
  });
}
