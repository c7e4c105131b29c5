/**
 * Directories that the programs of a root need to have mounted in their places (hier(7)), and that a repair of its
 * filesystem may have taken. Without them nothing of a root that is mended from outside could be run.
 */
import { lstatSync } from 'node:fs';
import { fsPath } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { ActionRecord, Run } from './actions.ts';

const MOUNT_POINTS = ['/proc', '/sys', '/dev', '/run'] as const;

/**
 * Makes those that are missing; whatever else stands in their places stays.
 *
 * @param begin begins the run, when there is something to do
 */
export function mendMountPoints(root: Root, begin: () => Run): ActionRecord[] {
  const missing = MOUNT_POINTS.filter(
    (path) => lstatSync(fsPath(root.hostPath(path)), { throwIfNoEntry: false }) === undefined,
  );
  if (missing.length === 0) return [];
  const run = begin();
  const attributes = { mode: 0o755, uid: 0, gid: 0 };
  const reason = 'without it no program of this root can be run';
  return missing.map((path) => run.perform({ kind: 'directory', path, attributes }, { reason }));
}
