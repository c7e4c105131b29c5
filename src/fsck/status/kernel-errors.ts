/**
 * What the kernel's log says of filesystems and the devices below them: damage that was met, errors of input and output,
 * filesystems that turned read-only. The wordings are those of fs/ext4/super.c, fs/xfs/xfs_message.c and its callers,
 * fs/btrfs/messages.c, fs/fat/misc.c and block/blk-core.c, of Linux 5.10 to 6.18.
 */
import type { KernelMessage } from '../../system/kernel-log.ts';

export interface KernelFault {
  /** The kernel's name, as the message has it: of the filesystem's device, or of a disk. */
  readonly device: string;
  readonly kind: 'damage' | 'io' | 'read-only';
  readonly text: string;
  /** Seconds since this boot began. */
  readonly uptime: number | undefined;
  readonly inode?: number;
  readonly block?: number;
  /** Of the device, 512 bytes each. */
  readonly sector?: number;
  /** The number of the btrfs subvolume that the inode is of. */
  readonly subvolume?: number;
  /** Beneath the subvolume or the mount, as far as the message names it. */
  readonly path?: string;
}

interface Pattern {
  readonly kind: KernelFault['kind'];
  /** With a group `device`, and perhaps `inode`, `hexInode`, `block`, `sector`, `subvolume`, `path`. */
  readonly pattern: RegExp;
}

const PATTERNS: readonly Pattern[] = [
  { kind: 'read-only', pattern: /^EXT4-fs \((?<device>[^)]+)\): Remounting filesystem read-only/ },
  {
    kind: 'read-only',
    pattern: /^XFS \((?<device>[^)]+)\): .*(?:Shutting down filesystem|Filesystem has been shut down)/,
  },
  { kind: 'read-only', pattern: /^BTRFS:?(?: \w+)? \(device (?<device>[^ :)]+)[^)]*\).*forced readonly/ },
  { kind: 'read-only', pattern: /^FAT-fs \((?<device>[^)]+)\): Filesystem has been set read-only/ },
  // The directory names an inode that is free: that one is what is missing.
  {
    kind: 'damage',
    pattern: /^EXT4-fs error \(device (?<device>[^)]+)\): .*deleted inode referenced: (?<inode>\d+)/,
  },
  {
    kind: 'io',
    pattern:
      /^EXT4-fs warning \(device (?<device>[^)]+)\): ext4_end_bio:\d+: I\/O error.* to inode (?<inode>\d+)(?: .*starting block (?<block>\d+))?/,
  },
  {
    kind: 'damage',
    pattern:
      /^EXT4-fs error \(device (?<device>[^)]+)\): (?:.*?inode #?(?<inode>\d+))?(?:.*?\bblock (?<block>\d+))?/,
  },
  { kind: 'damage', pattern: /^JBD2: .*\b(?:[Ee]rror|aborted)\b.* (?<device>[^\s:-]+)-\d+/ },
  { kind: 'damage', pattern: /^Aborting journal on device (?<device>[^\s:-]+)-\d+/ },
  // errno 5 is EIO; the others tell of content that is wrong (117 EUCLEAN, 74 EBADMSG).
  { kind: 'io', pattern: /^XFS \((?<device>[^)]+)\): (?:metadata|log) I\/O error.* error 5$/ },
  { kind: 'damage', pattern: /^XFS \((?<device>[^)]+)\): (?:metadata|log) I\/O error/ },
  {
    kind: 'damage',
    pattern:
      /^XFS \((?<device>[^)]+)\): (?:Metadata corruption detected|Metadata CRC error|Corrupt|corrupt|Internal error|Corruption)[^\n]*?(?:\binode 0x(?<hexInode>[0-9a-f]+)|$)/,
  },
  {
    kind: 'damage',
    pattern:
      /^BTRFS:? (?:warning|error) \(device (?<device>[^ :)]+)[^)]*\): csum failed root (?<subvolume>\d+) ino (?<inode>\d+)/,
  },
  {
    kind: 'damage',
    pattern:
      /^BTRFS:? (?:warning|error) \(device (?<device>[^ :)]+)[^)]*\): .*\broot (?<subvolume>\d+),? inode (?<inode>\d+).*\(path: (?<path>[^\n]*)\)/,
  },
  {
    kind: 'damage',
    pattern:
      /^BTRFS:? (?:error|critical|warning) \(device (?<device>[^ :)]+)[^)]*\)(?: in)?.*(?:corrupt|csum|checksum|errs:|errno=|failed to|bad tree|unable to)/,
  },
  { kind: 'damage', pattern: /^FAT-fs \((?<device>[^)]+)\): error, / },
  {
    kind: 'io',
    pattern:
      /^(?:blk_update_request: |print_req_error: )?(?:I\/O|critical (?:medium|target|space allocation|nexus)) error, dev (?<device>[^\s,]+), sector (?<sector>\d+)/,
  },
  {
    kind: 'io',
    pattern: /^Buffer I\/O error on dev(?:ice)? (?<device>[^\s,]+), logical block (?<block>\d+)/,
  },
];

/** What the kernel says when it mounts a filesystem: what it said of that device before was of another one. */
const MOUNTED = [
  /^EXT4-fs \(([^)]+)\): mounted filesystem/,
  /^XFS \(([^)]+)\): Mounting V\d/,
  /^BTRFS:? info \(device ([^ :)]+)[^)]*\): (?:first mount of filesystem|disk space caching is enabled)/,
] as const;

/**
 * What it says when a device becomes another one: a loop device that gets a file, a disk that is plugged in. Both this and
 * that ext4 was mounted it says less often than it happens (block/genhd.c, set_capacity_and_notify; fs/ext4/super.c,
 * ext4_mount_msg_ratelimit), so that of a loop device the superblock's own time of the mount counts too (isSince).
 */
const RENEWED = [
  /^(loop\d+): detected capacity change from 0 to/,
  /^sd [\d:]+: \[(sd[a-z]+)\] Attached SCSI/,
] as const;

/** For journalctl's --grep: what every message that is looked for has in it, in small letters, which match any. */
export const FAULT_WORDS =
  'ext4-fs|jbd2|aborting journal|xfs \\(|btrfs|fat-fs|i/o error|critical (medium|target) error|detected capacity change|attached scsi';

/**
 * The faults in a log, in its order. Of a device that was mounted in the meantime only what came after that: loop devices
 * and removable disks hold one filesystem after another.
 */
export function kernelFaults(messages: readonly KernelMessage[]): KernelFault[] {
  let faults: KernelFault[] = [];
  for (const message of messages) {
    const mounted = firstMatch(MOUNTED, message.text);
    const renewed = firstMatch(RENEWED, message.text);
    // An error of the disk itself stays when it is mounted: it has not become another disk.
    if (mounted !== undefined)
      faults = faults.filter(({ device, sector }) => device !== mounted || sector !== undefined);
    // Of a disk the partitions, too.
    if (renewed !== undefined)
      faults = faults.filter(({ device }) => device.replace(/^(sd[a-z]+)\d+$/, '$1') !== renewed);
    const fault = parseFault(message);
    if (fault !== undefined) faults.push(fault);
  }
  return faults;
}

/**
 * Whether a fault may be of the filesystem that a loop device holds now, and not of one before it. Of other devices that
 * is never asked: they hold one filesystem, and a clock that was set since must not hide what went wrong on it.
 *
 * @param lastMount by the superblock, in whole seconds since 1970; 0 or undefined where it is not known
 * @param booted when this boot began, in seconds since 1970
 */
export function isSince(
  { device, uptime }: KernelFault,
  lastMount: number | undefined,
  booted: number,
): boolean {
  if (!lastMount || uptime === undefined || !/^loop\d+$/.test(device)) return true;
  return Math.floor(booted + uptime) >= lastMount;
}

function firstMatch(patterns: readonly RegExp[], text: string): string | undefined {
  for (const pattern of patterns) {
    const device = pattern.exec(text)?.[1];
    if (device !== undefined) return device;
  }
  return undefined;
}

/** One message as a fault; undefined when it is none. */
export function parseFault({ text, uptime }: KernelMessage): KernelFault | undefined {
  for (const { kind, pattern } of PATTERNS) {
    const groups = pattern.exec(text)?.groups;
    const device = groups?.['device'];
    if (groups === undefined || device === undefined) continue;
    const { inode, hexInode, block, sector, subvolume, path } = groups;
    const number = (digits: string | undefined, radix = 10): number | undefined => {
      const value = digits === undefined ? Number.NaN : Number.parseInt(digits, radix);
      return Number.isSafeInteger(value) ? value : undefined;
    };
    const numbers = {
      inode: number(inode) ?? number(hexInode, 16),
      // ext4 writes block 0 where it knows none.
      block: number(block) || undefined,
      sector: number(sector),
      subvolume: number(subvolume),
    };
    return {
      device,
      kind,
      text: text
        .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
        .trim()
        .slice(0, 500),
      uptime,
      ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined)),
      ...(path === undefined ? {} : { path }),
    };
  }
  return undefined;
}
