import { mkdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { filesystemOf, listFilesystems, overlayDirectories } from '../../src/fsck/filesystems.ts';
import { parseMountinfo } from '../../src/system/mounts.ts';
import { Root } from '../../src/system/root.ts';
import { type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

const roots: TinyRoot[] = [];
afterEach(() => {
  for (const one of roots.splice(0)) one.remove();
});

/** A root whose mount table is that of a machine: $ stands for the root. */
function list(table: string) {
  const root = tinyRoot();
  roots.push(root);
  for (const name of ['boot/efi', 'srv', 'home', 'var/log', 'usr/share/hello'])
    mkdirSync(root.at(name), { recursive: true });
  const mounts = parseMountinfo(table.replaceAll('$', root.directory));
  return { root, listed: listFilesystems(new Root(root.directory), { mounts }) };
}

const about = ({ listed }: ReturnType<typeof list>) =>
  listed.map(({ mountPoint, role, holds, type }) =>
    [mountPoint, role, holds.join(' '), type].join(' ').replaceAll('  ', ' - '),
  );

describe('the listing of filesystems', () => {
  it('says what each is for, the root’s first', () => {
    const machine = `
22 1 0:900 / $ rw - ext4 /dev/nowhere1 rw
23 22 0:901 / $/srv rw - ext4 /dev/nowhere2 rw
24 22 0:902 / $/var rw - xfs /dev/mapper/vg-var rw
25 22 0:903 / $/boot rw - ext4 /dev/nowhere3 rw
26 25 0:904 / $/boot/efi rw - vfat /dev/nowhere4 rw
27 22 0:905 / $/usr/share/hello rw - ext4 /dev/nowhere5 rw
28 22 0:5 / $/proc rw - proc proc rw
29 1 0:906 / /elsewhere rw - ext4 /dev/nowhere6 rw
`;
    expect(about(list(machine))).toEqual([
      '/ root packages ext4',
      '/usr/share/hello usr packages ext4',
      '/boot boot boot ext4',
      '/boot/efi efi boot vfat',
      '/var var database store xfs',
      '/srv data - ext4',
    ]);
  });

  it('takes bind mounts and subvolumes of one filesystem for one', () => {
    const machine = `
22 1 0:900 /@ $ rw - btrfs /dev/nowhere rw,subvolid=256,subvol=/@
23 22 0:900 /@log $/var/log rw - btrfs /dev/nowhere rw,subvolid=257,subvol=/@log
24 22 0:900 /@/srv $/home ro - btrfs /dev/nowhere rw,subvolid=256,subvol=/@
`;
    const { listed } = list(machine);
    expect(listed).toHaveLength(1);
    expect(listed[0]).toMatchObject({
      mountPoint: '/',
      mountPoints: ['/', '/home', '/var/log'],
      subtrees: ['/@', '/@/srv', '/@log'],
      subvolumes: [256, 256, 257],
      readOnly: false,
    });
  });

  it('knows of what was mounted over only the last', () => {
    const machine = `
22 1 0:900 / $ rw - ext4 /dev/first rw
23 22 0:901 / $/srv rw - ext4 /dev/second rw
24 23 0:902 / $/srv rw - xfs /dev/third rw
`;
    expect(about(list(machine))).toEqual(['/ root packages database store ext4', '/srv data - xfs']);
  });

  it('finds the filesystem that a root is only a directory of', () => {
    const { listed } = list('22 1 0:900 / / rw - ext4 /dev/nowhere rw\n');
    expect(listed).toHaveLength(1);
    expect(listed[0]).toMatchObject({ mountPoint: '/', hostMountPoints: ['/'], whole: false, role: 'root' });
  });

  it.each([
    ['overlay', 'overlay rw,lowerdir=/nowhere', 'an overlay has no disk of its own'],
    ['tmpfs', 'tmpfs rw', 'kept in memory'],
    ['nfs4', 'server:/export rw', 'another machine'],
    ['squashfs', '/dev/loop99 ro', 'never written to'],
    ['zfs', 'pool/root rw', 'zpool'],
    ['ext4', '/dev/nowhere rw', 'there is no block device for it here, as in a container'],
    ['fuse.sshfs', 'server: rw', 'kept by a program'],
  ])('%s is not applicable, and says why', (type, rest, why) => {
    const { listed } = list(`22 1 0:900 / $ rw - ${type} ${rest}\n`);
    expect(listed[0]?.notApplicable).toContain(why);
  });

  it('has an entry for a root of which the mount table says nothing', () => {
    const { listed } = list('');
    expect(listed).toHaveLength(1);
    expect(listed[0]).toMatchObject({ mountPoint: '/', role: 'root', type: 'unknown', holds: [] });
    expect(listed[0]?.notApplicable).toContain('container');
  });

  it('tells which one a path lies on', () => {
    const { listed } = list(`
22 1 0:900 / $ rw - ext4 /dev/first rw
23 22 0:901 / $/srv rw - ext4 /dev/second rw
`);
    expect(filesystemOf(listed, '/srv')?.source).toBe('/dev/second');
    expect(filesystemOf(listed, '/srv/x')?.source).toBe('/dev/second');
    expect(filesystemOf(listed, '/srvx')?.source).toBe('/dev/first');
  });
});

describe('the directories of an overlay', () => {
  it('are those of its options, old and new', () => {
    expect(
      overlayDirectories(['rw', 'lowerdir=/a:/b::/data', 'upperdir=/u', 'workdir=/w', 'index=off']),
    ).toEqual(['/a', '/b', '/data', '/u']);
    expect(overlayDirectories(['lowerdir+=/a', 'lowerdir+=/b', 'datadir+=/c', 'lowerdir=relative'])).toEqual([
      '/a',
      '/b',
      '/c',
    ]);
  });
});
