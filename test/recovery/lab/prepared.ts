/**
 * The roots that workloads begin with. They are only read, through overlays, and take half a minute to make: the test
 * files of one run share them (prepared.setup.ts), and a script has its own.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installDebmend, mustInRoot } from '../../lab/chroot.ts';
import { type DebianSuite, debianRoot, removeTree, whileLocked } from '../../lab/roots.ts';
import { addLabPackages, installOld } from './base.ts';

/** `bare`: nothing of the lab is installed. `installed`: 1.0 of all of it, with an administrator's changes. */
export type Base = 'bare' | 'installed';

/** Names the directory in which a run of tests keeps what its files share. */
export const SHARED = 'DEBMEND_TEST_SHARED';

export interface PreparedRoots {
  /** As paths of this host. */
  readonly directories: Readonly<Record<Base, string>>;
  /** Deletes them, where they are not shared. */
  close(): void;
}

/** @throws Error as debianRoot, and when debmend or the lab's packages cannot be installed */
export async function preparedRoots(suite: DebianSuite): Promise<PreparedRoots> {
  const shared = process.env[SHARED];
  if (shared === undefined) {
    const directories = await prepare(suite);
    return { directories, close: () => removeAll(directories) };
  }
  const file = join(shared, `${suite}.json`);
  await whileLocked(join(shared, `${suite}.lock`), async () => {
    if (!existsSync(file)) writeFileSync(file, JSON.stringify(await prepare(suite)));
  });
  return { directories: JSON.parse(readFileSync(file, 'utf8')), close: () => {} };
}

async function prepare(suite: DebianSuite): Promise<Record<Base, string>> {
  const made: Partial<Record<Base, string>> = {};
  try {
    const one = async (base: Base): Promise<string> => {
      const { directory } = await debianRoot(suite, { include: ['libatomic1'] });
      made[base] = directory;
      await installDebmend(directory);
      await addLabPackages(directory);
      if (base === 'installed') await installOld(directory);
      await mustInRoot(directory, ['debmend', 'hooks', 'install']);
      await mustInRoot(directory, ['debmend', 'snapshot', 'create']);
      return directory;
    };
    return { bare: await one('bare'), installed: await one('installed') };
  } catch (error) {
    removeAll(made);
    throw error;
  }
}

function removeAll(directories: Partial<Record<Base, string>>): void {
  for (const directory of Object.values(directories)) removeTree(directory);
}
