/** What is said of checks that are asked for at the next boot, and of checks of mounted filesystems. */
import type { PlannedCancel, PlannedCheck, ShownCommand } from '../fsck/schedule.ts';
import { pathForTerminal, pathToText } from '../model/path-text.ts';
import type { CheckMethod, CheckStep, OnlineCheck, RequestedCheck } from '../model/requested-check.ts';
import { duration, printable, size } from './human/text.ts';

/** A plan as the document has it. */
export function checkStep(planned: PlannedCheck): CheckStep {
  const { filesystem, reasons } = planned.wanted;
  const head = {
    mountPoint: pathToText(filesystem.mountPoint),
    type: filesystem.type,
    reasons: [...reasons],
    commands: [],
    warnings: [],
  };
  switch (planned.kind) {
    case 'ask':
      return {
        ...head,
        decision: 'ask',
        method: planned.method,
        commands: planned.commands.map(copied),
        warnings: [...planned.warnings],
      };
    case 'already':
      return { ...head, decision: 'already', method: planned.check.method };
    case 'refused':
    case 'not-applicable':
      return { ...head, decision: planned.kind, reason: planned.reason, hint: planned.hint };
  }
}

export function cancelStep({ check, commands, refused }: PlannedCancel): CheckStep {
  return {
    mountPoint: check.mountPoint,
    type: check.type,
    decision: refused === undefined ? 'withdraw' : 'refused',
    method: check.method,
    reasons: [...check.reasons],
    commands: commands.map(copied),
    warnings: [],
    ...(refused === undefined ? {} : { reason: refused }),
  };
}

function copied({ command, input }: ShownCommand): CheckStep['commands'][number] {
  return { command: [...command], ...(input === undefined ? {} : { input }) };
}

const METHODS: Readonly<Record<CheckMethod, string>> = {
  'error-flag': 'its superblock says that it has errors',
  'mount-count': 'its superblock counts more mounts than it allows',
  'command-line': 'GRUB tells the kernel once: fsck.mode=force',
  'every-boot': 'nothing has to be asked: fsck reads all of it at every boot',
};

/** The lines of a step, of which the first begins with the mount point. */
export function stepLines(step: CheckStep, dryRun: boolean): string[] {
  const name = `${pathForTerminal(step.mountPoint)} (${step.type})`;
  const method = step.method === undefined ? '' : METHODS[step.method];
  const because = step.reasons.map((reason) => `  because ${printable(reason)}`);
  const warnings = step.warnings.map((warning) => `  mind: ${warning}`);
  const commands = dryRun ? step.commands.flatMap(commandLines) : [];
  const why = step.reason === undefined ? '' : printable(step.reason);
  switch (step.decision) {
    case 'ask':
      return [
        `${name}: ${dryRun ? 'would be checked' : 'will be checked'} at the next boot; ${method}`,
        ...because,
        ...warnings,
        ...commands,
      ];
    case 'already':
      return [`${name}: was asked for before, and nothing was changed; ${method}`];
    case 'withdraw':
      return [`${name}: ${dryRun ? 'would not be' : 'is not'} asked for any more`, ...commands];
    case 'refused':
    case 'not-applicable':
      return [
        `${name}: ${step.decision === 'refused' ? 'cannot be asked for' : 'not applicable'}: ${why}`,
        ...(step.hint === undefined ? [] : [`  hint: ${printable(step.hint)}`]),
      ];
  }
}

/** Commands as a shell takes them. */
function commandLines({ command, input }: CheckStep['commands'][number]): string[] {
  const words = command.map(quoted).join(' ');
  if (input === undefined) return [`  ${words}`];
  return [`  ${words} <<'DEBMEND'`, ...input.trimEnd().split('\n'), 'DEBMEND'];
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A check that was asked for, in a line or two. */
export function requestLines(check: RequestedCheck): string[] {
  const name = `${pathForTerminal(check.mountPoint)} (${check.type} on ${printable(check.device)})`;
  const asked = `asked for at ${check.askedAt.slice(0, 16).replace('T', ' ')} UTC`;
  const problem = check.problem === undefined ? [] : [`  ${printable(check.problem)}`];
  switch (check.stage) {
    case 'intended':
    case 'asked':
      return [`${name}: will be checked at the next boot, ${asked}`, ...problem];
    case 'missed':
      return [
        `${name}: was not checked, though it was ${asked}`,
        ...problem,
        '  hint: ask again, or take it back: debmend fsck schedule --cancel',
      ];
    case 'withdrawn':
      return [`${name}: was taken back`];
    case 'checked':
      return [
        `${name}: was checked; ${OUTCOMES[check.result?.outcome ?? 'none']}`,
        ...(check.result === undefined ? [] : [`  ${printable(check.result.text)}`]),
        ...problem,
      ];
  }
}

const OUTCOMES: Readonly<Record<NonNullable<RequestedCheck['result']>['outcome'] | 'none', string>> = {
  clean: 'it is sound',
  recovered: 'it is sound, its journal was replayed',
  corrected: 'fsck changed it: files may be gone, or lie in lost+found',
  'errors-left': 'errors are left',
  failed: 'the check failed',
  unknown: 'nothing tells what was found',
  none: 'its superblock says so, and no log what was found',
};

export function scrubLines(check: OnlineCheck): string[] {
  const { mountPoint, device, outcome, seconds, bytes, corrected = 0, uncorrectable = 0, paths } = check;
  const name = `${pathForTerminal(mountPoint)} (${check.type} on ${printable(device)})`;
  const read = bytes === undefined ? '' : `, ${size(bytes)}`;
  const took = `${duration(seconds)}${read}`;
  switch (outcome) {
    case 'sound':
      return [`${name}: sound, ${took}`];
    case 'corrected':
      return [`${name}: ${corrected} errors were corrected from another copy, ${took}`];
    case 'uncorrectable':
      return [
        `${name}: damaged: ${uncorrectable} errors cannot be corrected, ${took}`,
        ...paths.map((path) => `  ${pathForTerminal(path)}`),
        '  hint: debmend audit tells which packages these files belong to; debmend recover puts them back',
      ];
    case 'cancelled':
      return [`${name}: cancelled after ${took}`];
    case 'failed':
      return [`${name}: it failed: ${printable(check.said.at(-1) ?? 'it said nothing')}`];
  }
}
