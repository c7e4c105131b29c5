/** What a record says of a package in each state (dpkg(1), INFORMATION ABOUT PACKAGES; lib/dpkg/dump.c). */
import type { Package, PackageState } from '../../dpkg/package.ts';
import type { Bytes } from '../../system/bytes.ts';
import type { PackageArchive } from './archive.ts';
import type { Remains } from './record-text.ts';

/** A package of which nothing tells whether it was configured: to do it once more is harmless. */
export const UNPACKED = { want: 'install', flag: 'ok', state: 'unpacked' } as const;

/** The words of Status and the version that was configured last, for a state that a record is brought to. */
export function change(
  state: PackageState,
  old: Package | undefined,
  own: Remains['status'],
): { want: Package['want']; flag: Package['flag']; state: PackageState; configVersion: Bytes } {
  const want = own?.want ?? (old === undefined || old.want === 'unknown' ? 'install' : old.want);
  const configVersion = old?.configVersion ?? '';
  switch (state) {
    case 'installed':
    case 'not-installed':
      return { want, flag: own?.flag ?? 'ok', state, configVersion: '' };
    case 'half-configured':
    case 'triggers-awaited':
    case 'triggers-pending':
      // Which triggers is lost with the record: configuring the package once more does all that they would do.
      return { want, flag: own?.flag ?? 'ok', state: 'half-configured', configVersion };
    case 'unpacked':
    case 'half-installed':
      // Whether dpkg had come to the end of unpacking only the record told.
      return { want, flag: own?.flag ?? 'reinstreq', state, configVersion };
    case 'config-files':
      return {
        want: own?.want ?? 'deinstall',
        flag: 'ok',
        state,
        configVersion: configVersion || (old?.version ?? ''),
      };
  }
}

/**
 * The lines of Conffiles: what the archive ships with its hashes, and what an older version shipped, as obsolete.
 *
 * @param configured whether what was unpacked has been configured; until then a record has the old hashes
 */
export async function conffilesOf(
  archive: PackageArchive,
  old: Package | undefined,
  configured: boolean,
): Promise<Bytes[]> {
  const before = new Map((old?.conffiles ?? []).map((conffile) => [conffile.path, conffile]));
  const shipped = archive.conffiles.filter(({ removeOnUpgrade }) => !removeOnUpgrade);
  const hashes = configured && shipped.length > 0 ? (await archive.data()).hashes : undefined;
  const lines = shipped.map(({ path }) => {
    const hash = configured ? hashes?.get(path) : before.get(path)?.hash;
    return `${path} ${hash ?? 'newconffile'}`;
  });
  const now = new Set(archive.conffiles.map(({ path }) => path));
  for (const { path, hash } of before.values()) if (!now.has(path)) lines.push(`${path} ${hash} obsolete`);
  return lines;
}
