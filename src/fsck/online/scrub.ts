/**
 * Checks of mounted filesystems, where their type can do that: btrfs-scrub(8), and e2scrub(8), which checks a snapshot of
 * ext4 on LVM. At idle priority; a scrub that is not wanted any more is cancelled in an orderly way.
 */
import { lstatSync } from 'node:fs';
import { bytesToText, pathForTerminal, pathToText } from '../../model/path-text.ts';
import type { OnlineCheck } from '../../model/requested-check.ts';
import { uptime } from '../../system/boot.ts';
import { type Bytes, bytesFromText, fsPath } from '../../system/bytes.ts';
import { readKernelLog } from '../../system/kernel-log.ts';
import { run } from '../../system/run.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { parseScrubStatus, type ScrubStatus, scrubPaths } from './btrfs.ts';

export type PlannedScrub =
  | {
      readonly kind: 'scrub';
      readonly filesystem: MountedFilesystem;
      readonly program: OnlineCheck['program'];
      readonly command: readonly string[];
    }
  | {
      readonly kind: 'not-applicable';
      readonly filesystem: MountedFilesystem;
      readonly reason: string;
    };

export interface ScrubProgress {
  readonly filesystem: MountedFilesystem;
  /** Bytes. The total is an estimate. */
  readonly done: number;
  readonly total: number;
}

export interface ScrubOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: ScrubProgress) => void) | undefined;
}

/** setTimeout knows no longer time; large disks take days. */
const TIMEOUT_MS = 2 ** 31 - 1;
const ASK_MS = 30_000;
const POLL_MS = 1000;
const SAID = 20;
const IDLE = ['ionice', '-c', '3', 'nice', '-n', '19'];

/** What of a filesystem can be checked while it is mounted; changes nothing. */
export function planScrub(filesystem: MountedFilesystem): PlannedScrub {
  const { type, layers, node, notApplicable, hostMountPoints } = filesystem;
  const mountPoint = hostMountPoints[0];
  const not = (reason: string): PlannedScrub => ({ kind: 'not-applicable', filesystem, reason });
  if (notApplicable !== undefined || node === undefined || mountPoint === undefined)
    return not(notApplicable ?? 'there is no block device for it here');
  if (type === 'btrfs') {
    // -B: it stays until the end; class 3 is idle, and a scrub's threads take it from there.
    const command = ['btrfs', 'scrub', 'start', '-B', '-c', '3', bytesToText(mountPoint)];
    return { kind: 'scrub', filesystem, program: 'btrfs scrub', command };
  }
  if (/^ext[234]$/.test(type)) {
    if (layers[0]?.kind !== 'lvm')
      return not('ext4 can be checked while it is mounted only on LVM, by a snapshot');
    const command = [...IDLE, 'e2scrub', bytesToText(node)];
    return { kind: 'scrub', filesystem, program: 'e2scrub', command };
  }
  return not(`${type} cannot be checked while it is mounted`);
}

/** Carries a planned scrub out, to its end or until the signal. Never throws: what fails is an outcome. */
export async function scrub(
  { filesystem, program, command }: Extract<PlannedScrub, { kind: 'scrub' }>,
  options: ScrubOptions,
): Promise<OnlineCheck> {
  const started = performance.now();
  const result =
    program === 'btrfs scrub'
      ? await scrubBtrfs(filesystem, command, options)
      : await scrubExt4(command, options.signal);
  return {
    mountPoint: pathToText(filesystem.mountPoint),
    type: filesystem.type,
    device: filesystem.device ?? bytesToText(filesystem.source),
    program,
    seconds: Math.round(performance.now() - started) / 1000,
    ...result,
  };
}

type Result = Omit<OnlineCheck, 'mountPoint' | 'type' | 'device' | 'program' | 'seconds'>;

async function scrubBtrfs(
  filesystem: MountedFilesystem,
  [program = '', ...args]: readonly string[],
  { signal, onProgress }: ScrubOptions,
): Promise<Result> {
  const mountPoint = bytesToText(filesystem.hostMountPoints[0] ?? '');
  const since = uptime();
  const cancel = () => void run('btrfs', ['scrub', 'cancel', mountPoint], { timeout: ASK_MS });
  signal.addEventListener('abort', cancel, { once: true });
  const poll = onProgress && setInterval(() => void tell(filesystem, mountPoint, onProgress), POLL_MS);
  try {
    if (signal.aborted) return { outcome: 'cancelled', paths: [], said: [] };
    const ended = await run(program, args, { timeout: TIMEOUT_MS });
    const said = lines(`${ended.stdout.toString('latin1')}\n${ended.stderr}`);
    if (ended.failure !== undefined)
      return { outcome: 'failed', paths: [], said: [`${program}: ${ended.failure}`] };
    // btrfs-progs 6.2 says "finished" of a scrub in which errors were found, and 3 when some are uncorrectable (I11).
    const status = await statusOf(mountPoint, '-R');
    if (status === undefined) return { outcome: 'failed', paths: [], said };
    const damaged = status.uncorrectable > 0 || status.corrected > 0;
    return {
      outcome: outcomeOf(status, ended.code, signal.aborted),
      bytes: status.bytes,
      corrected: status.corrected,
      uncorrectable: status.uncorrectable,
      paths: damaged ? damagedPaths(filesystem, since) : [],
      said,
    };
  } finally {
    clearInterval(poll);
    signal.removeEventListener('abort', cancel);
  }
}

function outcomeOf(
  status: ScrubStatus,
  code: number | undefined,
  cancelled: boolean,
): OnlineCheck['outcome'] {
  if (status.uncorrectable > 0 || code === 3) return 'uncorrectable';
  if (cancelled || /aborted|interrupted|cancel/.test(status.state)) return 'cancelled';
  if (status.state !== 'finished' || code !== 0) return 'failed';
  return status.corrected > 0 ? 'corrected' : 'sound';
}

async function statusOf(mountPoint: string, option: '-R' | '--raw'): Promise<ScrubStatus | undefined> {
  const { stdout } = await run('btrfs', ['scrub', 'status', option, mountPoint], { timeout: ASK_MS });
  return parseScrubStatus(stdout.toString('latin1'));
}

async function tell(
  filesystem: MountedFilesystem,
  mountPoint: string,
  onProgress: (progress: ScrubProgress) => void,
): Promise<void> {
  const [status, done] = [await statusOf(mountPoint, '--raw'), await statusOf(mountPoint, '-R')];
  if (status !== undefined && done !== undefined)
    onProgress({ filesystem, done: done.bytes, total: Math.max(status.total, done.bytes) });
}

/** The files that the kernel named, as paths inside the root where they can be told. */
function damagedPaths(
  { device, hostMountPoints, mountPoints, subvolumes }: MountedFilesystem,
  since: number | undefined,
): string[] {
  const messages = readKernelLog().messages.filter(
    ({ uptime: at }) => since === undefined || at === undefined || at >= since - 1,
  );
  const named = scrubPaths(
    messages.map(({ text }) => text),
    device ?? '',
  );
  const places = new Map<number, { readonly host: Bytes; readonly inside: Bytes }>();
  for (const [at, host] of hostMountPoints.entries()) {
    const [id, inside] = [subvolumes[at], mountPoints[at]];
    if (id !== undefined && inside !== undefined && !places.has(id)) places.set(id, { host, inside });
  }
  return named.map(({ root: id, path }) => {
    const place = places.get(id);
    const below = bytesFromText(path);
    if (place === undefined || !isThere(`${place.host}/${below}`)) return `subvolume ${id}: ${path}`;
    return pathToText(`${place.inside === '/' ? '' : place.inside}/${below}`);
  });
}

function isThere(host: Bytes): boolean {
  try {
    return lstatSync(fsPath(host), { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true; // a file that cannot be looked at is there
  }
}

/** scrub/e2scrub.in: 0 sound, 6 damaged and marked so, 8 it could not be made. A snapshot cannot be checked half. */
async function scrubExt4([program = '', ...args]: readonly string[], signal: AbortSignal): Promise<Result> {
  if (signal.aborted) return { outcome: 'cancelled', paths: [], said: [] };
  const ended = await run(program, args, { timeout: TIMEOUT_MS });
  const said = lines(`${ended.stdout.toString('latin1')}\n${ended.stderr}`);
  if (ended.failure !== undefined) return { outcome: 'failed', paths: [], said: [ended.failure] };
  const outcome =
    ended.code === 6 || said.some((line) => /Scrub FAILED due to corruption/.test(line))
      ? 'uncorrectable'
      : ended.code === 0 && said.some((line) => /Scrub succeeded/.test(line))
        ? 'sound'
        : signal.aborted
          ? 'cancelled'
          : 'failed';
  return { outcome, paths: [], said };
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => bytesToText(line.trim()).replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' '))
    .filter((line) => line !== '')
    .slice(-SAID);
}

/** A filesystem as a sentence names it. */
export function scrubName({ mountPoint }: MountedFilesystem): string {
  return pathForTerminal(pathToText(mountPoint));
}
