/** The filesystems of the lab, and how dpkg writes to them. */
import { accessSync, constants, existsSync, mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskType } from '../../../lab/disk.ts';
import { workDirectory } from '../../../lab/roots.ts';

export interface Variant {
  readonly name: string;
  readonly type: DiskType;
  /** For mount(8), before the cut and after it. */
  readonly mountOptions: readonly string[];
  /** dpkg does not fsync what it unpacks (dpkg(1), --force-unsafe-io), as container images and some guides have it. */
  readonly unsafeIo: boolean;
}

const variant = (
  name: string,
  type: DiskType,
  mountOptions: readonly string[] = [],
  unsafeIo = false,
): Variant => ({
  name,
  type,
  mountOptions,
  unsafeIo,
});

export const VARIANTS: readonly Variant[] = [
  variant('ext4', 'ext4'),
  variant('ext4-noauto_da_alloc', 'ext4', ['noauto_da_alloc']),
  variant('ext4-unsafe-io', 'ext4', [], true),
  variant('xfs', 'xfs'),
  variant('xfs-unsafe-io', 'xfs', [], true),
  variant('btrfs', 'btrfs'),
];

/** @throws Error that names those there are */
export function variantNamed(name: string): Variant {
  const found = VARIANTS.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(`no filesystem ${name}; there are ${VARIANTS.map((one) => one.name).join(', ')}`);
}

/** The root's own dpkg configuration says nothing of it, so nothing is Debian's default: everything is synced. */
export function configureDpkg(directory: string, { unsafeIo }: Variant): void {
  if (!unsafeIo) return;
  const parts = join(directory, 'etc/dpkg/dpkg.cfg.d');
  mkdirSync(parts, { recursive: true });
  writeFileSync(join(parts, 'unsafe-io'), 'force-unsafe-io\n');
}

const MEMORY = '/dev/shm';
/** Room for a campaign: the prepared image, that of before, the cut one, and the contestant's, of 1.5 GB at most each. */
const ROOM_BYTES = 6 * 1024 ** 3;
/** statfs(2), TMPFS_MAGIC. */
const TMPFS = 0x01021994;

/**
 * Where images lie: in memory where there is room, so that nobody waits for a real disk. That changes no outcome: what
 * a cut takes away is decided above the image, by what the filesystem had written to its device.
 */
export function imageHome(): string {
  if (!existsSync(MEMORY)) return workDirectory();
  try {
    accessSync(MEMORY, constants.W_OK);
    const { type, bsize, bavail } = statfsSync(MEMORY);
    return type === TMPFS && bsize * bavail >= ROOM_BYTES ? MEMORY : workDirectory();
  } catch {
    return workDirectory();
  }
}
