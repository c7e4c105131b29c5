/** What stands on a lab system before anything is cut: its packages in an archive, and the older ones in use. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustInRoot } from '../../lab/chroot.ts';
import { buildPackage, localArchive } from '../../lab/packages.ts';
import { LAB_PACKAGES, labPackages } from './packages.ts';

/** Conffiles that somebody edited stay, and nobody is asked. */
export const KEEP = ['--force-confdef', '--force-confold'];
export const APT = ['apt-get', '-y', ...KEEP.flatMap((option) => ['-o', `Dpkg::Options::=${option}`])];
/** The new versions, as paths in a root, in the order in which dpkg can take them. */
export const ARCHIVES_OF_2 = LAB_PACKAGES.map((name) => `/srv/lab/${name}.deb`);

/** Both versions in an archive for apt, which copies as from a network; the new ones besides at /srv/lab, for dpkg. */
export async function addLabPackages(directory: string): Promise<void> {
  const native = (await mustInRoot(directory, ['dpkg', '--print-architecture'])).trim();
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-states-'));
  try {
    const build = (version: '1.0' | '2.0') =>
      labPackages(version, native).map((pkg) => buildPackage(pkg, scratch));
    const [old, recent] = [build('1.0'), build('2.0')];
    await localArchive(directory, [...old, ...recent], { method: 'copy' });
    mkdirSync(join(directory, 'srv/lab'));
    for (const [at, deb] of recent.entries()) {
      const from = `/srv/debmend-archive/${deb.slice(deb.lastIndexOf('/') + 1)}`;
      await mustInRoot(directory, ['cp', '--', from, ARCHIVES_OF_2[at] ?? '']);
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Version 1.0 as somebody has used it: a conffile edited, files beside the packages', two of them marked automatic. */
export async function installOld(directory: string): Promise<void> {
  await mustInRoot(directory, [...APT, 'install', ...LAB_PACKAGES.map((name) => `${name}=1.0`)]);
  await mustInRoot(directory, ['apt-mark', 'auto', 'lab-core', 'lab-lib']);
  appendFileSync(join(directory, 'etc/lab/changed.conf'), "the administrator's line\n");
  appendFileSync(join(directory, 'etc/lab/own.conf'), "the administrator's own file\n");
  appendFileSync(join(directory, 'usr/share/lab/own-data'), 'in a directory of the package\n');
  appendFileSync(join(directory, 'var/lib/lab-1/one'), 'what was entered since\n');
}
