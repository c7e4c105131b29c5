/**
 * A disk that lies: it said that blocks were written, and after the cut some of them are not there, are there in part,
 * or hold what belongs elsewhere.
 *
 *   image seconds before the cut ─┐
 *   image at the cut ─────────────┴─► blocks that differ ─► of some: the old content, a torn one, or another block's
 *                                                        ─► the boot's own check of the filesystem
 *
 * A block is of 4 KiB, a sector of 512 bytes; a disk tears between sectors.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readSync, rmdirSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from '../../../../src/system/run.ts';
import type { Ground } from './ground.ts';
import { type Random, randomOf } from './random.ts';
import { tool } from './tools.ts';
import type { Variant } from './variants.ts';

export const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
const CHUNK_BYTES = 1024 * 1024;
const CHECK_TIMEOUT_MS = 5 * 60 * 1000;

export interface Manner {
  /** How far back the disk has lost what it promised, in seconds before the cut; everything since the start: infinite. */
  readonly seconds: number;
  /** Of the changed blocks that are files' content, how many are hit. */
  readonly dataShare: number;
  /** The same for all others: inodes, directories, the journal. */
  readonly metadataShare: number;
}

/** What a case's disk does. Mostly it loses files' content; damaged metadata makes many a filesystem unmountable. */
export function mannerOf(words: string): Manner {
  const random = randomOf(`${words} manner`);
  return {
    seconds: random.oneOf([1, 2, 5, Number.POSITIVE_INFINITY]),
    dataShare: random.oneOf([0.01, 0.05, 0.2, 1]),
    metadataShare: random.oneOf([0, 0, 0, 0.01]),
  };
}

export interface Lie {
  /** Blocks that changed in those seconds. */
  readonly changed: { readonly data: number; readonly metadata: number };
  readonly lost: number;
  readonly torn: number;
  readonly foreign: number;
}

/** Damages the image at the cut. @param old the image of seconds before @param data which blocks are files' content */
export function tellLies(
  image: string,
  old: string,
  data: ReadonlySet<number>,
  { dataShare, metadataShare }: Manner,
  words: string,
): Lie {
  const random = randomOf(`${words} blocks`);
  const blocks = differingBlocks(image, old);
  const isData = (block: number) => data.has(block);
  const counts = { lost: 0, torn: 0, foreign: 0 };
  const now = openSync(image, 'r+');
  const before = openSync(old, 'r');
  try {
    const hits = blocks.flatMap((block) => {
      if (!random.chance(isData(block) ? dataShare : metadataShare)) return [];
      const kind = kindOf(random, dataShare === 1 && isData(block));
      counts[kind] += 1;
      // Read before anything is overwritten: it is what belongs to another block.
      const foreign = kind === 'foreign' ? blockOf(now, random.oneOf(blocks)) : undefined;
      return [{ block, content: foreign ?? (() => older(kind, block, { now, before, random })) }];
    });
    for (const { block, content } of hits) {
      const bytes = typeof content === 'function' ? content() : content;
      writeSync(now, bytes, 0, BLOCK_BYTES, block * BLOCK_BYTES);
    }
  } finally {
    closeSync(now);
    closeSync(before);
  }
  const inFiles = blocks.filter(isData).length;
  return { changed: { data: inFiles, metadata: blocks.length - inFiles }, ...counts };
}

type Kind = 'lost' | 'torn' | 'foreign';

/** A disk that lost its whole cache has lost it; single blocks are as often torn, and now and then another's. */
function kindOf(random: Random, all: boolean): Kind {
  return all ? 'lost' : random.oneOf<Kind>(['lost', 'lost', 'torn', 'foreign']);
}

interface Images {
  readonly now: number;
  readonly before: number;
  readonly random: Random;
}

/** The old content of a block; of a torn one the first sectors are new. */
function older(kind: Kind, block: number, { now, before, random }: Images): Buffer {
  const content = blockOf(before, block);
  if (kind !== 'torn') return content;
  const sectors = 1 + random.below(BLOCK_BYTES / SECTOR_BYTES - 1);
  blockOf(now, block).copy(content, 0, 0, sectors * SECTOR_BYTES);
  return content;
}

function blockOf(fd: number, block: number): Buffer {
  const buffer = Buffer.alloc(BLOCK_BYTES); // what is beyond the end is zero
  readSync(fd, buffer, 0, BLOCK_BYTES, block * BLOCK_BYTES);
  return buffer;
}

/** Numbers of the blocks that two images have different, in order. */
export function differingBlocks(image: string, other: string): number[] {
  const fds = [openSync(image, 'r'), openSync(other, 'r')] as const;
  try {
    const size = Math.max(...fds.map((fd) => fstatSync(fd).size));
    const [one, two] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
    const blocks: number[] = [];
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      for (const [fd, chunk] of [
        [fds[0], one],
        [fds[1], two],
      ] as const) {
        const read = readSync(fd, chunk, 0, CHUNK_BYTES, at);
        chunk.fill(0, read);
      }
      if (one.equals(two)) continue;
      for (let offset = 0; offset < CHUNK_BYTES; offset += BLOCK_BYTES) {
        if (one.compare(two, offset, offset + BLOCK_BYTES, offset, offset + BLOCK_BYTES) !== 0) {
          blocks.push((at + offset) / BLOCK_BYTES);
        }
      }
    }
    return blocks;
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** Blocks that hold content of regular files, after the journal was replayed, by filefrag(8). */
export async function contentBlocks(ground: Ground, image: string): Promise<Set<number>> {
  const disk = ground.disk(image);
  try {
    const find = ['find', disk.directory, '-xdev', '-type', 'f', '-size', '+0', '-print0'];
    const script = '"$@" | xargs -0 -r filefrag -v -b4096';
    const { stdout } = await tool('sh', ['-c', script, 'sh', ...find]);
    const blocks = new Set<number>();
    // `   0:        0..       2:      34816..     34818:      3:             last,eof`
    const extent = /^ *\d+: +\d+\.\. *\d+: +(\d+)\.\. *(\d+): +\d+:(.*)$/gm;
    for (const [, first, last, flags = ''] of stdout.toString('latin1').matchAll(extent)) {
      // An inline file lies in its inode; one that is delayed lies nowhere yet.
      if (/inline|unknown|delalloc/.test(flags)) continue;
      for (let block = Number(first); block <= Number(last); block += 1) blocks.add(block);
    }
    return blocks;
  } finally {
    disk.remove();
  }
}

/** What a boot does with a filesystem that it distrusts. @returns why it is beyond mending, or nothing */
export async function checkAsBoot(image: string, { type }: Variant): Promise<string | undefined> {
  switch (type) {
    case 'ext4': {
      // fsck.mode=force (systemd-fsck@.service(8)), and -y where somebody would sit and say yes to all.
      const { code, stdout, stderr } = await run('e2fsck', ['-fy', image], { timeout: CHECK_TIMEOUT_MS });
      return code === 0 || code === 1
        ? undefined
        : `e2fsck ended with ${code}: ${stdout}${stderr}`.slice(-500);
    }
    case 'xfs': {
      // fsck.xfs(8) does nothing, and mounting replays the log; one that cannot be is thrown away (xfs_repair(8)).
      await replay(image);
      for (const options of [[], ['-L']]) {
        const { code } = await run('xfs_repair', [...options, image], { timeout: CHECK_TIMEOUT_MS });
        if (code === 0) return undefined;
      }
      return 'xfs_repair could not repair it';
    }
    case 'btrfs':
      return undefined;
  }
}

/** Mounts an image and unmounts it again, which writes what its log has to where it belongs. Where it cannot, it stays. */
async function replay(image: string): Promise<void> {
  // Where the next lab takes it away, should this one be ended meanwhile (test/lab/disk.ts, discard).
  const directory = join(dirname(image), 'disk');
  mkdirSync(directory);
  try {
    const { code } = await run('mount', ['-o', 'loop,nouuid', image, directory], {
      timeout: CHECK_TIMEOUT_MS,
    });
    if (code === 0) await tool('umount', [directory]);
  } finally {
    rmdirSync(directory);
  }
}
