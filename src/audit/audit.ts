/**
 * The face of this folder: manifests × disk → findings. It never writes, takes no lock, and never throws because of
 * what it finds; what it cannot judge it says (I8).
 */

import { aptProblems } from '../dpkg/apt-state.ts';
import { type Database, databaseStamp, readDatabase, readManifest } from '../dpkg/database.ts';
import { refuseWhileLocked } from '../dpkg/locked.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { DatabaseProblem } from '../dpkg/problem.ts';
import { Expectations } from '../manifest/expectations.ts';
import type { Finding } from '../model/finding.ts';
import { pathToText } from '../model/path-text.ts';
import { compareSeverity } from '../model/severity.ts';
import type { Transaction } from '../model/transaction.ts';
import { type ScanProgress, scan } from '../scan/scan.ts';
import { inspectStore } from '../snapshot/inspect.ts';
import { type Bytes, compareBytes } from '../system/bytes.ts';
import { DebmendError } from '../system/errors.ts';
import { readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { judgeArchives } from './archives.ts';
import { judgeBoot } from './boot.ts';
import { judgeDatabaseLeftovers, problemFinding } from './database.ts';
import { judgeFiles } from './files.ts';
import { judgeGenerated } from './generated.ts';
import { judgeConfiguredLeftovers } from './globs.ts';
import { judgeLeftovers, type Owners } from './leftovers.ts';
import { judgeAlternatives } from './links.ts';
import { judgeLostFound } from './lost-found.ts';
import { judgeOverrides } from './overrides.ts';
import { judgePackages } from './packages.ts';
import { type Accepts, acceptsOf, type Scope } from './scope.ts';
import { judgeStore } from './store.ts';

export interface AuditOptions {
  readonly root: Root;
  /** Inside the root; dpkg's own place without it. */
  readonly admindir?: Bytes | undefined;
  readonly scope: Scope;
  /** States, database and leftovers only: no content is read. */
  readonly quick: boolean;
  /** Directories of this host whose .deb files tell types, modes, owners, sizes and link targets. */
  readonly archives: readonly string[];
  /** Globs inside the root whose matches are leftovers by the administrator's own word. */
  readonly leftoverGlobs: readonly string[];
  /** Audit even while another process holds dpkg's locks. */
  readonly ignoreLock: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
}

export interface AuditResult {
  /** The worst first, then by package, path and code. */
  readonly findings: Finding[];
  readonly database: Database;
  readonly packages: number;
  /** Paths looked at. */
  readonly files: number;
  readonly bytesRead: number;
  /** What could not be read for want of rights, sorted. */
  readonly unchecked: string[];
  /** The newest transaction that never ended. */
  readonly transaction: Transaction | undefined;
}

const LOCKED_HINT =
  'wait until it has ended; --ignore-lock audits all the same, and reports what is half-way as damage';

/** In names of directories these make it worth a look (dpkg/temporary-names.ts). */
const MARKERS = ['.dpkg-', '.ucf-'] as const;

/**
 * Audits a root.
 *
 * @throws DebmendError `locked` while another process works on the database, `database-changed` when one did in the
 * meantime, `no-dpkg-database`, `unknown-package`, `archive-unreadable`, `interrupted`, `scan-failed`
 */
export async function audit(options: AuditOptions): Promise<AuditResult> {
  const { root } = options;
  const database = readDatabase(root, options.admindir);
  if (!options.ignoreLock) refuseWhileLocked(database.admindir.host, 'auditing', LOCKED_HINT);
  const accepts = acceptsOf(options.scope, database.packages, database.native);
  const privileged = process.geteuid?.() === 0;

  const expectations = new Expectations(root, database);
  for (const pkg of database.packages) {
    if (!accepts.package(pkg)) continue;
    expectations.add(readManifest(database, pkg, !options.quick), accepts.path);
  }
  const scanned = await scan(expectations.list, {
    md5: !options.quick,
    xxh64: false,
    markers: MARKERS,
    signal: options.signal,
    onProgress: options.onProgress,
  });

  const files = judgeFiles({
    root,
    database,
    expectations,
    work: scanned.work,
    mounts: readMounts(),
    privileged,
    contentRead: !options.quick,
  });
  const named = scanned.named.map((host) => expectations.insidePath(host)).filter(accepts.path);
  const problems = databaseProblems(root, database, accepts);
  // What is denied to this user says nothing about the database's health.
  const denied = privileged ? [] : problems.filter(({ errno }) => errno === 'EACCES' || errno === 'EPERM');
  const leftovers = judgeLeftovers(root, database, new ManifestOwners(root, database, expectations), named);
  const inspection = await inspectStore(root);
  const findings = [
    ...(options.quick ? [] : files.findings),
    ...judgePackages(database, accepts.package),
    ...(accepts.unowned ? leftovers : leftovers.filter((leftover) => leftover.package !== undefined)),
    ...(accepts.unowned ? await judgeUnowned(options, database, accepts) : []),
    ...(await judgeArchives(options, database, accepts)),
    ...problems.filter((problem) => !denied.includes(problem)).map(problemFinding),
    ...(accepts.everything ? judgeDatabaseLeftovers(database) : []),
    ...(accepts.everything ? judgeLostFound(root) : []),
    ...(accepts.everything ? judgeStore(root, inspection) : []),
  ];
  if (!options.ignoreLock) refuseWhenChanged(database);
  const unchecked = new Set([...files.unchecked, ...denied.map((problem) => problem.file)]);
  return {
    findings: findings.sort(compareFindings),
    database,
    packages: expectations.packages.length,
    files: scanned.work.count,
    bytesRead: scanned.bytesRead,
    unchecked: [...unchecked].sort(compareBytes).map(pathToText),
    transaction: 'unfinished' in inspection ? inspection.unfinished.at(-1) : undefined,
  };
}

/** What belongs to no package, and is left out of a run about some packages. */
async function judgeUnowned(options: AuditOptions, database: Database, accepts: Accepts): Promise<Finding[]> {
  const { root } = options;
  return [
    ...(await judgeConfiguredLeftovers(root, options.leftoverGlobs, accepts.path)),
    ...(options.quick ? [] : judgeAlternatives(root, database, accepts.path)),
    ...(options.quick ? [] : await judgeOverrides(root, database, accepts.path)),
    ...(options.quick ? [] : await judgeGenerated(root, database, accepts.path)),
    ...(options.quick || !accepts.everything ? [] : await judgeBoot(root, database)),
  ];
}

/** Damage to the database: all of it, or what concerns the packages that the run is about. */
function databaseProblems(root: Root, database: Database, accepts: Accepts): DatabaseProblem[] {
  const wanted = new Set(
    database.packages.filter(accepts.package).map((pkg) => displayName(pkg, database.native)),
  );
  const concerns = ({ package: name, file }: DatabaseProblem): boolean =>
    accepts.everything || (accepts.path(file) && (name === undefined || wanted.has(name)));
  return [...database.problems, ...(accepts.everything ? aptProblems(root) : [])].filter(concerns);
}

function refuseWhenChanged(database: Database): void {
  if (databaseStamp(database.admindir) === database.stamp) return;
  throw new DebmendError(
    'database-changed',
    `auditing ${database.admindir.host}: it was changed while the files were read`,
    'a package was installed or removed in the meantime: audit again',
  );
}

/** Findings in the report's order; ties are broken until no two compare equal but twins. */
export function compareFindings(a: Finding, b: Finding): number {
  return (
    compareSeverity(b.severity, a.severity) ||
    compareText(a.package, b.package) ||
    compareText(a.path, b.path) ||
    compareText(a.code, b.code) ||
    compareText(a.message, b.message)
  );
}

function compareText(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Which packages name a path; the table is made when the first leftover asks. */
class ManifestOwners implements Owners {
  readonly #root: Root;
  readonly #database: Database;
  readonly #expectations: Expectations;
  #owners: Map<Bytes, Package[]> | undefined;

  constructor(root: Root, database: Database, expectations: Expectations) {
    this.#root = root;
    this.#database = database;
    this.#expectations = expectations;
  }

  ownersOf(inside: Bytes): readonly Package[] {
    this.#owners ??= this.#build();
    return this.#owners.get(inside) ?? [];
  }

  #build(): Map<Bytes, Package[]> {
    const owners = new Map<Bytes, Package[]>();
    const put = (path: Bytes, pkg: Package): void => {
      const known = owners.get(path);
      if (known === undefined) owners.set(path, [pkg]);
      else if (!known.includes(pkg)) known.push(pkg);
    };
    for (let index = 0; index < this.#expectations.count; index += 1) {
      const { entry, package: owner } = this.#expectations.at(index);
      const pkg = this.#expectations.packages[owner]?.record;
      if (pkg !== undefined) put(this.#expectations.insidePath(this.#expectations.list.path(entry)), pkg);
    }
    // A conffile that is new in this version is not looked at yet, and yet its .dpkg-new has an owner.
    for (const pkg of this.#database.packages) {
      for (const conffile of pkg.conffiles) {
        const found = this.#root.resolve(conffile.path);
        if (found.kind === 'found') put(found.inside, pkg);
      }
    }
    return owners;
  }
}
