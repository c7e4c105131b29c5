/** Kernel versions as `uname -r` has them, in the order in which linux-version(1) sorts them. */
import type { Bytes } from '../../system/bytes.ts';

/** Negative when `a` is the older one: numbers count as numbers, and a release candidate comes before its release. */
export function compareKernelVersions(a: Bytes, b: Bytes): number {
  const parts = (version: Bytes): string[] =>
    version.replace(/-(rc|trunk)/g, '~$1').match(/\d+|[^\d]+/g) ?? [];
  const left = parts(a);
  const right = parts(b);
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const order = comparePart(left[index] ?? '', right[index] ?? '');
    if (order !== 0) return order;
  }
  return 0;
}

function comparePart(a: string, b: string): number {
  if (a === b) return 0;
  if (a.startsWith('~') || b.startsWith('~')) return a.startsWith('~') ? -1 : 1;
  const numbers = /^\d/.test(a) && /^\d/.test(b);
  if (numbers) return Number(a) - Number(b);
  return a < b ? -1 : 1;
}
