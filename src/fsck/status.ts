/**
 * How the filesystems of a system are, and what is wrong with them. Nothing is changed, and no damage is provoked: a
 * device that hangs is asked by another process first, and an ext4 that would turn read-only at the next error is looked
 * at through its device only.
 *
 *   listed by the mount table ──► does the device answer ──► superblock, counters, space ─┐
 *                                 kernel log, this boot's check ──────────────────────────┼──► faults ──► places ──► findings
 *                                 btrfs device stats ─────────────────────────────────────┘
 */
import { uptime } from 'node:os';
import type { Filesystem } from '../model/filesystem.ts';
import type { Finding } from '../model/finding.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import { compareSeverity } from '../model/severity.ts';
import { bufferOf, compareBytes } from '../system/bytes.ts';
import { type MountEntry, readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { type Ext4Counters, readExt4Counters } from './ext4-errors.ts';
import { concernsSystem, listFilesystems, type MountedFilesystem } from './filesystems.ts';
import { type OwnedPaths, ownedPaths } from './owned-paths.ts';
import { type Answer, askDevice } from './status/answering.ts';
import { type BootChecks, bootChecks } from './status/boot-check.ts';
import { readDeviceStats } from './status/btrfs.ts';
import { readExt } from './status/ext4.ts';
import { locateFaults, MOST_ERRORS } from './status/faults.ts';
import { filesystemFindings } from './status/findings.ts';
import { concerns, type KernelFaults, readKernelFaults } from './status/kernel.ts';
import { isSince } from './status/kernel-errors.ts';
import { readSpace } from './status/space.ts';
import { judge } from './status/state.ts';
import { weakOptions } from './status/weak-options.ts';

export interface HealthOptions {
  /** The store's directory, as a path of this host: it has copies of the boot's own fsck log. */
  readonly directory?: string | undefined;
  /** Every filesystem, those without anything of the system's too. Default: false. */
  readonly all?: boolean;
  readonly mounts?: readonly MountEntry[];
  /** Milliseconds that a device has to answer. */
  readonly patience?: number;
}

export interface FilesystemHealth {
  readonly filesystems: readonly Filesystem[];
  /** The worst first. */
  readonly findings: readonly Finding[];
  /** Things that could not be asked, of all filesystems together. */
  readonly unread: readonly string[];
}

/** Looks at the filesystems of a root. Never throws: what cannot be read is said to be unread. */
export async function filesystemHealth(root: Root, options: HealthOptions = {}): Promise<FilesystemHealth> {
  const { directory, all = false, mounts = readMounts(), patience } = options;
  const remote = listFilesystems(root, { mounts, remote: true });
  const answers = await askAll(remote, patience);
  const silent = [...answers.values()].some(({ kind }) => kind === 'silent');
  // The lists of packages, and the paths in them, may lie on what hangs.
  const owned = silent ? undefined : ownedPaths(root);
  const listed = silent ? remote : listFilesystems(root, { mounts, owned });
  // What lies under an overlay is known only now.
  for (const [number, answer] of await askAll(
    listed.filter((one) => !answers.has(one.number)),
    patience,
  ))
    answers.set(number, answer);
  const shown = listed.filter(
    (one) => all || concernsSystem(one) || answers.get(one.number)?.kind === 'silent',
  );
  const applicable = shown.some(({ notApplicable }) => notApplicable === undefined);
  const [kernel, checks] = await Promise.all([
    applicable ? readKernelFaults() : { faults: [], unread: undefined },
    !applicable || silent ? noChecks(silent) : bootChecks(root, directory),
  ]);
  const context: Context = {
    root,
    filesystems: listed,
    owned,
    kernel,
    checks,
    // It reads the device for a UUID, and not all of that is in the cache of a mounted one.
    counters: readExt4Counters(mounts.filter(({ number }) => answers.get(number)?.kind !== 'silent')),
    answers,
  };
  const filesystems: Filesystem[] = [];
  const findings: Finding[] = [];
  // One after another: each may start a program that reads all of a disk's inodes.
  for (const one of shown) {
    const examined = await examine(one, context);
    filesystems.push(examined.filesystem);
    findings.push(...examined.findings);
  }
  return {
    filesystems,
    findings: findings.sort(
      (a, b) =>
        compareSeverity(b.severity, a.severity) ||
        compareBytes(a.path ?? '', b.path ?? '') ||
        compareBytes(a.code, b.code),
    ),
    unread: [
      ...(silent ? ['which filesystems hold package files: one of them does not answer'] : []),
      ...checks.unread,
      ...(kernel.unread === undefined ? [] : [kernel.unread]),
    ],
  };
}

function noChecks(silent: boolean): BootChecks {
  return {
    of: () => undefined,
    unread: silent ? ["this boot's own checks: a filesystem does not answer"] : [],
  };
}

async function askAll(
  filesystems: readonly MountedFilesystem[],
  patience: number | undefined,
): Promise<Map<string, Answer>> {
  const asked = filesystems.filter(({ notApplicable }) => notApplicable === undefined);
  return new Map(
    await Promise.all(asked.map(async (one) => [one.number, await askDevice(one, patience)] as const)),
  );
}

interface Context {
  readonly root: Root;
  readonly filesystems: readonly MountedFilesystem[];
  readonly owned: OwnedPaths | undefined;
  readonly kernel: KernelFaults;
  readonly checks: BootChecks;
  readonly counters: readonly Ext4Counters[];
  readonly answers: ReadonlyMap<string, Answer>;
}

interface Examined {
  readonly filesystem: Filesystem;
  readonly findings: readonly Finding[];
}

async function examine(mounted: MountedFilesystem, context: Context): Promise<Examined> {
  const base = describe(mounted);
  if (mounted.notApplicable !== undefined)
    return {
      filesystem: { ...base, state: 'not-applicable', reason: mounted.notApplicable },
      findings: [],
    };
  const answer = context.answers.get(mounted.number);
  if (answer?.kind === 'silent') {
    const reason = `${mounted.device ?? 'the device'} did not answer within ${answer.seconds} s`;
    const filesystem: Filesystem = { ...base, state: 'not-answering', reason, unread: ['everything on it'] };
    return { filesystem, findings: filesystemFindings({ filesystem, weak: [], versions: new Map() }) };
  }
  const unread: string[] = [];
  const ext = readExt(mounted, context.counters, unread);
  const space = readSpace(mounted);
  const bootCheck = context.checks.of(mounted, ext.superblock?.label);
  const stats = mounted.type === 'btrfs' ? await deviceStats(mounted) : undefined;
  if (typeof stats === 'string') unread.push(stats);
  const booted = Date.now() / 1000 - uptime();
  const kernelFaults = context.kernel.faults.filter(
    (fault) => concerns(fault, mounted) && isSince(fault, ext.superblock?.lastMount, booted),
  );
  const located = await locateFaults(mounted, { ...context, ext, kernel: kernelFaults, answer });
  unread.push(...located.unread);
  const weak = weakOptions(mounted, ext.superblock);
  const filesystem: Filesystem = {
    ...base,
    weak: weak.map(({ option, text }) => ({ option, text })),
    ...(typeof space === 'string' ? {} : { space }),
    ...(ext.state === undefined ? {} : { ext4: ext.state }),
    ...(typeof stats === 'object' ? { deviceStats: stats } : {}),
    ...(bootCheck === undefined ? {} : { bootCheck }),
    errors: located.errors.slice(-MOST_ERRORS),
    unread,
  };
  const judged: Filesystem = { ...filesystem, ...judge(mounted, filesystem, kernelFaults, space) };
  return {
    filesystem: judged,
    findings: filesystemFindings({ filesystem: judged, weak, versions: located.versions }),
  };
}

function describe(mounted: MountedFilesystem): Filesystem {
  const { device, uuid } = mounted;
  return {
    mountPoint: pathToText(mounted.mountPoint),
    mountPoints: mounted.mountPoints.map(pathToText),
    role: mounted.role,
    holds: [...mounted.holds],
    type: mounted.type,
    source: pathToText(mounted.source),
    ...(device === undefined ? {} : { device }),
    ...(uuid === undefined ? {} : { uuid }),
    layers: [...mounted.layers],
    options: mounted.options.map(bytesToText),
    readOnly: mounted.readOnly,
    state: 'unknown',
    weak: [],
    errors: [],
    unread: [],
  };
}

async function deviceStats({ hostMountPoints: [point] }: MountedFilesystem) {
  return point === undefined ? undefined : await readDeviceStats(bufferOf(point).toString('utf8'));
}
