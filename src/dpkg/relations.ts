/** Dependency fields, checked as dpkg checks them on every reading of the status file (lib/dpkg/fields.c, f_dependency). */
import type { Bytes } from '../system/bytes.ts';
import { asPrinted } from './deb822.ts';
import { checkVersion } from './version.ts';

const NO_ALTERNATIVES = new Set(['Conflicts', 'Breaks', 'Provides', 'Replaces']);

/** Why a package name is not one (lib/dpkg/parsehelp.c, pkg_name_is_illegal), or undefined. */
export function illegalPackageName(name: Bytes): string | undefined {
  if (name === '') return 'may not be empty string';
  if (!/^[A-Za-z0-9]/.test(name)) return 'must start with an alphanumeric character';
  const bad = /[^A-Za-z0-9+._-]/.exec(name);
  if (bad === null) return undefined;
  return `character '${bad[0]}' not allowed (only letters, digits and characters '-+._')`;
}

/** What dpkg says of a dependency field that it refuses, or undefined. The time is linear in the length. */
export function checkRelations(field: string, value: Bytes): string | undefined {
  const text = asPrinted(value);
  if (text === '') return undefined;
  const token = /[^\s:(,|]*/y;
  const blank = /\s*/y;
  let at = 0;
  const skip = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0] ?? '';
    at += match.length;
    return match;
  };
  for (;;) {
    const name = skip(token);
    if (name === '') return `'${field}' field, missing package name, or garbage where package name expected`;
    const illegal = illegalPackageName(name);
    if (illegal !== undefined) return `'${field}' field, invalid package name '${name}': ${illegal}`;
    if (text[at] === ':') {
      at += 1;
      const architecture = skip(/[^\s(,|]*/y);
      if (architecture === '') {
        return `'${field}' field, missing architecture name, or garbage where architecture name expected`;
      }
      const bad = /^[A-Za-z0-9][A-Za-z0-9-]*$/.test(architecture) ? undefined : architecture;
      if (bad !== undefined) {
        return `'${field}' field, reference to '${name}': invalid architecture name '${bad}'`;
      }
    }
    skip(blank);
    if (text[at] === '(') {
      at += 1;
      skip(blank);
      const relation = skip(/[<>=]{0,2}/y);
      if (relation === '<>' || relation === '><') {
        return `'${field}' field, reference to '${name}':\n bad version relationship ${relation}`;
      }
      skip(blank);
      const version = skip(/[^\s)(]*/y);
      skip(blank);
      const end = text[at];
      if (end === undefined) return `'${field}' field, reference to '${name}': version unterminated`;
      if (end !== ')')
        return `'${field}' field, reference to '${name}': version contains '${end}' instead of ')'`;
      const wrong = checkVersion(version);
      if (wrong !== undefined)
        return `'${field}' field, reference to '${name}': version '${version}': ${wrong}`;
      at += 1;
      skip(blank);
    }
    const next = text[at];
    if (next === undefined) return undefined;
    if (next !== ',' && next !== '|') {
      return `'${field}' field, syntax error after reference to package '${name}'`;
    }
    if (next === '|' && NO_ALTERNATIVES.has(field))
      return `alternatives ('|') not allowed in '${field}' field`;
    at += 1;
    skip(blank);
  }
}
