/**
 * The status file and the journal entries beside it: stanzas become packages, with the checks that dpkg makes
 * (lib/dpkg/parse.c and fields.c), each failure in dpkg's own words.
 */
import type { Bytes } from '../system/bytes.ts';
import { asPrinted, type ParseProblem, parseDeb822, type Stanza } from './deb822.ts';
import {
  type Conffile,
  MULTI_ARCH,
  type MultiArch,
  PACKAGE_FLAGS,
  PACKAGE_STATES,
  PACKAGE_WANTS,
  type Package,
  type PackageState,
} from './package.ts';
import { checkRelations, illegalPackageName } from './relations.ts';
import { checkVersion } from './version.ts';

export interface StatusFile {
  readonly packages: Package[];
  readonly problems: ParseProblem[];
}

/** A field's value that dpkg refuses. */
class FieldError extends Error {}

const RELATION_FIELDS = [
  'Replaces',
  'Provides',
  'Depends',
  'Pre-Depends',
  'Recommends',
  'Suggests',
  'Breaks',
  'Conflicts',
  'Enhances',
] as const;

/**
 * Parses a status file or an update entry. Never throws: a stanza that dpkg would refuse becomes a problem, and the
 * others are read all the same.
 *
 * @param source the file's path inside the admindir, kept in each package
 */
export function parseStatus(text: Bytes, source: Bytes): StatusFile {
  const { stanzas, problems } = parseDeb822(text);
  const packages: Package[] = [];
  for (const stanza of stanzas) {
    try {
      packages.push(packageOf(stanza, source));
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      problems.push({
        message: error.message,
        line: stanza.line,
        start: stanza.start,
        end: stanza.end,
        package: stanza.fields.get('package'),
        fatal: true,
      });
    }
  }
  problems.sort((a, b) => a.start - b.start);
  return { packages, problems };
}

function packageOf({ fields }: Stanza, source: Bytes): Package {
  const get = (name: string): Bytes => asPrinted(fields.get(name) ?? '');
  const name = get('package').toLowerCase();
  if (fields.has('package')) {
    const illegal = illegalPackageName(name);
    if (illegal !== undefined) throw new FieldError(`invalid package name in 'Package' field: ${illegal}`);
  }
  const status = parseStatusField(fields.has('status') ? get('status') : undefined);
  const multiArch = parseMultiArch(get('multi-arch'));
  for (const field of ['Essential', 'Protected']) checkBoolean(field, get(field.toLowerCase()));
  for (const field of RELATION_FIELDS) {
    const wrong = checkRelations(field, get(field.toLowerCase()));
    if (wrong !== undefined) throw new FieldError(wrong);
  }
  for (const field of ['Version', 'Config-Version']) {
    const value = fields.get(field.toLowerCase());
    const wrong = value === undefined ? undefined : checkVersion(asPrinted(value));
    if (wrong !== undefined) throw new FieldError(`'${field}' field value '${value}': ${wrong}`);
  }
  const conffiles = parseConffiles(get('conffiles'));
  const triggersPending = words(get('triggers-pending'));
  const triggersAwaited = words(get('triggers-awaited'));

  // From here on as pkg_parse_verify does.
  if (!fields.has('package')) throw new FieldError("missing 'Package' field");
  const version = get('version');
  const { state } = status;
  if (state !== 'not-installed' && state !== 'half-installed' && version === '') {
    throw new FieldError(`${fields.has('version') ? 'empty value for' : 'missing'} 'Version' field`);
  }
  const architecture = get('architecture');
  if (multiArch === 'same' && architecture === '') {
    throw new FieldError("package has 'Multi-Arch: same' field but is missing architecture");
  }
  if (multiArch === 'same' && architecture === 'all') {
    throw new FieldError("package has 'Multi-Arch: same' field but is architecture 'all'");
  }
  const settled = state === 'installed' || state === 'not-installed' || state === 'triggers-pending';
  if (fields.has('config-version') && settled) {
    throw new FieldError("'Config-Version' field present for package with inappropriate 'Status' field");
  }
  checkTriggers(state, triggersPending, triggersAwaited);

  return {
    name,
    architecture,
    version,
    ...status,
    multiArch,
    vital: get('essential') === 'yes' || get('protected') === 'yes' || get('priority') === 'required',
    configVersion: get('config-version') || (settled && state !== 'not-installed' ? version : ''),
    conffiles: state === 'not-installed' ? [] : conffiles,
    triggersPending,
    triggersAwaited,
    source,
  };
}

/** `want flag state` (dpkg(1), INFORMATION ABOUT PACKAGES). Without the field dpkg takes all three for unknown. */
function parseStatusField(
  value: Bytes | undefined,
): Pick<Package, 'want' | 'flag'> & { state: PackageState } {
  if (value === undefined) return { want: 'unknown', flag: 'ok', state: 'not-installed' };
  let rest = value;
  const word = <T extends string>(which: string, names: readonly T[], last: boolean): T => {
    if (rest === '') throw new FieldError(`${which} word in 'Status' field: is missing a value`);
    const lower = rest.toLowerCase();
    // dpkg compares as many characters as its own word has, so what follows a word is looked at afterwards.
    const found = names.find((name) => lower.startsWith(name));
    if (found === undefined) {
      throw new FieldError(`${which} word in 'Status' field: has invalid value '${rest.slice(0, 50)}'`);
    }
    rest = rest.slice(found.length).replace(/^\s+/, '');
    if (last && rest !== '') throw new FieldError(`${which} word in 'Status' field: has trailing junk`);
    return found;
  };
  const want = word('first (want)', PACKAGE_WANTS, false);
  const flag = word('second (error)', PACKAGE_FLAGS, false);
  const state = word('third (status)', PACKAGE_STATES, true);
  return { want, flag, state };
}

function parseMultiArch(value: Bytes): MultiArch {
  if (value === '') return 'no';
  const found = MULTI_ARCH.find((name) => value.toLowerCase() === name);
  if (found === undefined) {
    throw new FieldError(
      `quadstate (foreign/allowed/same/no) 'Multi-Arch' field: has invalid value '${value.slice(0, 50)}'`,
    );
  }
  return found;
}

function checkBoolean(field: string, value: Bytes): void {
  if (value === '' || /^(yes|no)$/i.test(value)) return;
  throw new FieldError(`boolean (yes/no) '${field}' field: has invalid value '${value.slice(0, 50)}'`);
}

/** `/path hash [obsolete] [remove-on-upgrade]`, a line each, read from the right (lib/dpkg/fields.c, f_conffiles). */
export function parseConffiles(value: Bytes): Conffile[] {
  const conffiles: Conffile[] = [];
  for (const line of value.split('\n')) {
    if (line === '') continue;
    if (!line.startsWith(' ')) {
      throw new FieldError(
        `value for 'Conffiles' field has line starting with non-space '${line.charAt(0)}'`,
      );
    }
    const entry = line.slice(1);
    let rest = entry;
    const takeLast = (): Bytes => {
      const space = rest.lastIndexOf(' ');
      // As in conffvalue_lastword: a name of at least two characters has to remain, and a word after the blank.
      if (space <= 1 || space >= entry.length - 1) {
        throw new FieldError(`value for 'Conffiles' field has malformed line '${entry.slice(0, 250)}'`);
      }
      const word = rest.slice(space + 1);
      rest = rest.slice(0, space);
      return word;
    };
    let hash = takeLast();
    const removeOnUpgrade = hash === 'remove-on-upgrade';
    if (removeOnUpgrade) hash = takeLast();
    const obsolete = hash === 'obsolete';
    if (obsolete) hash = takeLast();
    const path = rest.replace(/^(?:\.?\/)+/, '');
    if (path === '')
      throw new FieldError("root or empty directory listed as a conffile in 'Conffiles' field");
    conffiles.push({ path: `/${path}`, hash, obsolete, removeOnUpgrade });
  }
  return conffiles;
}

function words(value: Bytes): Bytes[] {
  return value.split(/[ \t\n]+/).filter((word) => word !== '');
}

function checkTriggers(state: PackageState, pending: readonly Bytes[], awaited: readonly Bytes[]): void {
  const between = state !== 'not-installed' && state !== 'config-files';
  if (awaited.length > 0 && (!between || state === 'triggers-pending' || state === 'installed')) {
    throw new FieldError(`package has status ${state} but triggers are awaited`);
  }
  if (state === 'triggers-awaited' && awaited.length === 0) {
    throw new FieldError(`package has status ${state} but no triggers awaited`);
  }
  if (pending.length > 0 && state !== 'triggers-pending' && state !== 'triggers-awaited') {
    throw new FieldError(`package has status ${state} but triggers are pending`);
  }
  if (state === 'triggers-pending' && pending.length === 0) {
    throw new FieldError(`package has status ${state} but no triggers pending`);
  }
}
