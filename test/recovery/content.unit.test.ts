import { describe, expect, it } from 'vitest';
import { looksDamaged, lostForm } from '../../src/recovery/content.ts';

const SHADOW = 'root:*:19000:0:99999:7:::\nlab:!:19000::::::\n';

describe('what a cut leaves of content', () => {
  it.each([
    ['', 'empty'],
    ['\0\0\0', 'all NUL'],
    [`${'x'.repeat(512)}${'\0'.repeat(100)}`, 'ending in NUL bytes'],
    ['whole\n', undefined],
    ['a program ends so\0', undefined],
  ])('%j', (text, damage) => {
    expect(looksDamaged(Buffer.from(text))).toBe(damage);
  });
});

describe('a file whose blocks are others', () => {
  it('is no longer text', () => {
    expect(lostForm('/etc/a.conf', 'a = 1\n', 'a = 1\n\x02\x9c\0')).toBe('no longer text');
    expect(lostForm('/etc/a.conf', 'a = 1\n', 'a = 2\n\tb = é\n')).toBeUndefined();
    // A file that never was text tells nothing.
    expect(lostForm('/etc/ld.so.cache', 'glibc\0', 'other\0')).toBeUndefined();
  });

  it('is no longer a list of accounts', () => {
    const broken = 'no longer a list of accounts';
    expect(lostForm('/etc/shadow', SHADOW, `${SHADOW}new:!:19001::::::\n`)).toBeUndefined();
    expect(lostForm('/etc/shadow', SHADOW, SHADOW.slice(0, -4))).toBe(broken);
    expect(lostForm('/etc/shadow', SHADOW, 'root:x:0:\ndaemon:x:1:\n')).toBe(broken);
    expect(lostForm('/etc/group', 'root:x:0:\n', 'root:x:0:\nlab:x:999:\n')).toBeUndefined();
    // Neither is a file that somebody had written so before, nor one of another name.
    expect(lostForm('/etc/group', 'root:x:0:', 'root:x')).toBeUndefined();
    expect(lostForm('/etc/other', 'root:x:0:\n', 'root\n')).toBeUndefined();
  });
});
