/**
 * xfs_repair's sentences (xfsprogs, repair/) become damage. It writes everything to standard error; with -n each
 * sentence says what it `would` do.
 */
import type { Bytes } from '../../system/bytes.ts';
import type { DamageList } from './damage.ts';

const NOISE =
  /^(?:Phase \d|\s+- |No modify flag|\.*$|Cannot get host filesystem geometry|Repair may fail if there is|the image and the host|attempting to find secondary|\.*found candidate secondary|verified secondary superblock|Exiting now|rebuilding directory|\t|Inode allocation btrees are too corrupted|Invalid inode number in|Log inconsistent|bmbt rec|data fork in .* claims free block|Would )/;
/** The sentence about changes in the log is written over three lines. */
const LOG =
  /valuable metadata changes in a log|ignored because the -n option|resolved by first mounting|^destroyed because the -L/;

export interface NamedEntry {
  readonly directory: string;
  readonly name: Bytes;
}

export class XfsParser {
  readonly #damages: DamageList;
  /** The log holds changes that are not in their places: what is said may be false. */
  dirtyLog = false;
  /** It went through all its phases. */
  reachedEnd = false;
  /** Names that lead to no sound inode, each with the inode of its directory. */
  readonly entries: NamedEntry[] = [];

  constructor(damages: DamageList) {
    this.#damages = damages;
  }

  line(raw: Bytes): void {
    if (/^No modify flag set, skipping filesystem flush/.test(raw) || /^done$/.test(raw))
      this.reachedEnd = true;
    if (LOG.test(raw)) {
      if (!/^destroyed/.test(raw)) this.dirtyLog = true;
      return;
    }
    if (NOISE.test(raw)) return;
    this.#sentence(raw.trim());
  }

  #sentence(text: Bytes): void {
    const entry =
      /^entry "(.*)" (?:at block .* |in )?(?:in )?(?:shortform )?dir(?:ectory)? (?:ino(?:de)? )?(\d+)/s.exec(
        text,
      );
    if (entry !== null && !text.includes("doesn't have a .. entry")) {
      const [, name = '', directory = ''] = entry;
      this.entries.push({ directory, name });
      // By its own key, so that the names can be found first and said afterwards.
      this.#damages.add({ kind: 'file', inode: `${directory}/${name}` }, text);
      return;
    }
    const orphan = /^disconnected (dir )?inode (\d+), (?:would move|moving) to/.exec(text);
    if (orphan !== null) {
      this.#damages.add({ kind: 'orphan', inode: orphan[2] }, text);
      return;
    }
    if (/^Metadata (?:CRC error|corruption) detected at/.test(text)) {
      // The address in the program says nothing to anybody.
      this.#damages.add(
        { kind: 'structure' },
        text.replace(/ at (?:0x)?[0-9a-f]+(?:\+0x[0-9a-f]+)?, /, ': '),
      );
      return;
    }
    if (/nlinks from \d+ to \d+/.test(text)) {
      this.#damages.add({ kind: 'structure' }, text);
      return;
    }
    const above = /doesn't have a \.\. entry, will set it in ino (\d+)/.exec(text)?.[1];
    if (above !== undefined) {
      this.#damages.add({ kind: 'directory', inode: above }, text);
      return;
    }
    const directory = /\b(?:dir(?:ectory)?(?: ino(?:de)?)?|in dir ino|directory inode) (\d+)/.exec(text)?.[1];
    if (directory !== undefined) {
      this.#damages.add({ kind: 'directory', inode: directory }, text);
      return;
    }
    const inode = /\b(?:inode|ino) (\d+)/.exec(text)?.[1];
    this.#damages.add(inode === undefined ? { kind: 'structure' } : { kind: 'file', inode }, text);
  }
}
