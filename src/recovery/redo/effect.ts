/** One thing that is done to the tree before an interrupted transaction's packages are installed once more. */
import { lstatSync, readlinkSync } from 'node:fs';
import type { Diversion } from '../../dpkg/diversions.ts';
import type { Xxh64 } from '../../scan/xxh64.ts';
import type { Entry } from '../../snapshot/entries.ts';
import { type Bytes, bytesOf, fsPath } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import type { Action, Why } from '../actions.ts';
import type { KeptArchive } from './archives.ts';
import type { Before } from './before.ts';
import type { RedoPackage } from './decide.ts';

export interface Effect {
  readonly action: Action;
  readonly why: Why;
  /** It goes back to its place when the second installation has made nothing there. */
  readonly comesBack: boolean;
}

/** What is known of an interrupted transaction, its packages and the tree. */
export interface EffectsInput {
  readonly root: Root;
  readonly before: Before;
  readonly crashed: boolean;
  /** Nothing is made once more: what it made leaves for good, what it changed goes back. */
  readonly takenBack: boolean;
  readonly packages: readonly RedoPackage[];
  readonly archives: ReadonlyMap<RedoPackage, KeptArchive>;
  /** The text of the maintainer scripts that packages have which it removes, as they were before. */
  readonly removalScripts: Bytes;
  /** Paths that its packages owned before, by their lists of then. */
  readonly ownedBefore: readonly Bytes[];
  readonly diversions: readonly Diversion[];
  /** What the tracked globs match now, resolved inside the root. */
  readonly tracked: readonly Bytes[];
  /** Whether a package that has no part in the transaction owns a path. */
  readonly ownedByOthers: (path: Bytes) => boolean;
  /** When the first installation began that came to its end after this one, in milliseconds since the epoch; or never. */
  readonly laterSince: number;
  /** The last moment that the machine is known to have run, in milliseconds since the epoch. */
  readonly lastAlive: number;
  readonly xxh64: Xxh64;
}

export function aside(path: Bytes, reason: string, comesBack = false): Effect {
  return { action: { kind: 'quarantine', path }, why: { reason }, comesBack };
}

/** A file's content of before, when there is a copy of it. */
export function putBackTo(before: Before, entry: Entry, reason: string): Effect[] {
  const data = before.contentOf(entry);
  if (data === undefined) return [];
  const { mode, uid, gid, mtime, capability } = entry;
  return [
    {
      action: {
        kind: 'put',
        path: entry.path,
        data,
        attributes: { mode, uid, gid, mtime, ...(capability === null ? {} : { capability }) },
      },
      why: { reason, source: 'snapshot' },
      comesBack: false,
    },
  ];
}

/** Whether anything stands at a path of this host, a dangling link too. */
export function isThereAt(host: Bytes): boolean {
  return lstatSync(fsPath(host), { throwIfNoEntry: false }) !== undefined;
}

/** The same of a path inside a root. */
export function isThere(root: Root, path: Bytes): boolean {
  const found = root.resolve(path);
  return found.kind === 'found' && isThereAt(found.host);
}

/** Where a link of this host points. @throws the errno when it is none, or goes away meanwhile */
export function targetOf(host: Bytes): Bytes {
  return bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' }));
}
