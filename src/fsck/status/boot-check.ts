/**
 * What this boot's own check found of each filesystem: the initramfs' log, its copy, and systemd's checks, of which the
 * journal tells. Of a root that does not run nothing is known.
 */
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import type { BootCheck } from '../../model/filesystem.ts';
import { pathToText } from '../../model/path-text.ts';
import { bootId } from '../../system/boot.ts';
import { type JournalEntry, parseEntries } from '../../system/journal-entries.ts';
import type { Root } from '../../system/root.ts';
import { run } from '../../system/run.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { type FsckRun, judgeFsck, parseFsckRuns, readFsckLog } from '../fsck-log.ts';

const JOURNAL_MS = 5000;
const SYSTEMD = 'systemd-fsck';

export interface BootChecks {
  /** Of a filesystem, the last one. @param label its own, by which e2fsck calls it */
  of(filesystem: MountedFilesystem, label: string | undefined): BootCheck | undefined;
  readonly unread: readonly string[];
}

/**
 * Collects the checks of the boot that runs. Never throws.
 *
 * @param directory the store's, as a path of this host
 */
export async function bootChecks(root: Root, directory: string | undefined): Promise<BootChecks> {
  if (!root.isHost) return { of: () => undefined, unread: [] };
  const log = readFsckLog(root, directory, bootId());
  const journal = await journalRuns();
  const runs = [
    ...(log.kind === 'read' ? parseFsckRuns(log.data).map((one) => ({ ...one, source: log.source })) : []),
    ...(typeof journal === 'string' ? [] : journal.map((one) => ({ ...one, source: SYSTEMD }))),
  ];
  return {
    of: (filesystem, label) => findCheck(runs, filesystem, label),
    unread: [
      ...(log.kind === 'unreadable' ? [`the initramfs' fsck log: ${log.errno}`] : []),
      ...(typeof journal === 'string' ? [journal] : []),
    ],
  };
}

/** The last run that was one of this filesystem, judged. @param label its own, where that is known */
export function findCheck(
  runs: readonly (FsckRun & { readonly source: string })[],
  filesystem: Pick<MountedFilesystem, 'role' | 'uuid' | 'device' | 'source'>,
  label: string | undefined,
): BootCheck | undefined {
  const own = runs.findLast((one) => isOf(one, filesystem, label));
  return own === undefined ? undefined : judgeFsck(own.lines, own.source);
}

async function journalRuns(): Promise<FsckRun[] | string> {
  const args = ['--quiet', '--no-pager', '--boot', `--identifier=${SYSTEMD}`, '--lines=500', '--output=json'];
  const result = await run('journalctl', [...args, '--output-fields=MESSAGE,_SYSTEMD_UNIT'], {
    timeout: JOURNAL_MS,
  });
  if (result.failure !== undefined) return []; // no systemd: nobody else writes there
  if (result.timedOut) return `the journal: journalctl did not answer within ${JOURNAL_MS / 1000} s`;
  return journalFsckRuns(parseEntries(result.stdout.toString('utf8')));
}

/** Entries of systemd-fsck as runs, one a unit (systemd-fsck@.service(8)). */
export function journalFsckRuns(entries: readonly JournalEntry[]): FsckRun[] {
  const byUnit = Map.groupBy(entries, ({ unit }) => unit ?? '');
  return [...byUnit].map(([unit, own]) => ({
    device: deviceOfUnit(unit),
    lines: own.flatMap(({ message }) => (message === undefined ? [] : message.split('\n'))),
  }));
}

/** `systemd-fsck@dev-disk-by\x2duuid-….service` as a path (systemd.unit(5), "string escaping"). */
function deviceOfUnit(unit: string): string | undefined {
  if (unit === 'systemd-fsck-root.service') return '/';
  const instance = /^systemd-fsck@(.*)\.service$/.exec(unit)?.[1];
  if (instance === undefined) return undefined;
  const path = instance
    .replaceAll('-', '/')
    .replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return `/${path}`;
}

function isOf(
  { device, lines }: FsckRun,
  filesystem: Parameters<typeof findCheck>[1],
  label: string | undefined,
): boolean {
  if (device === '/') return filesystem.role === 'root';
  const names = device === undefined ? lines.flatMap((line) => /^(\S+): /.exec(line)?.[1] ?? []) : [device];
  return names.some((name) => {
    if (label !== undefined && label !== '' && name === label) return true;
    const uuid = /^(?:UUID=|\/dev\/disk\/by-uuid\/)(.+)$/.exec(name)?.[1];
    if (uuid !== undefined) return uuid === filesystem.uuid;
    if (!name.startsWith('/dev/')) return false;
    return kernelNameOf(name) === filesystem.device || name === pathToText(filesystem.source);
  });
}

function kernelNameOf(path: string): string {
  try {
    return basename(realpathSync(path));
  } catch {
    return basename(path); // the name that the initramfs had for it
  }
}
