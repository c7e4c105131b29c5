/**
 * Trigger state (deb-triggers(5), lib/dpkg/triglib.c and trigdeferred.c): triggers/File holds file interests,
 * triggers/NAME the packages interested in an explicit trigger, triggers/Unincorp what was activated and not yet
 * written into the status file.
 */
import type { Bytes } from '../system/bytes.ts';
import { checkedLines } from './lines.ts';
import { illegalPackageName } from './relations.ts';

/** linebuf of trig_file_interests_ensure. */
const FILE_LINE_LIMIT = 1024;
/** _POSIX2_LINE_MAX, the buffer of trigdef_parse. */
const UNINCORP_LINE_LIMIT = 2048;

export interface FileTrigger {
  readonly path: Bytes;
  readonly package: Bytes;
  readonly noawait: boolean;
}

/** Name and optional architecture of a package, as trigger files write it (`name`, `name:arch`). */
function illegalSpec(spec: Bytes): string | undefined {
  const [name = '', architecture] = spec.split(':', 2);
  const illegal = illegalPackageName(name);
  if (illegal !== undefined) return illegal;
  if (architecture !== undefined && !/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(architecture)) {
    return `illegal architecture name '${architecture}'`;
  }
  return undefined;
}

function splitNoawait(word: Bytes): { package: Bytes; noawait: boolean } {
  return word.endsWith('/noawait')
    ? { package: word.slice(0, -'/noawait'.length), noawait: true }
    : { package: word, noawait: false };
}

/** triggers/File: `/path package[/noawait]`, a line each. @param file the file's name for dpkg's message */
export function parseTriggersFile(
  data: Bytes,
  file: Bytes,
): { triggers: FileTrigger[]; message: string | undefined } {
  const checked = checkedLines(data, file, FILE_LINE_LIMIT);
  let message = checked.message;
  const triggers: FileTrigger[] = [];
  for (const line of checked.lines) {
    const space = line.indexOf(' ');
    if (space < 0 || !line.startsWith('/')) {
      message ??= `syntax error in file triggers file '${file}'`;
      continue;
    }
    const path = line.slice(0, space);
    const interest = splitNoawait(line.slice(space + 1));
    const illegal = illegalSpec(interest.package);
    if (illegal !== undefined) {
      message ??= `file triggers record mentions illegal package name '${interest.package}' (for interest in file '${path}'): ${illegal}`;
      continue;
    }
    triggers.push({ path, ...interest });
  }
  return { triggers, message };
}

/** triggers/NAME: `package[/noawait]`, a line each. @param file the file's name for dpkg's message */
export function parseExplicitInterest(data: Bytes, file: Bytes): string | undefined {
  const checked = checkedLines(data, file, FILE_LINE_LIMIT);
  if (checked.message !== undefined) return checked.message;
  for (const line of checked.lines) {
    const { package: name } = splitNoawait(line);
    const illegal = illegalSpec(name);
    if (illegal !== undefined) {
      return `trigger interest file '${file}' syntax error; illegal package name '${name}': ${illegal}`;
    }
  }
  return undefined;
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
  const checked = checkedLines(data, file, UNINCORP_LINE_LIMIT);
  let message = checked.message;
  const activations: Activation[] = [];
  checked.lines.forEach((line, index) => {
    const text = line.replace(/^[ \t]+/, '');
    if (text === '' || text.startsWith('#')) return;
    const match = /^([\x21-\x7e]+)[ \t](.*)$/s.exec(text);
    const packages = (match?.[2] ?? '').split(/[ \t]+/).filter((word) => word !== '');
    const wrong = packages.find((word) => !/^(?:-|[a-z0-9][a-z0-9:+.-]*)$/.test(word));
    if (match === null || packages.length === 0 || wrong !== undefined) {
      const token = /^[\x21-\x7e]*/.exec(text)?.[0] ?? '';
      const at = wrong === undefined ? line.length - text.length + token.length : line.indexOf(wrong);
      message ??= `syntax error in triggers deferred file '${file}' at line ${index + 1} character ${at + 1} '${line.slice(at)}'`;
      return;
    }
    activations.push({ trigger: match[1] ?? '', packages });
  });
  return { activations, message };
}
