/**
 * Repairing, when that is asked for: by the filesystem's own program, which asks nothing, and never without a way back
 * (I1).
 *
 *   ext     e2fsck -p, or -y when all of it is to be decided; an undo file keeps every block that it writes (e2undo(8))
 *   xfs     xfs_repair, never with -L; a copy of the whole is the way back
 *   vfat    fsck.vfat -a; a copy of the whole
 *   btrfs   refused: btrfs-check(8) itself warns of --repair, and what can be mended without loss a scrub mends
 */
import { mkdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { writeDurably } from '../../system/durable.ts';
import { DebmendError, messageOf } from '../../system/errors.ts';
import { run } from '../../system/run.ts';
import { familyOf } from './detect.ts';
import { fsckMeanings } from './exit-bits.ts';
import { refuseWhileUsed } from './in-use.ts';
import type { CheckResult } from './outcome.ts';
import { runTool } from './program.ts';
import { openTarget, type Target } from './target.ts';

export const REPAIR_HOWS = ['preen', 'all'] as const;
/** `preen`: only what e2fsck calls safe to do unasked. */
export type RepairHow = (typeof REPAIR_HOWS)[number];

export interface RepairOptions {
  readonly how: RepairHow;
  /** Where the way back is kept, as a path of this host; null: nowhere, and there is none. */
  readonly keepIn: string | null;
  readonly signal?: AbortSignal | undefined;
}

export interface WayBack {
  readonly kind: 'undo-file' | 'copy';
  readonly file: string;
  /** What brings everything back to how it was, as long as nothing else has been written since. */
  readonly command: readonly string[];
}

export interface RepairResult {
  readonly program: string;
  readonly args: readonly string[];
  readonly code: number | undefined;
  readonly meanings: readonly string[];
  readonly wayBack: WayBack | undefined;
  readonly output: readonly Bytes[];
}

const MAX_OUTPUT_LINES = 20_000;
/** Left free beside a copy, in bytes. */
const SPARE_ROOM = 64 * 1024 * 1024;

/**
 * Repairs a filesystem that was checked. What came of it only another check tells (I11).
 *
 * @throws DebmendError `repair-refused` for btrfs, an XFS whose log has changes, or without room for a way back;
 * `filesystem-in-use`, `program-missing`, `interrupted`
 */
export async function repairFilesystem(checked: CheckResult, options: RepairOptions): Promise<RepairResult> {
  const { target } = checked;
  const { file } = target;
  await refuseWhileUsed(openTarget(file, target.type), 'repairing');
  switch (familyOf(target.type)) {
    case 'ext': {
      const mode = options.how === 'all' ? '-y' : '-p';
      const undo = options.keepIn === null ? undefined : join(directory(options.keepIn), 'undo.e2undo');
      const wayBack: WayBack | undefined =
        undo === undefined ? undefined : { kind: 'undo-file', file: undo, command: ['e2undo', undo, file] };
      const args = ['-f', mode, ...(undo === undefined ? [] : ['-z', undo]), file];
      return await repair('e2fsck', args, wayBack, fsckMeanings, target, options);
    }
    case 'xfs': {
      if (checked.damages.some(({ kind }) => kind === 'journal')) throw dirtyLog(file);
      const wayBack = await copyWhole(target, options);
      const args = [...(target.kind === 'image' ? ['-f'] : []), file];
      return await repair('xfs_repair', args, wayBack, xfsMeanings, target, options);
    }
    case 'vfat': {
      const wayBack = await copyWhole(target, options);
      return await repair('fsck.vfat', ['-a', file], wayBack, vfatMeanings, target, options);
    }
    case 'btrfs':
      throw new DebmendError(
        'repair-refused',
        `repairing ${file}: btrfs check --repair can make things worse, and is not run`,
        "where another copy is sound a scrub mends it (mount it, then 'btrfs scrub start -B'); damaged files come back with 'debmend recover' once it is mounted; if it cannot be mounted, 'btrfs restore' copies what is left",
      );
  }
}

async function repair(
  program: string,
  args: readonly string[],
  wayBack: WayBack | undefined,
  meanings: (code: number | undefined) => string[],
  target: Target,
  { keepIn, signal }: RepairOptions,
): Promise<RepairResult> {
  const output: Bytes[] = [];
  const record = (end: { code: number | undefined } | undefined): void => {
    if (keepIn === null) return;
    const { file, type, uuid } = target;
    const text = {
      target: file,
      type,
      uuid,
      program,
      args,
      wayBack,
      at: new Date().toISOString(),
      end: end ?? null,
    };
    writeDurably(join(keepIn, 'repair.json'), `${JSON.stringify(text)}\n`, 0o600);
  };
  record(undefined);
  const result = await runTool(program, args, {
    abort: signal,
    onLine: (line) => {
      if (output.length < MAX_OUTPUT_LINES) output.push(line);
    },
  });
  record({ code: result.code });
  if (keepIn !== null)
    writeDurably(
      join(keepIn, 'output'),
      Buffer.from(output.map((line) => `${line}\n`).join(''), 'latin1'),
      0o600,
    );
  return { program, args, code: result.code, meanings: meanings(result.code), wayBack, output };
}

function directory(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  } catch (error) {
    throw noWayBack(path, messageOf(error), error);
  }
}

/** A copy of the whole device or image: neither xfs_repair nor fsck.vfat keeps what it writes over. */
async function copyWhole(target: Target, { keepIn, signal }: RepairOptions): Promise<WayBack | undefined> {
  if (keepIn === null) return undefined;
  const copy = join(directory(keepIn), 'before.image');
  // What is sparse, or shares its blocks with the original, takes less; how much less nobody can tell.
  const { bavail, bsize } = statfsSync(keepIn);
  const used = target.kind === 'image' ? statSync(fsPath(target.node)).blocks * 512 : deviceBytes(target);
  if (bavail * bsize < used + SPARE_ROOM)
    throw noWayBack(keepIn, `a copy of it takes ${used} bytes, and ${bavail * bsize} are free`);
  const args = ['--sparse=always', '--reflink=auto', '--', target.file, copy];
  const result = await run('cp', args, { timeout: 24 * 60 * 60 * 1000, abort: signal });
  const synced =
    result.code === 0 ? await run('sync', ['--', copy, keepIn], { timeout: 60 * 60 * 1000 }) : result;
  if (synced.code !== 0) {
    rmSync(copy, { force: true });
    throw noWayBack(keepIn, synced.stderr.trim().split('\n').at(-1) ?? 'cp failed');
  }
  return {
    kind: 'copy',
    file: copy,
    command: ['dd', `if=${copy}`, `of=${target.file}`, 'bs=4M', 'conv=notrunc,fsync'],
  };
}

/** Its size, in bytes: of a device nobody knows what of it is in use. */
function deviceBytes({ number }: Target): number {
  try {
    return Number(readFileSync(`/sys/dev/block/${number}/size`, 'latin1')) * 512;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function noWayBack(path: string, why: string, cause?: unknown): DebmendError {
  return new DebmendError(
    'repair-refused',
    `keeping a way back in ${path}: ${why}`,
    'name a directory with more room by --store, or keep an image of the device yourself and say --no-undo',
    cause,
  );
}

function dirtyLog(file: string): DebmendError {
  return new DebmendError(
    'repair-refused',
    `repairing ${file}: its log has changes that are not in their places`,
    'mount it once and unmount it: the kernel replays the log; if that fails, keep an image first: xfs_repair -L throws the log away, and debmend never does that',
  );
}

function xfsMeanings(code: number | undefined): string[] {
  if (code === 0) return ['done: whether anything was changed stands in what it said'];
  if (code === 2) return ['the log has changes: it has to be mounted first'];
  return [code === undefined ? 'a signal ended it' : 'it could not be repaired to the end'];
}

function vfatMeanings(code: number | undefined): string[] {
  if (code === 0) return ['nothing had to be repaired'];
  return [code === 1 ? 'errors were found, and repaired where that is possible' : 'it could not be repaired'];
}
