/** The made-up package set (../../packages.ts): conffiles, diversions, overrides, triggers, hard links, users, state. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustInRoot } from '../../../../lab/chroot.ts';
import { buildPackage, localArchive } from '../../../../lab/packages.ts';
import { addLabPackages, installOld } from '../../base.ts';
import { labPackages } from '../../packages.ts';
import type { Base } from '../../prepared.ts';
import { WORKLOADS } from '../../states.ts';
import type { PowerWorkload, Scene } from '../workloads.ts';

const SIZE = 1536 * 1024 ** 2;

const SCENES: Readonly<Record<Base, Scene>> = {
  bare: { name: 'bare', size: SIZE, include: [], prepare: addLabPackages },
  installed: {
    name: 'installed',
    size: SIZE,
    include: [],
    prepare: async (directory) => {
      await addLabPackages(directory);
      await installOld(directory);
    },
  },
};

const WHAT: Readonly<Record<string, string>> = {
  install: 'plain dpkg -i of the set, fresh',
  upgrade: 'plain dpkg -i of the set over its older version',
  remove: 'dpkg -r of the set',
  purge: 'dpkg -P of the set',
  'apt-install': 'apt-get install of the set',
  'apt-upgrade': 'apt-get install --only-upgrade of the set',
  'apt-purge': 'apt-get --purge remove of the set',
};

/** The very workloads that test/recovery/lab/states.ts kills at every system call, here without power. */
export const SET_WORKLOADS: readonly PowerWorkload[] = WORKLOADS.map(({ name, base, command }) => ({
  name,
  what: WHAT[name] ?? name,
  scene: SCENES[base],
  command,
  afterSeconds: 2,
}));

const FOREIGN = 'i386';

/** Two architectures of one library: their files are shared, and dpkg counts who has them. */
const twoArchitectures: Scene = {
  name: 'two-architectures',
  size: SIZE,
  include: [],
  prepare: async (directory) => {
    const native = (await mustInRoot(directory, ['dpkg', '--print-architecture'])).trim();
    await mustInRoot(directory, ['dpkg', '--add-architecture', FOREIGN]);
    const scratch = mkdtempSync(join(tmpdir(), 'debmend-lab-'));
    try {
      const debs = (['1.0', '2.0'] as const).flatMap((version) =>
        [native, FOREIGN]
          .flatMap((architecture) => labPackages(version, architecture).slice(0, 1))
          .concat(labPackages(version, native).slice(1))
          .map((pkg) => buildPackage(pkg, scratch)),
      );
      await localArchive(directory, debs, { method: 'copy' });
    } finally {
      rmSync(scratch, { recursive: true });
    }
    await mustInRoot(directory, [
      ...['apt-get', '-y', 'install', 'lab-core=1.0', 'lab-lib=1.0', `lab-lib:${FOREIGN}=1.0`],
    ]);
    writeFileSync(join(directory, 'usr/share/lab/own-data'), 'in a directory of the package\n');
  },
};

export const multiarch: PowerWorkload = {
  name: 'multiarch',
  what: 'apt-get install of a library in two architectures over its older version',
  scene: twoArchitectures,
  command: ['apt-get', '-y', 'install', 'lab-lib=2.0', `lab-lib:${FOREIGN}=2.0`, 'lab-core=2.0'],
  afterSeconds: 2,
};
