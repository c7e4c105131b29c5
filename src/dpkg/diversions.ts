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
  readonly message: string | undefined;
}

/** @param file the file's name for dpkg's message */
export function parseDiversions(data: Bytes, file: Bytes): DiversionsFile {
  const checked = checkedLines(data, file, LINE_LIMIT);
  let message = checked.message;
  const diversions: Diversion[] = [];
  const taken = new Set<Bytes>();
  for (let i = 0; i < checked.lines.length; i += 3) {
    const [from, to, owner] = checked.lines.slice(i, i + 3);
    if (from === undefined || to === undefined || owner === undefined) {
      message ??= `unexpected end of file reading '${file}'`;
      break;
    }
    if (!from.startsWith('/') || !to.startsWith('/')) {
      message ??= `diversions file '${file}' holds '${from}' where a path should stand`;
      // The lines are out of step: what follows would be guessed.
      break;
    }
    if (taken.has(from) || taken.has(to)) {
      message ??= `conflicting diversions involving '${from}' or '${to}'`;
      continue;
    }
    taken.add(from).add(to);
    diversions.push({ from, to, package: owner === ':' ? undefined : owner });
  }
  return { diversions, message };
}
