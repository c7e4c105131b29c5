/** What content alone tells of damage, where no manifest knows better. */
import type { Bytes } from '../system/bytes.ts';
import { areAccounts } from './accounts.ts';

/** Disks write sectors of this size at least, in bytes. */
const SECTOR = 512;

/**
 * Whether content looks as a cut leaves it. Legitimate files may look the same (facts: MariaDB ships such): this alone
 * never moves a file, only together with what is known of who made it and what it was.
 *
 * @returns how, as a sentence goes on
 */
export function looksDamaged(data: Buffer): 'empty' | 'all NUL' | 'ending in NUL bytes' | undefined {
  if (data.length === 0) return 'empty';
  let end = data.length;
  while (end > 0 && data[end - 1] === 0) end -= 1;
  if (end === 0) return 'all NUL';
  const tail = data.length - end;
  if (tail === 0) return undefined;
  return tail >= SECTOR || data.length % SECTOR === 0 || end % SECTOR === 0
    ? 'ending in NUL bytes'
    : undefined;
}

/** What no text has: control bytes but those of white space, backspace and escape sequences. */
const NO_TEXT = /[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]/;

/**
 * Whether a file has lost the form that it had: other blocks stand in it, as a disk leaves them that writes to the wrong
 * place. Nothing is said of a file that had no such form before.
 *
 * @returns what is wrong, as a sentence goes on
 */
export function lostForm(path: Bytes, before: Bytes, now: Bytes): string | undefined {
  if (!NO_TEXT.test(before) && NO_TEXT.test(now)) return 'no longer text';
  const isBroken = areAccounts(path, before) === true && areAccounts(path, now) === false;
  return isBroken ? 'no longer a list of accounts' : undefined;
}
