/** What was found on disk, held against what the manifests say. */
import type { Database } from '../dpkg/database.ts';
import { isExcluded } from '../dpkg/filters.ts';
import type { Package } from '../dpkg/package.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding, KnownBy } from '../model/finding.ts';
import type { Severity } from '../model/severity.ts';
import { errnoName } from '../scan/look.ts';
import { Done, hashText, Kind, Pattern, Want, type Work } from '../scan/work.ts';
import type { Bytes } from '../system/bytes.ts';
import { isDeviceErrno } from '../system/errors.ts';
import { type Mount, mountOf } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { type Damage, describeContent } from './content.ts';
import {
  Expect,
  type Expectation,
  type Expectations,
  type ManifestNote,
  type Unreachable,
} from './expectations.ts';
import { finding } from './finding.ts';

export interface FileView {
  readonly root: Root;
  readonly database: Database;
  readonly expectations: Expectations;
  readonly work: Work;
  readonly mounts: readonly Mount[];
  readonly privileged: boolean;
  /** Whether content was read; without it only types are judged. */
  readonly contentRead: boolean;
}

export interface FileVerdict {
  readonly findings: Finding[];
  /** Paths that could not be looked at for want of rights, in the order of the manifests. */
  readonly unchecked: Bytes[];
}

/** States in which the files need not agree with the manifest, because unpacking was interrupted. */
const UNSETTLED: ReadonlySet<string> = new Set(['half-installed']);

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

interface FailedLook {
  readonly note: ManifestNote;
  readonly flags: number;
  readonly path: Bytes;
  readonly errno: string;
  readonly host: Bytes;
}

function judgeError(view: FileView, failed: FailedLook, verdict: FileVerdict): void {
  const { note, flags, path, errno } = failed;
  switch (errno) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG': // no file can have such a name
      judgeMissing(view, note, flags, path, verdict);
      return;
    case 'EACCES':
    case 'EPERM':
      if (!view.privileged) {
        verdict.unchecked.push(path);
        return;
      }
      break;
    default:
      break;
  }
  const device = mountOf(view.mounts, failed.host)?.source;
  const broken = isDeviceErrno(errno);
  verdict.findings.push(
    finding({
      ...about(note, path),
      code: 'file-unreadable',
      severity: broken ? 'critical' : 'error',
      message: broken
        ? `reading it failed with ${errno}: the device ${device ?? 'below it'} or its filesystem is damaged`
        : errno === 'EFBIG'
          ? 'it is larger than a file of a package can be, or grew while it was read, and was not judged'
          : `it cannot be read (${errno})`,
      knownBy: 'file-system',
      likelyOutage: broken,
      reason: broken
        ? 'I/O errors and damaged metadata follow power cuts'
        : 'the failure does not come from the device',
      device: broken ? device : undefined,
    }),
  );
}

function judgeMissing(
  view: FileView,
  note: ManifestNote,
  flags: number,
  path: Bytes,
  verdict: FileVerdict,
): void {
  const knownBy: KnownBy =
    (flags & Expect.conffile) !== 0 ? 'conffile-hash' : (flags & Expect.file) !== 0 ? 'md5sums' : 'list';
  if ((flags & Expect.obsolete) !== 0) return;
  const mayHoldOthers = (flags & (Expect.directory | Expect.file)) !== Expect.file;
  if (isExcluded(view.database.filters, path, mayHoldOthers && (flags & Expect.file) === 0)) {
    verdict.findings.push(
      finding({
        ...about(note, path),
        code: 'file-excluded',
        severity: 'info',
        message: "it is not there, as a path-exclude of dpkg's configuration says",
        knownBy: 'configuration',
        likelyOutage: false,
        reason: 'the configuration explains it',
      }),
    );
    return;
  }
  if ((flags & Expect.conffile) !== 0) {
    verdict.findings.push(
      finding({
        ...about(note, path),
        code: 'conffile-missing',
        severity: 'info',
        message: 'the conffile was removed; dpkg respects that',
        knownBy,
        likelyOutage: false,
        reason: 'dpkg never removes a conffile by itself, and a cut leaves its .dpkg-new',
      }),
    );
    return;
  }
  const diverted =
    (flags & Expect.diverted) !== 0 ? view.expectations.diversionOf(note.record, path)?.to : undefined;
  const unsettled = UNSETTLED.has(note.record.state);
  verdict.findings.push(
    finding({
      ...about(note, path),
      code: 'file-missing',
      severity: note.record.vital ? 'critical' : 'error',
      message:
        diverted === undefined ? 'it is missing' : `it is missing where a diversion put it, at ${diverted}`,
      knownBy,
      likelyOutage: unsettled,
      reason: unsettled
        ? "the package's unpacking was interrupted"
        : 'a cut loses content, seldom a whole installed file',
    }),
  );
}

/** A file that is whole where its diversion put it: worth knowing, and no one's to mend. */
function noteDiversion(view: FileView, expectation: Expectation, verdict: FileVerdict): void {
  const note = noteOf(view, expectation.package);
  const diversion = view.expectations.diversionOf(note.record, expectation.path);
  verdict.findings.push(
    finding({
      ...about(note, expectation.path),
      code: 'file-diverted',
      severity: 'info',
      message: `${diversion?.package === undefined ? 'a local diversion' : `a diversion of ${diversion.package}`} put it at ${diversion?.to ?? 'another name'}`,
      knownBy: 'diversions',
      likelyOutage: false,
      reason: 'the diversion explains it',
    }),
  );
}

function judgeUnreachable(view: FileView, lost: Unreachable, verdict: FileVerdict): void {
  const note = noteOf(view, lost.package);
  judgeError(
    view,
    { note, flags: lost.flags, path: lost.path, errno: lost.errno, host: view.root.hostPath(lost.path) },
    verdict,
  );
}

const KIND_NAMES: Readonly<Record<number, string>> = {
  [Kind.unknown]: 'something unknown',
  [Kind.file]: 'a regular file',
  [Kind.directory]: 'a directory',
  [Kind.link]: 'a symbolic link',
  [Kind.fifo]: 'a FIFO',
  [Kind.socket]: 'a socket',
  [Kind.characterDevice]: 'a character device',
  [Kind.blockDevice]: 'a block device',
};

function judgeType(
  view: FileView,
  note: ManifestNote,
  expectation: Expectation,
  kind: number,
  verdict: FileVerdict,
): void {
  const { flags, path } = expectation;
  const directory = (flags & Expect.directory) !== 0;
  const found = KIND_NAMES[kind] ?? 'something unknown';
  const expected = directory ? 'a directory' : 'a regular file';
  if (kind === Kind.unknown && !view.contentRead) return;
  verdict.findings.push(
    finding({
      ...about(note, path),
      code: 'file-wrong-type',
      severity: (flags & Expect.conffile) !== 0 ? 'warning' : 'error',
      message: `${found} stands where ${expected} should be`,
      knownBy: (flags & Expect.conffile) !== 0 ? 'conffile-hash' : directory ? 'list' : 'md5sums',
      likelyOutage: false,
      reason: 'a cut does not change what kind of thing a name is',
      expected,
      found,
    }),
  );
}

const DAMAGE_CODES: Readonly<Record<Damage, { file: FindingCode; conffile: FindingCode }>> = {
  'zero-length': { file: 'file-zero-length', conffile: 'conffile-zero-length' },
  'nul-filled': { file: 'file-nul-filled', conffile: 'conffile-nul-filled' },
  'nul-tail': { file: 'file-nul-tail', conffile: 'conffile-nul-tail' },
  // A conffile has no such code: people end theirs where they like.
  truncated: { file: 'file-truncated', conffile: 'conffile-modified' },
  modified: { file: 'file-modified', conffile: 'conffile-modified' },
};

function judgeContent(
  view: FileView,
  note: ManifestNote,
  expectation: Expectation,
  verdict: FileVerdict,
): void {
  const { work } = view;
  const { entry, flags, path } = expectation;
  const conffile = (flags & Expect.conffile) !== 0;
  const content = describeContent(view.expectations.list.path(entry), {
    size: work.size[entry] ?? 0,
    pattern: work.pattern[entry] ?? Pattern.none,
    nulFrom: work.nulFrom[entry] ?? 0,
  });
  const changed = content.damage === 'modified' || (conffile && content.damage === 'truncated');
  if (changed && (flags & Expect.obsolete) !== 0) return;
  const unsettled = UNSETTLED.has(note.record.state) && !conffile;
  const severity: Severity = changed
    ? conffile
      ? 'info'
      : 'warning'
    : note.record.vital
      ? 'critical'
      : 'error';
  verdict.findings.push(
    finding({
      ...about(note, path),
      code: DAMAGE_CODES[content.damage][conffile ? 'conffile' : 'file'],
      severity,
      message: changed && conffile ? 'the conffile was changed locally' : content.message,
      knownBy: conffile ? 'conffile-hash' : 'md5sums',
      likelyOutage: !changed || unsettled,
      reason: unsettled
        ? "the package's unpacking was interrupted, and the manifest is the old version's"
        : content.reason,
      expected: `md5 ${hashText(work.expected, entry)}`,
      found: `md5 ${hashText(work.md5, entry)}, ${work.size[entry] ?? 0} bytes`,
    }),
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

function noteOf(view: FileView, index: number): ManifestNote {
  const note = view.expectations.packages[index];
  if (note === undefined) throw new RangeError(`no package ${index}`);
  return note;
}

function about(note: ManifestNote, path: Bytes): { package: Bytes; version: Bytes | undefined; path: Bytes } {
  return { package: note.display, version: versionOf(note.record), path };
}

export function versionOf(record: Package): Bytes | undefined {
  return record.version === '' ? undefined : record.version;
}
