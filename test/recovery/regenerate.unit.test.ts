import { expect, it } from 'vitest';
import type { FindingCode } from '../../src/model/codes.ts';
import type { Finding } from '../../src/model/finding.ts';
import { regeneration } from '../../src/recovery/regenerate.ts';

function found(code: FindingCode, path: string, pkg?: string): Finding {
  return {
    code,
    severity: 'error',
    path,
    ...(pkg === undefined ? {} : { package: pkg }),
    message: 'is empty',
    knownBy: 'generator',
    likelyOutage: true,
    reason: 'it was not synced',
  };
}

/** The command as one line, what is moved aside before it, and what judges it. */
function said(finding: Finding): string {
  const made = regeneration(finding);
  if (made === undefined) return 'nothing';
  const { program, args, before, verify } = made;
  return `${verify}: ${[program, ...args].join(' ')} without ${before.quarantine.join(' ') || 'nothing'}`;
}

it.each<[FindingCode, string, string | undefined, string]>([
  ['generated-damaged', '/etc/ld.so.cache', 'libc-bin', 'generated: ldconfig without /etc/ld.so.cache'],
  ['generated-missing', '/etc/ld.so.cache', 'libc-bin', 'generated: ldconfig without nothing'],
  [
    'generated-damaged',
    '/usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache',
    'libglib2.0-0t64:amd64',
    'generated: /usr/lib/x86_64-linux-gnu/glib-2.0/gio-querymodules /usr/lib/x86_64-linux-gnu/gio/modules without /usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache',
  ],
  [
    'generated-damaged',
    '/etc/shells',
    'debianutils',
    'generated: update-shells without /etc/shells /var/lib/shells.state',
  ],
  [
    'boot-initramfs-damaged',
    '/boot/initrd.img-6.1.0-50-amd64',
    'initramfs-tools',
    'boot: update-initramfs -c -k 6.1.0-50-amd64 without /boot/initrd.img-6.1.0-50-amd64',
  ],
  [
    'boot-initramfs-missing',
    '/boot/initrd.img-6.1.0-50-amd64',
    'dracut',
    'boot: dracut --force /boot/initrd.img-6.1.0-50-amd64 6.1.0-50-amd64 without nothing',
  ],
  [
    'boot-modules-damaged',
    '/lib/modules/6.1.0-50-amd64/modules.dep.bin',
    'kmod',
    'boot: depmod 6.1.0-50-amd64 without /lib/modules/6.1.0-50-amd64/modules.dep.bin',
  ],
  [
    'boot-loader-damaged',
    '/boot/grub/grub.cfg',
    undefined,
    'boot: grub-mkconfig -o /boot/grub/grub.cfg without /boot/grub/grub.cfg',
  ],
  [
    'boot-loader-stale',
    '/boot/grub/grub.cfg',
    undefined,
    'boot: grub-mkconfig -o /boot/grub/grub.cfg without nothing',
  ],
  [
    'boot-loader-damaged',
    '/boot/grub/grubenv',
    undefined,
    'boot: grub-editenv /boot/grub/grubenv create without /boot/grub/grubenv',
  ],
])('%s %s of %s is made by its program', (code, path, pkg, line) => {
  expect(said(found(code, path, pkg))).toBe(line);
});

it.each<[FindingCode, string, string | undefined]>([
  ['generated-damaged', '/etc/pam.d/common-auth', 'libpam-runtime'],
  ['generated-damaged', '/srv/unknown', 'unknown'],
  ['boot-kernel-damaged', '/boot/vmlinuz-6.1.0-50-amd64', undefined],
  ['boot-initramfs-damaged', '/boot/initrd.img-6.1.0-50-amd64', undefined],
  ['boot-initramfs-damaged', '/boot/mine.cpio', 'initramfs-tools'],
  ['boot-loader-damaged', '/boot/grub/i386-pc/normal.mod', undefined],
  ['file-zero-length', '/usr/bin/true', 'coreutils'],
])('%s %s of %s is for a person, or for its package', (code, path, pkg) => {
  expect(said(found(code, path, pkg))).toBe('nothing');
});

it('compiles a source without reading any byte code, each optimisation for itself', () => {
  const path = '/usr/lib/python3/dist-packages/apt/__pycache__/cache.cpython-311.opt-2.pyc';
  const made = regeneration(found('generated-damaged', path, 'python3-apt'));
  expect(made?.program).toBe('/usr/bin/python3.11');
  expect(made?.args.slice(-3)).toEqual(['/usr/lib/python3/dist-packages/apt/cache.py', path, '2']);
  expect(made?.before.quarantine).toEqual([path]);
});

it('keeps the bytes of a name that is not UTF-8', () => {
  const path = 'file:///usr/lib/python3/dist-packages/__pycache__/caf%E9.cpython-311.pyc';
  const made = regeneration(found('generated-damaged', path, 'python3-cafe'));
  expect(made?.before.quarantine).toEqual([
    '/usr/lib/python3/dist-packages/__pycache__/caf\xe9.cpython-311.pyc',
  ]);
});
