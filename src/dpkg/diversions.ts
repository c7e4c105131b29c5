/** The diversions file (dpkg-divert(1), lib/dpkg/db-fsys-divert.c): three lines each: from, to, package or `:`. */
import type { Bytes } from '../system/bytes.ts';
import { checkedLines } from './lines.ts';

export interface Diversion {
  readonly from: Bytes;
  readonly to: Bytes;
  /** The package that keeps the original name; undefined for a local diversion, which no package is spared. */
  readonly package: Bytes | undefined;
}

/** MAXDIVERTFILENAME of dpkg. */
const LINE_LIMIT = 1024;

export interface DiversionsFile {
  readonly diversions: Diversion[];
  readonly damaged: boolean;
  /** What dpkg says; nothing where it takes the damage for a name. */
  readonly message: string | undefined;
}

/** @param file the file's name for dpkg's message */
export function parseDiversions(data: Bytes, file: Bytes): DiversionsFile {
  const { lines, sound, message } = checkedLines(data, file, LINE_LIMIT);
  const diversions: Diversion[] = [];
  const taken = new Set<Bytes>();
  let conflict: string | undefined;
  let outOfStep = false;
  for (let i = 0; i + 2 < lines.length; i += 3) {
    const [from = '', to = '', owner = ''] = lines.slice(i, i + 3);
    if (!from.startsWith('/') || !to.startsWith('/')) {
      // What follows would be guessed. dpkg guesses, without a word.
      outOfStep = true;
      break;
    }
    if (taken.has(from) || taken.has(to)) {
      if (i + 2 < sound) {
        conflict ??= `conflicting diversions involving '${from.slice(0, 250)}' or '${to.slice(0, 250)}'`;
      }
      continue;
    }
    taken.add(from).add(to);
    diversions.push({ from, to, package: owner === ':' ? undefined : owner });
  }
  const short = lines.length % 3 === 0 ? undefined : `unexpected end of file reading '${file}'`;
  const said = conflict ?? message ?? short;
  return { diversions, damaged: outOfStep || said !== undefined, message: said };
}
