/** What the tests of this folder share: packages that a root's own dpkg knows, and how they stand. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildPackage, type TinyPackage } from '../../lab/packages.ts';

/** Runs a program in a root by plain chroot, beside all that is tested here. @returns standard output */
export function must(directory: string, ...command: string[]): string {
  const result = spawnSync('chroot', [directory, ...command], {
    encoding: 'latin1',
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      DEBIAN_FRONTEND: 'noninteractive',
      DPKG_FRONTEND_LOCKED: 'true',
    },
  });
  if (result.status === 0) return result.stdout;
  throw new Error(`${command.join(' ')}: ${result.status}\n${result.stdout}${result.stderr}`);
}

/** Builds a package inside a root. @returns the .deb as a path of this host */
export function build(directory: string, pkg: TinyPackage): string {
  const into = join(directory, 'srv/debs');
  mkdirSync(into, { recursive: true });
  return buildPackage(pkg, into);
}

/** `name:arch version state` of packages that dpkg knows, by pattern; what it only has conffiles of too. */
export function states(directory: string, ...patterns: string[]): string[] {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own
  const format = '${Package}:${Architecture} ${Version} ${db:Status-Abbrev}\n';
  // dpkg-query ends with 1 when a pattern matches nothing
  return must(directory, 'sh', '-c', 'dpkg-query -W -f "$@" 2>/dev/null || :', 'sh', format, ...patterns)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.endsWith(' un'));
}
