import { expect, it } from 'vitest';
import { takenAway } from '../../src/recovery/left-accounts.ts';

it.each([
  ['if getent passwd lab > /dev/null; then userdel lab; fi', ['lab']],
  ['deluser --quiet --system mysql > /dev/null || true', ['mysql']],
  // Out of a group, which stays.
  ['deluser www-data ssl-cert || true', ['www-data']],
  ['delgroup --only-if-empty _ssh\nuserdel -r "$USER"', ['_ssh']],
  ['adduser --system lab', []],
])('tells what a script takes away: %s', (script, names) => {
  expect(takenAway(script)).toEqual(names);
});
