/** What the checkers' exit codes mean; none is believed by itself (I11). */

/** fsck(8), e2fsck(8), fsck.fat(8). */
const FSCK_BITS: readonly (readonly [bit: number, meaning: string])[] = [
  [1, 'errors were corrected'],
  [2, 'errors were corrected, and the system should be rebooted'],
  [4, 'errors are left uncorrected'],
  [8, 'the check could not be done to its end'],
  [16, 'it was called wrongly'],
  [32, 'it was cancelled'],
  [128, 'a library is missing'],
];

/** The meanings of an exit code that is a sum of bits (e2fsck). */
export function fsckMeanings(code: number | undefined): string[] {
  if (code === undefined) return ['a signal ended it'];
  if (code === 0) return ['no errors'];
  return FSCK_BITS.flatMap(([bit, meaning]) => ((code & bit) === 0 ? [] : [meaning]));
}

/** Whether e2fsck came to its end; bits 4 and 8 together are what it says when it gives up in the middle. */
export function cameToItsEnd(code: number | undefined): boolean {
  return code !== undefined && (code & (8 | 16 | 32 | 128)) === 0;
}
