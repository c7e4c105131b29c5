/**
 * What apt tells a DPkg::Pre-Install-Pkgs hook before it runs dpkg (apt.conf(5), DPkg::Pre-Install-Pkgs; apt's
 * apt-pkg/deb/dpkgpm.cc, SendPkgsInfo and RunScriptsWithPkgs). Three versions of the protocol: 1 is a list of
 * archives, 2 adds apt's configuration and all actions, 3 adds architectures. apt writes no higher one, whatever a
 * hook asks for.
 */
import type { Bytes } from '../system/bytes.ts';
import { parseArchiveName } from './deb.ts';

export interface AptAction {
  /** Never qualified, a foreign package's neither. */
  readonly package: Bytes;
  /** What is installed, or of a removed package what its conffiles are from. */
  readonly oldVersion: Bytes | undefined;
  readonly oldArchitecture: Bytes | undefined;
  /** `none`, `same`, `foreign` or `allowed`; undefined before version 3. */
  readonly oldMultiArch: Bytes | undefined;
  /** How the new version compares to the old one; `none` when one of them is missing. */
  readonly direction: 'upgrade' | 'downgrade' | 'same' | 'none';
  /** What apt wants in the end: none for a package that it removes for good. */
  readonly newVersion: Bytes | undefined;
  readonly newArchitecture: Bytes | undefined;
  readonly newMultiArch: Bytes | undefined;
  readonly step: AptStep;
}

export type AptStep =
  /** `archive` is absolute; undefined where apt had no usable name for it (`**ERROR**`). */
  | { readonly kind: 'unpack'; readonly archive: Bytes | undefined }
  | { readonly kind: 'configure' }
  /** A purge too: apt does not tell them apart. */
  | { readonly kind: 'remove' };

export interface AptHookProblem {
  /** Counted from 1. */
  readonly line: number;
  readonly text: Bytes;
  readonly message: string;
}

export interface AptHookInput {
  readonly version: 1 | 2 | 3;
  /** Values by name, in the capitals of whoever set them first: to apt the case of a name says nothing. */
  readonly configuration: ReadonlyMap<Bytes, Bytes>;
  /** The unnamed entries of lists, by the list's name without its `::`. */
  readonly lists: ReadonlyMap<Bytes, readonly Bytes[]>;
  /** In the order in which apt will have dpkg do them. */
  readonly actions: readonly AptAction[];
  /** The first hundred. */
  readonly problems: readonly AptHookProblem[];
  /**
   * Whether the input ended at the end of a line, and after its configuration. The protocol has no last word: an input
   * that was cut between two actions looks whole.
   */
  readonly complete: boolean;
}

export interface IntendedPackage {
  readonly name: Bytes;
  /** Undefined where neither the protocol nor the archive's name tells it. */
  readonly architecture: Bytes | undefined;
  readonly multiArch: Bytes | undefined;
  /** `configure` where only that is left to do; `install` too where version 1 does not say what is replaced. */
  readonly action: 'install' | 'upgrade' | 'downgrade' | 'reinstall' | 'remove' | 'configure';
  readonly oldVersion: Bytes | undefined;
  readonly newVersion: Bytes | undefined;
  readonly archive: Bytes | undefined;
}

/** Of an input that is no one's protocol the first ones say enough. */
const MAX_PROBLEMS = 100;
const VERSION_LINE = /^VERSION (\d{1,9})$/;

/**
 * Parses what apt wrote. Never throws; a line that is none of the protocol's is a problem, and the rest is still read.
 * Version 1 names nothing but archives: their package, version and architecture are what their file names say.
 */
export function parseAptHook(data: Bytes): AptHookInput {
  const lines = data.split('\n');
  // A last line without its newline may be the beginning of a longer one.
  const cut = lines.pop() ?? '';
  const reading = new Reading();
  const asked = VERSION_LINE.exec(lines[0] ?? '')?.[1];
  let version: 1 | 2 | 3 = 1;
  let at = 0;
  let ended = true;
  if (asked !== undefined) {
    version = asked === '2' ? 2 : 3;
    if (asked !== '2' && asked !== '3')
      reading.problem(1, lines[0], 'a version of the protocol that apt does not have');
    at = 1;
    for (; at < lines.length && lines[at] !== ''; at += 1) reading.setting(lines[at] ?? '', at + 1);
    ended = at < lines.length;
    if (!ended) reading.problem(lines.length, '', 'it ends before the end of the configuration');
    at += 1;
  }
  for (; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (version === 1) reading.archive(line, at + 1);
    else reading.action(line, at + 1, version);
  }
  if (cut !== '') reading.problem(lines.length + 1, cut, 'it ends in the middle of a line');
  const { configuration, lists, actions, problems } = reading;
  return { version, configuration, lists, actions, problems, complete: ended && cut === '' };
}

class Reading {
  readonly configuration = new Map<Bytes, Bytes>();
  readonly lists = new Map<Bytes, Bytes[]>();
  readonly actions: AptAction[] = [];
  readonly problems: AptHookProblem[] = [];

  problem(line: number, text: Bytes | undefined, message: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ line, text: text ?? '', message });
  }

  setting(text: Bytes, line: number): void {
    // An equals sign of the name itself is escaped.
    const equals = text.indexOf('=');
    if (equals <= 0) {
      this.problem(line, text, 'no setting of apt: it has no name and value');
      return;
    }
    const name = unquote(text.slice(0, equals));
    const value = unquote(text.slice(equals + 1));
    if (!name.endsWith('::')) {
      this.configuration.set(name, value);
      return;
    }
    const list = this.lists.get(name.slice(0, -2));
    if (list === undefined) this.lists.set(name.slice(0, -2), [value]);
    else list.push(value);
  }

  archive(text: Bytes, line: number): void {
    if (!isPath(text)) {
      this.problem(line, text, 'no absolute path of an archive');
      return;
    }
    const parts = parseArchiveName(text);
    // Archives that a person names on the command line are called as they like.
    const stem = text.slice(text.lastIndexOf('/') + 1).replace(/\.deb$/, '');
    this.actions.push({
      package: parts?.name ?? stem,
      oldVersion: undefined,
      oldArchitecture: undefined,
      oldMultiArch: undefined,
      direction: 'none',
      newVersion: parts?.version,
      newArchitecture: parts?.architecture,
      newMultiArch: undefined,
      step: { kind: 'unpack', archive: text },
    });
  }

  action(text: Bytes, line: number, version: 2 | 3): void {
    const columns = version === 3 ? 8 : 4;
    const fields: Bytes[] = [];
    let at = 0;
    while (fields.length < columns) {
      const blank = text.indexOf(' ', at);
      if (blank <= at) {
        this.problem(line, text, `an action has ${columns} columns before its last one`);
        return;
      }
      fields.push(text.slice(at, blank));
      at = blank + 1;
    }
    const [name = '', oldVersion = '', ...rest] = fields;
    const [oldArchitecture, oldMultiArch] = version === 3 ? rest : [];
    const [sign = '', newVersion = '', newArchitecture, newMultiArch] = version === 3 ? rest.slice(2) : rest;
    // The name of the archive stands as it is: its blanks are not escaped.
    const step = stepOf(text.slice(at));
    const compared = DIRECTIONS.get(sign);
    if (step === undefined || compared === undefined || text.includes('\0')) {
      this.problem(
        line,
        text,
        step === undefined ? 'an unknown kind of action' : 'an action that is damaged',
      );
      return;
    }
    if (step.kind === 'unpack' && step.archive === undefined)
      this.problem(line, text, 'apt has no absolute path of the archive');
    const missing = oldVersion === '-' || newVersion === '-';
    this.actions.push({
      package: name,
      oldVersion: given(oldVersion),
      oldArchitecture: given(oldArchitecture),
      oldMultiArch,
      // apt writes the sign of an upgrade before a first installation, and that of a downgrade before a removal.
      direction: missing ? 'none' : compared,
      newVersion: given(newVersion),
      newArchitecture: given(newArchitecture),
      newMultiArch,
      step,
    });
  }
}

const DIRECTIONS: ReadonlyMap<Bytes, 'upgrade' | 'downgrade' | 'same'> = new Map([
  ['<', 'upgrade'],
  ['>', 'downgrade'],
  ['=', 'same'],
]);

function stepOf(text: Bytes): AptStep | undefined {
  switch (text) {
    case '**CONFIGURE**':
      return { kind: 'configure' };
    case '**REMOVE**':
      return { kind: 'remove' };
    case '**ERROR**':
      return { kind: 'unpack', archive: undefined };
    default:
      return isPath(text) ? { kind: 'unpack', archive: text } : undefined;
  }
}

function isPath(text: Bytes): boolean {
  return text.startsWith('/') && !text.includes('\0');
}

function given(field: Bytes | undefined): Bytes | undefined {
  return field === '-' ? undefined : field;
}

/** Undoes apt's QuoteString (apt-pkg/contrib/strutl.cc): two hex digits a byte. */
function unquote(text: Bytes): Bytes {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/**
 * The actions of each package as one, in the order of their first ones. A package that apt takes away for a moment, to
 * break a circle of conflicts, and unpacks again is one that it installs.
 */
export function intendedPackages(input: AptHookInput): IntendedPackage[] {
  const groups = new Map<Bytes, AptAction[]>();
  // Before version 3 only an archive's name tells the architecture, and so the architectures of one package apart.
  const architectures = new Map<Bytes, Set<Bytes>>();
  for (const action of input.actions) {
    const architecture = architectureOf(action);
    if (architecture === undefined) continue;
    const known = architectures.get(action.package);
    if (known === undefined) architectures.set(action.package, new Set([architecture]));
    else known.add(architecture);
  }
  for (const action of input.actions) {
    const architecture = architectureOf(action);
    // What is removed for good is another architecture than the one that is unpacked.
    const others = action.newVersion === undefined ? undefined : architectures.get(action.package);
    const several = architecture === undefined ? (others ?? ['']) : [architecture];
    for (const each of several) {
      const key = `${action.package} ${each}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [action]);
      else group.push(action);
    }
  }
  return [...groups.values()].flatMap((group) => merged(group) ?? []);
}

function architectureOf(action: AptAction): Bytes | undefined {
  const said = action.newArchitecture ?? action.oldArchitecture;
  if (said !== undefined || action.step.kind !== 'unpack' || action.step.archive === undefined) return said;
  const parts = parseArchiveName(action.step.archive);
  return parts?.name === action.package ? parts.architecture : undefined;
}

function merged(group: readonly AptAction[]): IntendedPackage | undefined {
  const unpack = group.findLast(({ step }) => step.kind === 'unpack');
  const removal = group.findLast(({ step }) => step.kind === 'remove');
  const shown = unpack ?? removal ?? group[0];
  if (shown === undefined) return undefined;
  return {
    name: shown.package,
    architecture: architectureOf(shown),
    multiArch: shown.newVersion === undefined ? shown.oldMultiArch : shown.newMultiArch,
    action: unpack !== undefined ? INTENT[unpack.direction] : removal !== undefined ? 'remove' : 'configure',
    oldVersion: group.find(({ oldVersion }) => oldVersion !== undefined)?.oldVersion,
    newVersion: shown.newVersion,
    archive: unpack?.step.kind === 'unpack' ? unpack.step.archive : undefined,
  };
}

const INTENT = { upgrade: 'upgrade', downgrade: 'downgrade', same: 'reinstall', none: 'install' } as const;
