/** What content alone tells of damage, where no manifest knows better. */

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
