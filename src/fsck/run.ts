/**
 * The face of this folder: checks a filesystem that nobody uses, by its own checker, which is told to change nothing;
 * what it says becomes damage with inodes and paths. Whose files those are is not this folder's to say (audit/).
 *
 *     open ─► refuse what is in use ─► check ─► names of inodes ─► refuse what came into use meanwhile
 */
import type { Bytes } from '../system/bytes.ts';
import { checkBtrfs } from './run/btrfs.ts';
import { type FilesystemType, familyOf } from './run/detect.ts';
import { checkExt } from './run/ext.ts';
import { refuseWhileUsed } from './run/in-use.ts';
import type { CheckContext, Checked, CheckResult } from './run/outcome.ts';
import { openTarget } from './run/target.ts';
import { checkVfat } from './run/vfat.ts';
import { checkXfs } from './run/xfs.ts';

export type { Damage } from './run/damage.ts';
export { FILESYSTEM_TYPES, type FilesystemType } from './run/detect.ts';
export type { CheckResult } from './run/outcome.ts';
export {
  REPAIR_HOWS,
  type RepairHow,
  type RepairResult,
  repairFilesystem,
  type WayBack,
} from './run/repair.ts';
export type { Target } from './run/target.ts';
export { findDatabaseIn, type View, withReadOnlyView } from './run/view.ts';

export interface CheckOptions {
  /** What the filesystem is, where no superblock tells it any more. */
  readonly type?: FilesystemType | undefined;
  /** Where copies of metadata may be made, as a path of this host. Default: /var/tmp. */
  readonly scratch?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Not /tmp, which is often kept in memory. */
const SCRATCH = '/var/tmp';
const MAX_OUTPUT_LINES = 2000;

/**
 * Checks a filesystem. Nothing is written to it.
 *
 * @param path a block device, or a file with an image
 * @throws DebmendError `filesystem-unreadable`, `filesystem-unknown`, `filesystem-in-use`, `program-missing`,
 * `interrupted`
 */
export async function checkFilesystem(path: string, options: CheckOptions = {}): Promise<CheckResult> {
  const started = performance.now();
  const target = openTarget(path, options.type);
  await refuseWhileUsed(target, 'checking');
  const output: Bytes[] = [];
  const context: CheckContext = {
    target,
    scratch: options.scratch ?? SCRATCH,
    abort: options.signal,
    raw: (line) => {
      if (output.length < MAX_OUTPUT_LINES) output.push(line);
    },
  };
  const checked = await check(context);
  // Whoever mounted it in between made nonsense of what was found.
  await refuseWhileUsed(target, 'finishing the check of');
  const { damages: list, finished, program, args, code, meanings, notes } = checked;
  if (target.superblock === 'backup')
    list.add({ kind: 'structure' }, 'the first superblock is not one any more; a backup of it told the type');
  const damages = list.list();
  const isDamaged = damages.some(
    ({ harmless, kind }) => !harmless && kind !== 'journal' && kind !== 'unclean' && kind !== 'unfinished',
  );
  return {
    target,
    program,
    args,
    code,
    meanings,
    state: isDamaged ? 'damaged' : finished ? 'sound' : 'unfinished',
    damages,
    notes,
    output,
    seconds: (performance.now() - started) / 1000,
  };
}

function check(context: CheckContext): Promise<Checked> {
  switch (familyOf(context.target.type)) {
    case 'ext':
      return checkExt(context);
    case 'xfs':
      return checkXfs(context);
    case 'btrfs':
      return checkBtrfs(context);
    case 'vfat':
      return checkVfat(context);
  }
}
