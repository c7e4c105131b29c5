/** Paths that packages had by the lists of a snapshot, and have not by their present ones. */
import { type Database, readManifest } from '../dpkg/database.ts';
import type { FindingCode } from '../model/codes.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Kind } from '../scan/work.ts';
import { listedAt } from '../snapshot/control-files.ts';
import { Entries } from '../snapshot/entries.ts';
import type { Snapshot } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, compareBytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { isThere } from './redo/effect.ts';
import { MOST_OF_A_DIRECTORY } from './unverified.ts';

/**
 * What stands there still, whose package may be gone or half-gone; and of directories what is gone: a removal leaves them
 * where something lies in them. Those below /usr go with the files in them.
 *
 * @param missing whether files that are gone are told too: of packages that are not removed by their records
 */
export function listedThen(
  root: Root,
  store: Store,
  database: Database,
  snapshot: Snapshot,
  names: Iterable<Bytes>,
  { finding, missing }: { readonly finding: FindingCode; readonly missing: boolean },
): LeftAlone[] {
  const entries = new Entries(store);
  const named = new Map<Bytes, string>();
  for (const name of names) {
    const present = new Set(
      database.packages
        .filter((pkg) => pkg.name === name)
        .flatMap((pkg) => readManifest(database, pkg, false).paths),
    );
    const gone: [path: Bytes, what: string][] = [];
    for (const path of listedAt(store, snapshot.id, `${database.admindir.inside}/info`, name)) {
      if (present.has(path)) continue;
      const isDirectory = entries.findAt(snapshot.id, path)?.kind === Kind.directory;
      const stands = isThere(root, path);
      if (isDirectory ? !stands && (missing || !path.startsWith('/usr/')) : stands || missing)
        gone.push([path, stands ? 'stands there' : 'is gone']);
    }
    for (const [path, what] of collapsed(gone))
      named.set(
        path,
        `${bytesToText(name)} had it in snapshot ${snapshot.id}, its list has it no more, and it ${what}`,
      );
  }
  return [...named].map(([path, reason]) => ({
    finding,
    path: pathToText(path),
    harmless: false,
    reason: `${reason}: whether that was to be so, nothing tells`,
  }));
}

function collapsed(paths: readonly [path: Bytes, what: string][]): [Bytes, string][] {
  const children = Map.groupBy(paths, ([path]) => path.slice(0, path.lastIndexOf('/')));
  return [...children]
    .flatMap(([directory, those]): [Bytes, string][] =>
      those.length > MOST_OF_A_DIRECTORY ? [[directory, 'has lost some of it']] : those,
    )
    .sort(([a], [b]) => compareBytes(a, b));
}
