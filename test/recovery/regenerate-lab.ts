/** A root that has what packages generate and what a system boots from; one for all tests of it, for it takes minutes. */
import type { DebianRootOptions } from '../lab/roots.ts';

export const GENERATING: DebianRootOptions = {
  include: [
    'linux-image-cloud-amd64',
    'initramfs-tools',
    'python3',
    'ca-certificates',
    'libglib2.0-bin',
    'shared-mime-info',
    'grub-pc-bin',
    'grub-common',
    'grub2-common',
    'zstd',
  ],
};
