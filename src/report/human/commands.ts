/** Parts of commands that a person will copy into a root shell: what is not plainly harmless is quoted or left out. */
import type { Finding } from '../../model/finding.ts';
import { pathForTerminal } from '../../model/path-text.ts';

/** Debian policy 5.6.7 and 5.6.12, and dpkg's `name:arch`; a damaged status file may hold anything instead. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9+.-]*(?::[a-z0-9-]+)?$/;
const VERSION = /^(?:\d+:)?\d[0-9A-Za-z.+~-]*$/;

/** `name=version` as apt-get takes it; undefined when it can't be named without risk. */
export function aptPackage({ package: name, version }: Finding): string | undefined {
  if (name === undefined || version === undefined) return undefined;
  return PACKAGE_NAME.test(name) && VERSION.test(version) ? `${name}=${version}` : undefined;
}

/** A path as one word of a shell command. */
export function shellPath(text: string): string {
  const shown = pathForTerminal(text);
  if (/^[\w./+:@%-]+$/.test(shown) || shown.startsWith("$'")) return shown;
  return `'${shown.replaceAll("'", `'\\''`)}'`;
}
