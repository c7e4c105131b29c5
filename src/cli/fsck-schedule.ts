/** `debmend fsck schedule`: parse, call, render. */
import { whileLocked } from '../dpkg/locked.ts';
import { listFilesystems, type MountedFilesystem } from '../fsck/filesystems.ts';
import {
  askForChecks,
  type CheckContext,
  cancelChecks,
  checkFindings,
  ownReasons,
  planCancel,
  planChecks,
  type Settled,
  settleAtStart,
  type Wanted,
} from '../fsck/schedule.ts';
import type { CheckStep } from '../model/requested-check.ts';
import { cancelStep, checkStep, requestLines, stepLines } from '../report/checks.ts';
import { inventory } from '../report/inventory.ts';
import { storeDirectory } from '../snapshot/store.ts';
import { bootId } from '../system/boot.ts';
import { bytesFromText } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { EXIT } from './exit-codes.ts';
import { openRoot } from './root.ts';

interface ScheduleArguments {
  readonly root: string;
  readonly store?: string;
  readonly cancel?: boolean;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** @throws DebmendError */
export async function fsckSchedule(mounts: readonly string[], options: unknown): Promise<number> {
  const args = options as ScheduleArguments;
  if (mounts.length > 0 && args.all === true)
    throw new DebmendError('usage', '--all and mount points exclude each other', 'leave out one of them');
  const root = openRoot(args.root);
  const context: CheckContext = { root, directory: args.store ?? storeDirectory(root), boot: bootId() };
  const settled = await settleAtStart(context);
  const steps = args.cancel === true ? await cancel(context, mounts, args) : await ask(context, mounts, args);
  print(root, args, steps, settled, await settleAtStart(context));
  const refused = steps.some(({ decision }) => decision === 'refused');
  if (refused && (mounts.length > 0 || args.cancel === true)) return EXIT.failed;
  return checkFindings(settled.news).length > 0 ? EXIT.findings : EXIT.sound;
}

async function ask(
  context: CheckContext,
  mounts: readonly string[],
  args: ScheduleArguments,
): Promise<CheckStep[]> {
  const wanted = wantedOf(listFilesystems(context.root), mounts, args.all === true);
  const plan = planChecks(context, wanted);
  if (args.dryRun !== true && plan.some(({ kind }) => kind === 'ask'))
    await whileLocked(context.root, () => askForChecks(context, plan));
  return plan.map(checkStep);
}

async function cancel(
  context: CheckContext,
  mounts: readonly string[],
  args: ScheduleArguments,
): Promise<CheckStep[]> {
  const plan = planCancel(context, mounts.map(withoutSlash));
  for (const mount of mounts.map(withoutSlash))
    if (!plan.some(({ check }) => check.mountPoint === mount)) throw neverAsked(mount);
  const possible = plan.filter(({ refused }) => refused === undefined);
  if (args.dryRun !== true && possible.length > 0)
    await whileLocked(context.root, () => cancelChecks(context, possible));
  return plan.map(cancelStep);
}

/** @throws DebmendError `usage` for a mount point that is none */
function wantedOf(
  filesystems: readonly MountedFilesystem[],
  mounts: readonly string[],
  all: boolean,
): Wanted[] {
  if (mounts.length === 0)
    return filesystems.flatMap((filesystem) => {
      const reasons = ownReasons(filesystem);
      return reasons.length > 0 || all ? [{ filesystem, reasons }] : [];
    });
  return mounts.map((mount) => {
    const point = bytesFromText(withoutSlash(mount));
    const filesystem = filesystems.find(({ mountPoints }) => mountPoints.includes(point));
    if (filesystem === undefined)
      throw new DebmendError(
        'usage',
        `asking for a check of ${mount}: no filesystem is mounted there`,
        "name a mount point inside the root, as 'findmnt' lists them; what is not mounted checks: debmend fsck run",
      );
    return { filesystem, reasons: ownReasons(filesystem) };
  });
}

function withoutSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, '') : path;
}

function neverAsked(mount: string): DebmendError {
  return new DebmendError(
    'usage',
    `taking back the check of ${mount}: none was asked for`,
    "'debmend fsck schedule' without mount points lists what was",
  );
}

function print(
  root: Root,
  args: ScheduleArguments,
  steps: readonly CheckStep[],
  before: Settled,
  after: Settled,
): void {
  const dryRun = args.dryRun === true;
  if (args.json === true) {
    const findings = checkFindings(before.news);
    const checks = { dryRun, steps: [...steps], asked: [...after.checks] };
    process.stdout.write(`${JSON.stringify(inventory(root, { checks, findings }), undefined, 2)}\n`);
    return;
  }
  const named = new Set(steps.map(({ mountPoint }) => mountPoint));
  const lines = [
    ...(before.damage === undefined ? [] : [`what was asked for before cannot be read: ${before.damage}`]),
    ...steps.flatMap((step) => stepLines(step, dryRun)),
    ...after.checks
      .filter((check) => !named.has(check.mountPoint) || check.stage === 'missed')
      .flatMap(requestLines),
  ];
  if (steps.length === 0 && args.cancel === true) lines.push('no check was asked for');
  else if (steps.length === 0)
    lines.push(
      'no filesystem recorded errors; name mount points, or --all, to have them checked all the same',
    );
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}
