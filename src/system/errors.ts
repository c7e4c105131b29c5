/**
 * What is said to a person when something fails: lower case, no full stop, what was being done to what, and what the
 * person can do now. Codes are stable: programs may depend on them.
 */
export type ErrorCode =
  | 'usage'
  | 'root-unreadable'
  | 'no-dpkg-database'
  | 'config-unreadable'
  | 'config-invalid'
  | 'locked'
  | 'database-changed'
  | 'unknown-package'
  | 'output-unwritable'
  | 'scan-failed'
  | 'archive-unreadable'
  | 'interrupted';

export class DebmendError extends Error {
  override readonly name = 'DebmendError';
  readonly code: ErrorCode;
  /** What the person can do now. */
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
  }
}

/** The errno name of a failed system call (`ENOENT`), or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** The text of an error that may be anything. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
