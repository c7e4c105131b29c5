import { describe, expect, it } from 'vitest';
import type { MountedFilesystem } from '../../src/fsck/filesystems.ts';
import type { Finding } from '../../src/model/finding.ts';
import type { OutageVerdict } from '../../src/model/outage.ts';
import { dueChecks, type Examined } from '../../src/recovery/checks.ts';

function filesystem(mountPoint: string, more: Partial<MountedFilesystem> = {}): MountedFilesystem {
  return {
    mountPoint,
    mountPoints: [mountPoint],
    hostMountPoints: [mountPoint],
    subtrees: ['/'],
    subvolumes: [undefined],
    whole: true,
    under: undefined,
    role: mountPoint === '/' ? 'root' : 'data',
    holds: [],
    type: 'ext4',
    source: '/dev/vda1',
    number: '254:1',
    device: 'vda1',
    node: '/dev/vda1',
    uuid: mountPoint,
    layers: [],
    options: [],
    superOptions: [],
    readOnly: false,
    notApplicable: undefined,
    ...more,
  };
}

const examined = (mountPoint: string, more: Partial<Examined> = {}): Examined => ({
  filesystem: filesystem(mountPoint),
  own: [],
  unguarded: false,
  ...more,
});

const unreadable = (path: string, likelyOutage = true): Finding => ({
  code: 'file-unreadable',
  severity: 'critical',
  path,
  message: 'reading it failed with EIO',
  knownBy: 'file-system',
  likelyOutage,
  reason: 'I/O errors follow power cuts',
});

function due(
  filesystems: readonly Examined[],
  findings: readonly Finding[] = [],
  outage: OutageVerdict = 'unclean',
): [string, readonly string[]][] {
  return dueChecks({ findings, outage, filesystems }).map(({ filesystem: { mountPoint }, reasons }) => [
    mountPoint,
    reasons,
  ]);
}

describe('a check is due', () => {
  it('for what recorded errors, and not for what is sound, whatever the outage', () => {
    const errors = examined('/srv', { own: ['the kernel recorded 3 errors in it'] });
    expect(due([examined('/'), errors])).toEqual([['/srv', ['the kernel recorded 3 errors in it']]]);
    expect(due([examined('/'), errors], [], 'clean')).toHaveLength(1);
  });

  it('for the filesystem below a file that a device or its structure keeps from being read', () => {
    const both = [examined('/'), examined('/usr')];
    expect(due(both, [unreadable('/usr/bin/bash')])).toEqual([
      ['/usr', ['files on it cannot be read: /usr/bin/bash']],
    ]);
    expect(due(both, [unreadable('/etc/hosts')])).toEqual([
      ['/', ['files on it cannot be read: /etc/hosts']],
    ]);
    // A file that may not be read for want of rights, or is too large, says nothing of the filesystem.
    expect(due(both, [unreadable('/etc/shadow', false)])).toEqual([]);
  });

  it('once, with all its reasons, and of many files only some', () => {
    const findings = ['/a', '/b', '/c', '/d', '/e'].map((path) => unreadable(path));
    expect(due([examined('/', { own: ['its superblock says that it has errors'] })], findings)).toEqual([
      ['/', ['its superblock says that it has errors', 'files on it cannot be read: /a, /b, /c and 2 more']],
    ]);
  });

  it('after an outage for what has no journal, and after an orderly end not', () => {
    const unguarded = [examined('/boot', { unguarded: true })];
    for (const verdict of ['unclean', 'forced-reboot', 'panic'] as const)
      expect(due(unguarded, [], verdict)).toHaveLength(1);
    for (const verdict of ['clean', 'unknown', 'not-applicable'] as const)
      expect(due(unguarded, [], verdict)).toEqual([]);
  });

  it('for what the kernel or fsck said of it', () => {
    const said: Finding = { ...unreadable('/'), code: 'filesystem-check-failed' };
    expect(due([examined('/')], [said])).toEqual([['/', ['errors of it were met']]]);
  });
});
