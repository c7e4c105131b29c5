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

/** Parses mountinfo; blanks, tabs, newlines and backslashes in names stand there as octal escapes. */
export function parseMountinfo(text: Bytes): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const [front, back] = line.split(' - ', 2);
    if (front === undefined || back === undefined) continue;
    const fields = front.split(' ');
    const [type = '', source = '', superOptions = ''] = back.split(' ');
    const mountPoint = fields[4];
    if (mountPoint === undefined) continue;
    mounts.push({
      mountPoint: unescapeOctal(mountPoint),
      type,
      source: unescapeOctal(source),
      options: [...(fields[5] ?? '').split(','), ...superOptions.split(',')],
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
export function readMounts(): Mount[] {
  try {
    return parseMountinfo(bytesOf(readFileSync('/proc/self/mountinfo')));
  } catch {
    return [];
  }
}
