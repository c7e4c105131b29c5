/** Temporary names. */
import { randomBytes } from 'node:crypto';

/** One that nobody can guess and take beforehand; what it is says itself, should anyone ever see it. */
export function randomName(): string {
  return `.debmend-new-${randomBytes(8).toString('hex')}`;
}
