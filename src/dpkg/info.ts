/**
 * The info directory: one file a package and kind (lib/dpkg/db-ctrl-access.c), the layout's version in `format`
 * (lib/dpkg/db-ctrl-format.c).
 */
import type { Bytes } from '../system/bytes.ts';
import type { ReadOutcome } from '../system/files.ts';
import type { Admindir } from './admindir.ts';
import { displayName, type Package } from './package.ts';
import { type DatabaseProblem, isNulFilled, nulTailStart } from './problem.ts';
import type { Interests } from './tables.ts';
import { checkDeclarations, interestsOf } from './triggers.ts';

/** The newest layout that dpkg knows: architecture-qualified names. */
const FORMAT_MULTIARCH = 1;

const SCRIPTS: ReadonlySet<string> = new Set(['preinst', 'postinst', 'prerm', 'postrm', 'config']);
const ELF_MAGIC = '\x7fELF';

export class InfoDirectory {
  readonly #admindir: Admindir;
  /** File kinds (`list`, `postinst`) by the name before the last dot, which is a package's, maybe qualified. */
  readonly #kinds = new Map<Bytes, Set<string>>();
  readonly #qualified: boolean;

  constructor(admindir: Admindir, problems: DatabaseProblem[]) {
    this.#admindir = admindir;
    for (const name of this.#names(problems)) {
      const dot = name.lastIndexOf('.');
      if (name.startsWith('.') || dot < 0) continue;
      const stem = name.slice(0, dot);
      const kinds = this.#kinds.get(stem);
      if (kinds === undefined) this.#kinds.set(stem, new Set([name.slice(dot + 1)]));
      else kinds.add(name.slice(dot + 1));
    }
    this.#qualified = this.#readFormat(problems);
  }

  #names(problems: DatabaseProblem[]): Bytes[] {
    const listing = this.#admindir.list('info');
    if (listing.kind === 'listed') return listing.names;
    const errno = listing.kind === 'missing' ? 'ENOENT' : listing.errno;
    problems.push(this.#admindir.unreadable('info', 'the directory of manifests', errno, true));
    return [];
  }

  /** Whether co-installable packages have their architecture in their files' names. */
  #readFormat(problems: DatabaseProblem[]): boolean {
    const file = `${this.#admindir.inside}/info/format`;
    const inUse = [...this.#kinds.keys()].some((stem) => stem.includes(':'));
    const outcome = this.#admindir.read('info/format');
    const problem = { file, blocksDpkg: true, likelyOutage: true };
    if (outcome.kind === 'missing') {
      if (inUse) {
        problems.push({
          ...problem,
          code: 'database-format-missing',
          message:
            'info/format is missing, so dpkg looks for the manifests of co-installable packages under wrong names',
          blocksDpkg: false,
        });
      }
      return inUse;
    }
    if (outcome.kind === 'unreadable') {
      problems.push(this.#admindir.unreadable('info/format', 'info/format', outcome.errno, true));
      return inUse;
    }
    // What fscanf("%u") takes: a sign too.
    const number = /^[ \t-\r]*([+-]?\d+)/.exec(outcome.data)?.[1];
    // A new version of the file beside it is a layout more: dpkg then takes an upgrade for interrupted.
    const upgrading = this.#upgrading();
    const format = number === undefined ? undefined : Number(number) + (upgrading ? 1 : 0);
    if (format === undefined) {
      problems.push({
        ...problem,
        code: 'database-format-corrupt',
        message: 'info/format holds no number',
        dpkgMessage: `corrupt info database format file '${file}'`,
      });
      return inUse;
    }
    if (format < 0 || format > FORMAT_MULTIARCH) {
      problems.push({
        ...problem,
        code: 'database-format-unknown',
        message: upgrading
          ? 'info/format-new is left over from an interrupted upgrade, and dpkg takes the layout for a newer one'
          : `info/format is ${format}, which is no known layout`,
        dpkgMessage: `info database format (${format}) is bogus or too new; try getting a newer dpkg`,
        likelyOutage: upgrading,
      });
      return true;
    }
    return format === FORMAT_MULTIARCH;
  }

  #upgrading(): boolean {
    return this.#admindir.read('info/format-new').kind !== 'missing';
  }

  /** The name before the dot of a package's files. */
  stemOf(pkg: Package): Bytes {
    return pkg.multiArch === 'same' && this.#qualified ? `${pkg.name}:${pkg.architecture}` : pkg.name;
  }

  kindsOf(stem: Bytes): ReadonlySet<string> {
    return this.#kinds.get(stem) ?? new Set();
  }

  stems(): Iterable<Bytes> {
    return this.#kinds.keys();
  }

  /** The problem that one of a package's files cannot be read is. */
  unreadable(stem: Bytes, kind: string, errno: string, blocksDpkg: boolean): DatabaseProblem {
    return this.#admindir.unreadable(`info/${stem}.${kind}`, `the control file ${kind}`, errno, blocksDpkg);
  }

  /** A file's path inside the root. */
  path(stem: Bytes, kind: string): Bytes {
    return `${this.#admindir.inside}/info/${stem}.${kind}`;
  }

  read(stem: Bytes, kind: string): ReadOutcome {
    if (!this.kindsOf(stem).has(kind)) return { kind: 'missing' };
    return this.#admindir.read(`info/${stem}.${kind}`);
  }

  /**
   * Looks at a package's other control files: a script that is empty or all NUL runs as success, and a package is
   * then called installed that was never configured.
   *
   * @param interests what its triggers are held against; nothing where they are not known
   */
  checkControlFiles(
    pkg: Package,
    native: Bytes,
    problems: DatabaseProblem[],
    interests: Interests | undefined,
  ): void {
    const stem = this.stemOf(pkg);
    for (const kind of [...this.kindsOf(stem)].sort()) {
      if (kind === 'list' || kind === 'md5sums' || kind.endsWith('-new') || kind.startsWith('dpkg-'))
        continue;
      const outcome = this.read(stem, kind);
      const base = { file: this.path(stem, kind), package: displayName(pkg, native), blocksDpkg: false };
      if (outcome.kind === 'unreadable') {
        problems.push({ ...this.unreadable(stem, kind, outcome.errno, false), package: base.package });
      }
      if (outcome.kind !== 'read') continue;
      const { data } = outcome;
      const script = SCRIPTS.has(kind);
      if (data === '' && script) {
        problems.push({
          ...base,
          code: 'database-script-empty',
          message: `the maintainer script ${kind} is empty: it would run as success and do nothing`,
          likelyOutage: true,
        });
      } else if (data !== '' && isDamagedByNul(data, script)) {
        problems.push({
          ...base,
          code: script ? 'database-script-nul' : 'database-control-nul',
          message: script
            ? `the maintainer script ${kind} holds NUL bytes and may run as success without doing its work`
            : `the control file ${kind} holds NUL bytes`,
          likelyOutage: true,
        });
      } else if (kind === 'triggers') {
        const dpkgMessage = checkDeclarations(data, base.file);
        if (dpkgMessage === undefined) {
          if (interests !== undefined && HAS_INTERESTS.has(pkg.state))
            problems.push(...this.#missingInterests(pkg, base.package, data, interests));
          continue;
        }
        problems.push({
          ...base,
          code: 'database-control-malformed',
          message: 'the package’s triggers file is damaged: dpkg can neither upgrade nor remove the package',
          dpkgMessage,
          likelyOutage: true,
        });
      }
    }
  }

  /** dpkg has them written down before it calls a package unpacked (src/main/unpack.c, trig_file_interests_save). */
  #missingInterests(pkg: Package, display: Bytes, data: Bytes, interests: Interests): DatabaseProblem[] {
    const missing = new Map<Bytes, Bytes[]>();
    for (const { trigger, package: name } of interestsOf(data, pkg)) {
      if (interests.get(trigger)?.has(name)) continue;
      const file = trigger.startsWith('/') ? 'File' : trigger;
      missing.set(file, [...(missing.get(file) ?? []), trigger]);
    }
    return [...missing].map(([file, triggers]) => ({
      code: 'database-triggers-interest-missing',
      file: `${this.#admindir.inside}/triggers/${file}`,
      package: display,
      message: `the package is not listed for ${triggers.join(', ')}, and is not told when that is activated`,
      blocksDpkg: false,
      likelyOutage: true,
    }));
  }
}

/** Where a package's interests are written down; while it is half-installed nobody knows whose. */
const HAS_INTERESTS: ReadonlySet<Package['state']> = new Set([
  'unpacked',
  'half-configured',
  'triggers-awaited',
  'triggers-pending',
  'installed',
]);

/** A script may be a compiled program, which is full of NUL bytes; every other control file is text. */
function isDamagedByNul(data: Bytes, script: boolean): boolean {
  if (!script) return data.includes('\0');
  if (data.startsWith(ELF_MAGIC)) return false;
  return isNulFilled(data) || data.startsWith('\0') || nulTailStart(data) >= 0;
}
