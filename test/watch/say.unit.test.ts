import { expect, it } from 'vitest';
import { isKept, type WatchEvent } from '../../src/watch/events.ts';
import { eventLine } from '../../src/watch/say.ts';

const at = '2026-01-02T03:04:05.678Z';

it('what is said to a person names the package, the path and what is different', () => {
  const event: WatchEvent = {
    at,
    kind: 'owned-file-changed',
    path: '/usr/bin/ls',
    package: 'coreutils',
    changed: ['mode', 'content'],
  };
  expect(eventLine(event)).toBe(
    `${at} file of coreutils changed outside any transaction: /usr/bin/ls: its mode, its content`,
  );
});

it('no control character of a hostile name reaches the terminal', () => {
  const event: WatchEvent = {
    at,
    kind: 'conffile-changed',
    path: '/etc/\u001b[2J',
    changed: ['missing'],
  };
  expect(eventLine(event)).toBe(
    `${at} conffile of a package changed outside any transaction: $'/etc/\\x1b[2J': it is gone`,
  );
  const begun: WatchEvent = {
    at,
    kind: 'transaction-begun',
    transaction: 't',
    command: ['dpkg', '-i', 'a\nb.deb'],
  };
  expect(eventLine(begun)).toBe(
    `${at} packages are changed without a hook: transaction t of dpkg -i "a\\nb.deb"`,
  );
});

it('a limit names the setting to raise', () => {
  const event: WatchEvent = {
    at,
    kind: 'watching-limited',
    sysctl: 'fs.inotify.max_user_watches',
    errno: 'ENOSPC',
    what: 'database',
    pollSeconds: 5,
  };
  expect(eventLine(event)).toContain('fs.inotify.max_user_watches is too low (ENOSPC)');
  expect(isKept(event.kind)).toBe(true);
});

it('errors of a filesystem come with what the kernel knows of the last', () => {
  const event: WatchEvent = {
    at,
    kind: 'filesystem-errors',
    device: 'vda1',
    mountPoints: ['/'],
    errors: 2,
    before: 0,
    last: { func: 'ext4_lookup', line: 1787, inode: 27, errcode: 'EFSCORRUPTED', at },
  };
  expect(eventLine(event)).toBe(
    `${at} vda1 (/) counts 2 errors, 0 before; the last: ext4_lookup:1787, inode 27, EFSCORRUPTED, at ${at}`,
  );
});
