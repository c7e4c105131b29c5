/**
 * Records of the status file as text: a sound stanza is carried over byte for byte, so that what nobody had to mend stays
 * exactly what dpkg wrote (lib/dpkg/dump.c, writedb).
 */
import { asPrinted, KNOWN_FIELDS, parseDeb822 } from '../../dpkg/deb822.ts';
import {
  PACKAGE_FLAGS,
  PACKAGE_STATES,
  PACKAGE_WANTS,
  type Package,
  type PackageState,
  qualifiedName,
} from '../../dpkg/package.ts';
import { slotOf } from '../../dpkg/records.ts';
import { illegalPackageName } from '../../dpkg/relations.ts';
import { nativeArchitecture, parseStatus } from '../../dpkg/status.ts';
import { checkVersion } from '../../dpkg/version.ts';
import type { Bytes } from '../../system/bytes.ts';

export interface TextRecord {
  readonly package: Package;
  /** Its fields, each ended by its newline; no empty line behind them. */
  readonly text: Bytes;
}

/** What can still be read of a damaged stanza. */
export interface Remains {
  readonly name: Bytes;
  /** Empty where the field is gone. */
  readonly architecture: Bytes;
  readonly version: Bytes | undefined;
  /** The words of its Status field. */
  readonly status: (Pick<Package, 'want' | 'flag'> & { readonly state: PackageState }) | undefined;
}

export interface RecordFile {
  readonly records: readonly TextRecord[];
  /** Of damaged stanzas that still name their package. */
  readonly remains: readonly Remains[];
  /** Whether anything in the file is no whole record. */
  readonly damaged: boolean;
}

/**
 * The sound stanzas of a status file or an update. A stanza that holds a NUL is none, although dpkg reads some of them:
 * it takes the NUL for the value's end.
 *
 * @param native the architecture of the root's own dpkg, where it is known
 */
export function readRecordFile(data: Bytes, source: Bytes, native?: Bytes): RecordFile {
  const { stanzas, problems } = parseDeb822(data);
  const records: TextRecord[] = [];
  const remains: Remains[] = [];
  let damaged = problems.some(({ fatal }) => fatal);
  const lose = (text: Bytes): void => {
    damaged = true;
    const found = remainsOf(text);
    if (found !== undefined) remains.push(found);
  };
  for (const { start, end } of stanzas) {
    const text = `${trimNewlines(data.slice(start, end))}\n`;
    const parsed = text.includes('\0') ? undefined : parseStatus(text, source, native);
    const [pkg] = parsed?.packages ?? [];
    if (pkg === undefined || parsed?.packages.length !== 1 || parsed.problems.some(({ fatal }) => fatal)) {
      lose(text);
    } else records.push({ package: pkg, text });
  }
  for (const { start, end, fatal } of problems) if (fatal) lose(data.slice(start, end));
  return { records, remains, damaged };
}

function trimNewlines(text: Bytes): Bytes {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 10) end -= 1;
  return text.slice(0, end);
}

/** Lines are believed only whole, and only where dpkg would believe them. */
function remainsOf(text: Bytes): Remains | undefined {
  const line = (field: string): Bytes | undefined =>
    new RegExp(`^${field}: ([^\\0\n]+)\n`, 'm').exec(text)?.[1];
  const name = line('Package');
  if (name === undefined || illegalPackageName(name) !== undefined) return undefined;
  const version = line('Version');
  return {
    name,
    architecture: line('Architecture') ?? '',
    version: version === undefined || checkVersion(version) !== undefined ? undefined : version,
    status: statusWords(line('Status') ?? ''),
  };
}

function statusWords(value: Bytes): Remains['status'] {
  const [first, second, third, ...more] = value.split(' ');
  const want = PACKAGE_WANTS.find((word) => word === first);
  const flag = PACKAGE_FLAGS.find((word) => word === second);
  const state = PACKAGE_STATES.find((word) => word === third);
  if (want === undefined || flag === undefined || state === undefined || more.length > 0) return undefined;
  return { want, flag, state };
}

/** Records in the order in which dpkg merges them: what comes later replaces what it is about. */
export class RecordSet {
  readonly #records = new Map<Bytes, TextRecord>();
  /** The keys of a package's instances: a status file has thousands of records, and each is looked up. */
  readonly #instances = new Map<Bytes, Set<Bytes>>();

  put(record: TextRecord): void {
    const { name } = record.package;
    const present = this.named(name).map(({ package: pkg }) => [qualifiedName(pkg), pkg] as const);
    this.delete(slotOf(new Map(present), record.package));
    const key = qualifiedName(record.package);
    this.#records.set(key, record);
    this.#instances.set(name, (this.#instances.get(name) ?? new Set()).add(key));
  }

  delete(key: Bytes): void {
    const name = this.#records.get(key)?.package.name;
    this.#records.delete(key);
    if (name !== undefined) this.#instances.get(name)?.delete(key);
  }

  get(key: Bytes): TextRecord | undefined {
    return this.#records.get(key);
  }

  /** The instances of a package. */
  named(name: Bytes): TextRecord[] {
    return [...(this.#instances.get(name) ?? [])].flatMap((key) => this.#records.get(key) ?? []);
  }

  all(): TextRecord[] {
    return [...this.#records.values()];
  }

  get packages(): Package[] {
    return this.all().map((record) => record.package);
  }

  get native(): Bytes {
    return nativeArchitecture(this.packages);
  }

  /** The status file, in dpkg's order: by name, then by architecture (lib/dpkg/pkg.c, pkg_sorter_by_nonambig_name_arch). */
  toString(): Bytes {
    return this.all()
      .sort(
        (a, b) =>
          compare(a.package.name, b.package.name) || compare(a.package.architecture, b.package.architecture),
      )
      .map(({ text }) => `${text}\n`)
      .join('');
  }
}

function compare(a: Bytes, b: Bytes): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Merges record files, status first; of a file that repeats a package the first record stays. */
export function mergeRecordFiles(files: readonly RecordFile[]): RecordSet {
  const merged = new RecordSet();
  const [status, ...updates] = files;
  for (const record of status?.records ?? []) {
    const instances = merged.named(record.package.name);
    const alone = instances.some(
      ({ package: other }) => other.multiArch !== 'same' || record.package.multiArch !== 'same',
    );
    if (!alone) merged.put(record);
  }
  for (const update of updates) for (const record of update.records) merged.put(record);
  return merged;
}

export interface StateChange {
  readonly want: Package['want'];
  readonly flag: Package['flag'];
  readonly state: PackageState;
  /** What was configured last; empty where nothing was. */
  readonly configVersion: Bytes;
  /** `path hash …` lines without the blank before them; undefined leaves the field as it is. */
  readonly conffiles?: readonly Bytes[] | undefined;
}

/** The order in which dpkg writes its fields (lib/dpkg/parse.c, fieldinfos); `Filename` and the like are never in status. */
const ORDER: ReadonlyMap<string, number> = new Map([...KNOWN_FIELDS.keys()].map((key, at) => [key, at]));
const NOT_IN_STATUS = new Set([
  'filename',
  'size',
  'md5sum',
  'msdos-filename',
  'status',
  'config-version',
  'conffiles',
  'triggers-pending',
  'triggers-awaited',
  'revision',
  'package-revision',
  'package_revision',
]);
/** What dpkg drops when only the configuration is left (src/main/remove.c, removal_bulk_remove_files); relations stay. */
const OF_INSTALLED = new Set(['essential', 'protected']);

/**
 * A record as dpkg would write it of a package in this state.
 *
 * @param fields of a control archive's control file, or of an older record
 */
export function composeRecord(fields: Bytes, change: StateChange): Bytes {
  const lines: [order: number, text: Bytes][] = [];
  let at = 0;
  let conffiles: Bytes | undefined;
  const bare = change.state === 'config-files';
  for (const [name, value] of fieldsOf(fields)) {
    at += 1;
    const key = name.toLowerCase();
    if (key === 'conffiles') conffiles = value;
    if (NOT_IN_STATUS.has(key) || (bare && OF_INSTALLED.has(key))) continue;
    const known = KNOWN_FIELDS.get(key);
    lines.push([known === undefined ? 1000 + at : (ORDER.get(key) ?? 0), `${known ?? name}: ${value}\n`]);
  }
  const order = (field: string): number => ORDER.get(field) ?? 0;
  lines.push([order('status'), `Status: ${change.want} ${change.flag} ${change.state}\n`]);
  const settled = change.state === 'installed' || change.state === 'not-installed';
  if (change.configVersion !== '' && !settled)
    lines.push([order('config-version'), `Config-Version: ${change.configVersion}\n`]);
  if (change.conffiles !== undefined) conffiles = change.conffiles.map((line) => `\n ${line}`).join('');
  if (conffiles !== undefined && conffiles.trim() !== '')
    lines.push([order('conffiles'), `Conffiles:${conffiles.startsWith('\n') ? '' : '\n '}${conffiles}\n`]);
  return lines
    .sort(([a], [b]) => a - b)
    .map(([, text]) => text)
    .join('');
}

/** Fields with their names as they are written; of a text that was parsed before. */
function* fieldsOf(text: Bytes): Generator<[name: Bytes, value: Bytes]> {
  const parsed = parseDeb822(text).stanzas[0]?.fields ?? new Map<Bytes, Bytes>();
  const names = new Map<Bytes, Bytes>();
  for (const match of text.matchAll(/^([^\s:#][^\s:]*)[ \t]*:/gm)) {
    const name = match[1] ?? '';
    if (!names.has(name.toLowerCase())) names.set(name.toLowerCase(), name);
  }
  for (const [key, value] of parsed) yield [names.get(key) ?? key, asPrinted(value)];
}
