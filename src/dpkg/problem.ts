/** Damage to dpkg's or apt's own files, as plain data; the audit makes findings of it. */
import type { FindingCode } from '../model/codes.ts';
import type { Bytes } from '../system/bytes.ts';

export interface DatabaseProblem {
  readonly code: Extract<FindingCode, `database-${string}` | `apt-${string}`>;
  /** The damaged file, as a path inside the root. */
  readonly file: Bytes;
  /** The package concerned, as dpkg prints it. */
  readonly package?: Bytes | undefined;
  /** What is wrong, for a person. */
  readonly message: string;
  /** What dpkg prints about it, where it prints something. */
  readonly dpkgMessage?: Bytes | undefined;
  /** Whether dpkg can't go on because of it. */
  readonly blocksDpkg: boolean;
  /** Damage of the kind that a power cut makes (NUL bytes, an empty or cut file), rather than a foreign hand's. */
  readonly likelyOutage: boolean;
  /** Why the file could not be read, where that is the problem. */
  readonly errno?: string;
}

/** Whether a file consists of NUL bytes alone; false for an empty one. */
export function isNulFilled(data: Bytes): boolean {
  return data !== '' && !/[^\0]/.test(data);
}

/** Where NUL bytes stand that make up the rest of the file, or -1. */
export function nulTailStart(data: Bytes): number {
  if (!data.endsWith('\0')) return -1;
  let at = data.length;
  while (at > 0 && data.charCodeAt(at - 1) === 0) at -= 1;
  return at;
}
