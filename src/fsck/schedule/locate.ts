/** Where a filesystem is now that was known by its UUID: devices get other names, and it need not be mounted. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { errnoOf } from '../../system/errors.ts';
import { type Ext4Superblock, readExt4Superblock } from '../ext4-superblock.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import { readUuid } from '../uuid.ts';

export type Located =
  | { readonly kind: 'found'; readonly node: Bytes; readonly device: string }
  | { readonly kind: 'gone' };

export interface Known {
  readonly uuid: string;
  readonly type: string;
  /** The kernel's name at that time. */
  readonly device: string;
}

/** Never throws. What is found bears this UUID at this moment. */
export function locate(known: Known, mounted: readonly MountedFilesystem[]): Located {
  const listed = listedAs(known, mounted);
  if (listed?.node !== undefined)
    return { kind: 'found', node: listed.node, device: listed.device ?? basename(listed.node) };
  const places: readonly Bytes[] = [
    `/dev/disk/by-uuid/${known.uuid}`,
    `/dev/${known.device.replaceAll('!', '/')}`,
  ];
  const node = places.find((one) => isBlockDevice(one) && readUuid(one, known.type) === known.uuid);
  return node === undefined ? { kind: 'gone' } : { kind: 'found', node, device: known.device };
}

/** The mounted filesystem that has this UUID: as udev tells it, or, without udev, by its own superblock. */
export function listedAs(
  { uuid, type }: Known,
  mounted: readonly MountedFilesystem[],
): MountedFilesystem | undefined {
  return (
    mounted.find((one) => one.uuid === uuid) ??
    mounted.find(
      (one) =>
        one.uuid === undefined &&
        one.type === type &&
        one.node !== undefined &&
        readUuid(one.node, type) === uuid,
    )
  );
}

/** @returns the superblock of that very filesystem, or why it cannot be had */
export function superblockAt(node: Bytes, uuid: string): Ext4Superblock | string {
  try {
    const found = readExt4Superblock(node);
    if (found === undefined) return `${node} holds no ext4 any more`;
    return found.uuid === uuid ? found : `${node} holds another filesystem now`;
  } catch (error) {
    return `the superblock on ${node} cannot be read (${errnoOf(error) ?? 'EIO'})`;
  }
}

function isBlockDevice(node: Bytes): boolean {
  try {
    return statSync(fsPath(node)).isBlockDevice();
  } catch {
    return false;
  }
}
