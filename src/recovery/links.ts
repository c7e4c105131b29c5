/** Links that lead nowhere where packages keep state, which no manifest and no snapshot knows. */
import { lstatSync } from 'node:fs';
import { type Bytes, fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { namesIn } from './redo/effect.ts';
import { leadsSomewhere } from './tracked-damage.ts';

export function leadsNowhere(root: Root, path: Bytes): boolean {
  const found = root.resolve(path);
  const stat = found.kind === 'found' ? lstatSync(fsPath(found.host), { throwIfNoEntry: false }) : undefined;
  return stat?.isSymbolicLink() === true && !leadsSomewhere(root, path, stat);
}

/** Where each package that keeps state has a name of its own (hier(7)). */
const STATE = ['/var/lib', '/var/opt', '/opt', '/srv'];

/**
 * Links that lead nowhere where packages keep state. However old they look: a disk that loses what was written to inodes
 * leaves old ones under the names of new directories, and no snapshot tracks them.
 */
export function linksToNowhere(root: Root, isOwned: (path: Bytes) => boolean): Bytes[] {
  return STATE.flatMap((directory) => {
    const found = root.resolveDirectory(directory);
    if (found.kind !== 'found') return [];
    return namesIn(found.host)
      .map((name) => `${found.inside}/${name}`)
      .filter((path) => !isOwned(path) && leadsNowhere(root, path));
  });
}
