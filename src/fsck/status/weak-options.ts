/**
 * Options that let a power cut, or an error, do more harm (ext4(5), btrfs(5), mount(8)): each with what it does. Those of
 * the first kind take away what a journal is for.
 */
import type { Ext4Superblock } from '../ext4-superblock.ts';
import type { MountedFilesystem } from '../filesystems.ts';

export interface WeakOption {
  readonly option: string;
  readonly text: string;
  /** Whether a power cut can damage files because of it; else only what follows an error is worse. */
  readonly loses: boolean;
}

const NO_BARRIER =
  'the disk may write in another order than the journal needs, so a power cut can damage anything';

const BY_TYPE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ext4: {
    nobarrier: NO_BARRIER,
    'barrier=0': NO_BARRIER,
    'data=writeback': 'files can hold old blocks of other files after a power cut',
    noauto_da_alloc: 'a file that was just replaced by renaming can be empty after a power cut',
    journal_async_commit: 'a transaction of the journal can be replayed that was not written whole',
  },
  xfs: { nobarrier: NO_BARRIER },
  btrfs: {
    nobarrier: NO_BARRIER,
    nodatasum: 'files have no checksums, so damage in them is not seen',
    nodatacow: 'files are overwritten in place and have no checksums',
  },
};

/** @param superblock of ext4, where it could be read */
export function weakOptions(
  { type, options, readOnly, holds }: Pick<MountedFilesystem, 'type' | 'options' | 'readOnly' | 'holds'>,
  superblock: Ext4Superblock | undefined,
): WeakOption[] {
  if (readOnly) return [];
  const ext = /^ext[234]$/.test(type);
  const known = BY_TYPE[ext ? 'ext4' : type] ?? {};
  const set = new Set(options);
  // What stands in the superblock holds unless the mount says otherwise, and the table does not show it (ext4(5)).
  for (const option of superblock?.defaultOptions ?? [])
    if (!options.some((one) => one.startsWith(option.startsWith('data=') ? 'data=' : 'barrier')))
      set.add(option);
  const found: WeakOption[] = Object.entries(known).flatMap(([option, text]) =>
    set.has(option) ? [{ option, text, loses: !option.startsWith('nodata') }] : [],
  );
  if (type === 'ext2' || superblock?.hasJournal === false)
    found.push({
      option: 'no journal',
      text: 'after a power cut the whole filesystem has to be checked, and files can be lost',
      loses: true,
    });
  if (ext && holds.length > 0 && behaviourOf(options, superblock) === 'continue')
    found.push({
      option: 'errors=continue',
      text: 'after an error it is written on to a damaged filesystem, which can make the damage larger',
      loses: false,
    });
  return found;
}

/** What ext4 does when it meets an error: the mount's option, or else the superblock's; undefined where neither tells. */
export function behaviourOf(
  options: readonly string[],
  superblock: Pick<Ext4Superblock, 'behaviour'> | undefined,
): Ext4Superblock['behaviour'] {
  // The table shows it only where it differs from the superblock's (fs/ext4/super.c, _ext4_show_options).
  const named = options.find((option) => option.startsWith('errors='))?.slice('errors='.length);
  if (named === 'continue' || named === 'remount-ro' || named === 'panic') return named;
  return superblock?.behaviour;
}
