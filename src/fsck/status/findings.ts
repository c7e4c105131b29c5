/** What is wrong with a filesystem, as findings: a pure function of what was seen of it. */
import type { FindingCode } from '../../model/codes.ts';
import type { BootCheck, Filesystem } from '../../model/filesystem.ts';
import type { Finding, KnownBy } from '../../model/finding.ts';
import { compareSeverity, type Severity } from '../../model/severity.ts';
import { errorsOf } from './btrfs.ts';
import type { WeakOption } from './weak-options.ts';

/** What the report's filesystem does not say by itself. */
export interface Seen {
  readonly filesystem: Filesystem;
  readonly weak: readonly WeakOption[];
  /** Versions of packages that are named, where they are known. */
  readonly versions: ReadonlyMap<string, string>;
}

/** Below these a package of the usual size does not fit any more. */
const LITTLE_BYTES = 1024 ** 3;
const LITTLE_SHARE = 0.05;
const LITTLE_INODES = 0.02;
/** And below this dpkg cannot even write its database. */
const NOTHING_BYTES = 1024 ** 2;
/** Roles without which the system does not run. */
const VITAL: readonly Filesystem['role'][] = ['root', 'usr', 'var'];

type Draft = Pick<Finding, 'code' | 'severity' | 'message' | 'knownBy' | 'likelyOutage' | 'reason'> &
  Partial<Pick<Finding, 'path' | 'package' | 'version' | 'device' | 'found' | 'expected'>>;

/** The findings of one filesystem, the worst first. */
export function filesystemFindings(seen: Seen): Finding[] {
  const { filesystem } = seen;
  const about = {
    path: filesystem.mountPoint,
    ...(filesystem.device === undefined ? {} : { device: filesystem.device }),
  };
  const found = [
    ...answering(filesystem),
    ...stopped(filesystem),
    ...failing(filesystem),
    ...recorded(filesystem),
    ...hitFiles(seen),
    ...checked(filesystem.bootCheck),
    ...space(filesystem),
    ...weak(seen.weak),
  ].map((draft) => ({ ...about, ...draft }));
  return found.sort((a, b) => compareSeverity(b.severity, a.severity));
}

function vital({ role, holds }: Filesystem): boolean {
  return VITAL.includes(role) || holds.includes('database');
}

function* answering({ state, reason, layers }: Filesystem): Generator<Draft> {
  if (state !== 'not-answering') return;
  yield draft('filesystem-not-answering', 'critical', 'kernel-log', {
    message: reason ?? 'the device does not answer',
    found: layers.map(({ device }) => device).join(', '),
    reason: 'a device that hangs is a fault of the device or of what leads to it',
  });
}

function* stopped(filesystem: Filesystem): Generator<Draft> {
  const { state, reason } = filesystem;
  if (state !== 'read-only' && state !== 'shut-down') return;
  yield draft('filesystem-read-only', vital(filesystem) ? 'critical' : 'error', 'kernel-log', {
    message:
      state === 'shut-down'
        ? `the kernel shut the filesystem down: ${reason ?? 'nothing is read or written any more'}`
        : `the kernel turned the filesystem read-only: ${reason ?? 'it met an error'}`,
    reason: 'the kernel does this when it meets an error, whatever the error is from',
  });
}

function* failing({ errors }: Filesystem): Generator<Draft> {
  const failed = errors.filter(({ source, device }) => source === 'kernel-log' && device !== undefined);
  const last = failed.at(-1);
  if (last === undefined) return;
  yield draft('filesystem-io-errors', 'critical', 'kernel-log', {
    message: `the kernel met ${plural(failed.length, 'error')} of the device in this boot, the last one: ${last.text}`,
    ...(last.device === undefined ? {} : { device: last.device }),
    reason: 'the device itself failed to read or write',
  });
}

function* recorded({ type, ext4, deviceStats = [], errors }: Filesystem): Generator<Draft> {
  const outage = {
    likelyOutage: true,
    reason: 'what was written in part looks like this; a failing disk or memory can do it, too',
  };
  const count = ext4?.errors ?? 0;
  const marked = ext4?.state?.includes('errors') === true;
  const last = errors.findLast(({ source }) => source === 'superblock');
  if (count > 0 || marked) {
    const counted = count > 0 ? `${plural(count, 'error')} since the last check` : 'that it has errors';
    yield draft('filesystem-errors', 'error', 'superblock', {
      message: `${type} recorded ${counted}${last === undefined ? '' : `, the last one: ${last.text}`}`,
      found: `${count}`,
      expected: '0',
      ...outage,
    });
  }
  const worn = deviceStats.filter((stats) => errorsOf(stats) > 0);
  for (const stats of worn) {
    const { write, read, flush, corruption, generation } = stats;
    yield draft('filesystem-errors', 'error', 'device-stats', {
      message:
        `btrfs counted ${plural(errorsOf(stats), 'error')} on ${stats.device}: ` +
        `${write} write, ${read} read, ${flush} flush, ${corruption} corruption, ${generation} generation`,
      found: `${errorsOf(stats)}`,
      expected: '0',
      ...outage,
    });
  }
  // What the kernel met in this boot is most often counted as well: it is said only where nothing else was.
  const met = errors.filter(({ device }) => device === undefined);
  const newest = met.findLast(({ source }) => source === 'kernel-log') ?? met.at(-1);
  if (newest !== undefined && count === 0 && !marked && worn.length === 0)
    yield draft('filesystem-errors', 'error', newest.source, {
      message: `the kernel met ${plural(met.length, 'error')} in this boot, the last one: ${newest.text}`,
      ...outage,
    });
}

/** Each file once for each of its packages, however many errors name it. */
function* hitFiles({ filesystem, versions }: Seen): Generator<Draft> {
  const byPath = Map.groupBy(
    filesystem.errors.filter(({ path }) => path !== undefined),
    ({ path }) => path,
  );
  for (const [path, faults] of byPath) {
    const last = faults.at(-1);
    if (path === undefined || last === undefined) continue;
    const found = {
      path,
      message: `an error was met here: ${last.text}`,
      likelyOutage: last.device === undefined,
      reason:
        last.device === undefined
          ? 'what was written in part looks like this; a failing disk or memory can do it, too'
          : 'the device itself failed to read or write',
    };
    const packages = last.packages ?? [];
    if (packages.length === 0) yield draft('filesystem-file-damaged', 'error', last.source, found);
    for (const name of packages) {
      const version = versions.get(name);
      const owner = { package: name, ...(version === undefined ? {} : { version }) };
      yield draft('filesystem-file-damaged', 'error', last.source, { ...found, ...owner });
    }
  }
}

function* checked(check: BootCheck | undefined): Generator<Draft> {
  switch (check?.outcome) {
    case 'errors-left':
      yield draft('filesystem-check-failed', 'error', 'fsck', {
        message: `this boot's own check left errors: ${check.text}`,
        likelyOutage: true,
        reason: 'a check at boot finds what an outage left, and mends only what is safe to mend',
      });
      return;
    case 'failed':
      yield draft('filesystem-check-failed', 'warning', 'fsck', {
        message: `this boot's own check could not be made: ${check.text}`,
        reason: 'the check itself failed, which says nothing of the filesystem',
      });
      return;
    case 'corrected':
      yield draft('filesystem-check-corrected', 'warning', 'fsck', {
        message: `this boot's own check changed the filesystem to mend it, and may have moved files to lost+found: ${check.text}`,
        likelyOutage: true,
        reason: 'a check at boot finds what an outage left',
      });
      return;
    case 'clean':
    case 'recovered':
    case 'unknown':
    case undefined:
      return;
  }
}

function* space({ space: of, readOnly, type }: Filesystem): Generator<Draft> {
  if (of === undefined || readOnly) return;
  const reason = 'a full filesystem is no work of a power cut, but what did not fit was not written';
  const { size, available, inodes, inodesFree } = of;
  if (available < NOTHING_BYTES || (available < LITTLE_BYTES && available < size * LITTLE_SHARE))
    yield draft('filesystem-space', available < NOTHING_BYTES ? 'error' : 'warning', 'file-system', {
      message: `${megabytes(available)} of ${megabytes(size)} are left`,
      found: `${available}`,
      reason,
    });
  // FAT and btrfs have no fixed number of them.
  if (inodes !== undefined && inodesFree !== undefined && inodes > 0 && inodesFree < inodes * LITTLE_INODES)
    yield draft('filesystem-space', inodesFree === 0 ? 'error' : 'warning', 'file-system', {
      message: `${inodesFree} of ${inodes} inodes are left: ${type} can have no more files than inodes`,
      found: `${inodesFree}`,
      reason,
    });
}

function* weak(options: readonly WeakOption[]): Generator<Draft> {
  for (const loses of [true, false]) {
    const own = options.filter((option) => option.loses === loses);
    if (own.length === 0) continue;
    yield draft('filesystem-weak-options', loses ? 'warning' : 'info', 'mount-table', {
      message: own.map(({ option, text }) => `${option}: ${text}`).join('; '),
      found: own.map(({ option }) => option).join(','),
      reason: 'a setting, which a power cut does not make',
    });
  }
}

function draft(
  code: FindingCode,
  severity: Severity,
  source: KnownBy,
  rest: Omit<Draft, 'code' | 'severity' | 'knownBy' | 'likelyOutage'> & { readonly likelyOutage?: boolean },
): Draft {
  return { code, severity, knownBy: source, likelyOutage: false, ...rest };
}

function plural(n: number, one: string): string {
  return `${n} ${one}${n === 1 ? '' : 's'}`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
