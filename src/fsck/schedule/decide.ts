/**
 * Which way of asking for a check at the next boot is the right one for a filesystem; a pure function. What each way does
 * and does not was tried on Debian 12 and 13 (docs/fsck.md):
 *
 *  - the error flag is lost when a filesystem is unmounted, and the root is not: it becomes read-only;
 *  - the mount count lasts everywhere;
 *  - what neither reaches is asked by the kernel's command line, which means every filesystem that is checked at boot.
 */
import { pathForTerminal, pathToText } from '../../model/path-text.ts';
import type { CheckMethod } from '../../model/requested-check.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { fstabEntry } from './fstab.ts';
import type { Surroundings } from './surroundings.ts';

export type Subject = Pick<
  MountedFilesystem,
  'mountPoint' | 'role' | 'type' | 'node' | 'uuid' | 'notApplicable' | 'whole'
>;

export type Decision =
  | {
      readonly kind: 'ask';
      readonly method: CheckMethod;
      readonly warnings: readonly string[];
      /** Whether other filesystems are mended without a question, as far as that may delete: only a person decides so. */
      readonly harsh: boolean;
    }
  /** `not-applicable`: it has nothing that could be checked. `refused`: it could be, but not by this boot. */
  | { readonly kind: 'refused' | 'not-applicable'; readonly reason: string; readonly hint: string };

const EXT = /^ext[234]$/;
const FAT = /^(?:vfat|msdos)$/;

export function decide(subject: Subject, around: Surroundings): Decision {
  const { type, whole, notApplicable } = subject;
  const name = nameOf(subject);
  if (notApplicable !== undefined || subject.node === undefined || subject.uuid === undefined)
    return {
      kind: 'not-applicable',
      reason: `${name}: ${notApplicable ?? 'it has no UUID by which a later boot would know it'}`,
      hint: 'the files on it are checked by: debmend audit',
    };
  if (!whole)
    return {
      kind: 'refused',
      reason: `the root is only a directory of the ${type} filesystem that it lies on`,
      hint: 'ask the system that this filesystem belongs to: debmend fsck schedule, without --root',
    };
  if (type === 'btrfs')
    return {
      kind: 'refused',
      reason: `${name} is btrfs, which nothing checks at boot: fsck.btrfs does nothing`,
      hint: `debmend fsck scrub ${name} checks it while it is mounted; 'btrfs check' needs it unmounted`,
    };
  const unchecked = neverChecked(subject, around);
  if (unchecked !== undefined) return { kind: 'refused', ...unchecked };
  if (EXT.test(type)) return ext(subject, around);
  // The superblock can ask from anywhere; what a boot is told, only the boot of this very root hears.
  if (!around.booted) return foreign(subject);
  if (!around.checkers(type))
    return {
      kind: 'refused',
      reason: `there is no fsck.${type}, so nothing checks ${name} at boot`,
      hint: `install the package that has fsck.${type}`,
    };
  if (FAT.test(type)) return { kind: 'ask', method: 'every-boot', warnings: [], harsh: false };
  return byCommandLine(subject, around);
}

/** How fsck.repair is set: a dirty XFS log and anything but `yes` end in emergency mode. */
export function repairWord({ checksXfs, xfsForces }: Surroundings): 'preen' | 'yes' {
  return checksXfs && xfsForces ? 'yes' : 'preen';
}

/**
 * The error flag clears itself, and so leaves nothing to put back. Of a root that is mounted when it is checked e2fsck
 * clears it too, and then asks for a restart (3), with which goes what it said: so not there.
 */
function ext({ role }: Subject, { booted, unmountsRoot, rootCheckedEarly }: Surroundings): Decision {
  const flag = role === 'root' && booted && rootCheckedEarly && !unmountsRoot;
  const method = flag ? 'error-flag' : 'mount-count';
  return { kind: 'ask', method, warnings: [], harsh: false };
}

/** systemd checks the root whatever fstab says of it, and everything else by its fs_passno alone. */
function neverChecked(subject: Subject, around: Surroundings): { reason: string; hint: string } | undefined {
  if (subject.role === 'root') return undefined;
  const name = nameOf(subject);
  const entry = fstabEntry(around.fstab, subject.mountPoint);
  if (entry === undefined)
    return {
      reason: `${name} does not stand in /etc/fstab, so no boot checks it`,
      hint: `unmount it and check it now: debmend fsck run ${name}`,
    };
  if (entry.options.includes('noauto'))
    return {
      reason: `${name} is noauto in /etc/fstab: it is checked when someone mounts it, and not at boot`,
      hint: `unmount it and check it now: debmend fsck run ${name}`,
    };
  if (entry.pass > 0) return undefined;
  return {
    reason: `${name} has 0 as its last field in /etc/fstab, so no boot checks it`,
    hint: "write 2 there, run 'systemctl daemon-reload', and ask again",
  };
}

function foreign(subject: Subject): Decision {
  const name = nameOf(subject);
  return {
    kind: 'refused',
    reason: `a check of ${name} (${subject.type}) is asked for by the boot of its own system, and this is another one`,
    hint: `unmount it and check it now: debmend fsck run ${name}`,
  };
}

function byCommandLine(subject: Subject, around: Surroundings): Decision {
  const name = nameOf(subject);
  // Its standard input in the initramfs is the console, by which fsck.xfs takes it for a person's and leaves it alone;
  // systemd would have it checked while it is mounted, which xfs_repair calls an error, and the boot would end there.
  if (subject.type === 'xfs' && subject.role === 'root')
    return {
      kind: 'refused',
      reason: `${name} is XFS, which nothing checks at boot as the root: fsck.xfs does it only without a terminal`,
      hint: 'from a rescue system: mount it once, so that its log is replayed, unmount it, and run xfs_repair',
    };
  if (subject.type === 'xfs' && !around.xfsForces)
    return {
      kind: 'refused',
      reason: `this release's fsck.xfs checks nothing at boot, and ${name} is XFS`,
      hint: `unmount it and check it now: debmend fsck run ${name}`,
    };
  const repair = repairWord(around);
  if (around.bootLoader !== 'grub')
    return {
      kind: 'refused',
      reason: `${loaderName(around.bootLoader)} cannot be told a word for one boot only, and ${name} is asked for by one`,
      hint: `at the next start, add once to the kernel's command line: fsck.mode=force fsck.repair=${repair}`,
    };
  return {
    kind: 'ask',
    method: 'command-line',
    harsh: repair === 'yes' && around.checksOthers,
    warnings: [
      'every filesystem that is checked at boot is going to be checked as a whole',
      ...(repair === 'yes' && around.checksOthers
        ? [
            'XFS with a dirty log needs fsck.repair=yes, and all are told so: e2fsck -y may clear damaged files, or move them to lost+found',
          ]
        : []),
    ],
  };
}

function nameOf({ mountPoint }: Subject): string {
  return pathForTerminal(pathToText(mountPoint));
}

function loaderName(loader: Surroundings['bootLoader']): string {
  switch (loader) {
    case 'grub':
      return 'GRUB';
    case 'systemd-boot':
      return 'systemd-boot';
    case 'extlinux':
      return 'extlinux';
    case 'none':
      return 'a boot loader that debmend does not know';
  }
}
