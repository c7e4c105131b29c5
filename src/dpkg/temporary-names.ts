/**
 * The names under which dpkg and its tools put files that are not meant to stay (src/main/dpkg.h, DPKGTEMPEXT and its
 * neighbours; src/divert/main.c; scripts/dpkg-maintscript-helper.sh), and those that belong to the administrator.
 */
import type { Bytes } from '../system/bytes.ts';

export type TemporaryKind =
  /** New content on its way in: `.dpkg-new`, or dpkg-divert's copy. */
  | 'new'
  /** Old content kept until the package is unpacked: `.dpkg-tmp`. */
  | 'backup'
  /** Moved aside by a maintainer script until it is configured. */
  | 'staged'
  /** Conffile versions that wait for a person: `.dpkg-old`, `.dpkg-dist`, `.dpkg-bak`, `.ucf-*`. */
  | 'administrator';

const SUFFIXES: readonly (readonly [string, TemporaryKind])[] = [
  ['.dpkg-new', 'new'],
  ['.dpkg-divert.tmp', 'new'],
  ['.dpkg-tmp', 'backup'],
  ['.dpkg-remove', 'staged'],
  ['.dpkg-backup', 'staged'],
  ['.dpkg-staging-dir', 'staged'],
  ['.dpkg-old', 'administrator'],
  ['.dpkg-dist', 'administrator'],
  ['.dpkg-bak', 'administrator'],
  ['.ucf-old', 'administrator'],
  ['.ucf-new', 'administrator'],
  ['.ucf-dist', 'administrator'],
];

export interface TemporaryName {
  readonly kind: TemporaryKind;
  readonly suffix: string;
  /** The path without the suffix. */
  readonly original: Bytes;
}

/** What kind of temporary name a path ends in, if any. */
export function temporaryName(path: Bytes): TemporaryName | undefined {
  // Nearly no name has one of these: one look decides.
  if (!path.includes('.dpkg-') && !path.includes('.ucf-')) return undefined;
  for (const [suffix, kind] of SUFFIXES) {
    if (path.endsWith(suffix) && path.length > suffix.length) {
      return { kind, suffix, original: path.slice(0, -suffix.length) };
    }
  }
  return undefined;
}
