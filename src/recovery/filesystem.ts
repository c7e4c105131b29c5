/**
 * A filesystem that is not mounted: checked, with the packages whose files were hit; repaired when that is asked for;
 * and then what the repair moved to lost+found looked at, to be returned when it is mounted again.
 *
 *     check ─► packages ─► (repair, with a way back ─► check again ─► lost+found: proposals)
 */
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { judgeFilesystem, type Placement } from '../audit/filesystem.ts';
import { type Database, readDatabase } from '../dpkg/database.ts';
import {
  type CheckResult,
  checkFilesystem,
  type FilesystemType,
  findDatabaseIn,
  type RepairHow,
  type RepairResult,
  repairFilesystem,
  type Target,
  type View,
  withReadOnlyView,
} from '../fsck/run.ts';
import { parseFstab } from '../fsck/schedule/fstab.ts';
import type { FsckCheck, FsckRun } from '../model/fsck-run.ts';
import type { LostFound } from '../model/lost-found.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import { withStoreCopy } from '../snapshot/copy.ts';
import { type Bytes, bytesFromText, fsPath } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import { Root } from '../system/root.ts';
import { proposeReturns } from './lost-found.ts';

export interface FsckRunOptions {
  /** A block device, or a file with an image. */
  readonly path: string;
  readonly type: FilesystemType | undefined;
  /** Whose packages own what is on it, when that is not a root on the filesystem itself. */
  readonly root: Root | undefined;
  /** Inside that root; found by its fstab without it. */
  readonly mountPoint: Bytes | undefined;
  /** Whether it may be mounted, read-only, to look into it. */
  readonly mount: boolean;
  readonly scratch: string | undefined;
  readonly repair: RepairHow | undefined;
  /** Where repairs are kept, as a path of this host; null: nowhere, and nothing can be taken back. */
  readonly keepIn: string | null;
  readonly signal?: AbortSignal | undefined;
  /** Takes a line for a person about what is being done. */
  readonly say?: ((line: string) => void) | undefined;
}

/** @throws DebmendError as fsck/run.ts: `filesystem-in-use`, `repair-refused` and others */
export async function runFsck(options: FsckRunOptions): Promise<FsckRun> {
  const { path, type, scratch, signal, say } = options;
  say?.(`checking ${path}: nothing is written to it`);
  const check = () => checkFilesystem(path, { type, scratch, signal });
  const first = await check();
  const { target } = first;
  const judged = await judge(first, options);
  const head = { target: describe(target), packages: judged.packages, check: judged.check };
  // What is sound is left alone: a repair program is no less dangerous for having nothing to do.
  const isNeeded = judged.check.findings.some(({ severity }) => severity !== 'info');
  if (options.repair === undefined || !isNeeded) return head;
  say?.(`repairing ${path}`);
  const kept = options.keepIn === null ? null : runDirectory(options.keepIn);
  const repaired = await repairFilesystem(first, { how: options.repair, keepIn: kept, signal });
  say?.(`checking ${path} again`);
  let second = await check();
  if (second.state === 'damaged' && target.type === 'xfs') {
    // Seen with 6.1: the link count of a directory that it rebuilt is right after a second run only. The copy that was
    // kept is still the way back.
    await repairFilesystem(second, { how: options.repair, keepIn: null, signal });
    second = await check();
  }
  const after = await judge(second, options);
  const lostFound = options.mount ? await lookIntoLostFound(second.target) : undefined;
  return {
    ...head,
    repair: repairOf(repaired, kept),
    after: after.check,
    ...(lostFound === undefined ? {} : { lostFound }),
  };
}

interface Judged {
  readonly packages: FsckRun['packages'];
  readonly check: FsckCheck;
}

/** The findings need the damaged files only while the filesystem can be looked into. */
async function judge(result: CheckResult, options: FsckRunOptions): Promise<Judged> {
  const { target } = result;
  const judgeIn = (view: View | undefined, whyNot: string | undefined): Judged => {
    const { placement, packages } = place(target, view, whyNot, options);
    const findings = judgeFilesystem({ damages: result.damages, device: target.file, placement });
    return { packages, check: checkOf(result, findings) };
  };
  if (!options.mount) return judgeIn(undefined, 'it was not looked into (--no-mount)');
  return await withReadOnlyView(target, async (view, whyNot) => judgeIn(view, whyNot));
}

interface Placed {
  readonly placement: Placement | undefined;
  readonly packages: FsckRun['packages'];
}

function place(
  target: Target,
  view: View | undefined,
  whyNot: string | undefined,
  { root, mountPoint }: FsckRunOptions,
): Placed {
  const found = view === undefined ? undefined : findDatabaseIn(view);
  const hidden = typeof found === 'string' ? found : whyNot;
  if (
    root === undefined &&
    mountPoint === undefined &&
    view !== undefined &&
    found !== undefined &&
    typeof found !== 'string'
  ) {
    const own = new Root(`${view.directory}${bytesToText(found.top)}`);
    const database = databaseOf(own, found.admindir);
    if (typeof database !== 'string')
      return {
        placement: {
          database,
          mountPoint: found.mountPoint,
          top: found.top,
          readable: found.mountPoint === '/' ? own : undefined,
        },
        packages: { source: 'itself', mountPoint: found.mountPoint },
      };
  }
  const other = root ?? new Root('/');
  const at = mountPoint ?? mountPointOf(target, other);
  if (at === undefined) {
    const fstab = pathToText(other.hostPath('/etc/fstab'));
    const first =
      hidden === undefined ? 'it holds no dpkg database' : `no dpkg database can be seen on it (${hidden})`;
    const why = `${first}, and no line of ${fstab} names it: --root and --mount-point say where it belongs`;
    return { placement: undefined, packages: { source: 'none', why } };
  }
  const database = databaseOf(other);
  if (typeof database === 'string')
    return { placement: undefined, packages: { source: 'none', why: database } };
  return {
    placement: { database, mountPoint: at, top: subvolumeOf(target, other) ?? '', readable: undefined },
    packages: { source: 'root', root: pathToText(other.path), mountPoint: pathToText(at) },
  };
}

function databaseOf(root: Root, admindir?: Bytes): Database | string {
  try {
    return readDatabase(root, admindir);
  } catch (error) {
    return messageOf(error);
  }
}

/** Where a root's fstab puts this filesystem. */
function mountPointOf(target: Target, root: Root): Bytes | undefined {
  return entryOf(target, root)?.mountPoint;
}

/** The subvolume that its fstab mounts there, as a path from the filesystem's top. */
function subvolumeOf(target: Target, root: Root): Bytes | undefined {
  const option = entryOf(target, root)?.options.find((one) => one.startsWith('subvol='));
  return option === undefined ? undefined : `/${option.slice('subvol='.length).replace(/^\/+|\/+$/g, '')}`;
}

function entryOf({ uuid, label, node }: Target, root: Root) {
  const found = root.resolveFully('/etc/fstab');
  const read = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  if (read?.kind !== 'read') return undefined;
  return parseFstab(read.data).find(({ spec }) => {
    if (spec.startsWith('UUID='))
      return uuid !== undefined && spec.slice(5).toLowerCase() === uuid.toLowerCase();
    if (spec.startsWith('LABEL=')) return label !== undefined && spec.slice(6) === label;
    // Names of devices are this machine's own: those of another root mean nothing here.
    return root.isHost && spec.startsWith('/dev/') && deviceOf(spec) === node;
  });
}

function deviceOf(spec: Bytes): Bytes | undefined {
  try {
    return bytesFromText(realpathSync(fsPath(spec)).toString());
  } catch {
    return undefined;
  }
}

/** Where each repair has a directory of its own, by its time; it is made when there is something to keep. */
function runDirectory(above: string): string {
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  let name = stamp;
  for (let more = 2; existsSync(join(above, name)); more += 1) name = `${stamp}-${more}`;
  return join(above, name);
}

/** What a repair left without a name. On a filesystem that is no root, who knows it is known when it is mounted. */
async function lookIntoLostFound(target: Target): Promise<LostFound | undefined> {
  return await withReadOnlyView(target, async (view) => {
    const found = view === undefined ? undefined : findDatabaseIn(view);
    if (view === undefined || typeof found !== 'object' || found.mountPoint !== '/') return undefined;
    const root = new Root(`${view.directory}${bytesToText(found.top)}`);
    return await withStoreCopy(root, undefined, (store) => proposeReturns({ root, store }));
  });
}

function describe({ file, kind, type, superblock, uuid, label }: Target): FsckRun['target'] {
  return {
    file,
    kind,
    type,
    superblock,
    ...(uuid === undefined ? {} : { uuid }),
    ...(label === undefined ? {} : { label: bytesToText(label) }),
  };
}

function checkOf(result: CheckResult, findings: FsckCheck['findings']): FsckCheck {
  const { program, args, code, meanings, state, notes, output, seconds } = result;
  return {
    program,
    args: [...args],
    ...(code === undefined ? {} : { code }),
    meanings: [...meanings],
    state,
    notes: [...notes],
    output: output.map(bytesToText),
    findings,
    seconds: Math.round(seconds * 1000) / 1000,
  };
}

function repairOf(repaired: RepairResult, kept: string | null): NonNullable<FsckRun['repair']> {
  const { program, args, code, meanings, output, wayBack } = repaired;
  return {
    program,
    args: [...args],
    ...(code === undefined ? {} : { code }),
    meanings: [...meanings],
    output: output.map(bytesToText),
    ...(kept === null ? {} : { kept }),
    ...(wayBack === undefined
      ? {}
      : { wayBack: { kind: wayBack.kind, file: wayBack.file, command: [...wayBack.command] } }),
  };
}
