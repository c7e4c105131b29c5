import { describe, expect, it } from 'vitest';
import { mountOf, parseMountinfo, readMounts } from '../../src/system/mounts.ts';

const TEXT = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 0:5 / /proc rw,nosuid shared:2 master:3 - proc proc rw
30 22 254:1 /sub /srv/a\\040b\\134c rw - xfs /dev/mapper/v\\040g rw,attr2
31 22 254:2 / /srv/caf\xe9\\012 ro - btrfs /dev/sdb ro
32 22 0:40 / /empty rw -  rw
33 22 254:3 / /srv/a rw - ext4 /dev/first rw
34 33 254:4 / /srv/a rw - ext4 /dev/second rw
`;
const mounts = parseMountinfo(TEXT);

describe('parseMountinfo', () => {
  it('reads mounts with and without optional fields', () => {
    expect(mounts.slice(0, 2)).toEqual([
      {
        mountPoint: '/',
        type: 'ext4',
        source: '/dev/vda',
        options: ['rw', 'relatime', 'rw', 'errors=remount-ro'],
        number: '254:0',
        subtree: '/',
        mountOptions: ['rw', 'relatime'],
        superOptions: ['rw', 'errors=remount-ro'],
      },
      {
        mountPoint: '/proc',
        type: 'proc',
        source: 'proc',
        options: ['rw', 'nosuid', 'rw'],
        number: '0:5',
        subtree: '/',
        mountOptions: ['rw', 'nosuid'],
        superOptions: ['rw'],
      },
    ]);
  });

  it('undoes the escapes of names', () => {
    expect(mounts.map(({ mountPoint }) => mountPoint)).toEqual([
      '/',
      '/proc',
      '/srv/a b\\c',
      '/srv/caf\xe9\n',
      '/empty',
      '/srv/a',
      '/srv/a',
    ]);
    expect(mounts[2]?.source).toBe('/dev/mapper/v g');
  });

  it('leaves out lines that are none', () => {
    expect(parseMountinfo('\n\nfoo\n1 2 3 - \n - ext4 /dev/a rw\n')).toEqual([]);
  });
});

describe('mountOf', () => {
  it.each([
    ['/', '/dev/vda'],
    ['/etc/fstab', '/dev/vda'],
    ['/procfs', '/dev/vda'],
    ['/proc', 'proc'],
    ['/proc/1/stat', 'proc'],
    ['/srv/a b\\c/x', '/dev/mapper/v g'],
    ['/srv/ab', '/dev/vda'],
    ['/srv/a/x', '/dev/second'], // of two on one place the one mounted last
  ])('%s lies on %s', (path, source) => {
    expect(mountOf(mounts, path)?.source).toBe(source);
  });

  it('knows nothing without a table', () => {
    expect(mountOf([], '/etc')).toBeUndefined();
  });
});

describe('readMounts', () => {
  it('reads this process’s own', () => {
    expect(mountOf(readMounts(), '/proc/self')?.type).toBe('proc');
    expect(mountOf(readMounts(), '/')).toBeDefined();
  });
});
