/** Links which no manifest and no snapshot knows: those that lead nowhere where packages keep state, and of alternatives. */

import { lstatSync } from 'node:fs';
import { parseAlternative } from '../dpkg/alternatives.ts';
import { Contents } from '../snapshot/contents.ts';
import { wholeContent } from '../snapshot/control-files.ts';
import { Entries } from '../snapshot/entries.ts';
import type { Snapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, bytesOf, fsPath } from '../system/bytes.ts';
import { namesIn } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { isThere } from './redo/effect.ts';
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

/**
 * The files of dpkg's alternatives that a snapshot knows and that are gone, with their links that are gone, too: each
 * link by the group that it is of.
 */
export function alternativesGone(
  root: Root,
  store: Store,
  { id }: Snapshot,
  admindir: Bytes,
): Map<Bytes, Bytes> {
  const contents = new Contents(store);
  const gone = new Map<Bytes, Bytes>();
  const directory = `${admindir}/alternatives`;
  for (const entry of new Entries(store).at(id, directory)) {
    const name = entry.path.slice(directory.length + 1);
    if (name === '' || isThere(root, entry.path)) continue;
    gone.set(entry.path, name);
    const data = wholeContent(contents, entry);
    const group = data === undefined ? undefined : parseAlternative(bytesOf(data), name);
    if (group === undefined) continue;
    for (const { link } of [group.master, ...group.slaves]) if (!isThere(root, link)) gone.set(link, name);
  }
  return gone;
}
