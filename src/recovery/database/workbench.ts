/** What the parts of a plan share: the database, the sources, archives that were read already, and the plan so far. */
import type { Admindir } from '../../dpkg/admindir.ts';
import type { Database } from '../../dpkg/database.ts';
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import type { Bytes } from '../../system/bytes.ts';
import { DebmendError } from '../../system/errors.ts';
import type { Root } from '../../system/root.ts';
import { type PackageArchive, readPackageArchive } from './archive.ts';
import type { DatabaseMend, DatabaseSources, FileCopy, Reinstall, Unmended } from './sources.ts';

/** What dpkg gives its own files (lib/dpkg/atomic-file.c). */
export const FILE_MODE = 0o644;

export interface SourcedArchive extends PackageArchive {
  readonly source: string;
}

export class Workbench {
  readonly root: Root;
  readonly database: Database;
  readonly sources: DatabaseSources;
  readonly mends: DatabaseMend[] = [];
  readonly unmended: Unmended[] = [];
  readonly reinstall: Reinstall[] = [];
  readonly #archives = new Map<Bytes, Promise<SourcedArchive | undefined>>();
  readonly #copies = new Map<Bytes, Promise<readonly FileCopy[]>>();

  constructor(root: Root, database: Database, sources: DatabaseSources) {
    this.root = root;
    this.database = database;
    this.sources = sources;
  }

  get admindir(): Admindir {
    return this.database.admindir;
  }

  /** The archive of exactly this version, read to its end; undefined without one, or with a damaged one. */
  archive(name: Bytes, version: Bytes, architecture: Bytes): Promise<SourcedArchive | undefined> {
    const key = `${name} ${version} ${architecture}`;
    const known = this.#archives.get(key) ?? this.#read(name, version, architecture);
    this.#archives.set(key, known);
    return known;
  }

  async #read(name: Bytes, version: Bytes, architecture: Bytes): Promise<SourcedArchive | undefined> {
    if (version === '') return undefined;
    const found = await this.sources.archive(name, version, architecture);
    if (found === undefined) return undefined;
    try {
      const archive = await readPackageArchive(found.file);
      const exact =
        archive.name === name &&
        archive.version === version &&
        (architecture === '' || archive.architecture === architecture);
      return exact ? { ...archive, source: found.source } : undefined;
    } catch (error) {
      if (error instanceof DebmendError && error.code === 'archive-unreadable') return undefined;
      throw error;
    }
  }

  copies(name: Bytes): Promise<readonly FileCopy[]> {
    const known = this.#copies.get(name) ?? this.sources.copies(name);
    this.#copies.set(name, known);
    return known;
  }

  /** What a file will hold once the plan so far is carried out; undefined when it will not be there. */
  async contentOf(name: Bytes): Promise<Bytes | undefined> {
    const mend = this.mends.findLast(({ file }) => file === this.admindir.path(name));
    if (mend?.action.kind === 'write') return mend.action.data;
    if (mend?.action.kind === 'aside') return undefined;
    const outcome = this.admindir.read(name);
    return outcome.kind === 'read' ? outcome.data : undefined;
  }

  write(
    problem: Pick<DatabaseProblem, 'code' | 'file' | 'package'>,
    data: Bytes,
    source: string,
    reason: string,
    mode = FILE_MODE,
  ): void {
    const { code, file, package: pkg } = problem;
    this.mends.push({
      file,
      action: { kind: 'write', data, mode },
      codes: [code],
      package: pkg,
      source,
      reason,
    });
  }

  aside(problem: Pick<DatabaseProblem, 'code' | 'file' | 'package'>, reason: string): void {
    const { code, file, package: pkg } = problem;
    this.mends.push({ file, action: { kind: 'aside' }, codes: [code], package: pkg, source: 'none', reason });
  }

  fail(problem: Unmended['problem'], why: string): void {
    this.unmended.push({ problem, why });
  }
}
