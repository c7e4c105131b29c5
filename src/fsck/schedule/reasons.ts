/** Why a filesystem needs a check, by what it says of itself. */
import type { MountedFilesystem } from '../filesystems.ts';
import { superblockAt } from './locate.ts';

/** As the end of a sentence that begins with "because"; none where nothing speaks for it. Never throws. */
export function ownReasons({ type, node, uuid }: MountedFilesystem): string[] {
  if (!/^ext[234]$/.test(type) || node === undefined || uuid === undefined) return [];
  const superblock = superblockAt(node, uuid);
  if (typeof superblock === 'string') return [superblock];
  const { errors, hasErrors } = superblock;
  if (errors > 0) return [`the kernel recorded ${errors} ${errors === 1 ? 'error' : 'errors'} in it`];
  return hasErrors ? ['its superblock says that it has errors'] : [];
}

/**
 * Whether a filesystem has no journal that would make it whole again after a power cut, and nobody checked it in this
 * boot. e2fsck checks one that was not unmounted as a whole; a `0` in fstab keeps it from that. Never throws.
 *
 * @param booted when this boot began, in seconds since 1970
 */
export function lacksJournal({ type, node, uuid }: MountedFilesystem, booted: number): boolean {
  if (type === 'vfat' || type === 'msdos') return true;
  if (!/^ext[234]$/.test(type) || node === undefined || uuid === undefined) return false;
  const superblock = superblockAt(node, uuid);
  if (typeof superblock === 'string' || superblock.hasJournal) return false;
  // The clock may be set between the check and now: a minute is nothing beside the age of an older check.
  return superblock.lastCheck < booted - 60;
}
