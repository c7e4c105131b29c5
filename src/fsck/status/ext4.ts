/** What ext4 says of itself: the superblock, and the counters that the kernel keeps of a mounted one. */
import type { Ext4State } from '../../model/filesystem.ts';
import { errnoOf } from '../../system/errors.ts';
import type { Ext4Counters, Ext4Error } from '../ext4-errors.ts';
import { type Ext4Superblock, readExt4Superblock } from '../ext4-superblock.ts';
import type { MountedFilesystem } from '../filesystems.ts';

/** All undefined for another type. */
export interface Ext {
  readonly superblock: Ext4Superblock | undefined;
  readonly state: Ext4State | undefined;
  readonly first: Ext4Error | undefined;
  readonly last: Ext4Error | undefined;
}

/** @param unread takes what could not be read */
export function readExt(
  mounted: MountedFilesystem,
  counters: readonly Ext4Counters[],
  unread: string[],
): Ext {
  if (!/^ext[234]$/.test(mounted.type))
    return { superblock: undefined, state: undefined, first: undefined, last: undefined };
  const counted = counters.find(({ device }) => device === mounted.device);
  let superblock: Ext4Superblock | undefined;
  try {
    superblock = mounted.node === undefined ? undefined : readExt4Superblock(mounted.node);
    if (superblock === undefined) unread.push('the superblock: it is not where it should be');
  } catch (error) {
    unread.push(`the superblock: ${errnoOf(error) ?? 'it cannot be read'}`);
  }
  const errors = counted?.errors ?? superblock?.errors;
  return {
    superblock,
    // The kernel's own account goes before the superblock's, which it writes a moment later.
    first: counted?.first ?? superblock?.first,
    last: counted?.last ?? superblock?.last,
    state: {
      ...(superblock === undefined ? {} : superblockState(superblock)),
      ...(errors === undefined ? {} : { errors }),
      ...(counted === undefined ? {} : { warnings: counted.warnings }),
    },
  };
}

function superblockState(superblock: Ext4Superblock): Ext4State {
  const { behaviour, lastCheck, lastMount, mountCount, maxMountCount, checkInterval } = superblock;
  const date = (seconds: number) => new Date(seconds * 1000).toISOString();
  return {
    state: [
      superblock.valid ? 'clean' : 'not-clean',
      ...(superblock.hasErrors ? (['errors'] as const) : []),
      ...(superblock.orphans ? (['orphans'] as const) : []),
    ],
    ...(behaviour === undefined ? {} : { behaviour }),
    ...(lastCheck === 0 ? {} : { lastCheck: date(lastCheck) }),
    ...(lastMount === 0 ? {} : { lastMount: date(lastMount) }),
    mountCount,
    ...(maxMountCount <= 0 ? {} : { maxMountCount }),
    ...(checkInterval === 0 ? {} : { checkInterval }),
  };
}
