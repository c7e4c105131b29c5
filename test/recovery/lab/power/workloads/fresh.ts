/** A real package that is installed where it never was, with all that it needs already downloaded. */
import { denyServices } from '../../../../lab/chroot.ts';
import type { PowerWorkload } from '../workloads.ts';
import { downloadArchives } from './archives.ts';

/** @param own its name, what it is, how long it is watched after its end, and what has to work */
export function freshInstallation(
  packageName: string,
  own: Pick<PowerWorkload, 'name' | 'what' | 'afterSeconds' | 'check'>,
): PowerWorkload {
  return {
    ...own,
    scene: {
      name: own.name,
      size: 3 * 1024 ** 3,
      include: [],
      prepare: async (directory, suite) => {
        denyServices(directory);
        await downloadArchives(directory, suite, [packageName]);
      },
    },
    command: ['apt-get', '-y', '--no-download', 'install', packageName],
  };
}
