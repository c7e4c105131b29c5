/**
 * Trigger state (deb-triggers(5), lib/dpkg/triglib.c and trigdeferred.c): triggers/File holds file interests,
 * triggers/NAME the packages interested in an explicit trigger, triggers/Unincorp what was activated and not yet
 * written into the status file.
 */
import type { Bytes } from '../system/bytes.ts';
import { checkedLines } from './lines.ts';
import type { Package } from './package.ts';
import { illegalSpecifier } from './relations.ts';

/** linebuf of trig_file_interests_ensure. */
const FILE_LINE_LIMIT = 1024;
/** MAXTRIGDIRECTIVE, the buffer of trig_parse_ci. */
const DIRECTIVE_LINE_LIMIT = 256;
/** _POSIX2_LINE_MAX, the buffer of trigdef_parse. */
const UNINCORP_LINE_LIMIT = 2048;

export interface FileTrigger {
  readonly path: Bytes;
  readonly package: Bytes;
  readonly noawait: boolean;
}

/** What follows the first slash is an option, and every unknown one means to wait (trig_parse_trigger_options). */
function splitOptions(word: Bytes): { package: Bytes; noawait: boolean } {
  const slash = word.indexOf('/');
  return slash < 0
    ? { package: word, noawait: false }
    : { package: word.slice(0, slash), noawait: word.slice(slash + 1) === 'noawait' };
}

/** triggers/File: `/path package[/noawait]`, a line each. @param file the file's name for dpkg's message */
export function parseTriggersFile(
  data: Bytes,
  file: Bytes,
): { triggers: FileTrigger[]; message: string | undefined } {
  const { lines, sound, message } = checkedLines(data, file, FILE_LINE_LIMIT);
  let refused: string | undefined;
  const triggers: FileTrigger[] = [];
  const seen = new Set<Bytes>();
  lines.forEach((line, index) => {
    const trigger = parseFileInterest(line, file);
    const key = typeof trigger === 'string' ? '' : `${trigger.path} ${trigger.package}`;
    if (typeof trigger === 'string') {
      if (index < sound) refused ??= trigger;
    } else if (seen.has(key)) {
      const { path, package: name } = trigger;
      if (index < sound) {
        refused ??= `duplicate file trigger interest for filename '${path.slice(0, 250)}' and package '${name.slice(0, 250)}'`;
      }
    } else {
      seen.add(key);
      triggers.push(trigger);
    }
  });
  return { triggers, message: refused ?? message };
}

/** A line of triggers/File, or what dpkg says when it refuses it. */
function parseFileInterest(line: Bytes, file: Bytes): FileTrigger | string {
  const space = line.indexOf(' ');
  if (space < 0 || !line.startsWith('/')) return `syntax error in file triggers file '${file}'`;
  const path = line.slice(0, space);
  const interest = splitOptions(line.slice(space + 1));
  const illegal = illegalSpecifier(interest.package);
  if (illegal === undefined) return { path, ...interest };
  return `file triggers record mentions illegal package name '${interest.package.slice(0, 250)}' (for interest in file '${path.slice(0, 250)}'): ${illegal.slice(0, 250)}`;
}

/** triggers/NAME: `package[/noawait]`, a line each. @param file the file's name for dpkg's message */
export function parseExplicitInterest(
  data: Bytes,
  file: Bytes,
): { packages: Bytes[]; message: string | undefined } {
  const { lines, sound, message } = checkedLines(data, file, FILE_LINE_LIMIT);
  const packages: Bytes[] = [];
  for (const line of lines.slice(0, sound)) {
    const { package: name } = splitOptions(line);
    const illegal = illegalSpecifier(name);
    if (illegal !== undefined) {
      const refused = `trigger interest file '${file}' syntax error; illegal package name '${name.slice(0, 250)}': ${illegal.slice(0, 250)}`;
      return { packages, message: refused };
    }
    packages.push(name);
  }
  return { packages, message };
}

/** What a package's own triggers file declares an interest in. */
export interface Interest {
  readonly trigger: Bytes;
  /** The package as the files of triggers/ have it. */
  readonly package: Bytes;
  /** With its option. */
  readonly word: Bytes;
}

/** Of its own triggers file (deb-triggers(5); lib/dpkg/triglib.c, trig_parse_ci). */
export function interestsOf(text: Bytes, pkg: Package): Interest[] {
  // pnaw_same: only co-installable packages bear their architecture here.
  const name =
    pkg.multiArch === 'same' && pkg.architecture !== '' ? `${pkg.name}:${pkg.architecture}` : pkg.name;
  return text.split('\n').flatMap((line) => {
    const [, directive, trigger] =
      /^[ \t]*(interest(?:-await|-noawait)?)[ \t]+([\x21-\x7e]+)[ \t]*$/.exec(line) ?? [];
    if (trigger === undefined) return [];
    return [{ trigger, package: name, word: directive === 'interest-noawait' ? `${name}/noawait` : name }];
  });
}

const DIRECTIVES: ReadonlySet<Bytes> = new Set(
  ['interest', 'activate'].flatMap((word) => [word, `${word}-await`, `${word}-noawait`]),
);

/**
 * What is wrong with a package's own triggers file (deb-triggers(5); lib/dpkg/triglib.c, trig_parse_ci): the package can
 * then be neither configured, upgraded nor removed.
 *
 * @param file the file's name for dpkg's message
 */
export function checkDeclarations(data: Bytes, file: Bytes): string | undefined {
  const { lines, sound, message } = checkedLines(data, file, DIRECTIVE_LINE_LIMIT);
  for (const line of lines.slice(0, sound)) {
    const [directive = '', name] = line.replace(/^[ \t-\r]+|[ \t-\r]+$/g, '').split(/[ \t-\r]+/);
    if (directive === '' || directive.startsWith('#')) continue;
    if (name === undefined) return 'triggers ci file contains unknown directive syntax';
    if (!DIRECTIVES.has(directive))
      return `triggers ci file contains unknown directive '${directive.slice(0, 250)}'`;
  }
  return message;
}

export interface Activation {
  readonly trigger: Bytes;
  /** The packages that wait; `-` for none. */
  readonly packages: readonly Bytes[];
}

/** triggers/Unincorp: `trigger package…`, comments with `#`. @param file the file's name for dpkg's message */
export function parseUnincorp(
  data: Bytes,
  file: Bytes,
): { activations: Activation[]; message: string | undefined } {
  const { lines, sound, message } = checkedLines(data, file, UNINCORP_LINE_LIMIT);
  let refused: string | undefined;
  const activations: Activation[] = [];
  // dpkg takes an empty line for the end, and never sees what follows.
  const end = lines.indexOf('');
  const limit = end < 0 ? sound : Math.min(sound, end);
  lines.forEach((line, index) => {
    const activation = parseActivation(line);
    if (activation === undefined) return;
    if (typeof activation === 'number' || typeof activation === 'string') {
      if (index >= limit) return;
      refused ??=
        typeof activation === 'string'
          ? `invalid package name '${activation.slice(0, 250)}' in triggers deferred file '${file}'`
          : `syntax error in triggers deferred file '${file}' at line ${index + 1} character ${activation + 1} '${line.slice(activation)}'`;
    } else activations.push(activation);
  });
  return { activations, message: refused ?? (end < 0 || sound <= end ? message : undefined) };
}

/**
 * A line of Unincorp as trigdef_parse takes it apart.
 *
 * @returns undefined for a comment, where the syntax is wrong, or the package name that is none
 */
function parseActivation(line: Bytes): Activation | number | string | undefined {
  let at = 0;
  const skip = (pattern: RegExp): Bytes => {
    pattern.lastIndex = at;
    const match = pattern.exec(line)?.[0] ?? '';
    at += match.length;
    return match;
  };
  skip(WHITE);
  if (at === line.length || line[at] === '#') return undefined;
  const trigger = skip(/[\x21-\x7e]*/y);
  if (at === line.length || trigger === '') return at;
  const packages: Bytes[] = [];
  for (at += 1; at < line.length; at += 1) {
    skip(WHITE);
    const name = skip(/[0-9a-z-][0-9a-z:+.-]*/y);
    if (name === '' || (at < line.length && !/[# \t]/.test(line.charAt(at)))) return at;
    if (name.startsWith('-') && name !== '-') return name;
    packages.push(name);
  }
  return { trigger, packages };
}

const WHITE = /[ \t]*/y;
