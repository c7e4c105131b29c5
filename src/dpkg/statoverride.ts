/** The statoverride file (dpkg-statoverride(1), lib/dpkg/db-fsys-override.c): `user group mode path`, a line each. */
import type { Bytes } from '../system/bytes.ts';

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
    if (line === '') {
      message ??= 'statoverride file contains empty line';
      continue;
    }
    const match = /^([^ ]*) ([^ ]*) ([^ ]*) (.*)$/s.exec(line);
    if (match === null) {
      message ??= /^[^ ]*$|^[^ ]* [^ ]*$|^[^ ]* [^ ]* [^ ]*$/s.test(line)
        ? 'syntax error in statoverride file'
        : 'unexpected end of line in statoverride file';
      continue;
    }
    const [, user = '', group = '', octal = '', path = ''] = match;
    const number = [user, group].find((id) => id.startsWith('#') && !/^#\d+$/.test(id));
    if (number !== undefined) {
      message ??= `invalid statoverride ${number === user ? 'uid' : 'gid'} ${number}`;
      continue;
    }
    const mode = /^[0-7]+$/.test(octal) ? Number.parseInt(octal, 8) : -1;
    if (mode < 0 || mode > 0o7777) {
      message ??= `invalid statoverride mode ${octal}`;
      continue;
    }
    if (!path.startsWith('/') || path.includes('\0')) {
      message ??= 'unexpected end of line in statoverride file';
      continue;
    }
    if (paths.has(path)) {
      message ??= `multiple statoverrides present for file '${path}'`;
      continue;
    }
    paths.add(path);
    overrides.push({ user, group, mode, path });
  }
  if (rest !== '') message ??= 'statoverride file is missing final newline';
  return { overrides, message };
}
