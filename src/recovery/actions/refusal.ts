/** How it is said that something could not be done: each errno by what the person can do about it. */
import { DebmendError, errnoOf, messageOf } from '../../system/errors.ts';

/**
 * The error of a system call as one of debmend's own; one that is debmend's already stays as it is.
 *
 * @param doing what was being done to what, in the words of a message: `moving /a aside`
 */
export function failedAction(error: unknown, doing: string): DebmendError {
  if (error instanceof DebmendError) return error;
  const errno = errnoOf(error);
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new DebmendError(
        'disk-full',
        `${doing}: there is no room (${errno})`,
        'make room on that filesystem, then run it again; what was begun is whole',
        error,
      );
    case 'EROFS':
      return new DebmendError(
        'read-only',
        `${doing}: the filesystem is mounted read-only (${errno})`,
        'see in the kernel log why, check it with fsck, and mount it for writing',
        error,
      );
    case 'EXDEV':
    case 'EBUSY':
      return refused(
        doing,
        `it is a mount point, or on another filesystem (${errno})`,
        'unmount it first',
        error,
      );
    case 'ENOTDIR':
    case 'ELOOP':
      return refused(
        doing,
        `a directory on the way is none any more (${errno})`,
        'see who changes it, then run it again',
        error,
      );
    case 'EPERM':
    case 'EACCES':
      return new DebmendError(
        'action-failed',
        `${doing}: ${errno}`,
        "run it as root; 'lsattr' tells whether the file is immutable",
        error,
      );
    default:
      return new DebmendError(
        'action-failed',
        `${doing}: ${errno ?? messageOf(error)}`,
        'see the kernel log; run it again when the disk is well',
        error,
      );
  }
}

/** What debmend does not do, whatever the disk allows. */
export function refused(doing: string, why: string, hint: string, cause?: unknown): DebmendError {
  return new DebmendError('action-refused', `${doing}: ${why}`, hint, cause);
}
