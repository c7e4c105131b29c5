/**
 * What an inode or a block that an error names belongs to: a path, and the package that owns it. What is told is whose it
 * is now; the error may be older than that.
 *
 *   block ──icheck──► inode ──ncheck──► path in the filesystem ──mount point──► path in the root ──lists──► package
 *
 * Other types are asked by looking at every path that packages own there: an inode is compared, and a path that cannot be
 * looked at for an error of the device is one that was hit, whatever its number.
 */
import { lstatSync } from 'node:fs';
import { type Bytes, bufferOf, fsPath } from '../../system/bytes.ts';
import { errnoOf, isDeviceErrno } from '../../system/errors.ts';
import type { Root } from '../../system/root.ts';
import { run } from '../../system/run.ts';
import { filesystemOf, type MountedFilesystem } from '../filesystems.ts';
import { ROOT_INODE } from '../ncheck.ts';
import type { OwnedPaths, Owner } from '../owned-paths.ts';
import { inodesOfBlocks, pathsOfInodes } from './debugfs.ts';

/** For the look at all paths of packages: 100,000 take half a second; a failing disk can take seconds for each. */
const SCAN_MS = 10_000;
/** Paths that are named for being unreadable. */
const MOST_UNREADABLE = 50;
const RESOLVE_MS = 10_000;

/** What an error names. */
export interface Clue {
  readonly inode?: number | undefined;
  readonly block?: number | undefined;
  readonly subvolume?: number | undefined;
  /** A path beneath the filesystem's own root or a subvolume. */
  readonly path?: Bytes | undefined;
}

export interface Place {
  /** Inside the root. */
  readonly path: Bytes;
  /** Of a directory everybody who has something in it. */
  readonly owners: readonly Owner[];
}

export interface Places<C extends Clue> {
  readonly found: ReadonlyMap<C, Place>;
  /** Paths of packages that could not be looked at for an error of the device, and the errno. */
  readonly unreadable: readonly (Place & { readonly errno: string })[];
  readonly unread: readonly string[];
}

export interface PlaceQuery<C extends Clue> {
  readonly root: Root;
  readonly filesystem: MountedFilesystem;
  readonly filesystems: readonly MountedFilesystem[];
  readonly owned: OwnedPaths | undefined;
  readonly clues: readonly C[];
  /** Whether the mounted filesystem may be looked at: an error that is met there may turn it read-only, or worse. */
  readonly mayLook: boolean;
}

/** Never throws. */
export async function findPlaces<C extends Clue>(query: PlaceQuery<C>): Promise<Places<C>> {
  const { filesystem, clues } = query;
  const named = new Map<C, Bytes>();
  const unread: string[] = [];
  for (const clue of clues) {
    const inside = clue.path === undefined ? undefined : insidePath(query, `/${clue.path}`, clue.subvolume);
    if (inside !== undefined) named.set(clue, inside);
  }
  const open = clues.filter((clue) => !named.has(clue));
  let unreadable: { path: Bytes; errno: string }[] = [];
  if (/^ext[234]$/.test(filesystem.type)) {
    unread.push(...(await askDebugfs(query, open, named)));
  } else if (query.mayLook && query.owned !== undefined) {
    const scan = look(query, query.owned, open, named);
    unreadable = scan.unreadable;
    unread.push(...scan.unread);
    if (filesystem.type === 'btrfs') await askBtrfs(query, open, named);
  }
  const owners = ownersOf(query.owned, [...named.values(), ...unreadable.map(({ path }) => path)]);
  return {
    found: new Map([...named].map(([clue, path]) => [clue, { path, owners: owners.get(path) ?? [] }])),
    unreadable: unreadable.map((one) => ({ ...one, owners: owners.get(one.path) ?? [] })),
    unread,
  };
}

async function askDebugfs<C extends Clue>(
  query: PlaceQuery<C>,
  clues: readonly C[],
  named: Map<C, Bytes>,
): Promise<string[]> {
  const { node } = query.filesystem;
  if (node === undefined || clues.length === 0) return [];
  const problems: string[] = [];
  const blocks = clues.flatMap(({ inode, block }) =>
    inode === undefined && block !== undefined ? block : [],
  );
  const ofBlocks = await inodesOfBlocks(node, [...new Set(blocks)]);
  if (ofBlocks.problem !== undefined) problems.push(`the inodes of blocks: ${ofBlocks.problem}`);
  const inodeOf = ({ inode, block }: C): number | undefined =>
    inode ?? (block === undefined ? undefined : ofBlocks.found.get(block));
  const inodes = clues.flatMap((clue) => inodeOf(clue) ?? []).filter((inode) => inode !== ROOT_INODE);
  const paths = await pathsOfInodes(node, [...new Set(inodes)]);
  if (paths.problem !== undefined) problems.push(`the paths of inodes: ${paths.problem}`);
  for (const clue of clues) {
    const inode = inodeOf(clue) ?? -1;
    const path = inode === ROOT_INODE ? '/' : paths.found.get(inode);
    const inside = path === undefined ? undefined : insidePath(query, path, undefined);
    if (inside !== undefined) named.set(clue, inside);
  }
  return problems;
}

/** Looks at every path that packages own on this filesystem. */
function look<C extends Clue>(
  { root, filesystem, filesystems, filesystem: { subvolumes, mountPoints } }: PlaceQuery<C>,
  owned: OwnedPaths,
  clues: readonly C[],
  named: Map<C, Bytes>,
): { readonly unreadable: { path: Bytes; errno: string }[]; readonly unread: string[] } {
  const wanted = Map.groupBy(
    clues.filter(({ inode }) => inode !== undefined),
    ({ inode }) => inode,
  );
  const unreadable: { path: Bytes; errno: string }[] = [];
  const end = performance.now() + SCAN_MS;
  const seen = new Set<Bytes>();
  let late = false;
  owned.each((path) => {
    if (late || seen.has(path)) return;
    seen.add(path);
    if (seen.size % 64 === 0) late = performance.now() > end;
    if (filesystemOf(filesystems, path) !== filesystem) return;
    try {
      const { ino } = lstatSync(fsPath(root.hostPath(path)));
      for (const clue of wanted.get(ino) ?? []) {
        // Every subvolume of a btrfs numbers its inodes anew.
        const at = mountPoints.findLastIndex((point) => point === '/' || path.startsWith(`${point}/`));
        const subvolume = subvolumes[at];
        if (clue.subvolume !== undefined && subvolume !== undefined && clue.subvolume !== subvolume) continue;
        if (!named.has(clue)) named.set(clue, path);
      }
    } catch (error) {
      const errno = errnoOf(error) ?? 'EIO';
      if (isDeviceErrno(errno) && unreadable.length < MOST_UNREADABLE) unreadable.push({ path, errno });
    }
  });
  return {
    unreadable,
    unread: late ? [`looking at the paths of packages took longer than ${SCAN_MS / 1000} s`] : [],
  };
}

/** For files of no package: btrfs itself knows the names of an inode of a mounted subvolume. */
async function askBtrfs<C extends Clue>(
  query: PlaceQuery<C>,
  clues: readonly C[],
  named: Map<C, Bytes>,
): Promise<void> {
  const { hostMountPoints, subvolumes } = query.filesystem;
  for (const clue of clues) {
    if (named.has(clue) || clue.inode === undefined) continue;
    const at = subvolumes.findIndex((one) => clue.subvolume === undefined || one === clue.subvolume);
    const point = hostMountPoints[at];
    if (point === undefined) continue;
    const args = ['inspect-internal', 'inode-resolve', String(clue.inode), bufferOf(point).toString('utf8')];
    const result = await run('btrfs', args, { timeout: RESOLVE_MS });
    const host = result.code === 0 ? result.stdout.toString('latin1').split('\n')[0] : undefined;
    const inside = host?.startsWith('/') ? stripRoot(query.root, host) : undefined;
    if (inside !== undefined) named.set(clue, inside);
  }
}

/** A path from the filesystem's own root as it is called inside the root: by the mount that shows most of its way. */
function insidePath<C extends Clue>(
  { root, filesystem }: PlaceQuery<C>,
  path: Bytes,
  subvolume: number | undefined,
): Bytes | undefined {
  const { subtrees, subvolumes, hostMountPoints } = filesystem;
  let best: { readonly host: Bytes; readonly length: number } | undefined;
  for (const [at, point] of hostMountPoints.entries()) {
    // A path of a subvolume begins at that, wherever it lies in the filesystem.
    const own = subvolume === undefined ? undefined : subvolumes[at];
    if (own !== undefined && own !== subvolume) continue;
    const from = own === undefined ? (subtrees[at] ?? '/') : '/';
    if (from !== '/' && path !== from && !path.startsWith(`${from}/`)) continue;
    const rest = from === '/' ? path : path.slice(from.length);
    const host = `${point === '/' ? '' : point}${rest === '/' ? '' : rest}` || '/';
    if (best === undefined || from.length > best.length) best = { host, length: from.length };
  }
  return best === undefined ? undefined : stripRoot(root, best.host);
}

function stripRoot(root: Root, host: Bytes): Bytes | undefined {
  if (root.isHost) return host;
  if (host === root.path) return '/';
  return host.startsWith(`${root.prefix}/`) ? host.slice(root.prefix.length) : undefined;
}

/** Of a directory that hundreds of packages put something into so many are named. */
const MOST_OWNERS = 10;

function ownersOf(owned: OwnedPaths | undefined, paths: readonly Bytes[]): Map<Bytes, Owner[]> {
  if (owned === undefined || paths.length === 0) return new Map();
  const wanted = new Set(paths);
  const stems = new Map<Bytes, Set<Bytes>>();
  owned.each((path, stem) => {
    if (!wanted.has(path)) return;
    const known = stems.get(path);
    if (known === undefined) stems.set(path, new Set([stem]));
    else known.add(stem);
  });
  return new Map(
    [...stems].map(([path, set]) => [path, [...set].slice(0, MOST_OWNERS).map((stem) => owned.owner(stem))]),
  );
}
