/** What was found on disk, held against what the manifests say. */

import { Expect, type Expectation, type Unreachable } from '../manifest/expectations.ts';
import { errnoName } from '../scan/look.ts';
import { Done, hashText, Kind, Want } from '../scan/work.ts';
import {
  about,
  type FileVerdict,
  type FileView,
  judgeContent,
  judgeError,
  judgeType,
  noteDiversion,
  noteOf,
} from './file-findings.ts';
import { finding } from './finding.ts';

/** Judges every expectation, in the order of the manifests; a path that several packages name is judged once. */
export function judgeFiles(view: FileView): FileVerdict {
  const { expectations, work } = view;
  const verdict: FileVerdict = { findings: [], unchecked: [] };
  const judged = new Uint8Array(work.count);
  for (let index = 0; index < expectations.count; index += 1) {
    const entry = expectations.entryAt(index);
    const flags = expectations.flagsAt(index);
    // A directory may be judged as one by one package and only be named by another.
    const bit = (flags & Expect.directory) !== 0 ? 2 : 1;
    if (((judged[entry] ?? 0) & bit) !== 0) continue;
    const sound = isSound(view, entry, flags);
    if (sound && (flags & Expect.diverted) === 0) continue;
    judged[entry] = (judged[entry] ?? 0) | bit;
    if (sound) noteDiversion(view, expectations.at(index), verdict);
    else judge(view, expectations.at(index), verdict);
  }
  for (const lost of expectations.unreachable) judgeUnreachable(view, lost, verdict);
  judgeEmptyMd5sums(view, verdict);
  return verdict;
}

/** The answer for nearly all entries, from the columns alone. */
function isSound(view: FileView, entry: number, flags: number): boolean {
  const { work } = view;
  if ((work.errno[entry] ?? 0) !== 0) return false;
  const kind = work.kind[entry] ?? 0;
  if ((flags & Expect.directory) !== 0) return kind === Kind.directory;
  if ((flags & Expect.file) === 0) return true;
  if (kind !== Kind.file) return false;
  if (!view.contentRead) return true;
  const done = work.done[entry] ?? 0;
  if ((done & Done.matched) !== 0) return true;
  return (
    view.expectations.alternativesOf(entry)?.has(hashText(work.md5, entry)) === true &&
    (done & Done.read) !== 0
  );
}

function judge(view: FileView, expectation: Expectation, verdict: FileVerdict): void {
  const { work } = view;
  const { entry, flags, path } = expectation;
  const errno = work.errno[entry] ?? 0;
  const note = noteOf(view, expectation.package);
  if (errno !== 0) {
    judgeError(
      view,
      { note, flags, path, errno: errnoName(errno), host: view.expectations.list.path(entry) },
      verdict,
    );
    return;
  }
  const kind = work.kind[entry] ?? 0;
  if ((flags & Expect.directory) !== 0 || kind !== Kind.file) {
    judgeType(view, note, expectation, kind, verdict);
    return;
  }
  judgeContent(view, note, expectation, verdict);
}

function judgeUnreachable(view: FileView, lost: Unreachable, verdict: FileVerdict): void {
  const note = noteOf(view, lost.package);
  judgeError(
    view,
    { note, flags: lost.flags, path: lost.path, errno: lost.errno, host: view.root.hostPath(lost.path) },
    verdict,
  );
}

/**
 * An empty `.md5sums` is legal for a package without files of its own. When dpkg or the package would have listed
 * some, it was emptied.
 */
function judgeEmptyMd5sums(view: FileView, verdict: FileVerdict): void {
  const { expectations, work } = view;
  const files = new Uint32Array(expectations.packages.length);
  for (let index = 0; index < expectations.count; index += 1) {
    const entry = expectations.entryAt(index);
    const plain = (expectations.flagsAt(index) & (Expect.conffile | Expect.directory)) === 0;
    const owner = expectations.ownerAt(index);
    // A file whose content another package knows is that package's.
    if (plain && work.kind[entry] === Kind.file && ((work.want[entry] ?? 0) & Want.expected) === 0) {
      files[owner] = (files[owner] ?? 0) + 1;
    }
  }
  expectations.packages.forEach((note, owner) => {
    const count = files[owner] ?? 0;
    if (note.emptyMd5sums === undefined || count === 0) return;
    verdict.findings.push(
      finding({
        ...about(note, note.emptyMd5sums),
        code: 'database-md5sums-empty',
        severity: 'error',
        message: `the .md5sums is empty, so ${count} file${count === 1 ? '' : 's'} of the package can't be checked`,
        knownBy: 'list',
        likelyOutage: true,
        reason: 'a file that was written and not synced is empty after a cut',
      }),
    );
  });
}
