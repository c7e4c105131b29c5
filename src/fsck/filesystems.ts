/**
 * The face of this folder: which filesystems a system consists of, by the mount table, and what lies on each. Bind
 * mounts and subvolumes of one filesystem are one entry. Nothing here reads a device, except for a UUID that udev does
 * not tell.
 */
import { lstatSync } from 'node:fs';
import { DEFAULT_ADMINDIR } from '../dpkg/database.ts';
import type { FilesystemRole, Holding, Layer } from '../model/filesystem.ts';
import { pathToText } from '../model/path-text.ts';
import { type Bytes, compareBytes, fsPath } from '../system/bytes.ts';
import { type MountEntry, mountOf, readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { btrfsDevices, deviceNode, kernelName, layersBelow, uuidOf } from './devices.ts';
import { type OwnedPaths, ownedPaths } from './owned-paths.ts';
import { readUuid } from './uuid.ts';

/** debmend's own store (snapshot/store.ts, which this folder may not import). */
const STORE_DIRECTORY = '/var/lib/debmend';

/** One filesystem of a system, by the mount table. */
export interface MountedFilesystem {
  /** Inside the root: the most telling of its mount points, which is the shortest. */
  readonly mountPoint: Bytes;
  /** All of them inside the root; those that an overlay hides are paths of this host. */
  readonly mountPoints: readonly Bytes[];
  /** The same as paths of this host, in the same order. */
  readonly hostMountPoints: readonly Bytes[];
  /** The directory of the filesystem that each of them shows: `/`, or a bind mount's. */
  readonly subtrees: readonly Bytes[];
  /** The number of the btrfs subvolume that each of them shows. */
  readonly subvolumes: readonly (number | undefined)[];
  /** False when the root is only a directory of it: it is not this root's alone. */
  readonly whole: boolean;
  /** The mount point, inside the root, of the overlay that it lies under. */
  readonly under: Bytes | undefined;
  readonly role: FilesystemRole;
  readonly holds: readonly Holding[];
  readonly type: string;
  /** As the mount table has it. */
  readonly source: Bytes;
  /** `major:minor` in decimal. */
  readonly number: string;
  /** The kernel's name: `sda1`, `dm-0`; undefined where it is not known. */
  readonly device: string | undefined;
  /** A path of this host that leads to the device; undefined where there is none. */
  readonly node: Bytes | undefined;
  readonly uuid: string | undefined;
  /** The device and what is below it, down to the disks. */
  readonly layers: readonly Layer[];
  /** Of the mount and of the filesystem. */
  readonly options: readonly string[];
  /** Of the whole filesystem. */
  readonly superOptions: readonly string[];
  readonly readOnly: boolean;
  /** Why nobody can check it here; undefined when it lies on a block device of this machine. */
  readonly notApplicable: string | undefined;
}

export interface ListingOptions {
  /** Default: those that this process sees. */
  readonly mounts?: readonly MountEntry[];
  /** Default: of the root's dpkg database. */
  readonly owned?: OwnedPaths | undefined;
  /**
   * Nothing but /proc, /sys and /dev is looked at, for a filesystem may hang: what holds packages is not known then, and
   * the database and the store are taken to lie where they are called. Default: false.
   */
  readonly remote?: boolean;
}

/** Filesystems of the kernel's own, which hold no files of anybody. */
const PSEUDO =
  /^(?:proc|sysfs|devtmpfs|devpts|cgroup2?|mqueue|hugetlbfs|debugfs|tracefs|securityfs|pstore|bpf|configfs|efivarfs|autofs|binfmt_misc|rpc_pipefs|nsfs|fusectl|selinuxfs|binder|nfsd)$/;
const MEMORY = /^(?:tmpfs|ramfs|rootfs)$/;
const NETWORK = /^(?:nfs4?|cifs|smb3|smbfs|ceph|afs|ncpfs|glusterfs|ocfs2|gfs2|lustre|orangefs|pvfs2|9p)$/;
const MADE_ONCE = /^(?:squashfs|erofs|iso9660|udf|cramfs|romfs)$/;
const ROLE_ORDER: readonly FilesystemRole[] = ['root', 'usr', 'boot', 'efi', 'var', 'data'];

/**
 * The filesystems mounted at and below a root, without the kernel's own ones: the root's first, then by role and mount
 * point. There is always one for the root itself. Never throws.
 */
export function listFilesystems(root: Root, options: ListingOptions = {}): MountedFilesystem[] {
  const mounts = options.mounts ?? readMounts();
  const { remote = false } = options;
  const owned = remote ? undefined : (options.owned ?? ownedPaths(root));
  const groups = groupMounts(root, mounts);
  const holdings = findHoldings(root, groups, owned, remote);
  const listed = [...groups.values()].flatMap((group) => {
    const holds = holdings.get(group.number) ?? [];
    return PSEUDO.test(group.type) && holds.length === 0 ? [] : [describe(group, holds, remote)];
  });
  if (!listed.some(({ role }) => role === 'root')) listed.push(unseenRoot(root));
  const below = remote ? [] : underOverlays(root, listed, mounts);
  return [...listed, ...below].sort(
    (a, b) =>
      ROLE_ORDER.indexOf(a.role) - ROLE_ORDER.indexOf(b.role) ||
      Number(a.under !== undefined) - Number(b.under !== undefined) ||
      compareBytes(a.mountPoint, b.mountPoint),
  );
}

/** Whether debmend is there for what lies on it: a data disk without packages is somebody else's business. */
export function concernsSystem({ role, holds }: Pick<MountedFilesystem, 'role' | 'holds'>): boolean {
  return role !== 'data' || holds.length > 0;
}

/** The filesystem that a path inside the root lies on; undefined where none of them is that. */
export function filesystemOf(
  filesystems: readonly MountedFilesystem[],
  inside: Bytes,
): MountedFilesystem | undefined {
  let best: { readonly filesystem: MountedFilesystem; readonly length: number } | undefined;
  for (const filesystem of filesystems) {
    if (filesystem.under !== undefined) continue;
    for (const point of filesystem.mountPoints) {
      const holds = point === '/' || inside === point || inside.startsWith(`${point}/`);
      if (holds && point.length >= (best?.length ?? 0)) best = { filesystem, length: point.length };
    }
  }
  return best?.filesystem;
}

interface Group {
  readonly number: string;
  readonly type: string;
  readonly source: Bytes;
  readonly mounts: MountEntry[];
  /** Inside the root, in the order of `mounts`. */
  readonly points: Bytes[];
  readonly whole: boolean;
}

function groupMounts(root: Root, mounts: readonly MountEntry[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  const add = (mount: MountEntry, point: Bytes, whole: boolean): void => {
    const known = groups.get(mount.number);
    if (known === undefined) {
      const { number, type, source } = mount;
      groups.set(number, { number, type, source, mounts: [mount], points: [point], whole });
    } else if (!known.points.includes(point)) {
      known.mounts.push(mount);
      known.points.push(point);
    }
  };
  const own = mountOf(mounts, root.path);
  const ownEntry = mounts.find((mount) => mount === own);
  if (ownEntry !== undefined) add(ownEntry, '/', ownEntry.mountPoint === root.path);
  for (const mount of mounts) {
    const { mountPoint } = mount;
    if (mountPoint === root.path || !mountPoint.startsWith(`${root.prefix}/`)) continue;
    // What was mounted over is not to be seen.
    if (mountOf(mounts, mountPoint) === mount) add(mount, mountPoint.slice(root.prefix.length), true);
  }
  return groups;
}

function findHoldings(
  root: Root,
  groups: ReadonlyMap<string, Group>,
  owned: OwnedPaths | undefined,
  remote: boolean,
): Map<string, Holding[]> {
  const places = [...groups.values()].flatMap(({ number, points }) =>
    points.map((point) => ({ number, point })),
  );
  places.sort((a, b) => b.point.length - a.point.length);
  const numberOf = (inside: Bytes): string | undefined =>
    places.find(({ point }) => point === '/' || inside === point || inside.startsWith(`${point}/`))?.number;
  const found = new Map<string, Set<Holding>>();
  const hold = (inside: Bytes, what: Holding): void => {
    const number = numberOf(inside);
    if (number === undefined) return;
    const known = found.get(number);
    if (known === undefined) found.set(number, new Set([what]));
    else known.add(what);
  };
  if (owned !== undefined) {
    for (const directory of owned.directories()) hold(directory, 'packages');
    hold(resolved(root, owned.admindir.inside), 'database');
  }
  if (remote) hold(DEFAULT_ADMINDIR, 'database');
  hold(remote ? STORE_DIRECTORY : resolved(root, STORE_DIRECTORY), 'store');
  for (const { points } of groups.values())
    for (const point of points) if (/^\/(?:boot|efi)(?:\/|$)/.test(point)) hold(point, 'boot');
  const order: readonly Holding[] = ['packages', 'database', 'store', 'boot'];
  return new Map([...found].map(([number, set]) => [number, order.filter((one) => set.has(one))]));
}

function resolved(root: Root, path: Bytes): Bytes {
  const found = root.resolveDirectory(path);
  return found.kind === 'found' ? found.inside : path;
}

function describe(
  group: Group,
  holds: readonly Holding[],
  remote: boolean,
  under?: Bytes,
): MountedFilesystem {
  const { number, type, source, whole } = group;
  const order = group.points
    .map((point, at) => ({ point, mount: group.mounts[at] }))
    .sort((a, b) => a.point.length - b.point.length || compareBytes(a.point, b.point));
  const points = order.map(({ point }) => point);
  const first = order[0]?.mount;
  const device = kernelName(group);
  const node = device === undefined ? undefined : deviceNode(device, source);
  const known = device === undefined ? undefined : uuidOf(device);
  const uuid = known ?? (remote || node === undefined ? undefined : readUuid(node, type));
  const superOptions = (first?.superOptions ?? []).filter((option) => option !== '');
  const mountOptions = (first?.mountOptions ?? []).filter((option) => option !== '');
  return {
    mountPoint: points[0] ?? '/',
    mountPoints: points,
    hostMountPoints: order.flatMap(({ mount }) => mount?.mountPoint ?? []),
    subtrees: order.map(({ mount }) => mount?.subtree ?? '/'),
    subvolumes: order.map(({ mount }) => subvolumeOf(mount?.superOptions ?? [])),
    whole,
    under,
    role: roleOf(points[0] ?? '/'),
    holds,
    type,
    source,
    number,
    device,
    node,
    uuid,
    layers: layersOf(device, type, uuid),
    options: [...new Set([...mountOptions, ...superOptions])],
    superOptions,
    readOnly: superOptions.includes('ro') || group.mounts.every(({ mountOptions: of }) => of.includes('ro')),
    notApplicable: whyNot(type, device, node),
  };
}

/** `subvolid=256` of btrfs(5). */
function subvolumeOf(options: readonly string[]): number | undefined {
  const option = options.find((one) => one.startsWith('subvolid='));
  return option === undefined ? undefined : Number(option.slice('subvolid='.length));
}

function layersOf(device: string | undefined, type: string, uuid: string | undefined): Layer[] {
  if (device === undefined) return [];
  const others = type === 'btrfs' && uuid !== undefined ? btrfsDevices(uuid) : [];
  const found = new Map<string, Layer>();
  for (const one of new Set([device, ...others]))
    for (const layer of layersBelow(one)) found.set(layer.device, layer);
  return [...found.values()];
}

function roleOf(point: Bytes): FilesystemRole {
  if (point === '/') return 'root';
  if (/^\/(?:boot\/efi|efi)(?:\/|$)/.test(point)) return 'efi';
  if (/^\/boot(?:\/|$)/.test(point)) return 'boot';
  if (/^\/usr(?:\/|$)/.test(point)) return 'usr';
  return /^\/var(?:\/|$)/.test(point) ? 'var' : 'data';
}

/** Why a filesystem cannot be checked here, or undefined when it can. */
function whyNot(type: string, device: string | undefined, node: Bytes | undefined): string | undefined {
  if (type === 'overlay' || type === 'aufs')
    return 'an overlay has no disk of its own: what it is made of has to be checked';
  if (MEMORY.test(type)) return `${type} is kept in memory`;
  if (PSEUDO.test(type)) return `${type} is the kernel's own`;
  if (NETWORK.test(type)) return `${type} lies on another machine`;
  if (type === 'virtiofs') return 'virtiofs lies on the host of this machine';
  if (type === 'zfs') return 'zfs looks after itself: zpool status and zpool scrub';
  if (MADE_ONCE.test(type)) return `${type} is never written to`;
  if (node === undefined) {
    if (type.startsWith('fuse')) return `${type} is kept by a program`;
    return device === undefined
      ? 'there is no block device for it here, as in a container'
      : `its block device (${device}) is not in /dev here, as in a container`;
  }
  return undefined;
}

/** A root of which the mount table says nothing: in a chroot that is no mount point, or without /proc. */
function unseenRoot(root: Root): MountedFilesystem {
  return {
    mountPoint: '/',
    mountPoints: ['/'],
    hostMountPoints: [root.path],
    subtrees: ['/'],
    subvolumes: [undefined],
    whole: false,
    under: undefined,
    role: 'root',
    holds: [],
    type: 'unknown',
    source: 'none',
    number: '',
    device: undefined,
    node: undefined,
    uuid: undefined,
    layers: [],
    options: [],
    superOptions: [],
    readOnly: false,
    notApplicable: 'the mount table does not tell what it lies on, as in a chroot or a container',
  };
}

/** Where an overlay's directories can be seen from here, the filesystems that they lie on: what can be damaged. */
function underOverlays(
  root: Root,
  listed: readonly MountedFilesystem[],
  mounts: readonly MountEntry[],
): MountedFilesystem[] {
  const found = new Map<string, MountedFilesystem>();
  const known = new Set(listed.map(({ number }) => number));
  for (const overlay of listed) {
    if (overlay.type !== 'overlay' || !concernsSystem(overlay)) continue;
    for (const directory of overlayDirectories(overlay.superOptions)) {
      if (lstatSync(fsPath(directory), { throwIfNoEntry: false })?.isDirectory() !== true) continue;
      const below = mountOf(mounts, directory);
      const mount = mounts.find((one) => one === below);
      if (mount === undefined || known.has(mount.number) || found.has(mount.number)) continue;
      const { number, type, source, mountPoint } = mount;
      const group = { number, type, source, mounts: [mount], points: [mountPoint], whole: false };
      // Of another root than / its place is told as a path of this host, for it has none inside.
      const described = describe(group, overlay.holds, false, overlay.mountPoint);
      found.set(number, root.isHost ? described : { ...described, role: overlay.role });
    }
  }
  return [...found.values()];
}

/** The directories that an overlay's options name (Documentation/filesystems/overlayfs.rst), as paths of this host. */
export function overlayDirectories(options: readonly string[]): Bytes[] {
  return options.flatMap((option) => {
    const [name = '', value = ''] = option.split(/=(.*)/s);
    // A colon within a name is escaped there; one like that is left out rather than misread.
    if (name === 'lowerdir') return value.split(/:+/).filter((directory) => directory.startsWith('/'));
    if (/^(?:upperdir|lowerdir\+|datadir\+)$/.test(name) && value.startsWith('/')) return [value];
    return [];
  });
}

/** A filesystem as sentences name it: `the root filesystem / (ext4 on vda1)`. */
export function nameOf({ mountPoint, type, device, source }: MountedFilesystem): string {
  return `${pathToText(mountPoint)} (${type} on ${device ?? pathToText(source)})`;
}
