/** The sentences of `btrfs check` (btrfs-progs, check/) become damage. */
import type { Bytes } from '../../system/bytes.ts';
import type { DamageList } from './damage.ts';

const NOISE =
  /^(?:\[\d\/\d\] |Opening filesystem|Checking filesystem on|UUID:|using SB copy|found \d+ bytes used|total |btree space waste|file data blocks allocated| referenced |The following tree block|\ttree block bytenr|Csum didn't match|WARNING: |\s*$)/;

/** A block of a tree that one or all of its copies do not have as it was written. */
export interface BadBlock {
  readonly bytenr: string;
  /** Different contents that were found instead: as many copies are bad at least. */
  readonly copies: number;
}

export class BtrfsParser {
  readonly #damages: DamageList;
  readonly #blocks = new Map<string, Set<string>>();
  /** Blocks of data whose checksum is not that of their content, by logical address. */
  readonly data = new Set<string>();
  /** Trees with a block that has no sound copy. */
  readonly trees = new Set<string>();
  /** It said that something is wrong, beyond a copy that another one makes up for. */
  errors = false;
  cannotOpen = false;
  reachedEnd = false;
  #inode: string | undefined;

  constructor(damages: DamageList) {
    this.#damages = damages;
  }

  get blocks(): BadBlock[] {
    return [...this.#blocks].map(([bytenr, found]) => ({ bytenr, copies: found.size }));
  }

  line(raw: Bytes): void {
    if (/^found \d+ bytes used/.test(raw)) {
      this.reachedEnd = true;
      if (raw.includes('error(s) found')) this.errors = true;
    }
    const tree = /^The following tree block\(s\) is corrupted in tree (\d+)/.exec(raw)?.[1];
    if (tree !== undefined) this.trees.add(tree);
    if (NOISE.test(raw)) return;
    this.#sentence(raw);
  }

  #sentence(raw: Bytes): void {
    const text = raw.trim();
    const data = /^mirror \d+ bytenr (\d+) csum /.exec(text);
    if (data !== null) {
      this.data.add(data[1] ?? '');
      return;
    }
    const block = /^checksum verify failed on (\d+) wanted \S+ found (\S+)/.exec(text);
    if (block !== null) {
      const [, bytenr = '', found = ''] = block;
      this.#blocks.set(bytenr, (this.#blocks.get(bytenr) ?? new Set()).add(found));
      return;
    }
    const unresolved = /^unresolved ref dir (\d+) .*namelen \d+ name (.*) filetype \d+ errors/s.exec(text);
    if (unresolved !== null && this.#inode !== undefined) {
      this.#damages.add({ kind: 'file', inode: this.#inode }, text);
      return;
    }
    const root = /^root (\d+) root dir (\d+) not found/.exec(text);
    if (root !== null) {
      this.#damages.add({ kind: 'directory', inode: `${root[1]}/${root[2]}` }, text);
      return;
    }
    const inode = /^root (\d+) inode (\d+) errors /.exec(text);
    if (inode !== null) {
      this.#inode = `${inode[1]}/${inode[2]}`;
      this.#damages.add({ kind: 'file', inode: this.#inode }, text);
      return;
    }
    if (/^No valid Btrfs found|cannot open file system|Couldn't open file system/i.test(text))
      this.cannotOpen = true;
    if (/^ERROR: errors found in (?:csum tree|fs roots|extent allocation)/.test(text)) return; // the sum of what was said
    this.#damages.add({ kind: 'structure' }, text);
  }
}
