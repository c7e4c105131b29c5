/** The statoverride file (dpkg-statoverride(1), lib/dpkg/db-fsys-override.c): `user group mode path`, a line each. */
import type { Bytes } from '../system/bytes.ts';
import { asPrinted } from './deb822.ts';
import { skipSlashes } from './names.ts';

export interface StatOverride {
  /** A name, or `#` and a number. */
  readonly user: Bytes;
  readonly group: Bytes;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly path: Bytes;
}

export interface StatoverrideFile {
  readonly overrides: StatOverride[];
  readonly damaged: boolean;
  /** What dpkg says; nothing where it takes the damage for a shorter value. */
  readonly message: string | undefined;
}

/** Every line that stands whole becomes an override; the first damage becomes dpkg's own message. */
export function parseStatoverride(data: Bytes): StatoverrideFile {
  const overrides: StatOverride[] = [];
  const paths = new Set<Bytes>();
  let message: string | undefined;
  const lines = data.split('\n');
  const rest = lines.pop() ?? '';
  for (const line of lines) {
    const override = parseLine(line);
    if (typeof override === 'string') message ??= override;
    else if (paths.has(override.path)) {
      message ??= `multiple statoverrides present for file '${override.path.slice(0, 250)}'`;
    } else if (!line.includes('\0')) {
      paths.add(override.path);
      overrides.push(override);
    }
  }
  if (rest !== '') message ??= 'statoverride file is missing final newline';
  return { overrides, damaged: message !== undefined || data.includes('\0'), message };
}

/** One line, its values cut at a NUL as C reads them; or what dpkg says when it refuses it. */
function parseLine(line: Bytes): StatOverride | string {
  if (line === '') return 'statoverride file contains empty line';
  let at = 0;
  const word = (): Bytes | undefined => {
    const space = line.indexOf(' ', at);
    if (space < 0) return undefined;
    const value = asPrinted(line.slice(at, space));
    at = space + 1;
    return value;
  };
  // In dpkg's order: it refuses an owner before it looks for what follows.
  const user = word();
  if (user === undefined) return SYNTAX;
  if (!isOwner(user)) return `invalid statoverride uid ${user}`;
  const group = word();
  if (group === undefined) return SYNTAX;
  if (!isOwner(group)) return `invalid statoverride gid ${group}`;
  const octal = word();
  if (octal === undefined) return SYNTAX;
  const mode = /^[ \t-\r]*\+?[0-7]+$/.test(octal) ? Number.parseInt(octal, 8) : -1;
  if (mode < 0 || mode > 0o7777) return `invalid statoverride mode ${octal}`;
  const name = skipSlashes(asPrinted(line.slice(at)));
  return { user, group, mode, path: `/${name}` };
}

const SYNTAX = 'syntax error in statoverride file';

/** A name, or what strtol(3) takes behind a `#`. */
function isOwner(owner: Bytes): boolean {
  return !owner.startsWith('#') || /^#[ \t-\r]*\+?\d{1,18}$/.test(owner);
}
