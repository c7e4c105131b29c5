/**
 * Everything that could tell of an outage, asked at once, within a limit of time. A source that is missing, damaged or
 * too slow is evidence of nothing, and of nothing worse (I8).
 */
import { lstatSync } from 'node:fs';
import type { Evidence } from '../model/outage.ts';
import { pathToText } from '../model/path-text.ts';
import { bootId, uptime } from '../system/boot.ts';
import { messageOf } from '../system/errors.ts';
import { readTail } from '../system/inside.ts';
import { type KernelLog, parseKernLog, readKernelLog } from '../system/kernel-log.ts';
import type { Root } from '../system/root.ts';
import { evidence, fromMicroseconds } from './evidence.ts';
import { fsckEvidence, fsckLog } from './fsck-log.ts';
import { controller, hasController, watchdogs } from './hardware.ts';
import { bootMessages, type Journal, journalEvidence, openJournal } from './journal.ts';
import { KERNEL_WORDS, kernelEvidence, systemDevices } from './kernel-log.ts';
import { dpkgLog, newestChange, timesyncClock } from './life.ts';
import { markerEvidence } from './marker.ts';
import { mergeEvidence } from './merge.ts';
import { panicEvidence } from './panic.ts';
import { detectVirt, placeEvidence } from './place.ts';
import { type Beginning, wtmpFile } from './wtmp.ts';
import { wtmpDatabase } from './wtmpdb.ts';

/** Milliseconds: a verdict is there within a second, the start of the program included. */
const LIMIT_MS = 800;
const KERN_LOG = '/var/log/kern.log';
const KERN_LOG_BYTES = 2 * 1024 * 1024;

/** The boot that runs on a root. */
export interface Running {
  readonly boot: string;
  /** Seconds since it began. */
  readonly uptime: number;
  readonly now: Date;
}

export interface CollectOptions {
  readonly root: Root;
  /** The store's directory, as a path of this host. */
  readonly directory: string;
  /** Undefined: a root that does not run, such as the disk of another machine. */
  readonly running: Running | undefined;
  /** Milliseconds for all that has to be waited for. */
  readonly limit?: number | undefined;
}

export interface Collected {
  readonly evidence: Evidence[];
  /** What takes longer, and cannot change the verdict; undefined where there is none. */
  readonly late: (() => Promise<Evidence[]>) | undefined;
}

/** The boot of this host, when the root is its own and /proc is there. */
export function runningBoot(root: Root): Running | undefined {
  const [boot, seconds] = [bootId(), uptime()];
  return !root.isHost || boot === undefined || seconds === undefined
    ? undefined
    : { boot, uptime: seconds, now: new Date() };
}

/** Asks every source. Never throws. */
export async function collectEvidence(options: CollectOptions): Promise<Collected> {
  const { root, running, limit = LIMIT_MS } = options;
  const deadline = performance.now() + limit;
  const place = root.isHost ? guarded('/proc', placeEvidence) : [];
  if (place.length > 0) return { evidence: place, late: undefined };
  const remaining = (): number => Math.max(50, deadline - performance.now());
  const [virtual, journal] = await Promise.all([
    root.isHost ? detectVirt(limit / 2) : [],
    openJournal(root, limit * 0.6),
  ]);
  if (virtual.length > 0) return { evidence: virtual, late: undefined };

  const began = running === undefined ? undefined : new Date(running.now.getTime() - running.uptime * 1000);
  const found: Evidence[] =
    running === undefined
      ? [
          evidence(
            'other-root',
            pathToText(root.path),
            'this root does not run: /proc, the kernel log and this boot tell nothing of it',
          ),
        ]
      : [
          evidence('boot-began', '/proc/uptime', 'this boot began', {
            at: began,
            uptime: 0,
            boot: running.boot,
          }),
        ];
  if (root.isHost && process.geteuid?.() !== 0)
    found.push(
      evidence(
        'unavailable',
        'rights',
        'without the rights of root the marker and the journal may not be read',
      ),
    );
  const directory = isDirectory(options.directory) ? options.directory : undefined;
  const marker = guarded('marker', () =>
    directory === undefined ? [] : markerEvidence(directory, running?.boot),
  );
  const since = marker.find(({ kind }) => kind === 'marker-left' || kind === 'marker-removed')?.boot;
  found.push(...marker);

  const kernel = readKernel(root, running);
  const waited = Promise.all([
    journalEvidence({ journal, current: running?.boot, since, began, limit: remaining() }),
    running === undefined ? [] : fsckOfBoot(journal, running.boot, remaining()),
    wtmpDatabase(root, beginningOf(journal, running, began)),
    running === undefined || kernel.whole ? [] : kernelOfBoot(journal, running.boot, remaining(), began),
  ]);
  // While the programs run. No sign of life is of this boot: by the clock of its first moments, too.
  const before = new Date(
    Math.min(...beginningTimes(journal, running, began).map((time) => time.getTime()), Date.now()),
  );
  found.push(
    ...guarded('wtmp', () => wtmpFile(root, beginningOf(journal, running, began))),
    ...guarded('fsck', () => (running === undefined ? [] : fsckLog(root, directory, running.boot))),
    ...guarded('kernel log', () => kernelEvidence(kernel.messages, systemDevices(), running?.boot, began)),
    ...guarded('disk', () => newestChange(root, before, running !== undefined)),
    ...guarded('timesyncd', () => timesyncClock(root, before)),
    ...guarded('dpkg.log', () => dpkgLog(root, before, root.isHost)),
    ...guarded('watchdog', () => (running === undefined ? [] : watchdogs(root, running.boot))),
  );
  for (const answers of await waited) found.push(...answers);
  const alive = mergeEvidence(found).interval.from?.at;
  found.push(
    ...guarded('pstore', () => panicEvidence(root, alive === undefined ? undefined : new Date(alive), began)),
  );
  return { evidence: found, late: root.isHost && hasController() ? controller : undefined };
}

function beginningTimes(journal: Journal, running: Running | undefined, began: Date | undefined): Date[] {
  const own = journal.boots.find(({ boot }) => boot === running?.boot);
  return [
    ...(began === undefined ? [] : [began]),
    ...(own === undefined ? [] : [fromMicroseconds(own.first)]),
  ];
}

function beginningOf(
  journal: Journal,
  running: Running | undefined,
  began: Date | undefined,
): Beginning | undefined {
  return running === undefined
    ? undefined
    : { times: beginningTimes(journal, running, began), uptime: running.uptime };
}

/** What systemd-fsck said of the filesystems that the initramfs leaves to it. */
async function fsckOfBoot(journal: Journal, boot: string, limit: number): Promise<Evidence[]> {
  const entries = await bootMessages(journal, boot, ['SYSLOG_IDENTIFIER=systemd-fsck'], limit);
  return fsckEvidence(entries.map(({ message }) => message ?? '').join('\n'), 'systemd-fsck', boot);
}

/** The kernel's own log; where its beginning was overwritten, in a long boot, that of rsyslog as well. */
function readKernel(root: Root, running: Running | undefined): KernelLog {
  if (running === undefined) return { messages: [], whole: true }; // this boot is nothing to another root
  const log = root.isHost ? readKernelLog() : { messages: [], whole: false };
  const file = log.whole ? undefined : readTail(root, KERN_LOG, KERN_LOG_BYTES);
  const logged = file === undefined ? [] : parseKernLog(file);
  return logged.length === 0 ? log : { messages: [...logged, ...log.messages], whole: true };
}

/** What the journal kept of it, of the kinds that matter. */
async function kernelOfBoot(
  journal: Journal,
  boot: string,
  limit: number,
  began: Date | undefined,
): Promise<Evidence[]> {
  const entries = await bootMessages(journal, boot, ['_TRANSPORT=kernel', `--grep=${KERNEL_WORDS}`], limit);
  const messages = entries.map(({ uptime: seconds, message }) => ({ uptime: seconds, text: message ?? '' }));
  return kernelEvidence(messages, systemDevices(), boot, began);
}

/** A link in the place of the store leads who knows where (I7). */
function isDirectory(directory: string): boolean {
  return lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function guarded(source: string, ask: () => Evidence[]): Evidence[] {
  try {
    return ask();
  } catch (error) {
    return [evidence('unavailable', source, `asking failed: ${messageOf(error)}`)];
  }
}
