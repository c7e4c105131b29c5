/**
 * The old versions of files that a transaction replaces or removes, kept until the seal. dpkg replaces by rename and
 * removes by unlink, so a second name for the inode keeps the old content at no cost. Kept is only what is sound: a
 * file whose content had the MD5 of its manifest, or one that no package owns and that the snapshot has the hash of.
 *
 * A hard link shares its inode, so what writes into the file instead of replacing it changes both; that is why the hash
 * is kept too, and why conffiles, which people and scripts write into, are copied instead (contents.ts). Of a setuid
 * file dpkg takes the mode away before it unlinks it (lib/dpkg/file.c, secure_unlink); the mode is kept as well.
 */
import { closeSync, constants, copyFileSync, fsyncSync, linkSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Kind } from '../../scan/work.ts';
import { fsPath } from '../../system/bytes.ts';
import { syncDirectory } from '../../system/durable.ts';
import { errnoOf } from '../../system/errors.ts';
import { openQuietly } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { Entries, type Entry, Flag, Origin } from '../entries.ts';
import type { Store } from '../store.ts';
import type { Subjects } from '../subjects.ts';

export interface Replaced {
  readonly kept: number;
  readonly unsound: number;
  readonly failed: number;
}

/**
 * Keeps the old version of every file among the subjects. Inside the transaction of the store that writes the snapshot.
 *
 * @param directory of this host; it is made and synced
 */
export function keepReplaced(
  store: Store,
  root: Root,
  id: string,
  subjects: Subjects,
  directory: string,
): Replaced {
  const entries = new Entries(store);
  const insert = store.db.prepare(
    `INSERT OR REPLACE INTO kept (trans, path, method, file, kind, mode, uid, gid, size, mtime, xxh64)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const counts = { kept: 0, unsound: 0, failed: 0 };
  let made = false;
  for (let index = 0; index < subjects.list.count; index += 1) {
    if ((subjects.originOf(index) & (Origin.owned | Origin.intended)) === 0) continue;
    const entry = entries.find(subjects.pathOf(index));
    // Of what is copied the store has the content already.
    if (entry === undefined || entry.kind !== Kind.file || entry.content !== null) continue;
    const sound = (entry.flags & Flag.sound) !== 0 || (entry.md5 === null && entry.xxh64 !== null);
    if (!sound) {
      counts.unsound += 1;
      continue;
    }
    if (!made) mkdirSync(directory, { recursive: true, mode: 0o700 });
    made = true;
    const method = keepOne(root, entry, join(directory, String(entry.id)));
    if (method === undefined) {
      counts.failed += 1;
      continue;
    }
    counts.kept += 1;
    const { kind, mode, uid, gid, size, mtime, xxh64 } = entry;
    insert.run(id, entry.id, method, String(entry.id), kind, mode, uid, gid, size, mtime, xxh64);
    if (method === 'link') followLink(root, entries, entry);
  }
  if (made) syncDirectory(directory);
  return counts;
}

function keepOne(root: Root, entry: Entry, to: string): 'link' | 'reflink' | undefined {
  const from = fsPath(root.hostPath(entry.path));
  try {
    linkSync(from, to);
    return 'link';
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return 'link'; // an earlier run of the same transaction kept the older one
  }
  try {
    copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    const fd = openQuietly(to);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    return 'reflink';
  } catch {
    return undefined;
  }
}

/** A new name changes the inode's ctime, and would make the next snapshot read the file again. */
function followLink(root: Root, entries: Entries, entry: Entry): void {
  try {
    const stat = lstatSync(fsPath(root.hostPath(entry.path)));
    const { ino, size, mtimeMs, ctimeMs } = stat;
    if (ino !== entry.ino || size !== entry.size || mtimeMs !== entry.mtime) return;
    entries.apply(entry.since, { kind: 'touched', id: entry.id, state: { ...entry, ctime: ctimeMs } });
  } catch {
    // It went away: the next snapshot sees that.
  }
}
