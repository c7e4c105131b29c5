import { expect, it } from 'vitest';
import { bootsOf, endedCleanly } from '../../src/outage/boots.ts';

it('reads the boots that journalctl lists, whichever way it writes their ids', () => {
  const listed = [
    { index: -1, boot_id: '0123456789abcdef0123456789abcdef', first_entry: 1, last_entry: 2 },
    { index: 0, boot_id: 'fedcba98-7654-3210-fedc-ba9876543210', first_entry: 3, last_entry: 4 },
  ];
  expect(bootsOf(JSON.stringify(listed))).toEqual([
    '0123456789abcdef0123456789abcdef',
    'fedcba9876543210fedcba9876543210',
  ]);
});

it.each(['', 'no journal files were found', '{}', '[1, null, {"boot_id": 7}]', '[{"boot'])(
  'finds none in %j',
  (text) => expect(bootsOf(text)).toEqual([]),
);

it('proves nothing of a boot that no journal knows', async () => {
  expect(await endedCleanly('11111111-2222-3333-4444-555555555555')).toBe(false);
});
