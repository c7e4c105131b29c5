/**
 * What is said to a person when something fails: lower case, no full stop, what was being done to what, and what the
 * person can do now. Codes are stable: programs may depend on them.
 */
export type ErrorCode =
  | 'usage'
  | 'root-unreadable'
  | 'root-unwritable'
  | 'cannot-run-programs'
  | 'no-dpkg-database'
  | 'config-unreadable'
  | 'config-invalid'
  | 'locked'
  | 'database-changed'
  | 'unknown-package'
  | 'output-unwritable'
  | 'scan-failed'
  | 'archive-unreadable'
  | 'store-unusable'
  | 'unknown-snapshot'
  | 'unknown-transaction'
  | 'hooks-unwritable'
  | 'services-unwritable'
  | 'services-not-started'
  | 'unknown-run'
  | 'unknown-quarantine'
  | 'action-refused'
  | 'action-failed'
  | 'filesystem-unreadable'
  | 'filesystem-unknown'
  | 'filesystem-in-use'
  | 'repair-refused'
  | 'program-missing'
  | 'check-refused'
  | 'check-not-asked'
  | 'disk-full'
  | 'read-only'
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

/** Numbers that Node has no name for (errno(3)): a filesystem that finds its own metadata damaged. */
const UNNAMED: Readonly<Record<string, string>> = {
  'Unknown system error -117': 'EUCLEAN',
  'Unknown system error -74': 'EBADMSG',
};

/** Whether a failure comes from the device or a damaged filesystem, and not from the file that was asked for. */
export function isDeviceErrno(errno: string): boolean {
  return errno === 'EIO' || errno === 'EUCLEAN' || errno === 'EBADMSG';
}

/** The errno name of a failed system call (`ENOENT`), or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return UNNAMED[error.code] ?? error.code;
  }
  return undefined;
}

/** The text of an error that may be anything. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
