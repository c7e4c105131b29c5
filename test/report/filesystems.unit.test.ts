import { describe, expect, it } from 'vitest';
import type { FilesystemHealth } from '../../src/fsck/status.ts';
import type { Filesystem } from '../../src/model/filesystem.ts';
import { reportSchema } from '../../src/model/report.ts';
import { filesystemsReport, renderFilesystems } from '../../src/report/filesystems.ts';
import { Root } from '../../src/system/root.ts';

const SOUND: Filesystem = {
  mountPoint: '/',
  mountPoints: ['/'],
  role: 'root',
  holds: ['packages'],
  type: 'ext4',
  source: '/dev/mapper/vg-root',
  device: 'dm-0',
  layers: [
    { device: 'dm-0', kind: 'lvm', name: 'vg-root' },
    { device: 'dm-1', kind: 'dm-crypt', name: 'sda2_crypt' },
  ],
  options: ['rw'],
  readOnly: false,
  state: 'sound',
  weak: [],
  space: { size: 20e9, free: 10e9, available: 9e9, inodes: 100, inodesFree: 90 },
  ext4: { errors: 0, lastCheck: '2026-11-01T00:00:00.000Z', mountCount: 1 },
  bootCheck: { outcome: 'recovered', source: 'log', text: 'recovering journal' },
  errors: [],
  unread: [],
};

function page(health: Partial<FilesystemHealth>, all = false): string {
  const report = filesystemsReport(
    new Root('/'),
    { filesystems: [SOUND], findings: [], unread: [], ...health },
    new Date(0),
    0.1,
  );
  reportSchema.parse(report);
  return renderFilesystems(report, { colour: false, width: 160, all });
}

describe('the page of filesystems', () => {
  it('says in two lines that all is well', () => {
    expect(page({})).toBe(`sound: 1 filesystem without a recorded error

  sound  /  ext4  dm-0  on lvm on dm-crypt, 9.0 GB of 20.0 GB free, checked 2026-11-01, 1 mount since, at this boot: recovered
`);
  });

  it('says of a container that there is nothing to check, and names it only when asked', () => {
    const reason = 'there is no block device for it here, as in a container';
    const filesystems: Filesystem[] = [{ ...SOUND, state: 'not-applicable', reason }];
    expect(page({ filesystems })).toMatch(/^not applicable: .*debmend\s+audit\)\n$/s);
    expect(page({ filesystems })).not.toContain('dm-0');
    expect(page({ filesystems }, true)).toContain(`not-applicable  /  ext4  dm-0  ${reason}`);
  });

  it('does not call sound what it does not know', () => {
    const unread = ['the superblock: EACCES'];
    const text = page({ filesystems: [SOUND, { ...SOUND, mountPoint: '/var', state: 'unknown', unread }] });
    expect(text).toMatch(/^incomplete: of 1 filesystem it is not known how it is\n/);
    expect(text.indexOf('/var')).toBeLessThan(text.indexOf('  sound'));
    expect(text).toContain('1 thing could not be asked');
  });

  it('lists the worst first, and says what to do in the order in which it is safe', () => {
    const base = { knownBy: 'kernel-log', likelyOutage: false, reason: 'a test' } as const;
    const text = page({
      filesystems: [SOUND, { ...SOUND, mountPoint: '/my data', device: 'sdb1', state: 'read-only' }],
      findings: [
        {
          ...base,
          code: 'filesystem-io-errors',
          severity: 'critical',
          path: '/my data',
          device: 'sdb',
          message: 'm',
        },
        { ...base, code: 'filesystem-read-only', severity: 'critical', path: '/my data', message: 'm' },
        {
          ...base,
          code: 'filesystem-file-damaged',
          severity: 'error',
          path: '/my data/x',
          package: 'x',
          message: 'm',
        },
        { ...base, code: 'filesystem-space', severity: 'warning', path: '/', message: 'm' },
      ],
    });
    const order = [
      '4 findings',
      'read-only',
      'sound',
      'what to do next',
      'copy your data off sdb',
      "debmend fsck schedule '/my data'",
      'debmend recover',
      'apt-get clean',
    ];
    const places = order.map((part) => text.indexOf(part));
    expect(places).not.toContain(-1);
    expect(places.toSorted((a, b) => a - b)).toEqual(places);
  });
});
