/** Running a piece of a test without root's rights, so that such tests are skipped by nobody. */
import { chownSync } from 'node:fs';

/** Debian's nobody and nogroup (base-passwd). */
const NOBODY = 65534;

/**
 * Calls `body` as an ordinary user; as root the effective ids are nobody's for that long.
 *
 * @param directory given to that user, so that it can be searched
 */
export function unprivileged<T>(directory: string, body: () => T): T {
  const { geteuid, getegid, seteuid, setegid } = process;
  if (!geteuid || !getegid || !seteuid || !setegid || geteuid() !== 0) return body();
  const group = getegid();
  chownSync(directory, NOBODY, NOBODY);
  setegid(NOBODY);
  seteuid(NOBODY);
  try {
    return body();
  } finally {
    seteuid(0);
    setegid(group);
  }
}
