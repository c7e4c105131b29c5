/** passwd(5), group(5), shadow(5), gshadow(5), subuid(5) and subgid(5): everybody's, and written by their own programs only. */
import type { Bytes } from '../system/bytes.ts';

/** How many fields a line of each has. */
const FIELDS: ReadonlyMap<Bytes, number> = new Map([
  ['/etc/passwd', 7],
  ['/etc/group', 4],
  ['/etc/shadow', 9],
  ['/etc/gshadow', 4],
  ['/etc/subuid', 3],
  ['/etc/subgid', 3],
]);

export const ACCOUNT_FILES: readonly Bytes[] = [...FIELDS.keys()];

/** What their programs put beside them while they work, and take away (shadow's lib/commonio.c). */
const SCRATCH = /(?:\.lock|\.\d+|\+)$/;

/** Whether a path is one of them, its backup, or the lock of them all. */
export function isOfAccounts(path: Bytes): boolean {
  return path === '/etc/.pwd.lock' || FIELDS.has(path.replace(/-$/, ''));
}

export function isAccountScratch(path: Bytes): boolean {
  return SCRATCH.test(path) && FIELDS.has(path.replace(SCRATCH, ''));
}

/** Whether a file of accounts has the form that its readers take; undefined for any other path. */
export function areAccounts(path: Bytes, text: Bytes): boolean | undefined {
  const fields = FIELDS.get(path);
  if (fields === undefined) return undefined;
  // Lines of NIS (`+::::::`) have as many; a last line without its end was cut.
  const lines = text.split('\n').map((line) => line.split(':'));
  const [end] = lines.pop() ?? [];
  return end === '' && lines.every((line) => line.length === fields && isOf(path, line));
}

/** A group file and its shadow have as many fields, and one may lie under the other's name. */
function isOf(path: Bytes, [name = '', password = '', third = '', fourth = '']: readonly Bytes[]): boolean {
  const isNumber = (field: Bytes): boolean => /^\d+$/.test(field) || /^[+-]/.test(name);
  switch (path) {
    case '/etc/passwd':
      return isNumber(third) && isNumber(fourth);
    case '/etc/group':
      return isNumber(third);
    case '/etc/gshadow':
      return password !== 'x' || !isNumber(third);
    default:
      return true;
  }
}
