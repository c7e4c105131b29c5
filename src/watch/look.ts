/** Looking at a path without ever failing: an agent has to live on a disk that does not. */
import { lstatSync, type Stats } from 'node:fs';
import { type Bytes, fsPath } from '../system/bytes.ts';

/** What lstat(2) tells; undefined when it tells nothing, for whatever reason. */
export function lookAt(host: Bytes): Stats | undefined {
  try {
    return lstatSync(fsPath(host), { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
