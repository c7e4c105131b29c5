/**
 * What becomes of a package whose record was lost: a copy of the record is held against all that is known of the package
 * since, and is taken as it is, brought to the state that is known, replaced by one made from the archive of the version
 * that is known, or left out.
 */
import { lstatSync } from 'node:fs';
import { parseList, parseMd5sums } from '../../dpkg/manifest.ts';
import { type Package, type PackageState, qualifiedName } from '../../dpkg/package.ts';
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import { parseStatus } from '../../dpkg/status.ts';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { listOf, md5sumsOf } from './archive.ts';
import { compareWithEvents, eventsOf, type Known, lastKnown } from './evidence.ts';
import { composeRecord, type RecordSet, type Remains, type TextRecord } from './record-text.ts';
import type { FileCopy } from './sources.ts';
import { change, conffilesOf, UNPACKED } from './states.ts';
import type { SourcedArchive, Workbench } from './workbench.ts';

export interface Candidate {
  readonly record: TextRecord;
  /** Where the record comes from; undefined for one that stands in the present database. */
  readonly copy: FileCopy | undefined;
  /** What its damaged stanza still says. */
  readonly remains: Remains | undefined;
}

/** States in which dpkg has finished with the package's own configuration. */
const SETTLED: ReadonlySet<Package['state']> = new Set(['installed', 'triggers-pending', 'triggers-awaited']);

export class Resolver {
  /** How many records were taken from elsewhere. */
  taken = 0;
  /** Whether any record is now other than the present files have it. */
  changed = false;
  readonly details: string[] = [];
  readonly sources = new Set<string>();
  readonly #bench: Workbench;
  readonly #records: RecordSet;
  readonly #decided = new Set<Bytes>();
  /** Whether info/ can be asked who is installed. */
  readonly #infoReadable: boolean;

  constructor(bench: Workbench, records: RecordSet) {
    this.#bench = bench;
    this.#records = records;
    this.#infoReadable = [...bench.database.info.stems()].some((stem) => stem !== '');
  }

  /** Whether a package has a record, or it was decided that it gets none. */
  knows(pkg: Package): boolean {
    const key = qualifiedName(pkg);
    if (this.#decided.has(key) || this.#records.get(key) !== undefined) return true;
    return pkg.multiArch !== 'same' && this.#records.named(pkg.name).length > 0;
  }

  wasDecided(key: Bytes): boolean {
    return this.#decided.has(key);
  }

  /** Whether info/ holds control files of a package. */
  isInInfo(pkg: Pick<Package, 'name' | 'architecture'>): boolean {
    return this.#stemOf(pkg) !== undefined;
  }

  #stemOf({ name, architecture }: Pick<Package, 'name' | 'architecture'>): Bytes | undefined {
    const { info } = this.#bench.database;
    return [`${name}:${architecture}`, name].find((stem) => info.kindsOf(stem).size > 0);
  }

  /** @returns whether the candidate's own text was taken, changed or not */
  async decide(candidate: Candidate): Promise<boolean> {
    const { record, remains } = candidate;
    const pkg = record.package;
    this.#decided.add(qualifiedName(pkg));
    if (remains?.version !== undefined && remains.status !== undefined) {
      const known = {
        version: remains.version,
        state: remains.status.state,
        source: 'what its damaged record still says',
      };
      return await this.#bring(candidate, known, remains.status);
    }
    const events = eventsOf(await this.#bench.sources.events(), pkg);
    const known = lastKnown(events);
    const { version, state } = pkg;
    const relation = state === 'unknown' ? 'silent' : compareWithEvents({ version, state }, events);
    if (known !== undefined && relation === 'newer') return await this.#bring(candidate, known);
    if (state === 'not-installed') return this.#take(candidate, record.text, undefined);
    if (this.#infoReadable && !this.isInInfo(pkg)) {
      this.details.push(
        `${display(pkg)}: left out, because nothing of it is left in info/: it was removed since`,
      );
      return false;
    }
    if (relation === 'agrees' || relation === 'older') return this.#take(candidate, record.text, undefined);
    return await this.#bySigns(candidate, known);
  }

  /**
   * Completes a record that was cut at the end of a line, which dpkg takes for whole: only by a record that begins with
   * all that is left.
   *
   * @returns the source, when one was found
   */
  async complete(
    { package: pkg, text }: TextRecord,
    copies: readonly { readonly record: TextRecord; readonly copy: FileCopy }[],
  ): Promise<string | undefined> {
    const key = qualifiedName(pkg);
    if (this.#records.get(key)?.text !== text) return undefined;
    for (const { record, copy } of copies) {
      const longer = record.text.startsWith(text) && record.text !== text;
      if (qualifiedName(record.package) !== key || !longer) continue;
      this.#take({ record, copy, remains: undefined }, record.text, 'the present record was cut');
      return copy.source;
    }
    const archive = await this.#bench.archive(pkg.name, pkg.version, pkg.architecture);
    if (archive === undefined || pkg.state === 'unknown') return undefined;
    const made = await this.#made(archive, pkg.state, undefined, { ...pkg, state: pkg.state });
    if (!made.startsWith(text) || made === text) return undefined;
    this.#take(
      { record: { package: pkg, text }, copy: undefined, remains: undefined },
      made,
      'the record was cut',
    );
    return archive.source;
  }

  /** Nothing tells the package's story: the control files that lie there have to show which version they are of. */
  async #bySigns(candidate: Candidate, known: Known | undefined): Promise<boolean> {
    const { record, copy } = candidate;
    const { name, version, architecture } = record.package;
    const archive = await this.#bench.archive(name, version, architecture);
    if (archive !== undefined && (await this.#isOf(archive, record.package))) {
      return this.#take(candidate, record.text, `its control files are those of ${version}`);
    }
    if (known !== undefined && known.version !== version) {
      const other = await this.#bench.archive(name, known.version, architecture);
      if (other !== undefined && (await this.#isOf(other, record.package)))
        return await this.#bring(candidate, known);
    }
    const listed = this.#listTime(record.package);
    if (
      archive === undefined &&
      listed !== undefined &&
      copy?.at !== undefined &&
      listed <= copy.at.getTime()
    ) {
      return this.#take(candidate, record.text, 'its list of files is older than this copy');
    }
    const why = 'no log, archive or time tells whether it is still the version of the copy';
    this.#flag(candidate, why, '');
    return true;
  }

  /** Whether the control files in info/ are those of an archive. */
  async #isOf(archive: SourcedArchive, pkg: Pick<Package, 'name' | 'architecture'>): Promise<boolean> {
    const { info } = this.#bench.database;
    const stem = this.#stemOf(pkg);
    if (stem === undefined) return false;
    const sums = info.read(stem, 'md5sums');
    const expected = await md5sumsOf(archive);
    if (sums.kind === 'read' && sums.data !== '' && parseMd5sums(sums.data).damage === 'none')
      return sums.data === expected;
    const list = info.read(stem, 'list');
    if (list.kind !== 'read' || parseList(list.data).damage !== 'none') return false;
    const paths = new Set(parseList(listOf(await archive.data(), [], () => false)).paths);
    const present = parseList(list.data).paths;
    return present.length > 0 && present.length === paths.size && present.every((path) => paths.has(path));
  }

  #listTime(pkg: Pick<Package, 'name' | 'architecture'>): number | undefined {
    const stem = this.#stemOf(pkg);
    if (stem === undefined) return undefined;
    const found = this.#bench.root.resolve(this.#bench.database.info.path(stem, 'list'));
    if (found.kind === 'unreachable') return undefined;
    try {
      const stat = lstatSync(fsPath(found.host), { throwIfNoEntry: false });
      return stat?.isFile() === true ? stat.mtimeMs : undefined;
    } catch {
      return undefined;
    }
  }

  /** Gives a package the state that it is known to have. */
  async #bring(candidate: Candidate, known: Known, own?: NonNullable<Remains['status']>): Promise<boolean> {
    const { record } = candidate;
    const pkg = record.package;
    if (
      own !== undefined &&
      known.version === pkg.version &&
      own.state === pkg.state &&
      own.flag === pkg.flag
    ) {
      return this.#take(candidate, record.text, undefined);
    }
    if (known.state === 'not-installed') {
      if (candidate.copy === undefined) this.#drop(pkg);
      this.details.push(`${display(pkg)}: left out, because ${known.source} says that it was removed`);
      return false;
    }
    const archive = await this.#bench.archive(pkg.name, known.version, pkg.architecture);
    if (known.version !== pkg.version && archive === undefined) {
      this.#flag(
        candidate,
        `${known.source} says that it came to ${known.version}, of which there is no archive`,
        known.version,
      );
      return true;
    }
    const text =
      known.version === pkg.version
        ? await this.#reshaped(record, known.state, archive, own)
        : archive && (await this.#made(archive, known.state, pkg, own));
    if (text === undefined) return false;
    const why = `${known.source} says ${known.state} ${known.version}`;
    return this.#take(candidate, text, why, archive);
  }

  /** The record of the same version in another state. */
  async #reshaped(
    record: TextRecord,
    state: PackageState,
    archive: SourcedArchive | undefined,
    own: Remains['status'],
  ): Promise<Bytes> {
    const pkg = record.package;
    const pending = pkg.conffiles.length > 0 && !SETTLED.has(pkg.state) && pkg.state !== 'config-files';
    // The hashes of what was unpacked come into the record with the configuration.
    const conffiles = pending ? archive && (await conffilesOf(archive, pkg, true)) : undefined;
    const reachable = state === 'installed' && pending && conffiles === undefined ? 'half-configured' : state;
    return composeRecord(record.text, {
      ...change(reachable, pkg, own),
      conffiles: reachable === 'installed' ? conffiles : undefined,
    });
  }

  /** A record made from the archive of the version that is known. */
  async #made(
    archive: SourcedArchive,
    state: PackageState,
    old: Package | undefined,
    own: Remains['status'],
    configured = state !== 'unpacked' && state !== 'half-installed',
  ): Promise<Bytes> {
    this.sources.add(archive.source);
    const conffiles = await conffilesOf(archive, old, configured);
    if (old === undefined) conffiles.push(...(await this.#obsolete(archive)));
    return composeRecord(archive.control, { ...change(state, old, own), conffiles });
  }

  /**
   * The conffiles of older versions: what the list in info/ names beyond the archive, with the hash that the archive of the
   * version which shipped it last gives.
   */
  async #obsolete(archive: SourcedArchive): Promise<Bytes[]> {
    const { name, architecture } = archive;
    const { info } = this.#bench.database;
    const list = info.read(this.#stemOf(archive) ?? name, 'list');
    if (list.kind !== 'read' || parseList(list.data).damage !== 'none') return [];
    const shipped = new Set((await archive.data()).entries.map(({ path }) => path));
    const events = eventsOf(await this.#bench.sources.events(), { name, architecture });
    const versions = [...new Set(events.map(({ version }) => version).reverse())];
    const lines: Bytes[] = [];
    for (const path of parseList(list.data).paths.filter((one) => !shipped.has(one))) {
      let hash: Bytes | undefined;
      for (const version of versions) {
        const older =
          version === archive.version ? undefined : await this.#bench.archive(name, version, architecture);
        hash ??= older?.conffiles.some((conffile) => conffile.path === path)
          ? (await older.data()).hashes.get(path)
          : undefined;
      }
      if (hash !== undefined) lines.push(`${path} ${hash} obsolete`);
      else
        this.details.push(
          `${display(archive)}: nothing tells whether ${path} is a conffile of an older version`,
        );
    }
    return lines;
  }

  /** The record of the copy, marked so that dpkg asks for the package to be installed once more. */
  #flag(candidate: Candidate, why: string, version: Bytes): void {
    const { record } = candidate;
    const pkg = record.package;
    const text = composeRecord(record.text, { ...change('half-installed', pkg, undefined) });
    this.#bench.reinstall.push({ name: pkg.name, architecture: pkg.architecture, version, why });
    this.#take(candidate, text, why);
    const file = this.#bench.admindir.path('status');
    const message = `the record of ${display(pkg)} was lost`;
    this.#bench.fail(
      { code: 'database-status-unparsable', file, package: display(pkg), message },
      `${why}; it is marked to be reinstalled`,
    );
  }

  #take(candidate: Candidate, text: Bytes, why: string | undefined, archive?: SourcedArchive): boolean {
    const [pkg] = parseStatus(text, 'status', this.#bench.database.native).packages;
    if (pkg === undefined) {
      // What dpkg would refuse is never written.
      const lost = display(candidate.record.package);
      const file = this.#bench.admindir.path('status');
      const message = `the record of ${lost} was lost`;
      this.#bench.fail(
        { code: 'database-status-unparsable', file, package: lost, message },
        'the record that is known for it is none that dpkg takes',
      );
      return false;
    }
    const before = this.#records.get(qualifiedName(pkg));
    this.#records.put({ package: pkg, text });
    if (before?.text === text) return true;
    this.changed = true;
    this.taken += 1;
    const from = candidate.copy === undefined ? 'corrected' : `from ${candidate.copy.source}`;
    this.details.push(`${display(pkg)}: ${from}${why === undefined ? '' : `; ${why}`}`);
    if (
      pkg.flag === 'reinstreq' &&
      why !== undefined &&
      !this.#bench.reinstall.some(({ name }) => name === pkg.name)
    ) {
      const version = archive?.version ?? pkg.version;
      this.#bench.reinstall.push({ name: pkg.name, architecture: pkg.architecture, version, why });
    }
    return true;
  }

  #drop(pkg: Package): void {
    this.#records.delete(qualifiedName(pkg));
    this.changed = true;
  }

  /** Packages that only their control files tell of: no copy is young enough to know them. */
  async decideOrphans(problems: readonly DatabaseProblem[]): Promise<void> {
    const { info, native } = this.#bench.database;
    for (const stem of [...info.stems()].sort()) {
      if (!info.kindsOf(stem).has('list')) continue;
      const [name = stem, qualified = ''] = stem.split(':', 2);
      const recorded = this.#records.named(name).some(({ package: pkg }) => info.stemOf(pkg) === stem);
      if (recorded || this.#decided.has(qualified === '' ? name : stem)) continue;
      const known = this.#bench.database.packages.find(
        (pkg) => info.stemOf(pkg) === stem && pkg.state !== 'unknown',
      );
      if (known !== undefined && this.#records.get(qualifiedName(known)) !== undefined) continue;
      const made = await this.#orphan(name, qualified, native);
      const problem = problems.find(({ file }) => file === info.path(stem, 'list')) ?? {
        code: 'database-orphan' as const,
        file: info.path(stem, 'list'),
        package: name,
        message: 'dpkg’s info directory holds files of a package that the status file does not know',
      };
      if (typeof made === 'string') this.#bench.fail(problem, made);
      else {
        this.#records.put(made);
        this.changed = true;
        this.taken += 1;
      }
    }
  }

  async #orphan(name: Bytes, qualified: Bytes, native: Bytes): Promise<TextRecord | string> {
    const events = eventsOf(await this.#bench.sources.events(), { name, architecture: qualified });
    const last = lastKnown(events);
    const architectures = qualified === '' ? [...new Set([native, 'all'])] : [qualified];
    const versions = last === undefined ? await this.#bench.sources.versions(name) : [];
    const wanted =
      last === undefined
        ? versions.filter(({ architecture }) => qualified === '' || architecture === qualified)
        : architectures.map((architecture) => ({ version: last.version, architecture }));
    if (last !== undefined && (last.state === 'not-installed' || last.state === 'config-files'))
      return `${last.source} says that it was removed; its control files are left over`;
    for (const { version, architecture } of wanted) {
      const archive = await this.#bench.archive(name, version, architecture);
      if (archive === undefined) continue;
      // Without a log only the control files themselves show the version; whether it was configured nothing shows.
      if (last === undefined && !(await this.#isOf(archive, { name, architecture }))) continue;
      const text =
        last === undefined
          ? await this.#made(archive, 'unpacked', undefined, UNPACKED, true)
          : await this.#made(archive, last.state, undefined, undefined);
      const [pkg] = parseStatus(text, 'status', native).packages;
      if (pkg === undefined) continue;
      this.sources.add(archive.source);
      this.details.push(
        `${display(pkg)}: made from its archive; ${last === undefined ? 'its control files are those of this version; it is configured once more' : `${last.source} says ${last.state} ${last.version}`}`,
      );
      return { package: pkg, text };
    }
    return last === undefined
      ? 'no copy of the status file, no log and no archive tells its version'
      : `no copy of the status file knows it, and there is no archive of ${last.version}, which ${last.source} names`;
  }
}

function display(pkg: Pick<Package, 'name' | 'architecture'>): Bytes {
  return qualifiedName(pkg);
}
