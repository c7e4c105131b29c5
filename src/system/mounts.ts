/** The mount table, to name the device behind a path (proc_pid_mountinfo(5)). */
import { readFileSync } from 'node:fs';
import { type Bytes, bytesOf } from './bytes.ts';

export interface Mount {
  /** Where it is mounted, as a path of this host. */
  readonly mountPoint: Bytes;
  readonly type: string;
  /** The device or other source. */
  readonly source: Bytes;
  readonly options: readonly string[];
}

/** All that a line of mountinfo says of a mount. */
export interface MountEntry extends Mount {
  /** The filesystem's device number, `major:minor` in decimal; one without a block device has major 0. */
  readonly number: string;
  /** The directory of the filesystem that is to be seen there: `/`, a bind mount's directory, a btrfs subvolume. */
  readonly subtree: Bytes;
  /** What holds for this mount alone: `ro` here is somebody's wish. */
  readonly mountOptions: readonly string[];
  /** What holds for the whole filesystem: `ro` here may be the kernel's own doing. */
  readonly superOptions: readonly string[];
}

/** Parses mountinfo; blanks, tabs, newlines and backslashes in names stand there as octal escapes. */
export function parseMountinfo(text: Bytes): MountEntry[] {
  const mounts: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [front, back] = line.split(' - ', 2);
    if (front === undefined || back === undefined) continue;
    const fields = front.split(' ');
    const [type = '', source = '', last = ''] = back.split(' ');
    const [, , number = '', subtree = '/', mountPoint, options = ''] = fields;
    if (mountPoint === undefined) continue;
    // overlay names its directories there, and those may hold escapes, too
    const [mountOptions, superOptions] = [options.split(','), unescapeOctal(last).split(',')];
    mounts.push({
      mountPoint: unescapeOctal(mountPoint),
      type,
      source: unescapeOctal(source),
      options: [...mountOptions, ...superOptions],
      number,
      subtree: unescapeOctal(subtree),
      mountOptions,
      superOptions,
    });
  }
  return mounts;
}

function unescapeOctal(field: Bytes): Bytes {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
}

/** The mount that a path of this host lies on: the deepest, and of those the one mounted last. */
export function mountOf(mounts: readonly Mount[], host: Bytes): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    const point = mount.mountPoint;
    const inside = point === '/' || host === point || host.startsWith(`${point}/`);
    if (inside && (best === undefined || point.length >= best.mountPoint.length)) best = mount;
  }
  return best;
}

/** The mounts that this process sees; none where /proc is not there. */
export function readMounts(): MountEntry[] {
  try {
    return parseMountinfo(bytesOf(readFileSync('/proc/self/mountinfo')));
  } catch {
    return [];
  }
}
