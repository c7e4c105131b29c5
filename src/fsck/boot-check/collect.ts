/** The checks of this boot, from where it left word of them. */
import { realpathSync, statSync } from 'node:fs';
import { parseEntries } from '../../system/journal-entries.ts';
import type { Root } from '../../system/root.ts';
import { run } from '../../system/run.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { parseFsckRuns, readFsckLog } from '../fsck-log.ts';
import { journalFsckRuns } from '../status/boot-check.ts';
import { type FsckPiece, namesIn } from './log.ts';

const SYSTEMD = 'systemd-fsck';
const FIELDS = 'MESSAGE,_SYSTEMD_UNIT';

export interface CollectOptions {
  /** The store's, as a path of this host: a copy of the initramfs' log lies in it. */
  readonly directory: string | undefined;
  readonly boot: string | undefined;
  /** Milliseconds that the journal is waited for. */
  readonly limit: number;
}

/** What each fsck of this boot said; nothing of a root that is not booted. Never throws. */
export async function bootPieces(
  root: Root,
  { directory, boot, limit }: CollectOptions,
): Promise<FsckPiece[]> {
  if (!root.isHost) return [];
  const log = readFsckLog(root, directory, boot);
  const early =
    log.kind === 'read' ? parseFsckRuns(log.data).map((one) => ({ ...one, source: log.source })) : [];
  // systemd's units, and with an initramfs of dracut's those that ran in it.
  const { stdout } = await run(
    'journalctl',
    ['--boot', '--no-pager', '--quiet', '--output=json', `--output-fields=${FIELDS}`, '-t', SYSTEMD],
    { timeout: limit },
  );
  const late = journalFsckRuns(parseEntries(stdout.toString('utf8')));
  return [...early, ...late.map((one) => ({ ...one, source: SYSTEMD }))];
}

/** What of a filesystem a log may name. */
export type Named = Pick<MountedFilesystem, 'node' | 'device' | 'role' | 'uuid'>;

/**
 * What this boot's fsck said of a filesystem. Of several the one with most lines: systemd asks again for the root and
 * /usr, which the initramfs has checked, and hears only that they are clean.
 *
 * @param label the filesystem's own, by which e2fsck calls it
 */
export function pieceOf(
  pieces: readonly FsckPiece[],
  filesystem: Named,
  label: string,
): FsckPiece | undefined {
  return pieces
    .filter((piece) => isOf(piece, filesystem, label))
    .reduce<FsckPiece | undefined>(
      (best, one) => (best === undefined || one.lines.length > best.lines.length ? one : best),
      undefined,
    );
}

function isOf(piece: FsckPiece, filesystem: Named, label: string): boolean {
  // systemd-fsck-root.service checks what it finds at /.
  if (piece.device === '/') return filesystem.role === 'root';
  if (piece.device !== undefined) return sameDevice(piece.device, filesystem);
  return namesIn(piece).some((name) => (label !== '' && name === label) || sameDevice(name, filesystem));
}

function sameDevice(path: string, { node, device, uuid }: Named): boolean {
  if (!path.startsWith('/dev/')) return false;
  if (path === node || path === `/dev/${device}`) return true;
  if (uuid !== undefined && path.toLowerCase().endsWith(`/by-uuid/${uuid.toLowerCase()}`)) return true;
  try {
    if (node === undefined) return false;
    return realpathSync(path) === realpathSync(node) || statSync(path).rdev === statSync(node).rdev;
  } catch {
    return false; // a name that only the initramfs had
  }
}
