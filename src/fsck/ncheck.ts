/** What `debugfs -R 'ncheck …'` says of inodes (debugfs(8)), and how to ask it. */
import type { Bytes } from '../system/bytes.ts';

/**
 * EXT4_ROOT_INO (fs/ext4/ext4.h). ncheck stops looking after as many names as the inodes say they have together, and one
 * that was cleared says that it has none; the root directory has links that no name uses up, so it is asked for as well.
 */
export const ROOT_INODE = 2;

/** `27<tab>/usr/bin/bash`; the names are as they are, without any escape. Undefined for every other line. */
export function parseNcheck(line: Bytes): { readonly inode: number; readonly path: Bytes } | undefined {
  const match = /^(\d+)\t(\/.*)$/s.exec(line);
  if (match === null) return undefined;
  const [, inode = '', path = ''] = match;
  // debugfs walks `//` where the root's own names begin (1.47).
  return { inode: Number(inode), path: path.replace(/^\/+/, '/') };
}
