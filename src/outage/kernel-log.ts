/**
 * The kernel's log of this boot: which filesystems had to be recovered, why the machine was reset, what failed.
 *
 *     ext4   EXT4-fs (sda1): INFO: recovery required on readonly filesystem
 *            EXT4-fs (sda1): recovery complete
 *            EXT4-fs (sda1): 3 orphan inodes deleted
 *     XFS    XFS (sda1): Starting recovery (logdev: internal)       an idle one says `Ending clean mount` after a cut, too
 *     btrfs  BTRFS info (device sda1): start tree-log replay
 *
 * With an fsck in the initramfs, Debian's standard, e2fsck replays the journal, and the kernel has nothing to say.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Evidence } from '../model/outage.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import type { KernelMessage } from '../system/kernel-log.ts';
import { deviceNumber } from '../system/locks.ts';
import { type Mount, readMounts } from '../system/mounts.ts';
import { evidence } from './evidence.ts';
import { DEVICE_ERROR } from './journal.ts';

/** journald opens its files within this time of a boot's beginning. */
const JOURNALD_SECONDS = 300;
/** Errors that are told. */
const MAX_ERRORS = 5;

/**
 * What these messages are evidence of.
 *
 * @param devices kernel names (`sda1`, `dm-0`) of the filesystems that belong to the system: a disk that someone plugs
 * in or an image that is mounted has had outages of its own
 */
export function kernelEvidence(
  messages: readonly KernelMessage[],
  devices: ReadonlySet<string>,
  boot: string | undefined,
  began: Date | undefined,
): Evidence[] {
  const found: Evidence[] = [];
  let errors = 0;
  for (const { uptime, text } of messages) {
    const kind = kindOf(text, devices);
    if (kind === undefined) continue;
    // A journald that is killed in mid-boot leaves files open as well.
    if (kind === 'journal-renamed' && (uptime ?? 0) > JOURNALD_SECONDS) continue;
    if (kind === 'io-error') errors += 1;
    if (kind === 'io-error' && errors > MAX_ERRORS) continue;
    const at =
      began === undefined || uptime === undefined ? undefined : new Date(began.getTime() + uptime * 1000);
    found.push(evidence(kind, 'kernel log', `the kernel said: ${printable(text)}`, { at, uptime, boot }));
  }
  return found;
}

/** For journalctl's --grep: what a message that kindOf() takes has in it, small letters match great ones too. */
export const KERNEL_WORDS =
  'recovery|orphan inode|tree-log replay|system reset reason|i/o error|ext4-fs error';

type KernelKind =
  | 'filesystem-recovered'
  | 'filesystem-orphans'
  | 'reset-reason'
  | 'journal-renamed'
  | 'io-error';

const RECOVERED = [
  /^EXT4-fs \(([^)]+)\): (?:INFO: )?recovery (?:complete|required)/,
  /^XFS \(([^)]+)\): (?:Starting|Ending) recovery/,
  /^BTRFS:?(?: info)? \(?device ([^\s):]+).*start tree-log replay/,
] as const;
const ORPHANS = /^EXT4-fs \(([^)]+)\): \d+ orphan inodes? deleted/;

function kindOf(text: string, devices: ReadonlySet<string>): KernelKind | undefined {
  for (const pattern of RECOVERED) {
    const device = pattern.exec(text)?.[1];
    if (device !== undefined) return devices.has(device) ? 'filesystem-recovered' : undefined;
  }
  const orphans = ORPHANS.exec(text)?.[1];
  if (orphans !== undefined) return devices.has(orphans) ? 'filesystem-orphans' : undefined;
  if (/Previous system reset reason/.test(text)) return 'reset-reason';
  if (/systemd-journald\[\d+\]: File .* corrupted or uncleanly shut down, renaming and replacing/.test(text))
    return 'journal-renamed';
  // Images in files are mounted for tests and builds: no disk of this machine.
  return DEVICE_ERROR.test(text) && !/\bloop\d/.test(text) ? 'io-error' : undefined;
}

/** Where filesystems that belong to the system are mounted. */
const SYSTEM = /^\/(?:$|(?:usr|etc|var|boot|home|root|opt|srv)(?:\/|$))/;

/** Kernel names of the block devices below the filesystems of the running system. Never throws. */
export function systemDevices(mounts: readonly Mount[] = readMounts()): Set<string> {
  const names = new Set<string>();
  for (const { mountPoint, source } of mounts) {
    if (!SYSTEM.test(mountPoint)) continue;
    const name = source.startsWith('/dev/') ? deviceName(source, mountPoint) : undefined;
    if (name !== undefined) names.add(name);
  }
  return names;
}

function deviceName(source: Bytes, mountPoint: Bytes): string | undefined {
  try {
    return basename(realpathSync(fsPath(source)));
  } catch {
    // /dev/root has no node: the filesystem's own device number tells.
    try {
      const { major, minor } = deviceNumber(statSync(fsPath(mountPoint), { bigint: true }).dev);
      const uevent = bytesOf(readFileSync(`/sys/dev/block/${major}:${minor}/uevent`));
      return /^DEVNAME=(.*)$/m.exec(uevent)?.[1];
    } catch {
      return undefined;
    }
  }
}

function printable(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
