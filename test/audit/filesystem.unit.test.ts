/** Whose files a filesystem's damage hit, by dpkg's lists. What the checkers say is tried in test/fsck. */
import { afterEach, describe, expect, it } from 'vitest';
import { judgeFilesystem, type Placement } from '../../src/audit/filesystem.ts';
import { readDatabase } from '../../src/dpkg/database.ts';
import type { Damage } from '../../src/fsck/run.ts';
import { Root } from '../../src/system/root.ts';
import { DPKG, HELLO, type TinyPackage, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

const OLD: TinyPackage = { name: 'old', files: { '/bin/old': 'in its place before the merge\n' } };
const LOADER: TinyPackage = { name: 'loader', files: { '/usr/lib/loader/BootX64.efi.signed': 'a loader' } };

const roots: TinyRoot[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) root.remove();
});

function placement(change: Partial<Placement> = {}, prepare?: (root: TinyRoot) => void): Placement {
  const tiny = tinyRoot([HELLO, OLD, LOADER]);
  roots.push(tiny);
  prepare?.(tiny);
  const root = new Root(tiny.directory);
  return { database: readDatabase(root), mountPoint: '/', top: '', readable: root, ...change };
}

function damage(path: string | undefined, kind: Damage['kind'] = 'file'): Damage {
  return { kind, inode: '17', path, said: ['Something is wrong.  '], more: 0, harmless: false };
}

function judged(at: Placement | undefined, ...damages: Damage[]) {
  return judgeFilesystem({ damages, device: '/dev/sdx1', placement: at });
}

const short = (at: Placement, ...damages: Damage[]) =>
  judged(at, ...damages).map(
    ({ severity, code, package: pkg = '-', path = '-' }) => `${severity} ${code} ${pkg} ${path}`,
  );

describe('the owner of a damaged path', () => {
  it('is found by its list; a file of an essential package is critical', () => {
    expect(
      short(placement(), damage('/usr/bin/hello'), damage('/usr/bin/dpkg'), damage('/home/me/file')),
    ).toEqual([
      'critical fsck-file-damaged dpkg /usr/bin/dpkg',
      'error fsck-file-damaged - /home/me/file',
      'error fsck-file-damaged hello /usr/bin/hello',
    ]);
    expect(DPKG.fields).toContain('Essential: yes');
  });

  it('is found on both sides of a merged /usr', () => {
    const [one] = judged(placement({ readable: undefined }), damage('/usr/bin/old'));
    expect(one).toMatchObject({
      package: 'old',
      path: '/usr/bin/old',
      version: '1.0-1',
      device: '/dev/sdx1',
    });
  });

  it('is found through the mount point and a subvolume', () => {
    expect(short(placement({ mountPoint: '/usr' }), damage('/bin/hello'))).toEqual([
      'error fsck-file-damaged hello /usr/bin/hello',
    ]);
    expect(
      short(placement({ top: '/@rootfs' }), damage('/@rootfs/usr/bin/hello'), damage('/@home/x')),
    ).toEqual(['error fsck-file-damaged - /@home/x', 'error fsck-file-damaged hello /usr/bin/hello']);
  });

  it('follows a diversion: the diverted name is its package’s, the name it had is not', () => {
    const diverted = placement({}, (root) =>
      root.write(
        '/var/lib/dpkg/diversions',
        '/usr/bin/hello\n/usr/bin/hello.real\nlocal\n'.replace('local', ':'),
      ),
    );
    expect(short(diverted, damage('/usr/bin/hello'), damage('/usr/bin/hello.real'))).toEqual([
      'error fsck-file-damaged - /usr/bin/hello',
      'error fsck-file-damaged hello /usr/bin/hello.real',
    ]);
  });

  it('of a directory is every package below it', () => {
    const [one] = judged(placement(), damage('/usr', 'directory'));
    expect(one).toMatchObject({ code: 'fsck-directory-damaged', severity: 'critical' });
    expect(one?.message).toContain('files of 4 packages lie in it: hello (3), dpkg (2), loader (1), old (1)');
  });

  it('of what was copied to the EFI partition is that of the original', () => {
    const [one] = judged(
      placement({ mountPoint: '/boot/efi', readable: undefined }),
      damage('/EFI/BOOT/BOOTX64.EFI'),
    );
    expect(one).toMatchObject({ package: 'loader', path: '/boot/efi/EFI/BOOT/BOOTX64.EFI' });
    expect(one?.message).toContain('it is a copy of a file of loader');
  });
});

describe('what is said of the content', () => {
  it('comes from reading it', () => {
    const text = (change?: (root: TinyRoot) => void) =>
      judged(placement({}, change), damage('/usr/bin/hello'))[0]?.message;
    expect(text()).toBe('a file: Something is wrong; its content is still what its package says');
    expect(text((root) => root.write('/usr/bin/hello', 'x'))).toContain(
      'its content is not what its package says',
    );
  });
});

describe('without a path', () => {
  it('inodes are named by their number, orphans all at once, and nothing needs a database', () => {
    const orphans = ['3', '4'].map((inode): Damage => ({ ...damage(undefined, 'orphan'), inode }));
    const found = judged(undefined, damage(undefined), ...orphans, {
      ...damage(undefined, 'structure'),
      harmless: true,
    });
    expect(found.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
      'error fsck-file-damaged',
      'error fsck-orphan',
      'info fsck-structure-stale',
    ]);
    expect(found[0]?.message).toContain('inode 17, to which no name leads');
    expect(found[1]?.message).toContain('2 inodes have no name any more: 3, 4;');
  });
});
