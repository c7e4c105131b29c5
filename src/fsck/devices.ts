/**
 * Block devices as the kernel has them (Documentation/ABI/testing/sysfs-block, sysfs-devices-mapping): what a mount's
 * device is called, and what lies below it. Nothing is opened; without /sys little is known, and nothing fails.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Layer } from '../model/filesystem.ts';
import { bytesToText } from '../model/path-text.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { deviceNumber } from '../system/locks.ts';

const CLASS = '/sys/class/block';
const BY_UUID = '/dev/disk/by-uuid';
/** The device mapper nests; a loop of devices cannot be made, but a broken /sys should not hang anything. */
const MAX_LAYERS = 32;

/** What names a filesystem's device. */
export interface DeviceHint {
  /** `major:minor` in decimal. */
  readonly number: string;
  readonly source: Bytes;
}

/** The kernel's name of a mount's device (`sda1`, `dm-0`); undefined where there is none. Never throws. */
export function kernelName({ number, source }: DeviceHint): string | undefined {
  // Major 0 is what filesystems without one device have: btrfs, and all that have none.
  if (!number.startsWith('0:') && number !== '') {
    const link = linkOf(`/sys/dev/block/${number}`);
    if (link !== undefined) return basename(link);
  }
  if (!source.startsWith('/dev/')) return undefined;
  try {
    const stat = statSync(fsPath(source), { bigint: true });
    if (!stat.isBlockDevice()) return undefined;
    const { major, minor } = deviceNumber(stat.rdev);
    const link = linkOf(`/sys/dev/block/${major}:${minor}`);
    if (link !== undefined) return basename(link);
    // /dev/mapper/… and /dev/disk/by-…/… are links to the kernel's own name.
    return bytesToText(basename(bytesOf(realpathSync(fsPath(source), { encoding: 'buffer' }))));
  } catch {
    return undefined; // /dev/root, or a container whose /dev lacks the device
  }
}

/** A node under /dev that leads to a device of this name; undefined where there is none. */
export function deviceNode(device: string, source: Bytes): Bytes | undefined {
  return [source, `/dev/${devicePath(device)}`].find((node) => {
    try {
      if (!node.startsWith('/dev/')) return false;
      return statSync(fsPath(node)).isBlockDevice() && sameDevice(node, device);
    } catch {
      return false;
    }
  });
}

/** sysfs writes a slash in a device's name as an exclamation mark (`cciss!c0d0`). */
function devicePath(device: string): string {
  return device.replaceAll('!', '/');
}

/** A node may be left from another device that had its numbers elsewhere: what does not agree is not believed. */
function sameDevice(node: Bytes, device: string): boolean {
  const number = textOf(`${CLASS}/${device}/dev`)?.trim();
  if (number === undefined) return true;
  const { major, minor } = deviceNumber(statSync(fsPath(node), { bigint: true }).rdev);
  return number === `${major}:${minor}`;
}

/** The UUID that udev found on a device, without reading it; of btrfs every device has the filesystem's. */
export function uuidOf(device: string): string | undefined {
  for (const uuid of namesIn(BY_UUID)) {
    const link = linkOf(`${BY_UUID}/${uuid}`);
    if (link !== undefined && basename(link) === device) return uuid;
  }
  return undefined;
}

/** A device and what is below it, down to the disks; each once. Never throws. */
export function layersBelow(device: string): Layer[] {
  const found = new Map<string, Layer>();
  const pending = [device];
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (found.has(name) || found.size >= MAX_LAYERS) continue;
    const layer = describe(name);
    found.set(name, layer);
    pending.push(...namesIn(`${CLASS}/${name}/slaves`).sort());
    if (layer.kind === 'partition') {
      // A partition's directory lies in its disk's.
      const link = linkOf(`${CLASS}/${name}`);
      const disk = link === undefined ? undefined : basename(link.slice(0, link.lastIndexOf('/')));
      if (disk !== undefined) pending.push(disk);
    }
  }
  return [...found.values()];
}

function describe(device: string): Layer {
  const at = `${CLASS}/${device}`;
  const mapped = textOf(`${at}/dm/uuid`)?.trim();
  if (mapped !== undefined) {
    const name = textOf(`${at}/dm/name`)?.trim();
    // The beginning of the uuid names who made it (drivers/md/dm-ioctl.c leaves that to user space).
    const kind = mapped.startsWith('LVM-')
      ? 'lvm'
      : mapped.startsWith('CRYPT-')
        ? 'dm-crypt'
        : 'device-mapper';
    return { device, kind, ...(name === undefined || name === '' ? {} : { name }) };
  }
  if (exists(`${at}/md`)) {
    const level = textOf(`${at}/md/level`)?.trim();
    return { device, kind: 'md', ...(level === undefined || level === '' ? {} : { name: level }) };
  }
  if (exists(`${at}/partition`)) return { device, kind: 'partition' };
  if (device.startsWith('loop')) {
    const file = textOf(`${at}/loop/backing_file`)?.trimEnd();
    return { device, kind: 'loop', ...(file === undefined ? {} : { name: bytesToText(file) }) };
  }
  return { device, kind: exists(at) ? 'disk' : 'other' };
}

/** The sectors (512 bytes) of its disk that a partition takes: errors of a disk come with the disk's sector. */
export function sectorsOf(device: string): { readonly start: number; readonly end: number } | undefined {
  const start = Number(textOf(`${CLASS}/${device}/start`)?.trim() || Number.NaN);
  const size = Number(textOf(`${CLASS}/${device}/size`)?.trim() || Number.NaN);
  return Number.isFinite(start) && Number.isFinite(size) ? { start, end: start + size } : undefined;
}

/** Every device of a btrfs, by the kernel's names (fs/btrfs/sysfs.c); none where that cannot be seen. */
export function btrfsDevices(uuid: string): string[] {
  return namesIn(`/sys/fs/btrfs/${uuid}/devices`).sort();
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function textOf(path: string): string | undefined {
  try {
    return bytesOf(readFileSync(path));
  } catch {
    return undefined;
  }
}
