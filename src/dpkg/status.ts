/**
 * The status file and the journal entries beside it: stanzas become packages, with the checks that dpkg makes
 * (lib/dpkg/parse.c and fields.c), each failure in dpkg's own words.
 */
import type { Bytes } from '../system/bytes.ts';
import { asPrinted, KNOWN_FIELDS, parseDeb822, type Stanza, type StanzaProblem } from './deb822.ts';
import { skipSlashes } from './names.ts';
import {
  type Conffile,
  displayName,
  MULTI_ARCH,
  PACKAGE_FLAGS,
  PACKAGE_STATES,
  PACKAGE_WANTS,
  type Package,
  type PackageState,
} from './package.ts';
import { checkRelations, illegalPackageName, illegalSpecifier } from './relations.ts';
import { checkVersion } from './version.ts';

export interface ParseProblem extends Omit<StanzaProblem, 'fields'> {
  /** The package that dpkg would name, where it had read one before the error. */
  readonly package: Bytes | undefined;
}

export interface StatusFile {
  readonly packages: Package[];
  readonly problems: ParseProblem[];
  /** The architecture of the root's dpkg, as far as this file tells it; empty when no record is left. */
  readonly native: Bytes;
}

/** A stanza whose fields dpkg takes one by one, and refuses together. */
class FieldError extends Error {}

/** `Priority` words (lib/dpkg/pkg-namevalue.c). Others are allowed, a word that only begins like one is not. */
const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra', 'unknown'] as const;

/**
 * Parses a status file or an update entry. Never throws: a stanza that dpkg would refuse becomes a problem, and the
 * others are read all the same.
 *
 * @param source the file's path inside the admindir, kept in each package; `status` itself must not hold two packages
 * that cannot be installed together
 * @param native the architecture of the root's dpkg, where another file told it
 */
export function parseStatus(text: Bytes, source: Bytes, native?: Bytes): StatusFile {
  const { stanzas, problems } = parseDeb822(text, checkField);
  const heads = [...stanzas, ...problems].map(({ fields }) => headOf(fields));
  const architecture = native || nativeArchitecture(heads);
  const failures: ParseProblem[] = problems.map(({ fields, ...problem }) => ({
    ...problem,
    package: nameSoFar(fields, architecture),
  }));
  const packages: Package[] = [];
  const instances = new Map<Bytes, Package[]>();
  for (const stanza of stanzas) {
    try {
      const pkg = packageOf(stanza, source);
      if (source === 'status') checkInstances(pkg, instances);
      packages.push(pkg);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      failures.push({
        message: error.message,
        line: stanza.line,
        start: stanza.start,
        end: stanza.end,
        package: nameSoFar(stanza.fields, architecture),
        fatal: true,
      });
    }
  }
  failures.sort((a, b) => a.start - b.start);
  return { packages, problems: failures, native: architecture };
}

/** What the architecture of a root's own dpkg is told by. */
type Head = Pick<Package, 'name' | 'architecture'>;

function headOf(fields: ReadonlyMap<Bytes, Bytes>): Head {
  return {
    name: asPrinted(fields.get('package') ?? '').toLowerCase(),
    architecture: asPrinted(fields.get('architecture') ?? ''),
  };
}

/** The architecture of the package dpkg, and where its record is lost, the one that most packages have. */
export function nativeArchitecture(packages: Iterable<Head>): Bytes {
  const counts = new Map<Bytes, number>();
  for (const { name, architecture } of packages) {
    if (architecture === '' || architecture === 'all') continue;
    if (name === 'dpkg') return architecture;
    counts.set(architecture, (counts.get(architecture) ?? 0) + 1);
  }
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best), ['', 0])[0];
}

/** The package as dpkg names it in a message in mid-stanza, by what it had read until then (lib/dpkg/pkg-show.c). */
function nameSoFar(fields: ReadonlyMap<Bytes, Bytes>, native: Bytes): Bytes | undefined {
  const { name, architecture } = headOf(fields);
  if (illegalPackageName(name) !== undefined) return undefined;
  const multiArch = wordAt(asPrinted(fields.get('multi-arch') ?? ''), MULTI_ARCH);
  const known = multiArch?.rest === '' ? multiArch.word : 'no';
  return displayName({ name, architecture, multiArch: known }, native);
}

/** Two instances of a package need `Multi-Arch: same` (lib/dpkg/parse.c, parse_find_set_slot). */
function checkInstances(pkg: Package, instances: Map<Bytes, Package[]>): void {
  const present = [...(instances.get(pkg.name) ?? []), pkg].filter(({ state }) => state !== 'not-installed');
  const multi = present.filter(({ multiArch }) => multiArch === 'same').length;
  const single = present.length - multi;
  const cause = 'instances present; most probably due to an upgrade from an unofficial dpkg';
  if (single > 1) throw new FieldError(`multiple non-coinstallable package ${cause}`);
  if (single > 0 && multi > 0) {
    throw new FieldError(`mixed non-coinstallable and coinstallable package ${cause}`);
  }
  instances.set(pkg.name, present);
}

/** What dpkg says of a field's value when it refuses it (lib/dpkg/fields.c). */
function checkField(key: Bytes, value: Bytes): string | undefined {
  const field = KNOWN_FIELDS.get(key);
  switch (field) {
    case 'Package': {
      const illegal = illegalPackageName(value);
      return illegal === undefined ? undefined : `invalid package name in 'Package' field: ${illegal}`;
    }
    case 'Essential':
    case 'Protected':
      return checkWord(`boolean (yes/no) '${field}' field`, value, ['yes', 'no']);
    case 'Status': {
      const status = parseStatusField(value);
      return typeof status === 'string' ? status : undefined;
    }
    case 'Priority':
    case 'Class':
      return wordAt(value, PRIORITIES)?.rest ? `word in '${field}' field: has trailing junk` : undefined;
    case 'Multi-Arch':
      return checkWord(`quadstate (foreign/allowed/same/no) '${field}' field`, value, MULTI_ARCH);
    case 'Version':
    case 'Config-Version': {
      const wrong = checkVersion(value);
      return wrong === undefined ? undefined : `'${field}' field value '${value.slice(0, 250)}': ${wrong}`;
    }
    case 'Replaces':
    case 'Provides':
    case 'Depends':
    case 'Pre-Depends':
    case 'Recommends':
    case 'Suggests':
    case 'Breaks':
    case 'Conflicts':
    case 'Enhances':
    case 'Recommended':
    case 'Optional':
      return checkRelations(field, value);
    case 'Conffiles': {
      const conffiles = parseConffiles(value);
      return typeof conffiles === 'string' ? conffiles : undefined;
    }
    case 'Filename':
    case 'Size':
    case 'MD5sum':
    case 'MSDOS-Filename':
      return value === ''
        ? `empty archive details '${field}' field`
        : `archive details '${field}' field not allowed in status file`;
    case 'Triggers-Pending':
      return checkWords(value, 'duplicate pending trigger', (word) => {
        const illegal = illegalTriggerName(word);
        return illegal === undefined ? undefined : `illegal pending trigger name '${word}': ${illegal}`;
      });
    case 'Triggers-Awaited':
      return checkWords(value, 'duplicate awaited trigger package', (word) => {
        const illegal = illegalSpecifier(word);
        return illegal === undefined
          ? undefined
          : `illegal package name in awaited trigger '${word}': ${illegal}`;
      });
    default:
      return undefined;
  }
}

/** lib/dpkg/triglib.c, trig_name_is_illegal. */
function illegalTriggerName(name: Bytes): string | undefined {
  return /^[\x21-\x7e]+$/.test(name) ? undefined : 'trigger name contains invalid character';
}

function checkWords(
  value: Bytes,
  duplicate: string,
  check: (word: Bytes) => string | undefined,
): string | undefined {
  const seen = new Set<Bytes>();
  for (const word of words(value)) {
    const wrong = check(word);
    if (wrong !== undefined) return wrong;
    if (seen.has(word)) return `${duplicate} '${word.slice(0, 255)}'`;
    seen.add(word);
  }
  return undefined;
}

function packageOf({ fields }: Stanza, source: Bytes): Package {
  const get = (name: string): Bytes => asPrinted(fields.get(name) ?? '');
  const name = get('package').toLowerCase();
  const status = parseStatusField(fields.has('status') ? get('status') : undefined);
  const conffiles = parseConffiles(get('conffiles'));
  if (typeof status === 'string') throw new FieldError(status);
  if (typeof conffiles === 'string') throw new FieldError(conffiles);
  const multiArch = wordAt(get('multi-arch'), MULTI_ARCH)?.word ?? 'no';
  const isSet = (field: string): boolean => wordAt(get(field), ['yes', 'no'])?.word === 'yes';
  const required = wordAt(get('priority'), PRIORITIES)?.word === 'required';
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
    vital: isSet('essential') || isSet('protected') || required,
    configVersion: get('config-version') || (settled && state !== 'not-installed' ? version : ''),
    conffiles: state === 'not-installed' ? [] : conffiles,
    triggersPending,
    triggersAwaited,
    source,
  };
}

/**
 * The word that a value begins with, whatever its case, and what follows. dpkg compares as many characters as its own
 * word has, so the rest may be junk that hangs on to it (lib/dpkg/namevalue.c).
 */
function wordAt<T extends string>(value: Bytes, names: readonly T[]): { word: T; rest: Bytes } | undefined {
  const lower = value.slice(0, 50).toLowerCase();
  const word = names.find((name) => lower.startsWith(name));
  return word && { word, rest: value.slice(word.length).replace(/^[ \t-\r]+/, '') };
}

/** What dpkg says of a field that may be empty or has to be one of its words (lib/dpkg/fields.c, parse_nv). */
function checkWord(what: string, value: Bytes, names: readonly string[]): string | undefined {
  if (value === '') return undefined;
  const found = wordAt(value, names);
  if (found === undefined) return `${what}: has invalid value '${value.slice(0, 50)}'`;
  return found.rest === '' ? undefined : `${what}: has trailing junk`;
}

/**
 * `want flag state` (dpkg(1), INFORMATION ABOUT PACKAGES). Without the field dpkg takes all three for unknown.
 *
 * @returns what dpkg says when it refuses the value
 */
function parseStatusField(
  value: Bytes | undefined,
): (Pick<Package, 'want' | 'flag'> & { state: PackageState }) | string {
  if (value === undefined) return { want: 'unknown', flag: 'ok', state: 'not-installed' };
  const refuse = (which: string, rest: Bytes): string =>
    `${which} word in 'Status' field: ${rest === '' ? 'is missing a value' : `has invalid value '${rest.slice(0, 50)}'`}`;
  const want = wordAt(value, PACKAGE_WANTS);
  if (want === undefined) return refuse('first (want)', value);
  const flag = wordAt(want.rest, PACKAGE_FLAGS);
  if (flag === undefined) return refuse('second (error)', want.rest);
  const state = wordAt(flag.rest, PACKAGE_STATES);
  if (state === undefined) return refuse('third (status)', flag.rest);
  if (state.rest !== '') return "third (status) word in 'Status' field: has trailing junk";
  return { want: want.word, flag: flag.word, state: state.word };
}

/**
 * `/path hash [obsolete] [remove-on-upgrade]`, a line each, read from the right (lib/dpkg/fields.c, f_conffiles).
 *
 * @returns what dpkg says when it refuses the value
 */
export function parseConffiles(value: Bytes): Conffile[] | string {
  const conffiles: Conffile[] = [];
  for (const line of value.split('\n')) {
    if (line === '') continue;
    if (!line.startsWith(' ')) {
      return `value for 'Conffiles' field has line starting with non-space '${line.charAt(0)}'`;
    }
    const entry = line.slice(1);
    let rest = entry;
    const takeLast = (): Bytes | undefined => {
      const space = rest.lastIndexOf(' ');
      // As in conffvalue_lastword: a name of at least two characters has to remain, and a word after the blank.
      if (space <= 1 || space >= entry.length - 1) return undefined;
      const word = rest.slice(space + 1);
      rest = rest.slice(0, space);
      return word;
    };
    let hash = takeLast();
    const removeOnUpgrade = hash === 'remove-on-upgrade';
    if (removeOnUpgrade) hash = takeLast();
    const obsolete = hash === 'obsolete';
    if (obsolete) hash = takeLast();
    if (hash === undefined) return `value for 'Conffiles' field has malformed line '${entry.slice(0, 250)}'`;
    const path = skipSlashes(rest);
    if (path === '') return "root or empty directory listed as a conffile in 'Conffiles' field";
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
