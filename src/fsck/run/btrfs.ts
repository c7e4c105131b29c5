/**
 * btrfs: `btrfs check --readonly --check-data-csum`. Without the latter it reads no data, and so misses damaged content;
 * with a sound second copy it ends with 0 all the same, so its sentences count and not its exit code.
 */
import { BtrfsParser } from './btrfs-parse.ts';
import { nameBtrfsInodes } from './btrfs-tree.ts';
import { DamageList } from './damage.ts';
import { type CheckContext, type Checked, unexplained } from './outcome.ts';
import { runTool } from './program.ts';

/** The superblocks that may be used instead of the first (btrfs-check(8), --super). */
const MIRRORS = ['1', '2'] as const;

export async function checkBtrfs(context: CheckContext): Promise<Checked> {
  const first = await btrfsCheck(context, []);
  if (!first.parser.cannotOpen) return await named(context, first);
  for (const mirror of MIRRORS) {
    const other = await btrfsCheck(context, ['--super', mirror]);
    if (other.parser.cannotOpen) continue;
    const notes = [
      `superblock ${mirror} is a sound copy: 'btrfs rescue super-recover' writes it over the first one`,
    ];
    return { ...other, notes };
  }
  return first;
}

interface Run extends Checked {
  readonly parser: BtrfsParser;
}

async function btrfsCheck(context: CheckContext, more: readonly string[]): Promise<Run> {
  const damages = new DamageList();
  const parser = new BtrfsParser(damages);
  const args = ['check', '--readonly', '--check-data-csum', ...more, context.target.file];
  const result = await runTool('btrfs', args, {
    abort: context.abort,
    onLine: (line) => {
      context.raw(line);
      parser.line(line);
    },
  });
  if (!parser.reachedEnd) damages.add({ kind: 'unfinished' }, 'btrfs check could not open it, or gave up');
  const unread = parser.errors && (parser.blocks.length > 0 || parser.data.size > 0);
  if ((result.code !== 0 || parser.errors) && !unread) unexplained(damages, 'btrfs check', result);
  return {
    program: 'btrfs',
    args,
    code: result.code,
    meanings: [result.code === 0 ? 'no errors, as far as it counts them' : 'errors were found'],
    finished: parser.reachedEnd,
    damages,
    notes: [],
    parser,
  };
}

/** Finds what the addresses belong to. */
async function named(context: CheckContext, run: Run): Promise<Checked> {
  const { damages, parser } = run;
  // With no error counted another copy made up for a bad one: a scrub mends that.
  const lost = parser.errors ? parser.blocks.filter(({ copies }) => copies > 1 || parser.trees.size > 0) : [];
  const nameless = damages.nameless();
  if (nameless.length > 0 || parser.data.size > 0 || lost.length > 0) {
    const asked = { inodes: nameless, data: [...parser.data], blocks: lost.map(({ bytenr }) => bytenr) };
    const { named: inodes, byData } = await nameBtrfsInodes(context, asked);
    const paths = new Map(inodes.map((one) => [one.inode, one]));
    for (const at of parser.data) {
      const owners = byData.get(at) ?? [];
      const text = `its content at logical address ${at} does not have the checksum that was written with it`;
      for (const inode of owners) damages.add({ kind: 'file', inode, path: paths.get(inode)?.path }, text);
      if (owners.length === 0)
        damages.add({ kind: 'structure' }, `data at logical address ${at}: its checksum differs`);
    }
    for (const { inode, path, isDirectory } of inodes) {
      if (path === undefined) continue;
      if (!damages.has(inode))
        damages.add(
          { kind: isDirectory ? 'directory' : 'file', inode, path },
          'a block of the tree that describes it is lost',
        );
      damages.name(inode, path, isDirectory);
    }
  }
  for (const { bytenr, copies } of parser.blocks) {
    const isLost = lost.some((one) => one.bytenr === bytenr);
    const text = isLost
      ? `the tree block at logical address ${bytenr} has no sound copy left (${copies} were tried)`
      : `a copy of the tree block at logical address ${bytenr} is damaged; another one is sound, and a scrub mends it`;
    damages.add({ kind: 'structure' }, text);
  }
  return run;
}
