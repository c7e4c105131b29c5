/**
 * Checks asked for: planned, which changes nothing, and then asked. Before anything is changed the record knows what
 * was there (I4); a second asking finds the first one and does nothing.
 */
import { bytesToText, pathForTerminal, pathToText } from '../../model/path-text.ts';
import type { CheckMethod, RequestedCheck } from '../../model/requested-check.ts';
import { DebmendError, messageOf } from '../../system/errors.ts';
import type { Root } from '../../system/root.ts';
import type { Ext4Superblock } from '../ext4-superblock.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { decide, repairWord } from './decide.ts';
import { ask, askCommand, type ExtMethod, isAsked, restore } from './ext.ts';
import { askCommands, askGrub, type ShownCommand } from './grub.ts';
import { superblockAt } from './locate.ts';
import { type CheckRecord, type RecordedCheck, readRecord, type Settings, writeRecord } from './record.ts';
import { type Surroundings, surroundingsOf } from './surroundings.ts';

export interface CheckContext {
  readonly root: Root;
  /** The store's, as a path of this host. */
  readonly directory: string;
  readonly boot: string | undefined;
}

export interface Wanted {
  readonly filesystem: MountedFilesystem;
  /** Why, as sentences for a person. */
  readonly reasons: readonly string[];
}

export type PlannedCheck =
  | {
      readonly kind: 'ask';
      readonly wanted: Wanted;
      readonly method: CheckMethod;
      readonly commands: readonly ShownCommand[];
      readonly warnings: readonly string[];
      /** Whether only a person should decide so (decide.ts). */
      readonly harsh: boolean;
      /** Of ext4, read a moment ago. */
      readonly before: Settings | undefined;
    }
  | { readonly kind: 'already'; readonly wanted: Wanted; readonly check: RequestedCheck }
  | {
      readonly kind: 'refused' | 'not-applicable';
      readonly wanted: Wanted;
      readonly reason: string;
      readonly hint: string;
    };

/** What asking for these checks would do; changes nothing, never throws. */
export function planChecks(context: CheckContext, all: readonly Wanted[]): PlannedCheck[] {
  const around = surroundingsOf(context.root);
  const { record } = readRecord(context.directory);
  let grubTold = record.commandLine !== undefined;
  return all.map((wanted) => {
    const planned = planOne(wanted, around, record, context.boot, grubTold);
    if (planned.kind === 'ask' && planned.method === 'command-line') grubTold = true;
    return planned;
  });
}

function planOne(
  wanted: Wanted,
  around: Surroundings,
  record: CheckRecord,
  boot: string | undefined,
  grubTold: boolean,
): PlannedCheck {
  const { filesystem } = wanted;
  const decision = decide(filesystem, around);
  if (decision.kind !== 'ask') return { ...decision, wanted };
  const { method, warnings, harsh } = decision;
  const { node = '', uuid = '' } = filesystem;
  const known = record.checks.find((check) => check.uuid === uuid);
  if (method === 'every-boot' || method === 'command-line') {
    if (known?.stage === 'asked' && known.boot === boot)
      return { kind: 'already', wanted, check: shown(known) };
    const commands = method === 'every-boot' || grubTold ? [] : askCommands(repairWord(around));
    return { kind: 'ask', wanted, method, commands, warnings, harsh, before: undefined };
  }
  const now = superblockAt(node, uuid);
  if (typeof now === 'string')
    return { kind: 'refused', wanted, reason: now, hint: 'the device may be failing: debmend fsck status' };
  if (known?.stage === 'asked' && isAsked(method, now))
    return { kind: 'already', wanted, check: shown(known) };
  // What an earlier asking changed and nobody put back is not how it was.
  const before = known?.before ?? settingsOf(now);
  return {
    kind: 'ask',
    wanted,
    method,
    commands: [{ command: askCommand(method, node) }],
    warnings,
    harsh,
    before,
  };
}

/**
 * Asks for the planned checks.
 *
 * @returns what stands in the record of them now
 * @throws DebmendError `check-not-asked`, and what was changed for the one that failed is taken back; `store-unusable`
 */
export async function askForChecks(
  context: CheckContext,
  plan: readonly PlannedCheck[],
): Promise<RequestedCheck[]> {
  const asked: RequestedCheck[] = [];
  for (const planned of plan) {
    if (planned.kind === 'already') asked.push(planned.check);
    if (planned.kind === 'ask') asked.push(shown(await askOne(context, planned)));
  }
  return asked;
}

async function askOne(
  context: CheckContext,
  planned: Extract<PlannedCheck, { kind: 'ask' }>,
): Promise<RecordedCheck> {
  const { directory } = context;
  const intended = intention(context, planned);
  keep(directory, intended);
  try {
    await act(context, planned);
  } catch (error) {
    const still = await takeBack(planned);
    if (still === undefined) forget(directory, intended.uuid);
    else keep(directory, { ...intended, problem: still });
    throw error;
  }
  const asked: RecordedCheck = { ...intended, stage: 'asked' };
  keep(directory, asked);
  return asked;
}

function intention(
  { boot }: CheckContext,
  { wanted: { filesystem, reasons }, method, before }: Extract<PlannedCheck, { kind: 'ask' }>,
): RecordedCheck {
  return {
    mountPoint: pathToText(filesystem.mountPoint),
    type: filesystem.type,
    device: filesystem.device ?? bytesToText(filesystem.source),
    uuid: filesystem.uuid ?? '',
    method,
    reasons: [...reasons],
    askedAt: new Date().toISOString(),
    ...(boot === undefined ? {} : { boot }),
    stage: 'intended',
    ...(method === 'error-flag' && before?.hasErrors === false ? { marked: true as const } : {}),
    restored: method === 'every-boot',
    ...(before === undefined ? {} : { before }),
  };
}

async function act(
  { root, directory, boot }: CheckContext,
  { wanted: { filesystem }, method }: Extract<PlannedCheck, { kind: 'ask' }>,
): Promise<void> {
  switch (method) {
    case 'every-boot':
      return;
    case 'error-flag':
    case 'mount-count':
      await ask(method, filesystem.node ?? '');
      return;
    case 'command-line': {
      const { record } = readRecord(directory);
      const repair = repairWord(surroundingsOf(root));
      if (record.commandLine?.boot === boot && record.commandLine?.told === true) return;
      const line = { repair, askedAt: new Date().toISOString(), ...(boot === undefined ? {} : { boot }) };
      writeRecord(directory, { ...record, commandLine: { ...line, told: false } });
      await askGrub(root, repair);
      writeRecord(directory, { ...readRecord(directory).record, commandLine: { ...line, told: true } });
      return;
    }
  }
}

/** @returns why not all of it could be taken back */
async function takeBack({
  wanted: { filesystem },
  method,
  before,
}: Extract<PlannedCheck, { kind: 'ask' }>): Promise<string | undefined> {
  // GRUB's part takes itself back, and its line in the record lets a later settling look once more.
  if (before === undefined || !isExt(method)) return undefined;
  try {
    await restore(method, filesystem.node ?? '', before, false);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Puts a check into the record, in the place of an earlier one of the same filesystem. */
export function keep(directory: string, check: RecordedCheck): void {
  const { record } = readRecord(directory);
  const others = record.checks.filter(({ uuid }) => uuid !== check.uuid);
  writeRecord(directory, { ...record, checks: [...others, check] });
}

export function forget(directory: string, gone: string): void {
  const { record } = readRecord(directory);
  writeRecord(directory, { ...record, checks: record.checks.filter(({ uuid }) => uuid !== gone) });
}

export function isExt(method: CheckMethod): method is ExtMethod {
  return method === 'error-flag' || method === 'mount-count';
}

/** A check as others may see it: without what is only remembered to put it back. */
export function shown({ before: _, ...check }: RecordedCheck): RequestedCheck {
  return check;
}

export function settingsOf({ mountCount, maxMountCount, lastCheck, hasErrors }: Ext4Superblock): Settings {
  return { mountCount, maxMountCount, lastCheck, hasErrors };
}

/** What asking for something that cannot be had is answered with. */
export function refusal({
  wanted,
  reason,
  hint,
}: Extract<PlannedCheck, { kind: 'refused' | 'not-applicable' }>): DebmendError {
  const name = pathForTerminal(pathToText(wanted.filesystem.mountPoint));
  return new DebmendError('check-refused', `asking for a check of ${name}: ${reason}`, hint);
}
