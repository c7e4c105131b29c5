/** What of a root decides how a check at its next boot can be asked for. Read inside the root (I7), and nothing is run. */
import { existsSync, lstatSync } from 'node:fs';
import { fsPath } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import { readMounts } from '../../system/mounts.ts';
import type { Root } from '../../system/root.ts';
import { type FstabEntry, parseFstab } from './fstab.ts';

export interface Surroundings {
  /** Whether this root is the one that the running kernel started, and will start again. */
  readonly booted: boolean;
  readonly fstab: readonly FstabEntry[];
  /** What would pass a word to the kernel at the next start. */
  readonly bootLoader: 'grub' | 'systemd-boot' | 'extlinux' | 'none';
  /** Types for which a /sbin/fsck.TYPE is there. */
  readonly checkers: (type: string) => boolean;
  /** Whether this release's fsck.xfs checks anything when it is told `-f`. */
  readonly xfsForces: boolean;
  /**
   * Whether the initramfs checked the root in this boot, and so will in the next (initramfs-tools, scripts/functions:
   * _checkfs_once). Without that, or where it has no fsck, systemd checks the root when it is mounted read-only.
   */
  readonly rootCheckedEarly: boolean;
  /**
   * Whether the end of the system goes back to an initramfs that unmounts the root, instead of making it read-only
   * (bootup(7), systemd-shutdown(8)): then a mark in the superblock is lost as on every other filesystem.
   */
  readonly unmountsRoot: boolean;
  /** Whether any filesystem that systemd checks at boot is XFS; the root is none of them (decide.ts). */
  readonly checksXfs: boolean;
  /** Whether any of them is something else. */
  readonly checksOthers: boolean;
}

const LIMIT = 1024 * 1024;
/** xfsprogs' fsck/xfs_fsck.sh: only one that checks calls xfs_repair. */
const CALLS_REPAIR = /^\s*xfs_repair -e/m;
/** Debian 12's takes a shell with a prompt for a person's and leaves it; dash has a prompt always. */
const ASKS_PROMPT = /-n "?\$PS1"?/;

/** Never throws: what cannot be read is not there. */
export function surroundingsOf(root: Root): Surroundings {
  const text = (path: string): string | undefined => {
    const found = root.resolveFully(path);
    const outcome = found.kind === 'found' ? readRegularFile(found.host, LIMIT) : undefined;
    return outcome?.kind === 'read' ? outcome.data : undefined;
  };
  const exists = (path: string): boolean => {
    const found = root.resolveFully(path);
    if (found.kind !== 'found') return false;
    try {
      lstatSync(fsPath(found.host));
      return true;
    } catch {
      return false;
    }
  };
  const checkers = (type: string) => exists(`/sbin/fsck.${type}`) || exists(`/usr/sbin/fsck.${type}`);
  const fstab = parseFstab(text('/etc/fstab') ?? '');
  const fsckXfs = text('/sbin/fsck.xfs') ?? text('/usr/sbin/fsck.xfs') ?? '';
  const xfsForces = CALLS_REPAIR.test(fsckXfs) && !ASKS_PROMPT.test(fsckXfs);
  const types = new Set(
    fstab.filter(({ pass, mountPoint }) => pass > 0 && mountPoint !== '/').map(({ type }) => type),
  );
  // The root is checked whatever fstab says of it, but as XFS.
  const rootType = root.isHost
    ? readMounts().find(({ mountPoint }) => mountPoint === '/')?.type
    : fstab.find(({ mountPoint }) => mountPoint === '/')?.type;
  if (rootType !== undefined && rootType !== 'xfs') types.add(rootType);
  return {
    booted: root.isHost,
    fstab,
    bootLoader: bootLoaderOf(exists),
    checkers,
    xfsForces,
    rootCheckedEarly: root.isHost && existsSync('/run/initramfs/fsck-root'),
    unmountsRoot: root.isHost && existsSync('/run/initramfs/shutdown'),
    checksXfs: types.has('xfs'),
    checksOthers: [...types].some((type) => type !== 'xfs' && type !== 'btrfs'),
  };
}

function bootLoaderOf(exists: (path: string) => boolean): Surroundings['bootLoader'] {
  // grub.cfg alone may be what an earlier boot loader left.
  if (exists('/boot/grub/grub.cfg') && exists('/usr/sbin/grub-mkconfig') && exists('/usr/bin/grub-editenv'))
    return 'grub';
  if (['/boot', '/efi', '/boot/efi'].some((place) => exists(`${place}/loader/entries`)))
    return 'systemd-boot';
  if (exists('/boot/extlinux/extlinux.conf')) return 'extlinux';
  return 'none';
}
