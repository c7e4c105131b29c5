/**
 * What fsck printed in this boot. Debian's initramfs checks the root filesystem and /usr before it mounts them, and keeps
 * what e2fsck printed in /run/initramfs/fsck.log (initramfs-tools, scripts/functions, _checkfs_once), which the next end
 * of the system takes away: a copy is kept in the store.
 *
 *     Log of fsck -C -a -T -t ext4 /dev/sda1
 *     rootfs: recovering journal
 *     rootfs: clean, 31034/655360 files, 362042/2620928 blocks      follows on a recovery, and alone it means: was clean
 *     fsck exited with status code 0
 *
 * e2fsck calls a filesystem by its label where it has one; the first line names the device. systemd's own checks print
 * the same into the journal.
 */
import { join } from 'node:path';
import type { BootCheck } from '../model/filesystem.ts';
import { bytesToText } from '../model/path-text.ts';
import { type Bytes, bytesFromText } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import { readInside } from '../system/inside.ts';
import type { Root } from '../system/root.ts';

/** Inside the root. */
export const FSCK_LOG = '/run/initramfs/fsck.log';
/** The copies, by boot, in the store's directory. */
export const FSCK_LOGS = 'fsck-logs';
export const FSCK_LOG_BYTES = 1024 * 1024;

const RECOVERED = /^(\S+): (?:recovering journal|.*was not cleanly unmounted|.*was not properly unmounted)/;
const CLEAN = /^(\S+): clean,/;

export type FsckLog =
  | { readonly kind: 'read'; readonly data: Bytes; readonly source: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly errno: string };

/**
 * The log of this boot's initramfs, or else the copy of it. Never throws.
 *
 * @param directory the store's, as a path of this host
 */
export function readFsckLog(root: Root, directory: string | undefined, boot: string | undefined): FsckLog {
  const live = readInside(root, FSCK_LOG, FSCK_LOG_BYTES);
  if (live.kind === 'read') return { kind: 'read', data: live.data, source: FSCK_LOG };
  if (directory !== undefined && boot !== undefined) {
    const copy = join(directory, FSCK_LOGS, boot);
    const kept = readRegularFile(bytesFromText(copy), FSCK_LOG_BYTES);
    if (kept.kind === 'read') return { kind: 'read', data: kept.data, source: copy };
  }
  return live;
}

/** What fsck's lines say of a power cut, of each device once. Never throws (I8). */
export function parseFsck(
  text: string,
): { readonly device: string; readonly recovered: boolean; readonly line: string }[] {
  const found = new Map<string, { recovered: boolean; line: string }>();
  for (const line of text.split('\n')) {
    const recovered = RECOVERED.exec(line)?.[1];
    if (recovered !== undefined && found.get(recovered)?.recovered !== true)
      found.set(recovered, { recovered: true, line });
    const clean = CLEAN.exec(line)?.[1];
    if (clean !== undefined && !found.has(clean)) found.set(clean, { recovered: false, line });
  }
  return [...found].map(([device, what]) => ({ device, ...what }));
}

/** One run of fsck in a log. */
export interface FsckRun {
  /** The device that it was called with; undefined where no line tells. */
  readonly device: string | undefined;
  readonly lines: readonly string[];
}

/** logsave(8) writes the time before and after a run (ctime(3)), and dashes. */
const FRAME = /^(?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}|-{10,})$/;

/** The runs of a log that logsave(8) wrote. Never throws (I8). */
export function parseFsckRuns(log: Bytes): FsckRun[] {
  const runs: { device: string | undefined; lines: string[] }[] = [];
  for (const line of bytesToText(log).split('\n')) {
    const head = /^Log of (?:\S*\/)?fsck\b.* (\S+)\s*$/.exec(line);
    if (head !== null) runs.push({ device: head[1], lines: [] });
    else if (line.trim() !== '' && !FRAME.test(line)) {
      const run = runs.at(-1);
      if (run === undefined) runs.push({ device: undefined, lines: [line] });
      else run.lines.push(line);
    }
  }
  return runs.filter(({ lines }) => lines.length > 0);
}

const STATUS = /fsck (?:exited with status code|failed with (?:exit status|error code)) (\d{1,3})\b/;
/** fsck(8), the bits of its exit status. */
const Bit = { corrected: 1 | 2, uncorrected: 4, notDone: 8 | 16 | 32 | 128 } as const;
const ERRORS_LEFT =
  /UNEXPECTED INCONSISTENCY|RUN fsck MANUALLY|WARNING: Filesystem still has errors|unrecoverable/i;
const CORRECTED =
  /FILE SYSTEM WAS MODIFIED|\b(?:FIXED|CLEARED|RECONNECTED|RELOCATED|SALVAGED|EXPANDED|CREATED|INSERTED)\.\s*$/;
const REPLAYED = /recovering journal|was not (?:cleanly|properly) unmounted|dirty bit is set/i;
const WAS_CLEAN = /: clean,|\d+\/\d+ files .*, \d+\/\d+ (?:blocks|clusters)|: \d+ files, \d+\/\d+ clusters/;

/**
 * What came of one run of fsck. Its exit status alone is not believed: a program that was killed has none, and what
 * stands in its lines goes before a status that says that all is well.
 */
export function judgeFsck(lines: readonly string[], source: string): BootCheck {
  const status = lines.map((line) => STATUS.exec(line)?.[1]).findLast((one) => one !== undefined);
  const code = status === undefined ? undefined : Number(status);
  const has = (bits: number): boolean => code !== undefined && (code & bits) !== 0;
  const line = (pattern: RegExp): string | undefined => lines.find((one) => pattern.test(one));
  const xfs = judgeXfs(lines);
  const outcomes: readonly (readonly [BootCheck['outcome'], boolean, string | undefined])[] = [
    ['errors-left', has(Bit.uncorrected), line(ERRORS_LEFT)],
    ['failed', has(Bit.notDone), undefined],
    ...(xfs === undefined ? [] : [[xfs.outcome, true, xfs.line] as const]),
    // e2fsck says 1 of a replayed journal, too (seen of 1.47.0); what it mends by itself it names.
    ['corrected', has(Bit.corrected) && line(REPLAYED) === undefined, line(CORRECTED)],
    ['recovered', false, line(REPLAYED)],
    ['clean', code === 0, line(WAS_CLEAN)],
  ];
  const [outcome, , deciding] = outcomes.find(([, set, one]) => set || one !== undefined) ?? ['unknown'];
  const text = deciding ?? line(STATUS) ?? lines.at(-1) ?? '';
  return {
    outcome,
    source,
    text: text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').trim(),
    ...(code === undefined ? {} : { status: code }),
  };
}

/** xfs_repair's phases and what it is doing in them; anything else it says is something that it found. */
const XFS_PROGRESS = /^\s*(?:Phase \d - |- |done$)/;

/**
 * What fsck.xfs' xfs_repair did, which says nothing of a sound filesystem at its end; systemd keeps an exit status of 1
 * to itself. With a dirty log there are two runs, of which the last counts. Undefined where none came to its end.
 */
function judgeXfs(
  lines: readonly string[],
): { readonly outcome: 'clean' | 'recovered' | 'corrected'; readonly line: string } | undefined {
  const begin = lines.findLastIndex((line) => line.startsWith('Phase 1 - '));
  const end = begin < 0 ? -1 : lines.indexOf('done', begin);
  const last = lines[end - 1];
  if (last?.startsWith('Phase 7 - ') !== true) return undefined;
  const found = lines.slice(begin, end).find((line) => !XFS_PROGRESS.test(line));
  if (found !== undefined) return { outcome: 'corrected', line: found };
  const replayed = lines.find((line) => line.startsWith('Replaying log'));
  return replayed === undefined ? { outcome: 'clean', line: last } : { outcome: 'recovered', line: replayed };
}
