/** The findings about one path: unreadable, missing, of the wrong type, with the wrong content, diverted. */
import type { Database } from '../dpkg/database.ts';
import { isExcluded } from '../dpkg/filters.ts';
import { Expect, type Expectation, type Expectations, type ManifestNote } from '../manifest/expectations.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding, KnownBy } from '../model/finding.ts';
import type { Severity } from '../model/severity.ts';
import { hashText, Kind, Pattern, type Work } from '../scan/work.ts';
import type { Bytes } from '../system/bytes.ts';
import { isDeviceErrno } from '../system/errors.ts';
import { type Mount, mountOf } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { type Damage, describeContent } from './content.ts';
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

interface FailedLook {
  readonly note: ManifestNote;
  readonly flags: number;
  readonly path: Bytes;
  readonly errno: string;
  readonly host: Bytes;
}

export function judgeError(view: FileView, failed: FailedLook, verdict: FileVerdict): void {
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
      ...aboutFile(view, note, flags, path),
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
  const file = aboutFile(view, note, flags, path);
  const unsettled = UNSETTLED.has(note.record.state);
  verdict.findings.push(
    finding({
      ...file,
      code: 'file-missing',
      severity: note.record.vital ? 'critical' : 'error',
      message:
        file.divertedTo === undefined
          ? 'it is missing'
          : `it is missing where a diversion put it, at ${file.divertedTo}`,
      knownBy,
      likelyOutage: unsettled,
      reason: unsettled
        ? "the package's unpacking was interrupted"
        : 'a cut loses content, seldom a whole installed file',
    }),
  );
}

/** A file that is whole where its diversion put it: worth knowing, and no one's to mend. */
export function noteDiversion(view: FileView, expectation: Expectation, verdict: FileVerdict): void {
  const note = noteOf(view, expectation.package);
  const diversion = view.expectations.diversionOf(note.record, expectation.path);
  verdict.findings.push(
    finding({
      ...aboutFile(view, note, expectation.flags, expectation.path),
      code: 'file-diverted',
      severity: 'info',
      message: `${diversion?.package === undefined ? 'a local diversion' : `a diversion of ${diversion.package}`} put it at ${diversion?.to ?? 'another name'}`,
      knownBy: 'diversions',
      likelyOutage: false,
      reason: 'the diversion explains it',
    }),
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

export function judgeType(
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
      ...aboutFile(view, note, flags, path),
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

export function judgeContent(
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
      ...aboutFile(view, note, flags, path),
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

export function noteOf(view: FileView, index: number): ManifestNote {
  const note = view.expectations.packages[index];
  if (note === undefined) throw new RangeError(`no package ${index}`);
  return note;
}

/** A finding about a file, named as its package names it, and by the place where a diversion put it. */
function aboutFile(
  view: FileView,
  note: ManifestNote,
  flags: number,
  path: Bytes,
): ReturnType<typeof about> & { divertedTo: Bytes | undefined } {
  const isDiverted = (flags & Expect.diverted) !== 0;
  const divertedTo = isDiverted ? view.expectations.diversionOf(note.record, path)?.to : undefined;
  return { ...about(note, path), divertedTo };
}

export function about(
  note: ManifestNote,
  path: Bytes,
): { package: Bytes; version: Bytes | undefined; path: Bytes } {
  return { package: note.display, version: note.record.version, path };
}
