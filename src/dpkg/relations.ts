/** Dependency fields, checked as dpkg checks them on every reading of the status file (lib/dpkg/fields.c, f_dependency). */
import type { Bytes } from '../system/bytes.ts';
import { asPrinted } from './deb822.ts';
import { checkVersion } from './version.ts';

/** c_isspace of dpkg. JavaScript's `\s` also takes the byte 0xA0, which ends many a UTF-8 character. */
const NAME = /[^ \t-\r:(,|]*/y;
const ARCHITECTURE = /[^ \t-\r(,|]*/y;
const VERSION = /[^ \t-\r)(]*/y;
const BLANK = /[ \t-\r]*/y;
const RELATION = /(?:[<>][<>=]?|=)?/y;

const NO_ALTERNATIVES = new Set(['Conflicts', 'Breaks', 'Provides', 'Replaces']);

/** Why a package name is not one (lib/dpkg/parsehelp.c, pkg_name_is_illegal), or undefined. */
export function illegalPackageName(name: Bytes): string | undefined {
  if (name === '') return 'may not be empty string';
  if (!/^[A-Za-z0-9]/.test(name)) return 'must start with an alphanumeric character';
  const bad = /[^A-Za-z0-9+._-]/.exec(name);
  if (bad === null) return undefined;
  return `character '${bad[0]}' not allowed (only letters, digits and characters '-+._')`;
}

/** Why an architecture's name is not one (lib/dpkg/arch.c, dpkg_arch_name_is_illegal), or undefined. */
export function illegalArchitecture(name: Bytes): string | undefined {
  if (name === '') return 'may not be empty string';
  if (!/^[A-Za-z0-9]/.test(name)) return 'must start with an alphanumeric';
  const bad = /[^A-Za-z0-9-]/.exec(name);
  if (bad === null) return undefined;
  return `character '${bad[0]}' not allowed (only letters, digits and characters '-')`;
}

/** Why `name` or `name:arch` names no package (lib/dpkg/pkg-spec.c, pkg_spec_is_illegal), or undefined. */
export function illegalSpecifier(spec: Bytes): string | undefined {
  const colon = spec.indexOf(':');
  const name = illegalPackageName(colon < 0 ? spec : spec.slice(0, colon));
  if (name !== undefined) return `illegal package name in specifier '${spec}': ${name}`;
  const architecture = colon < 0 ? undefined : illegalArchitecture(spec.slice(colon + 1));
  return architecture === undefined
    ? undefined
    : `illegal architecture name in specifier '${spec}': ${architecture}`;
}

/** What dpkg says of a dependency field that it refuses, or undefined. The time is linear in the length. */
export function checkRelations(field: string, value: Bytes): string | undefined {
  const text = asPrinted(value);
  if (text === '') return undefined;
  let at = 0;
  const skip = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0] ?? '';
    at += match.length;
    return match;
  };
  for (;;) {
    const name = skip(NAME);
    if (name === '') return `'${field}' field, missing package name, or garbage where package name expected`;
    const illegal = illegalPackageName(name);
    if (illegal !== undefined) {
      return `'${field}' field, invalid package name '${name.slice(0, 255)}': ${illegal}`;
    }
    const reference = `'${field}' field, reference to '${name.slice(0, 255)}'`;
    if (text[at] === ':') {
      at += 1;
      const architecture = skip(ARCHITECTURE);
      if (architecture === '') {
        return `'${field}' field, missing architecture name, or garbage where architecture name expected`;
      }
      const bad = illegalArchitecture(architecture);
      if (bad !== undefined) {
        return `${reference}: invalid architecture name '${architecture.slice(0, 255)}': ${bad}`;
      }
    }
    skip(BLANK);
    if (text[at] === '(') {
      at += 1;
      skip(BLANK);
      const relation = skip(RELATION);
      if (relation === '<>' || relation === '><') {
        return `${reference}:\n bad version relationship ${relation}`;
      }
      skip(BLANK);
      const version = skip(VERSION);
      skip(BLANK);
      const end = text[at];
      if (end === undefined) return `${reference}: version unterminated`;
      if (end !== ')') return `${reference}: version contains '${end}' instead of ')'`;
      const wrong = checkVersion(version);
      if (wrong !== undefined) return `${reference}: version '${version}': ${wrong}`;
      at += 1;
      skip(BLANK);
    }
    const next = text[at];
    if (next === undefined) return undefined;
    if (next !== ',' && next !== '|') {
      return `'${field}' field, syntax error after reference to package '${name.toLowerCase().slice(0, 255)}'`;
    }
    if (next === '|' && NO_ALTERNATIVES.has(field))
      return `alternatives ('|') not allowed in '${field}' field`;
    at += 1;
    skip(BLANK);
  }
}
