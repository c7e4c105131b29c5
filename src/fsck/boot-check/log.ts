/**
 * What one fsck at boot said of one filesystem: which one that is, and whether all of it was checked (fsck-log.ts judges
 * the outcome). e2fsck calls a filesystem by its label where it has one, others by the device: `NAME: clean, …`.
 */
import type { FsckRun } from '../fsck-log.ts';

export interface FsckPiece extends FsckRun {
  /** The file or the unit. */
  readonly source: string;
}

const NAMED = /^([^\s:]+(?: [^\s:]+)?): /;
/**
 * Words of a check that read all of it: e2fsck's statistics and passes (a filesystem that is taken for clean has
 * `clean, N/M files` alone), fsck.fat's summary, xfs_repair's phases, fsck.f2fs' checks.
 */
const WHOLE =
  /check forced|% non-contiguous\)|^Pass 1: |\d+ files, \d+\/\d+ clusters|^Phase 1 - |^\[(?:ASSERT|FSCK)\]/;
/** What util-linux' fsck says of itself, logsave of the time (asctime(3)), and xfs_repair of what it does in a phase. */
const NOISE =
  /^(?:fsck from util-linux|- |\[\/\S+ \(\d+\)|-{8,}$|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$)/;
const LONGEST = 500;

/** What stands before the colon of its lines. */
export function namesIn({ lines }: FsckPiece): string[] {
  return [...new Set(lines.flatMap((line) => NAMED.exec(shown(line))?.[1] ?? []))];
}

/** Whether this was a check of the whole filesystem, and not a look at its mark. */
export function isWhole({ lines }: FsckPiece): boolean {
  return lines.some((line) => WHOLE.test(shown(line)));
}

/** The lines that tell what was found and changed, as a person may read them. */
export function tellingLines({ lines }: FsckPiece, limit: number): string[] {
  return lines
    .map(shown)
    .filter((line) => line !== '' && !NOISE.test(line))
    .slice(0, limit);
}

/** A progress bar is drawn over itself by carriage returns, and ^A and ^B stand around it (e2fsck -C 0). */
function shown(line: string): string {
  return line
    .replace(/\x01[^\x02]*\x02/g, '')
    .replace(/^.*\r(?=.)/s, '')
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim()
    .slice(0, LONGEST);
}
