/** Where this boot's kernel messages come from: the kernel's own buffer, and the journal where that has lost some. */

import { parseEntries } from '../../system/journal-entries.ts';
import { type KernelMessage, readKernelLog } from '../../system/kernel-log.ts';
import { run } from '../../system/run.ts';
import { sectorsOf } from '../devices.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { FAULT_WORDS, type KernelFault, kernelFaults } from './kernel-errors.ts';

const JOURNAL_MS = 5000;
/** The newest messages are the ones that matter, and they come last. */
const KERNEL_MS = 2000;

export interface KernelFaults {
  readonly faults: readonly KernelFault[];
  /** Why not everything is known; undefined when all of this boot was read. */
  readonly unread: string | undefined;
}

/** The faults of this boot. The kernel is the machine's: they are the same whatever the root is. Never throws. */
export async function readKernelFaults(): Promise<KernelFaults> {
  const log = readKernelLog(KERNEL_MS);
  if (log.whole) return { faults: kernelFaults(log.messages), unread: undefined };
  const journal = await journalMessages();
  // What both have is said once: the buffer has the newest, and its first message tells where the journal's end.
  const from = log.messages[0]?.uptime ?? Number.POSITIVE_INFINITY;
  const before = journal.filter(({ uptime }) => (uptime ?? 0) < from);
  const known = log.messages.length > 0 || journal.length > 0;
  return {
    faults: kernelFaults([...before, ...log.messages]),
    unread: known
      ? journal.length > 0
        ? undefined
        : "the beginning of this boot's kernel log is overwritten"
      : 'the kernel log may not be read, or there is none',
  };
}

async function journalMessages(): Promise<KernelMessage[]> {
  const query = ['--boot', '_TRANSPORT=kernel', `--grep=${FAULT_WORDS}`, '--lines=2000'];
  const result = await run(
    'journalctl',
    ['--quiet', '--no-pager', ...query, '--output=json', '--output-fields=MESSAGE'],
    { timeout: JOURNAL_MS },
  );
  return parseEntries(result.stdout.toString('utf8')).flatMap(({ uptime, message }) =>
    message === undefined ? [] : [{ uptime, text: message }],
  );
}

/** Whether a fault is a filesystem's: its own, or one of a device below it, in the sectors that it takes of that. */
export function concerns(fault: KernelFault, filesystem: MountedFilesystem): boolean {
  const { device, layers } = filesystem;
  if (fault.device === device) return true;
  if (fault.kind !== 'io' || !layers.some((layer) => layer.device === fault.device)) {
    return (
      fault.kind === 'damage' &&
      layers.some((layer) => layer.device === fault.device && filesystem.type === 'btrfs')
    );
  }
  const parts = layers.filter(({ kind }) => kind === 'partition');
  if (fault.sector === undefined || parts.length === 0) return true;
  const { sector } = fault;
  const spans = parts.flatMap((part) => sectorsOf(part.device) ?? []);
  return spans.length === 0 || spans.some(({ start, end }) => sector >= start && sector < end);
}
