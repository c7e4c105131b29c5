/**
 * Packages that dpkg knows nothing of any more, and whose files lie where the newest sealed snapshot saw them. A removal
 * leaves none of them; so either the disk forgot the removal, or dpkg's database forgot the package. Which of the two,
 * nobody can tell without the transaction's record: they are named, and left.
 */
import type { Database } from '../dpkg/database.ts';
import { parseList } from '../dpkg/manifest.ts';
import { displayName } from '../dpkg/package.ts';
import { parseStatus } from '../dpkg/status.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { Contents } from '../snapshot/contents.ts';
import { Entries } from '../snapshot/entries.ts';
import { newestSealed } from '../snapshot/snapshots.ts';
import type { Store } from '../snapshot/store.ts';
import { recordsAt } from '../snapshot/transaction/outcome.ts';
import { type Bytes, bytesOf } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { ownersBeside } from './owners.ts';
import { merged } from './redo/rewind.ts';
import { stillThere } from './still-there.ts';

/** @param open names of packages that an interrupted transaction has, and answers for */
export function forgottenPackages(
  root: Root,
  store: Store,
  database: Database,
  open: ReadonlySet<Bytes>,
): LeftAlone[] {
  const snapshot = newestSealed(store);
  const records = recordsAt(store, database.admindir.inside, snapshot?.id);
  if (snapshot === undefined || records === undefined) return [];
  const known = new Set(database.packages.map(({ name }) => name));
  const stanzas = [...merged(records).values()].map((stanza) => `${stanza}\n`).join('\n');
  const gone = parseStatus(stanzas, 'status').packages.filter(
    ({ name, state }) => state === 'installed' && !known.has(name) && !open.has(name),
  );
  if (gone.length === 0) return [];
  const isOwned = ownersBeside(root, database, new Set());
  const entries = new Entries(store);
  const contents = new Contents(store);
  return gone.flatMap((pkg) => {
    const lists = entries.listsAt(snapshot.id, `${database.admindir.inside}/info/`, pkg.name);
    const paths = lists.flatMap(({ content }) =>
      content === null || !contents.isWhole(content) ? [] : parseList(bytesOf(contents.read(content))).paths,
    );
    const find = (inside: Bytes) => entries.findAt(snapshot.id, inside);
    const left = [...stillThere({ root, isOwned, find }, paths)];
    if (left.length === 0) return [];
    const head = {
      finding: 'package-forgotten' as const,
      package: bytesToText(displayName(pkg, database.native)),
      harmless: false,
    };
    const seen = `dpkg has no record of it since snapshot ${snapshot.id}`;
    return [
      {
        ...head,
        reason: `${seen}, and ${left.length} of its files are there: remove or install it once more`,
      },
      ...left.map((path) => ({ ...head, path: pathToText(path), reason: `${seen}, and the file is there` })),
    ];
  });
}
