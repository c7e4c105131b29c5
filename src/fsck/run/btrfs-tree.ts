/**
 * Names on a btrfs that is not mounted, from `btrfs inspect-internal dump-tree`. Two passes over its output, which may be
 * long, so nothing is kept of it but what is asked for:
 *
 *   first    which inodes the bad blocks of data belong to (the extent tree's back references), and which keys stood in
 *            the bad blocks of trees (the nodes above them tell where each begins)
 *   second   names of those inodes and of all directories, from INODE_REF as well as from DIR_INDEX: of a lost leaf the
 *            other side still tells
 */
import type { Bytes } from '../../system/bytes.ts';
import type { CheckContext } from './outcome.ts';
import { runTool } from './program.ts';

/** The tree of the top-level subvolume, and the first inode of every subvolume (btrfs_tree.h). */
const FS_TREE = '5';
const ROOT_INODE = '256';
/** Inodes that one lost leaf can have held; a node's range without an end is cut here. */
const MAX_RANGE = 10_000;

export interface NamedInode {
  /** `tree/inode`. */
  readonly inode: string;
  /** From the top of the filesystem, subvolumes included; undefined where no name is left. */
  readonly path: Bytes | undefined;
  readonly isDirectory: boolean;
}

export interface Asked {
  /** `tree/inode`. */
  readonly inodes: readonly string[];
  /** Logical addresses within data. */
  readonly data: readonly string[];
  /** Logical addresses of blocks of trees. */
  readonly blocks: readonly string[];
}

interface Found {
  readonly inodes: Set<string>;
  /** Ranges of inodes [from, to) whose items stood in a lost leaf. */
  readonly ranges: {
    readonly tree: string;
    readonly from: bigint;
    readonly to: bigint;
    readonly block: string;
  }[];
}

export interface BtrfsNames {
  readonly named: readonly NamedInode[];
  /** Which inodes each address of data belongs to. */
  readonly byData: ReadonlyMap<string, readonly string[]>;
}

/** Asks the filesystem's trees; what cannot be read of them any more is left out. */
export async function nameBtrfsInodes(context: CheckContext, asked: Asked): Promise<BtrfsNames> {
  const byData = new Map<string, string[]>();
  const found: Found = { inodes: new Set(asked.inodes), ranges: [] };
  const names = new Map<string, Names>();
  if (asked.data.length > 0) await findOwners(context, asked.data, byData);
  for (const inodes of byData.values()) for (const inode of inodes) found.inodes.add(inode);
  const subvolumes = await readSubvolumes(context);
  if (asked.blocks.length > 0)
    for (const tree of [FS_TREE, ...subvolumes.keys()]) await findRanges(context, tree, asked.blocks, found);
  const trees = new Set([...found.inodes].map((inode) => inode.split('/')[0] ?? ''));
  for (const { tree } of found.ranges) trees.add(tree);
  // A subvolume's own place is told by the tree above it.
  for (let tree of trees)
    for (let up = subvolumes.get(tree); up !== undefined; up = subvolumes.get(tree)) {
      if (trees.has(up.parent)) break;
      trees.add(up.parent);
      tree = up.parent;
    }
  for (const tree of trees) if (tree !== '') names.set(tree, await readNames(context, tree, found));
  const pathOf = (tree: string, inode: string, depth = 0): Bytes | undefined => {
    if (depth > 4096) return undefined; // a loop
    if (inode === ROOT_INODE) {
      if (tree === FS_TREE) return '';
      const place = subvolumes.get(tree);
      if (place === undefined) return undefined;
      const above = pathOf(place.parent, place.directory, depth + 1);
      return above === undefined ? undefined : `${above}/${place.name}`;
    }
    const name = names.get(tree)?.get(inode);
    if (name === undefined) return undefined;
    const above = pathOf(tree, name.directory, depth + 1);
    return above === undefined ? undefined : `${above}/${name.name}`;
  };
  const wanted = new Set(found.inodes);
  for (const [tree, known] of names)
    for (const inode of known.keys()) if (isInRange(found, tree, inode)) wanted.add(`${tree}/${inode}`);
  const named = [...wanted].map((key): NamedInode => {
    const [tree = '', inode = ''] = key.split('/');
    const path = pathOf(tree, inode);
    const isDirectory = inode === ROOT_INODE || names.get(tree)?.get(inode)?.isDirectory === true;
    return { inode: key, path: path === '' ? '/' : path, isDirectory };
  });
  return { named, byData };
}

/** By inode. */
type Names = Map<string, { readonly directory: string; readonly name: Bytes; readonly isDirectory: boolean }>;

/** `item 0 key (13631488 EXTENT_ITEM 102400)`, then `extent data backref root 256 objectid 259 offset 0 count 1`. */
async function findOwners(
  context: CheckContext,
  data: readonly string[],
  byData: Map<string, string[]>,
): Promise<void> {
  const wanted = data.map(BigInt);
  let covered: string[] = [];
  await dump(context, 'extent', (line) => {
    const item = /^\titem \d+ key \((\d+) (\w+) (\d+)\)/.exec(line);
    if (item !== null) {
      covered = [];
      if (item[2] !== 'EXTENT_ITEM') return;
      const [from, length] = [BigInt(item[1] ?? 0), BigInt(item[3] ?? 0)];
      covered = wanted.filter((at) => at >= from && at < from + length).map(String);
      return;
    }
    if (covered.length === 0) return;
    const owner = /extent data backref root (\w+) objectid (\d+) /.exec(line);
    if (owner === null) return;
    const inode = `${owner[1] === 'FS_TREE' ? FS_TREE : owner[1]}/${owner[2]}`;
    for (const at of covered) {
      const known = byData.get(at) ?? [];
      if (!known.includes(inode)) byData.set(at, [...known, inode]);
    }
  });
}

interface Place {
  readonly parent: string;
  readonly directory: string;
  readonly name: Bytes;
}

/** `item 12 key (256 ROOT_BACKREF 5)`, then `root backref key dirid 256 sequence 2 name @rootfs`. */
async function readSubvolumes(context: CheckContext): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  let key: { tree: string; parent: string } | undefined;
  await dump(context, 'root', (line) => {
    const item = /^\titem \d+ key \((\w+) (\w+) (\w+)\)/.exec(line);
    if (item !== null) {
      const [, tree = '', type, parent = ''] = item;
      key = type === 'ROOT_BACKREF' ? { tree, parent: parent === 'FS_TREE' ? FS_TREE : parent } : undefined;
      return;
    }
    const place = /root backref key dirid (\d+) sequence \d+ name (.*)$/s.exec(line);
    if (place === null || key === undefined) return;
    places.set(key.tree, { parent: key.parent, directory: place[1] ?? '', name: place[2] ?? '' });
  });
  return places;
}

/** In a node: `\tkey (258 DIR_ITEM 1815016875) block 30687232 gen 7`; each child goes as far as the next begins. */
async function findRanges(
  context: CheckContext,
  tree: string,
  blocks: readonly string[],
  found: Found,
): Promise<void> {
  const wanted = new Set(blocks);
  let open: { from: bigint; block: string } | undefined;
  const close = (to: bigint): void => {
    if (open === undefined) return;
    const limit = open.from + BigInt(MAX_RANGE);
    found.ranges.push({ tree, from: open.from, to: to > limit ? limit : to, block: open.block });
    open = undefined;
  };
  await dump(context, tree, (line) => {
    const key = /^\tkey \((\d+) \w+ \S+\) block (\d+)/.exec(line);
    if (key === null) {
      if (/^(?:node|leaf) \d/.test(line)) close(BigInt(Number.MAX_SAFE_INTEGER));
      return;
    }
    const [, inode = '0', block = ''] = key;
    // The next child may begin in the middle of an inode's items, so that inode is among them.
    close(BigInt(inode) + 1n);
    if (wanted.has(block)) open = { from: BigInt(inode), block };
  });
  close(BigInt(Number.MAX_SAFE_INTEGER));
}

function isInRange({ ranges }: Found, tree: string, inode: string): boolean {
  const at = BigInt(inode);
  return ranges.some((range) => range.tree === tree && at >= range.from && at < range.to);
}

async function readNames(context: CheckContext, tree: string, found: Found): Promise<Names> {
  const names: Names = new Map();
  const wanted = new Set(
    [...found.inodes]
      .filter((inode) => inode.startsWith(`${tree}/`))
      .map((inode) => inode.slice(tree.length + 1)),
  );
  const ranges = found.ranges.filter((range) => range.tree === tree);
  const isWanted = (inode: string): boolean =>
    wanted.has(inode) || (ranges.length > 0 && isInRange({ inodes: wanted, ranges }, tree, inode));
  let item: { object: string; type: string; offset: string } | undefined;
  let entry: { inode: string; isDirectory: boolean } | undefined;
  let lastDirectory: string | undefined;
  await dump(context, tree, (line) => {
    const key = /^\titem \d+ key \((\d+) (\w+) (\d+)\)/.exec(line);
    if (key !== null) {
      const [, object = '', type = '', offset = ''] = key;
      item = { object, type, offset };
      entry = undefined;
      return;
    }
    if (item === undefined) return;
    switch (item.type) {
      case 'INODE_ITEM': {
        const mode = /^\t\tblock group \d+ mode (\d+) /.exec(line)?.[1];
        if (mode !== undefined && (Number.parseInt(mode, 8) & 0o170000) === 0o040000)
          lastDirectory = item.object;
        return;
      }
      case 'INODE_REF': {
        const name = /^\t\tindex \d+ namelen \d+ name: (.*)$/s.exec(line)?.[1];
        const isDirectory = item.object === lastDirectory;
        if (name === undefined || item.object === ROOT_INODE || !(isDirectory || isWanted(item.object)))
          return;
        names.set(item.object, { directory: item.offset, name, isDirectory });
        return;
      }
      case 'DIR_INDEX': {
        const location = /^\t\tlocation key \((\d+) INODE_ITEM \d+\) type (\w+)/.exec(line);
        if (location !== null)
          entry = { inode: location[1] ?? '', isDirectory: location[2]?.startsWith('DIR') === true };
        const name = /^\t\tname: (.*)$/s.exec(line)?.[1];
        if (name === undefined || entry === undefined) return;
        if (!(entry.isDirectory || isWanted(entry.inode)) || names.has(entry.inode)) return;
        names.set(entry.inode, { directory: item.object, name, isDirectory: entry.isDirectory });
        return;
      }
      default:
        return;
    }
  });
  return names;
}

async function dump(context: CheckContext, tree: string, take: (line: Bytes) => void): Promise<void> {
  await runTool('btrfs', ['inspect-internal', 'dump-tree', '-t', tree, context.target.file], {
    abort: context.abort,
    onLine: (line, stream) => {
      if (stream === 'stdout') take(line);
    },
  });
}
