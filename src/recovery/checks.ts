/**
 * The last step of a recovery: which filesystems have to be checked as a whole, and why; and asking for that at the next
 * boot, where the policy lets it (fsck.schedule). The deciding is a pure function.
 */

import { filesystemOf, listFilesystems, type MountedFilesystem } from '../fsck/filesystems.ts';
import {
  askForChecks,
  type CheckContext,
  lacksJournal,
  ownReasons,
  type PlannedCheck,
  planChecks,
  type Wanted,
} from '../fsck/schedule.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding } from '../model/finding.ts';
import type { OutageVerdict } from '../model/outage.ts';
import { textToPath } from '../model/path-text.ts';
import { uptime } from '../system/boot.ts';
import { bytesFromText } from '../system/bytes.ts';
import { messageOf } from '../system/errors.ts';

/** A filesystem, and what of it was read beforehand. */
export interface Examined {
  readonly filesystem: MountedFilesystem;
  /** What it says of itself that speaks for a check. */
  readonly own: readonly string[];
  /** Whether it has no journal that makes it whole after a power cut, and was not checked since. */
  readonly unguarded: boolean;
}

export interface DueOptions {
  /** Of the last look. */
  readonly findings: readonly Finding[];
  readonly outage: OutageVerdict | undefined;
  readonly filesystems: readonly Examined[];
}

/** Findings of which a device or a filesystem's own structure is the cause, where they say so (likelyOutage). */
const UNREADABLE: readonly FindingCode[] = ['file-unreadable', 'database-unreadable'];
/** What a filesystem, the kernel or fsck say of it. */
const OF_FILESYSTEMS: readonly FindingCode[] = [
  'filesystem-errors',
  'filesystem-file-damaged',
  'filesystem-read-only',
  'filesystem-check-failed',
];
/** Paths that a reason names. */
const NAMED = 3;

/** Which filesystems a check is due for, in their order, each once, with all its reasons. */
export function dueChecks({ findings, outage, filesystems }: DueOptions): Wanted[] {
  const all = filesystems.map(({ filesystem }) => filesystem);
  const unreadable = new Map<MountedFilesystem, string[]>();
  const spoken = new Set<MountedFilesystem>();
  for (const { code, path, likelyOutage } of findings) {
    if (path === undefined) continue;
    const filesystem = filesystemOf(all, bytesFromText(textToPath(path)));
    if (filesystem === undefined) continue;
    if (UNREADABLE.includes(code) && likelyOutage)
      unreadable.set(filesystem, [...(unreadable.get(filesystem) ?? []), path]);
    if (OF_FILESYSTEMS.includes(code)) spoken.add(filesystem);
  }
  return filesystems.flatMap(({ filesystem, own, unguarded }) => {
    const paths = unreadable.get(filesystem);
    const reasons = [
      ...own,
      ...(own.length === 0 && spoken.has(filesystem) ? ['errors of it were met'] : []),
      ...(paths === undefined ? [] : [`files on it cannot be read: ${listed(paths)}`]),
      ...(unguarded && isOutage(outage)
        ? ['it has no journal, and the power went while it was mounted']
        : []),
    ];
    return reasons.length === 0 ? [] : [{ filesystem, reasons }];
  });
}

function listed(paths: readonly string[]): string {
  const more = paths.length - NAMED;
  return `${paths.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function isOutage(verdict: OutageVerdict | undefined): boolean {
  switch (verdict) {
    case 'unclean':
    case 'forced-reboot':
    case 'panic':
      return true;
    case 'clean':
    case 'unknown':
    case 'not-applicable':
    case undefined:
      return false;
  }
}

export interface AskOptions {
  readonly context: CheckContext;
  readonly findings: readonly Finding[];
  readonly outage: OutageVerdict | undefined;
}

export interface Asked {
  readonly checks: readonly PlannedCheck[];
  readonly problems: readonly string[];
}

/**
 * Asks for the checks that are due, with dpkg's locks held. What would make other filesystems be mended without a question
 * is left to a person. Never throws: a check that cannot be asked for is a problem of the recovery, and not its end.
 */
export async function askForDueChecks({ context, findings, outage }: AskOptions): Promise<Asked> {
  const booted = Date.now() / 1000 - (uptime() ?? 0);
  const filesystems = listFilesystems(context.root).map((filesystem) => ({
    filesystem,
    own: ownReasons(filesystem),
    unguarded: lacksJournal(filesystem, booted),
  }));
  // Of FAT nothing has to be asked, and the boot that has just been has checked it.
  const planned = planChecks(context, dueChecks({ findings, outage, filesystems })).filter(
    (one) => one.kind !== 'ask' || one.method !== 'every-boot',
  );
  const checks = planned.map(leftToPerson);
  try {
    await askForChecks(context, checks);
    return { checks, problems: [] };
  } catch (error) {
    return { checks: checks.filter(({ kind }) => kind !== 'ask'), problems: [messageOf(error)] };
  }
}

function leftToPerson(planned: PlannedCheck): PlannedCheck {
  if (planned.kind !== 'ask' || !planned.harsh) return planned;
  return {
    kind: 'refused',
    wanted: planned.wanted,
    reason: 'its check has to tell every fsck yes, which may delete damaged files on other filesystems',
    hint: 'decide so with: debmend fsck schedule',
  };
}
