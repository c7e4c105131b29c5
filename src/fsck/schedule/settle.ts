/**
 * What came of the checks that were asked for: seen by the superblock, which e2fsck dates, or by what the boot's fsck
 * said; then what was changed to ask is put back. Called at every start of debmend that may change something; a power cut
 * at any place of it is followed by the same settling (I4).
 *
 *     asked ──► evaluate ──► checked ──► put back ──► results
 *                       ├──► missed     stays, and says so, until it is checked or withdrawn
 *                       └──► asked      the same boot still runs
 */
import { isDeepStrictEqual } from 'node:util';
import type { RequestedCheck } from '../../model/requested-check.ts';
import { messageOf } from '../../system/errors.ts';
import { bootPieces, pieceOf } from '../boot-check/collect.ts';
import { type FsckPiece, isWhole, tellingLines } from '../boot-check/log.ts';
import type { Ext4Superblock } from '../ext4-superblock.ts';
import { listFilesystems, type MountedFilesystem } from '../filesystems.ts';
import { judgeFsck } from '../fsck-log.ts';
import { type CheckContext, isExt, shown } from './ask.ts';
import { restore } from './ext.ts';
import { withdrawGrub } from './grub.ts';
import { type Located, listedAs, locate, superblockAt } from './locate.ts';
import { type CommandLine, type RecordedCheck, readRecord, writeRecord } from './record.ts';

export interface Settled {
  /** All that is remembered: what waits, what was missed, and results, the newest last. */
  readonly checks: readonly RequestedCheck[];
  /** Of these what this boot brought, or what is still wrong: what a report of this boot has to tell. */
  readonly news: readonly RequestedCheck[];
  /** Why the record itself could not be used. */
  readonly damage: string | undefined;
}

/** Lines of fsck's that are kept. */
const LINES = 40;
const JOURNAL_MS = 10_000;

/**
 * @param write whether the result may be written down and settings be put back; without it is only said how things stand
 * @throws DebmendError `store-unusable`
 */
export async function settleChecks(context: CheckContext, write: boolean): Promise<Settled> {
  const { directory, boot } = context;
  const { record, damage } = readRecord(directory);
  const open = record.checks.length > 0 || record.commandLine !== undefined;
  const evaluated = open ? await evaluate(context, record.checks) : [];
  if (!write || !open)
    return told(
      evaluated.map(({ check }) => shown(check)),
      record.results,
      boot,
      damage,
    );
  const seen = evaluated.map(({ check }) => check);
  // First what was seen: the boot's log is gone with the boot, and what is put back can be put back again.
  if (!isDeepStrictEqual(seen, record.checks)) writeRecord(directory, { ...record, checks: seen });
  const restored: RecordedCheck[] = [];
  for (const one of evaluated) restored.push(await putBack(one));
  const commandLine = await endCommandLine(context, record.commandLine, restored);
  const ended = restored.filter(({ stage, restored: whole }) => stage === 'checked' && whole);
  const results = [...record.results, ...ended.map(shown)];
  const checks = restored.filter((check) => !ended.includes(check));
  const { commandLine: _, ...rest } = record;
  const next = { ...rest, checks, results, ...(commandLine === undefined ? {} : { commandLine }) };
  if (!isDeepStrictEqual(next, { ...record, checks: seen })) writeRecord(directory, next);
  return told(checks.map(shown), results, boot, damage);
}

function told(
  open: readonly RequestedCheck[],
  results: readonly RequestedCheck[],
  boot: string | undefined,
  damage: string | undefined,
): Settled {
  const checks = [...results, ...open];
  const isNews = ({ stage, settledBoot, problem }: RequestedCheck) =>
    stage === 'missed' || problem !== undefined || (stage === 'checked' && settledBoot === boot);
  return { checks, news: checks.filter(isNews), damage };
}

interface Evaluated {
  readonly check: RecordedCheck;
  readonly located: Located;
}

async function evaluate(context: CheckContext, checks: readonly RecordedCheck[]): Promise<Evaluated[]> {
  const { root, directory, boot } = context;
  const mounted = listFilesystems(root, { remote: true });
  const otherBoot = checks.some((check) => isLater(context, check));
  const pieces = otherBoot ? await bootPieces(root, { directory, boot, limit: JOURNAL_MS }) : [];
  return checks.map((check) => {
    const located = locate(check, mounted);
    return { check: evaluateOne(context, check, { located, mounted, pieces }), located };
  });
}

/** Whether a boot has come since it was asked for. Another root than the booted one has no boot that is seen from here. */
function isLater({ root, boot }: CheckContext, check: RecordedCheck): boolean {
  return root.isHost && boot !== undefined && check.boot !== undefined && check.boot !== boot;
}

interface Seen {
  readonly located: Located;
  readonly mounted: readonly MountedFilesystem[];
  readonly pieces: readonly FsckPiece[];
}

function evaluateOne(context: CheckContext, check: RecordedCheck, seen: Seen): RecordedCheck {
  if (check.stage === 'checked' || check.stage === 'withdrawn') return check;
  const { located, mounted, pieces } = seen;
  const later = isLater(context, check);
  if (located.kind === 'gone')
    return later ? missed(context, check, `${check.device} is not there: no device has its UUID`) : check;
  const superblock = isExt(check.method) ? superblockAt(located.node, check.uuid) : undefined;
  if (typeof superblock === 'string') return later ? missed(context, check, superblock) : check;
  const listed = listedAs(check, mounted);
  const named = listed ?? {
    node: located.node,
    device: located.device,
    role: check.mountPoint === '/' ? ('root' as const) : ('data' as const),
    uuid: check.uuid,
  };
  const piece = later ? pieceOf(pieces, named, superblock?.label ?? '') : undefined;
  if (superblock !== undefined && check.before !== undefined) {
    // A check that could not be brought to its end leaves the date, and says so.
    const left = piece !== undefined && judgeFsck(piece.lines, piece.source).outcome === 'errors-left';
    if (left || superblock.lastCheck !== check.before.lastCheck) return checked(context, check, piece);
    // Perhaps a cut came before tune2fs did anything, and then there is nothing that could have been missed.
    if (check.stage === 'intended') return later ? notAsked(context, check, superblock) : check;
    return later ? missed(context, check, 'the superblock knows of no check since') : check;
  }
  if (!later) return check;
  if (piece === undefined) return missed(context, check, 'no log of this boot tells of a check');
  if (isWhole(piece)) return checked(context, check, piece);
  return missed(
    context,
    check,
    `fsck did not check all of it: ${tellingLines(piece, 1)[0] ?? 'it said nothing'}`,
  );
}

function checked(context: CheckContext, check: RecordedCheck, piece: FsckPiece | undefined): RecordedCheck {
  const { problem: _, ...rest } = check;
  return {
    ...rest,
    stage: 'checked',
    ...now(context),
    // What only looked at the mark is another one: of a root that a check restarts the log is lost.
    ...(piece === undefined ||
    !(isWhole(piece) || judgeFsck(piece.lines, piece.source).outcome === 'errors-left')
      ? {}
      : { result: judgeFsck(piece.lines, piece.source), said: tellingLines(piece, LINES) }),
  };
}

function missed(context: CheckContext, check: RecordedCheck, problem: string): RecordedCheck {
  if (check.stage === 'missed') return { ...check, problem };
  return { ...check, stage: 'missed', ...now(context), problem };
}

function notAsked(context: CheckContext, check: RecordedCheck, superblock: Ext4Superblock): RecordedCheck {
  return missed(
    context,
    check,
    superblock.hasErrors || superblock.maxMountCount > 0
      ? 'debmend was interrupted while it asked for it'
      : 'debmend was interrupted before it had asked for it',
  );
}

function now({ boot }: CheckContext): Pick<RequestedCheck, 'settledAt' | 'settledBoot'> {
  return { settledAt: new Date().toISOString(), ...(boot === undefined ? {} : { settledBoot: boot }) };
}

/** What was changed to ask for a check that was made is changed back. What could not be is said, and tried again. */
async function putBack({ check, located }: Evaluated): Promise<RecordedCheck> {
  if (check.stage !== 'checked') return check;
  // GRUB's part is taken away for all of them at once.
  if (!isExt(check.method) || check.before === undefined) return check;
  if (located.kind === 'gone')
    return { ...check, problem: 'its device is not there to put its settings back' };
  try {
    await restore(check.method, located.node, check.before, true);
    const { problem: _, ...whole } = check;
    return { ...whole, restored: true };
  } catch (error) {
    return { ...check, problem: messageOf(error) };
  }
}

/** GRUB is told for one boot: when that has come, checked or not, all of it goes. @returns what is left of it */
async function endCommandLine(
  context: CheckContext,
  line: CommandLine | undefined,
  checks: RecordedCheck[],
): Promise<CommandLine | undefined> {
  if (line === undefined || !context.root.isHost) return line;
  const needed = checks.some(
    ({ method, stage, boot }) =>
      method === 'command-line' && (stage === 'asked' || stage === 'intended') && boot === context.boot,
  );
  if (needed && line.boot === context.boot) return line;
  try {
    await withdrawGrub(context.root);
    for (const [at, check] of checks.entries())
      if (check.method === 'command-line') checks[at] = { ...check, restored: true };
    return undefined;
  } catch (error) {
    for (const [at, check] of checks.entries())
      if (check.method === 'command-line')
        checks[at] = { ...check, restored: false, problem: messageOf(error) };
    return line;
  }
}
