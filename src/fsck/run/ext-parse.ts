/**
 * e2fsck's sentences (e2fsprogs, e2fsck/problem.c and message.c) become damage. Every prompt is a sentence followed by
 * a question and its answer (`Clear? no`), on the same line or the next.
 */
import type { Bytes } from '../../system/bytes.ts';
import type { DamageList } from './damage.ts';

/** `Clear inode? no` alone or at a sentence's end; answers are no (-n), yes (-y). */
const QUESTION = /(?:^|\s+)(?:[A-Z][\w\s/+'-]{0,40}\?) (?:no|yes)\s*$/;
const NOISE =
  /^(?:Pass \d[A-D]?: |e2fsck \d|Running additional passes|\(There are \d+ inodes|IGNORED\.|or inode checksum|casefold feature|or inline-data flag|Use .*\? (?:no|yes)$)|: \*\*\*|: (?:clean, )?\d+\/\d+ files |: recovering journal|^\s*has \d+ multiply-claimed|^\s*$/;
/** Inodes that are the filesystem's own (fs/ext4/ext4.h); 2 is the root directory. */
const FIRST_OF_FILES = 11;

/** Takes e2fsck's output line by line. */
export class ExtParser {
  readonly #damages: DamageList;
  /** Whether it got to count what it had seen: before that, other damage may be unseen. */
  reachedLastPass = false;

  constructor(damages: DamageList) {
    this.#damages = damages;
  }

  /** A line of standard output. */
  line(raw: Bytes): void {
    if (raw.startsWith('Pass 5:')) this.reachedLastPass = true;
    if (NOISE.test(raw)) return;
    const text = raw.replace(QUESTION, '').trim();
    if (text === '' || text === '.') return;
    this.#sentence(text);
  }

  #sentence(text: Bytes): void {
    if (/^Warning: skipping journal recovery/.test(text)) {
      this.#damages.add({ kind: 'journal' }, text);
      return;
    }
    const entry = /^Entry '(.*)' in (.+) \((\d+)\) (.*)$/s.exec(text);
    if (entry !== null) {
      const [, name = '', directory = '', parent = ''] = entry;
      const path = directory.startsWith('/') ? join(unescapeName(directory), unescapeName(name)) : undefined;
      // `<30>/<31>`: no name leads to the directory any more.
      if (path === undefined) this.#damages.add({ kind: 'orphan', inode: parent }, text);
      else this.#damages.add({ kind: 'file', path }, text);
      return;
    }
    const orphan = /^(?:Unattached (?:zero-length )?|Unconnected directory )inode (\d+)/.exec(text);
    if (orphan !== null) {
      this.#damages.add({ kind: 'orphan', inode: orphan[1] }, text);
      return;
    }
    const file = /^File (\/.*) \(inode #(\d+), mod time /s.exec(text);
    if (file !== null) {
      this.#damages.add(
        { kind: 'file', inode: file[2], path: unescapeName(file[1] ?? '') },
        `its blocks are claimed by others, too`,
      );
      return;
    }
    const above = /^'\.\.' in (.+?) \((\d+)\) /s.exec(text);
    if (above !== null) {
      const path = above[1]?.startsWith('/') === true ? unescapeName(above[1]) : undefined;
      this.#damages.add({ kind: path === undefined ? 'orphan' : 'directory', inode: above[2], path }, text);
      return;
    }
    if (
      /ref count is \d+, should be|bitmap differences|count wrong|^Group \d+ (?:inode|block) bitmap/.test(
        text,
      )
    ) {
      this.#damages.add({ kind: 'structure', harmless: isLazyCount(text) }, text);
      return;
    }
    const inode = /\b[Ii]node #?(\d+)\b/.exec(text)?.[1];
    if (inode === undefined) this.#damages.add({ kind: 'structure' }, text);
    else this.#inode(inode, /\bdirector(?:y|ies)\b|HTREE|'\.\.?'/i.test(text) ? 'directory' : 'file', text);
  }

  #inode(inode: string, kind: 'file' | 'directory', text: Bytes): void {
    const number = Number(inode);
    if (number === 2) this.#damages.add({ kind: 'directory', inode, path: '/' }, text);
    else if (number < FIRST_OF_FILES) this.#damages.add({ kind: 'structure' }, text);
    else this.#damages.add({ kind, inode }, text);
  }
}

/**
 * The totals in the superblock are written at unmount only (fs/ext4/super.c): after a cut they are always old, and
 * e2fsck takes them for no error. Those of a group are another matter.
 */
function isLazyCount(text: Bytes): boolean {
  return /^Free (?:blocks|inodes) count wrong \(/.test(text);
}

/**
 * e2fsck writes what is not printable ASCII as `M-` and `^` (lib/e2p/fgetflags and e2fsck/message.c, safe_print), which
 * looks the same as a name with these very characters. Control characters are rarer in names than `^`, and bytes above
 * 127 more frequent than `M-`; so only the latter are turned back.
 */
export function unescapeName(text: Bytes): Bytes {
  return text.replace(/M-(\^[@-_?]|[ -~])/g, (_, rest: string) => {
    const low = rest.length === 2 ? rest.charCodeAt(1) ^ 0x40 : rest.charCodeAt(0);
    return String.fromCharCode(low | 0x80);
  });
}

function join(directory: Bytes, name: Bytes): Bytes {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}
