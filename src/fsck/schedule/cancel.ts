/** A check that was asked for is not wanted any more: what was changed for it is changed back, and read again. */
import type { RequestedCheck } from '../../model/requested-check.ts';
import { DebmendError } from '../../system/errors.ts';
import { listFilesystems } from '../filesystems.ts';
import { type CheckContext, forget, isExt, shown } from './ask.ts';
import { restore, restoreCommand } from './ext.ts';
import { type ShownCommand, withdrawCommands, withdrawGrub } from './grub.ts';
import { locate, superblockAt } from './locate.ts';
import { type RecordedCheck, readRecord, writeRecord } from './record.ts';

export interface PlannedCancel {
  readonly check: RequestedCheck;
  readonly commands: readonly ShownCommand[];
  /** Why it cannot be taken back. */
  readonly refused: string | undefined;
}

/**
 * What taking back would do; changes nothing.
 *
 * @param mountPoints as they were asked for; empty: all
 */
export function planCancel(context: CheckContext, mountPoints: readonly string[]): PlannedCancel[] {
  const { record } = readRecord(context.directory);
  const chosen = record.checks.filter(
    ({ mountPoint }) => mountPoints.length === 0 || mountPoints.includes(mountPoint),
  );
  const rest = record.checks.filter((check) => !chosen.includes(check));
  const lineGoes = record.commandLine !== undefined && !rest.some(({ method }) => method === 'command-line');
  return chosen.map((check, at) => ({
    check: shown(check),
    ...backOf(context, check, lineGoes && chosen.findIndex(({ method }) => method === 'command-line') === at),
  }));
}

function backOf(
  { root }: CheckContext,
  check: RecordedCheck,
  withLine: boolean,
): Pick<PlannedCancel, 'commands' | 'refused'> {
  if (!isExt(check.method)) return { commands: withLine ? withdrawCommands() : [], refused: undefined };
  const located = locate(check, listFilesystems(root, { remote: true }));
  if (located.kind === 'gone') return { commands: [], refused: `${check.device} is not there` };
  const now = superblockAt(located.node, check.uuid);
  if (typeof now === 'string') return { commands: [], refused: now };
  if (check.method === 'error-flag' && now.hasErrors && check.before?.hasErrors !== true)
    return {
      commands: [],
      refused:
        'the mark of errors in a mounted superblock can be set and not taken away: the next boot checks it',
    };
  const command =
    check.before && restoreCommand(check.method, located.node, check.before, now, isChecked(check, now));
  return { commands: command === undefined ? [] : [{ command }], refused: undefined };
}

function isChecked({ before }: RecordedCheck, now: { readonly lastCheck: number }): boolean {
  return before !== undefined && before.lastCheck !== now.lastCheck;
}

/**
 * Takes back what planCancel said, and forgets it.
 *
 * @returns the checks that are not asked for any more
 * @throws DebmendError `check-refused` for the first that cannot be taken back; `check-not-asked`, `store-unusable`
 */
export async function cancelChecks(
  context: CheckContext,
  planned: readonly PlannedCancel[],
): Promise<RequestedCheck[]> {
  const gone: RequestedCheck[] = [];
  for (const { check, refused } of planned) {
    if (refused !== undefined)
      throw new DebmendError(
        'check-refused',
        `taking back the check of ${check.mountPoint}: ${refused}`,
        'what was taken back before it stays so; the others can be named one by one',
      );
    await takeBack(context, check);
    forget(context.directory, check.uuid);
    gone.push({ ...check, stage: 'withdrawn', restored: true });
  }
  const { record } = readRecord(context.directory);
  if (record.commandLine !== undefined && !record.checks.some(({ method }) => method === 'command-line')) {
    await withdrawGrub(context.root);
    const { commandLine: _, ...rest } = record;
    writeRecord(context.directory, rest);
  }
  return gone;
}

async function takeBack({ root, directory }: CheckContext, { uuid }: RequestedCheck): Promise<void> {
  const recorded = readRecord(directory).record.checks.find((one) => one.uuid === uuid);
  if (recorded?.before === undefined || !isExt(recorded.method)) return;
  const located = locate(recorded, listFilesystems(root, { remote: true }));
  if (located.kind === 'gone') return;
  const now = superblockAt(located.node, uuid);
  if (typeof now === 'string') return;
  await restore(recorded.method, located.node, recorded.before, isChecked(recorded, now));
}
