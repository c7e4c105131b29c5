/** Where good copies of dpkg's database come from, and what a plan to mend it consists of. */
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import type { FindingCode } from '../../model/codes.ts';
import type { Bytes } from '../../system/bytes.ts';
import type { PackageEvent } from './evidence.ts';

export interface FileCopy {
  readonly data: Bytes;
  /** For a person; the copies that one source has of several files bear the same. */
  readonly source: string;
  /** When it was known to be so. */
  readonly at: Date | undefined;
}

export interface ArchiveSource {
  /** As a path of this host. */
  readonly file: string;
  /** Where it was found and what it was held against, for a person. */
  readonly source: string;
}

/** Every copy is parsed before it is used, and an archive has been verified when it is handed over (I6). */
export interface DatabaseSources {
  /**
   * Copies of a file, the best first.
   *
   * @param name inside the admindir (`status`, `info/x.list`, `diversions`), or an absolute path inside the root. A
   * copy of `status` has the journal of its time merged into it
   */
  copies(name: Bytes): Promise<FileCopy[]>;
  /** A verified .deb of exactly this version; undefined when none is to be had. */
  archive(name: Bytes, version: Bytes, architecture: Bytes): Promise<ArchiveSource | undefined>;
  /** Of which versions of a package there may be an archive; the newest file first. */
  versions(name: Bytes): Promise<{ readonly version: Bytes; readonly architecture: Bytes }[]>;
  /** What dpkg is known to have done, in its order: its log, and the status lines of open transactions. */
  events(): Promise<readonly PackageEvent[]>;
}

export interface DatabaseMend {
  /** Absolute inside the root. */
  readonly file: Bytes;
  /** `write` makes or replaces the file; `aside` takes away what is there, a directory too. */
  readonly action:
    | { readonly kind: 'write'; readonly data: Bytes; readonly mode: number }
    | { readonly kind: 'aside' };
  /** The problems that it mends. */
  readonly codes: readonly FindingCode[];
  /** As dpkg prints it. */
  readonly package?: Bytes | undefined;
  /** Where the content comes from, for a person. */
  readonly source: string;
  readonly reason: string;
  /** Of a mend that is about many packages: a line for each that was not simply kept. */
  readonly details?: readonly string[];
}

export interface Unmended {
  readonly problem: Pick<DatabaseProblem, 'code' | 'file' | 'package' | 'message'>;
  readonly why: string;
}

/** A package whose files or scripts the database can't vouch for until it is installed once more. */
export interface Reinstall {
  readonly name: Bytes;
  readonly architecture: Bytes;
  /** Empty where nothing tells it. */
  readonly version: Bytes;
  readonly why: string;
}

export interface DatabasePlan {
  /** In the order in which they have to be done: status stands before the journal entries that were merged into it. */
  readonly mends: readonly DatabaseMend[];
  readonly unmended: readonly Unmended[];
  readonly reinstall: readonly Reinstall[];
}
