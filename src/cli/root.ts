/** The root that a command looks at. */
import { realpathSync, statSync } from 'node:fs';
import { DebmendError, errnoOf } from '../system/errors.ts';
import { Root } from '../system/root.ts';

/** @throws DebmendError `root-unreadable` */
export function openRoot(directory: string): Root {
  try {
    const path = realpathSync(directory);
    if (statSync(path).isDirectory()) return new Root(path);
  } catch (error) {
    throw new DebmendError(
      'root-unreadable',
      `looking at the root ${directory}: ${errnoOf(error) ?? 'failed'}`,
      'check the path given to --root',
      error,
    );
  }
  throw new DebmendError(
    'root-unreadable',
    `looking at the root ${directory}: it is no directory`,
    'mount the image, and name the directory it is mounted on',
  );
}
