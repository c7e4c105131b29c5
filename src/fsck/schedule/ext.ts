/**
 * Asking ext4 for a check by its superblock, and putting back what was there. tune2fs(8) writes; what it says of that is
 * not believed: the superblock is read again (I11).
 */
import type { CheckMethod } from '../../model/requested-check.ts';
import { DebmendError } from '../../system/errors.ts';
import { run } from '../../system/run.ts';
import { type Ext4Superblock, readExt4Superblock } from '../ext4-superblock.ts';
import type { Settings } from './record.ts';

const TIMEOUT_MS = 60_000;
/**
 * On battery e2fsck waits for twice the allowed number of mounts (e2fsck/unix.c, check_if_skip), and more mounts than one
 * may lie between now and the check.
 */
const ALLOWED = 30;
const COUNTED = 99;

export type ExtMethod = Extract<CheckMethod, 'error-flag' | 'mount-count'>;

/** The very command. */
export function askCommand(method: ExtMethod, device: string): string[] {
  switch (method) {
    case 'error-flag':
      return ['tune2fs', '-E', 'force_fsck', device];
    case 'mount-count':
      return ['tune2fs', '-C', String(COUNTED), '-c', String(ALLOWED), device];
  }
}

/** Whether the superblock asks for a check in this way. */
export function isAsked(method: ExtMethod, now: Ext4Superblock): boolean {
  switch (method) {
    case 'error-flag':
      return now.hasErrors;
    case 'mount-count':
      return now.maxMountCount === ALLOWED && now.mountCount >= COUNTED;
  }
}

/** @throws DebmendError `check-not-asked` when the superblock, read again, does not ask */
export async function ask(method: ExtMethod, device: string): Promise<void> {
  const command = askCommand(method, device);
  const said = await tune(command);
  const now = readExt4Superblock(device);
  if (now === undefined || !isAsked(method, now)) throw notDone(command, said);
}

/**
 * The command that puts a superblock's settings back as they were; undefined when they are.
 *
 * @param checked whether it was checked since: e2fsck began to count the mounts anew, and that stays
 */
export function restoreCommand(
  method: ExtMethod,
  device: string,
  before: Settings,
  now: Ext4Superblock,
  checked: boolean,
): string[] | undefined {
  // The error flag cannot be taken back by itself, and e2fsck takes it away.
  if (method === 'error-flag') return undefined;
  // What an administrator set meanwhile is not ours.
  const limit = now.maxMountCount === ALLOWED && !isSameLimit(now.maxMountCount, before.maxMountCount);
  const count = !checked && now.mountCount >= COUNTED && before.mountCount !== now.mountCount;
  if (!limit && !count) return undefined;
  return [
    'tune2fs',
    ...(count ? ['-C', String(before.mountCount)] : []),
    ...(limit ? ['-c', String(before.maxMountCount > 0 ? before.maxMountCount : -1)] : []),
    device,
  ];
}

/** @throws DebmendError `check-not-asked` when the superblock, read again, is not as it was before */
export async function restore(
  method: ExtMethod,
  device: string,
  before: Settings,
  checked: boolean,
): Promise<void> {
  const found = readExt4Superblock(device);
  const command = found && restoreCommand(method, device, before, found, checked);
  if (command === undefined) return;
  const said = await tune(command);
  const now = readExt4Superblock(device);
  if (now === undefined || restoreCommand(method, device, before, now, checked) !== undefined)
    throw notDone(command, said);
}

/** tune2fs has one way to say never, -1; mke2fs made filesystems with 0 before. */
function isSameLimit(a: number, b: number): boolean {
  return a === b || (a <= 0 && b <= 0);
}

async function tune([program = '', ...args]: readonly string[]): Promise<string> {
  const { failure, timedOut, stdout, stderr } = await run(program, args, { timeout: TIMEOUT_MS });
  if (failure !== undefined) return failure;
  if (timedOut) return 'it took too long';
  const lines = `${stderr}\n${stdout.toString('latin1')}`.split('\n');
  return lines.find((line) => line !== '' && !/^tune2fs \d/.test(line)) ?? 'it said nothing';
}

function notDone(command: readonly string[], said: string): DebmendError {
  return new DebmendError(
    'check-not-asked',
    `${command.join(' ')}: the superblock does not have it (${said})`,
    'run it by hand to see what it says; the filesystem may be read-only or its device failing',
  );
}
