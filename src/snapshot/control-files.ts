/** dpkg's control files of packages (its info directory), as snapshots know them. */
import { parseList } from '../dpkg/manifest.ts';
import { type Bytes, bytesOf } from '../system/bytes.ts';
import { Contents } from './contents.ts';
import { Entries, type Entry } from './entries.ts';
import type { Store } from './store.ts';

/** A maintainer script in the info directory (deb-preinst(5) and the others). */
export const SCRIPT = /\.(?:pre|post)(?:inst|rm)$/;

/** The paths of the lists that a package had in a snapshot. */
export function listedAt(store: Store, snapshot: number, info: Bytes, name: Bytes): Bytes[] {
  const contents = new Contents(store);
  const files = controlFilesOf(new Entries(store).at(snapshot, info), info, name);
  return listedIn(files, (entry) => wholeContent(contents, entry));
}

/** The maintainer scripts that a package had in a snapshot, as far as there are copies of them. */
export function scriptsAt(store: Store, snapshot: number, info: Bytes, name: Bytes): Bytes[] {
  const contents = new Contents(store);
  return [...controlFilesOf(new Entries(store).at(snapshot, info), info, name)].flatMap(([file, entry]) => {
    const data = SCRIPT.test(file) ? wholeContent(contents, entry) : undefined;
    return data === undefined ? [] : [bytesOf(data)];
  });
}

export function controlFilesOf(entries: Iterable<Entry>, info: Bytes, name: Bytes): Map<Bytes, Entry> {
  const files = new Map<Bytes, Entry>();
  for (const entry of entries) {
    const file = entry.path.slice(info.length + 1);
    if (isControlFileOf(file, name)) files.set(file, entry);
  }
  return files;
}

export function listedIn(
  files: ReadonlyMap<Bytes, Entry>,
  contentOf: (entry: Entry) => Buffer | undefined,
): Bytes[] {
  return [...files].flatMap(([file, entry]) => {
    const list = file.endsWith('.list') ? contentOf(entry) : undefined;
    return list === undefined ? [] : parseList(bytesOf(list)).paths;
  });
}

/** The copy of a file's content; undefined when there is none, or it does not read back as what was kept (I6). */
export function wholeContent(contents: Contents, { content }: Entry): Buffer | undefined {
  return content !== null && contents.isWhole(content) ? contents.read(content) : undefined;
}

/** Whether a file of the info directory is a package's: `python3.11.list` is none of python3's. */
export function isControlFileOf(file: Bytes, name: Bytes): boolean {
  const stem = file.slice(0, Math.max(0, file.lastIndexOf('.')));
  return stem === name || stem.startsWith(`${name}:`);
}
