import { describe, expect, it } from 'vitest';
import { decide, repairWord, type Subject } from '../../src/fsck/schedule/decide.ts';
import { fstabEntry, parseFstab } from '../../src/fsck/schedule/fstab.ts';
import type { Surroundings } from '../../src/fsck/schedule/surroundings.ts';

const FSTAB = `# a comment
UUID="0a-b" / ext4 errors=remount-ro 0 1
LABEL=data /srv ext4 defaults 0 2
/dev/sdb1 /never ext4 defaults
/dev/sdb2 /zero ext4 defaults 0 0
/dev/sdb3 /backup ext4 noauto 0 2
/dev/sdb4 /with\\040blank/ xfs defaults 0 2
/dev/sdb5 /boot/efi vfat umask=0077 0 1
nonsense
`;

const DEBIAN: Surroundings = {
  booted: true,
  fstab: parseFstab(FSTAB),
  bootLoader: 'grub',
  checkers: () => true,
  xfsForces: true,
  rootCheckedEarly: true,
  unmountsRoot: false,
  checksXfs: true,
  checksOthers: true,
};

function subject(type: string, mountPoint: string, more: Partial<Subject> = {}): Subject {
  return {
    mountPoint,
    role: mountPoint === '/' ? 'root' : 'data',
    type,
    node: '/dev/vda1',
    uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    notApplicable: undefined,
    whole: true,
    ...more,
  };
}

function methodOf(type: string, mountPoint: string, around: Partial<Surroundings> = {}): string {
  const decision = decide(subject(type, mountPoint), { ...DEBIAN, ...around });
  return decision.kind === 'ask' ? decision.method : `${decision.kind}: ${decision.reason}`;
}

describe('the way a check is asked for', () => {
  it('is the error flag for ext4 as the booted root, and for nothing else: unmounting loses it', () => {
    expect(methodOf('ext4', '/')).toBe('error-flag');
    expect(methodOf('ext4', '/srv')).toBe('mount-count');
    expect(methodOf('ext3', '/srv')).toBe('mount-count');
    expect(methodOf('ext4', '/', { unmountsRoot: true })).toBe('mount-count');
    expect(methodOf('ext4', '/', { rootCheckedEarly: false })).toBe('mount-count');
    expect(methodOf('ext4', '/', { booted: false })).toBe('mount-count');
  });

  it('is the kernel command line, by GRUB, for what has no superblock that asks', () => {
    expect(methodOf('xfs', '/with blank')).toBe('command-line');
    expect(methodOf('f2fs', '/srv')).toBe('command-line');
  });

  it('is no way where the boot loader cannot be told for one boot: the words are said instead', () => {
    for (const bootLoader of ['systemd-boot', 'extlinux', 'none'] as const) {
      const decision = decide(subject('xfs', '/with blank'), { ...DEBIAN, bootLoader });
      expect(decision).toMatchObject({ kind: 'refused' });
      expect('hint' in decision && decision.hint).toContain('fsck.mode=force fsck.repair=yes');
    }
  });

  it('needs nothing for FAT, which is read as a whole at every boot', () => {
    expect(methodOf('vfat', '/boot/efi')).toBe('every-boot');
  });
});

describe('a check that no boot would make is refused', () => {
  it('without an entry in fstab, with 0 there, or with noauto', () => {
    expect(methodOf('ext4', '/elsewhere')).toContain('does not stand in /etc/fstab');
    expect(methodOf('ext4', '/never')).toContain('has 0 as its last field');
    expect(methodOf('ext4', '/zero')).toContain('has 0 as its last field');
    expect(methodOf('ext4', '/backup')).toContain('is noauto');
    // The root is checked whatever fstab says.
    expect(methodOf('ext4', '/', { fstab: [] })).toBe('error-flag');
  });

  it('of btrfs, and of XFS where fsck.xfs checks nothing (Debian 12)', () => {
    expect(methodOf('btrfs', '/')).toContain('fsck.btrfs does nothing');
    expect(methodOf('xfs', '/with blank', { xfsForces: false })).toContain('checks nothing at boot');
  });

  it('of XFS as the root: in the initramfs fsck.xfs sees a terminal, and later it is mounted', () => {
    for (const rootCheckedEarly of [true, false])
      expect(methodOf('xfs', '/', { rootCheckedEarly })).toContain('nothing checks at boot as the root');
  });

  it('where there is no fsck of that type', () => {
    expect(methodOf('f2fs', '/srv', { checkers: (type) => type !== 'f2fs' })).toContain(
      'there is no fsck.f2fs',
    );
  });

  it("of another system's root, but for ext4, whose superblock asks anywhere", () => {
    expect(methodOf('xfs', '/', { booted: false })).toContain('another one');
    expect(methodOf('ext4', '/', { booted: false })).toBe('mount-count');
  });

  it('of a directory that is called a root', () => {
    expect(decide(subject('ext4', '/', { whole: false }), DEBIAN).kind).toBe('refused');
  });
});

it('what has no block device is not applicable, and is not called refused', () => {
  const overlay = subject('overlay', '/', {
    node: undefined,
    notApplicable: 'an overlay has no disk of its own',
  });
  expect(decide(overlay, DEBIAN)).toMatchObject({
    kind: 'not-applicable',
    reason: '/: an overlay has no disk of its own',
  });
});

describe('fsck.repair', () => {
  it('is yes when any XFS is checked: a dirty log and anything else end in emergency mode', () => {
    expect(repairWord(DEBIAN)).toBe('yes');
    expect(repairWord({ ...DEBIAN, checksXfs: false })).toBe('preen');
    expect(repairWord({ ...DEBIAN, xfsForces: false })).toBe('preen');
  });

  it('is a decision for a person where others are told yes too', () => {
    expect(decide(subject('xfs', '/with blank'), DEBIAN)).toMatchObject({ harsh: true });
    expect(decide(subject('xfs', '/with blank'), { ...DEBIAN, checksOthers: false })).toMatchObject({
      harsh: false,
    });
    expect(decide(subject('ext4', '/'), DEBIAN)).toMatchObject({ harsh: false });
  });
});

describe('fstab', () => {
  it('is read with its comments, quotes, escapes and what is left out', () => {
    expect(parseFstab(FSTAB)).toHaveLength(7);
    expect(fstabEntry(parseFstab(FSTAB), '/')).toMatchObject({ spec: 'UUID=0a-b', pass: 1 });
    expect(fstabEntry(parseFstab(FSTAB), '/with blank')).toMatchObject({ type: 'xfs', pass: 2 });
    expect(parseFstab('\0\0\0')).toEqual([]);
  });
});
