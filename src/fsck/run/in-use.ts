/**
 * Whether anybody uses a filesystem. A check of one that is mounted reports damage that is none (e2fsck -fn even with
 * exit code 0), and a repair destroys it. So everything is asked that could know:
 *
 *   mounts     of every mount namespace that can be seen, by device number and by source
 *   holders    what the kernel stacks on the device: device mapper, md, bcache (sysfs)
 *   loops      devices that have the image behind them
 *   btrfs      the devices of mounted ones, of which the mount table names only one
 *   swap       /proc/swaps
 *   writers    processes that have it open for writing: a virtual machine, another fsck
 *   O_EXCL     the kernel's own answer for a block device
 */
import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { pathToText } from '../../model/path-text.ts';
import { type Bytes, bytesOf, fsPath } from '../../system/bytes.ts';
import { DebmendError, errnoOf } from '../../system/errors.ts';
import { deviceNumber } from '../../system/locks.ts';
import { type MountEntry, parseMountinfo } from '../../system/mounts.ts';
import type { Target } from './target.ts';

/** @throws DebmendError `filesystem-in-use`, which says by whom */
export async function refuseWhileUsed(target: Target, doing: string): Promise<void> {
  await loopsFreed(target);
  const use = useOf(target);
  if (use === undefined) return;
  throw new DebmendError('filesystem-in-use', `${doing} ${pathToText(target.node)}: ${use.how}`, use.hint);
}

/** How long the kernel may take to give up a loop device whose last mount is gone, in milliseconds. */
const PATIENCE_MS = 5000;
const STEP_MS = 20;

/** Waits until loop devices that free themselves with their last mount have done so. */
export async function loopsFreed(target: Target): Promise<void> {
  for (let waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
    const leaving = loopsOn(target).some(
      ({ name, number }) =>
        textOf(`/sys/block/${name}/loop/autoclear`)?.trim() === '1' && mountedAnywhere(number) === undefined,
    );
    if (!leaving) return;
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}

interface Use {
  readonly how: string;
  readonly hint: string;
}

const UNMOUNT =
  "unmount it first; one that the system runs from is checked at the next start ('debmend fsck schedule'), or from a rescue system";

/** Who uses it; undefined when nobody is known to. Never throws. */
export function useOf(target: Target): Use | undefined {
  return target.kind === 'device' ? useOfDevice(target, target.number) : useOfImage(target);
}

function useOfDevice(target: Target, number: string): Use | undefined {
  const mount = mountedAnywhere(number);
  if (mount !== undefined)
    return { how: `it is mounted on ${pathToText(mount.mountPoint)}${mount.where}`, hint: UNMOUNT };
  const holders = namesIn(`/sys/dev/block/${number}/holders`);
  if (holders.length > 0)
    return {
      how: `${holders.join(', ')} is made of it`,
      hint: `check the filesystem on /dev/${holders[0] ?? ''} instead, or take that apart first`,
    };
  if (isSwap(number)) return { how: 'it is swapped to', hint: 'swapoff it first' };
  const loop = useByLoop(target);
  if (loop !== undefined) return loop;
  const other = mountedBtrfs(number);
  if (other !== undefined) return { how: `it is a device of the mounted btrfs ${other}`, hint: UNMOUNT };
  const writer = writerOf(({ rdev, isBlock }) => isBlock && numberOf(rdev) === number);
  if (writer !== undefined) return writer;
  return exclusively(target.node)
    ? undefined
    : { how: 'the kernel says that it is in use (EBUSY)', hint: UNMOUNT };
}

function useOfImage(target: Target): Use | undefined {
  return (
    useByLoop(target) ?? writerOf(({ dev, ino }) => ino === target.inode && numberOf(dev) === target.number)
  );
}

function useByLoop(target: Target): Use | undefined {
  for (const { name, number } of loopsOn(target)) {
    const mount = mountedAnywhere(number);
    return mount === undefined
      ? {
          how: `/dev/${name} has it behind itself`,
          hint: `name /dev/${name} instead, or detach it: losetup -d /dev/${name}`,
        }
      : { how: `it is mounted on ${pathToText(mount.mountPoint)}${mount.where}`, hint: UNMOUNT };
  }
  return undefined;
}

/** Loop devices behind which the target is. */
function loopsOn(target: Target): { readonly name: string; readonly number: string }[] {
  return namesIn('/sys/block').flatMap((name) => {
    const file = name.startsWith('loop') ? textOf(`/sys/block/${name}/loop/backing_file`) : undefined;
    if (file === undefined || !isSame(file.replace(/\n$/, ''), target)) return [];
    return [{ name, number: textOf(`/sys/block/${name}/dev`)?.trim() ?? '' }];
  });
}

/** A mount of the device in any namespace whose processes can be looked at. */
function mountedAnywhere(number: string): { mountPoint: Bytes; where: string } | undefined {
  if (number === '') return undefined;
  const seen = new Set<string>();
  const own = linkOf('/proc/self/ns/mnt');
  for (const pid of ['self', ...processes()]) {
    const namespace = linkOf(`/proc/${pid}/ns/mnt`);
    if (namespace === undefined || seen.has(namespace)) continue;
    seen.add(namespace);
    const text = textOf(`/proc/${pid}/mountinfo`);
    const mount = text === undefined ? undefined : parseMountinfo(text).find((one) => isOf(one, number));
    if (mount === undefined) continue;
    const where = namespace === own ? '' : `, as process ${pid} sees it in a mount namespace of its own`;
    return { mountPoint: mount.mountPoint, where };
  }
  return undefined;
}

/** btrfs has a number of its own, and names its device as the source only. */
function isOf(mount: MountEntry, number: string): boolean {
  if (mount.number === number) return true;
  if (!mount.number.startsWith('0:') || !mount.source.startsWith('/dev/')) return false;
  try {
    const stat = statSync(fsPath(mount.source), { bigint: true });
    return stat.isBlockDevice() && numberOf(stat.rdev) === number;
  } catch {
    return false;
  }
}

/** The UUID of a mounted btrfs that has this device among its own (fs/btrfs/sysfs.c). */
function mountedBtrfs(number: string): string | undefined {
  return namesIn('/sys/fs/btrfs').find((uuid) =>
    namesIn(`/sys/fs/btrfs/${uuid}/devices`).some(
      (device) => textOf(`/sys/class/block/${device}/dev`)?.trim() === number,
    ),
  );
}

function isSwap(number: string): boolean {
  return (textOf('/proc/swaps') ?? '')
    .split('\n')
    .slice(1)
    .some((line) => {
      try {
        const stat = statSync(line.split(/\s+/)[0] ?? '', { bigint: true });
        return stat.isBlockDevice() && numberOf(stat.rdev) === number;
      } catch {
        return false;
      }
    });
}

interface Opened {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly rdev: bigint;
  readonly isBlock: boolean;
}

/** Another process that has it open for writing. */
function writerOf(isIt: (opened: Opened) => boolean): Use | undefined {
  for (const pid of processes()) {
    if (pid === String(process.pid)) continue;
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      try {
        const stat = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
        const { dev, ino, rdev } = stat;
        if (!stat.isFile() && !stat.isBlockDevice()) continue;
        if (!isIt({ dev, ino, rdev, isBlock: stat.isBlockDevice() }) || !isForWriting(pid, fd)) continue;
        const name = textOf(`/proc/${pid}/comm`)?.trim();
        return {
          how: `process ${pid}${name === undefined ? '' : ` (${name})`} has it open for writing`,
          hint: 'end that process, or shut the virtual machine down, first',
        };
      } catch {
        // It was closed meanwhile.
      }
    }
  }
  return undefined;
}

/** proc_pid_fdinfo(5): `flags` is octal; the lowest two bits are O_RDONLY, O_WRONLY or O_RDWR. */
function isForWriting(pid: string, fd: string): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(textOf(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== constants.O_RDONLY;
}

/** open(2): O_EXCL without O_CREAT on a block device fails with EBUSY while the system uses it. */
function exclusively(node: Bytes): boolean {
  try {
    closeSync(openSync(fsPath(node), constants.O_RDONLY | constants.O_EXCL));
    return true;
  } catch (error) {
    return errnoOf(error) !== 'EBUSY';
  }
}

function isSame(file: Bytes, target: Target): boolean {
  try {
    const stat = statSync(fsPath(file), { bigint: true });
    if (target.kind === 'device') return stat.isBlockDevice() && numberOf(stat.rdev) === target.number;
    return stat.ino === target.inode && numberOf(stat.dev) === target.number;
  } catch {
    return false;
  }
}

function numberOf(dev: bigint): string {
  const { major, minor } = deviceNumber(dev);
  return `${major}:${minor}`;
}

function processes(): string[] {
  return namesIn('/proc').filter((name) => /^\d+$/.test(name));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function textOf(path: string): Bytes | undefined {
  try {
    return bytesOf(readFileSync(path));
  } catch {
    return undefined;
  }
}
