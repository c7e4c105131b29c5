/**
 * .debs of an exact version, verified (I6): what an open transaction kept against the hash in its intent, what lies in
 * apt's cache or a directory that a person named against the archive's own index. What no index knows has to name itself
 * exactly and unpack to its end, and is said to be verified by no more than that.
 */
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ArchiveIndex, openIndex, refreshIndexSummaries } from '../../dpkg/apt-index.ts';
import { readControlArchive } from '../../dpkg/control-archive.ts';
import { parseArchiveName, readArchive } from '../../dpkg/deb.ts';
import type { Store } from '../../snapshot/store.ts';
import { INDEX_CACHE } from '../../snapshot/transaction/begin.ts';
import { listTransactions } from '../../snapshot/transaction/record.ts';
import { type Bytes, bytesFromText, bytesOf, fsPath } from '../../system/bytes.ts';
import { DebmendError } from '../../system/errors.ts';
import type { Root } from '../../system/root.ts';
import { keptArchive, sha256Of } from '../redo/archives.ts';
import type { ArchiveSource } from './sources.ts';

const CACHE = '/var/cache/apt/archives';

interface Found {
  readonly version: Bytes;
  readonly architecture: Bytes;
  readonly file: string;
  /** The directory as a reason names it. */
  readonly where: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export class ArchiveFinder {
  readonly #root: Root;
  readonly #store: Store | undefined;
  readonly #directories: readonly string[];
  #files: Map<Bytes, Found[]> | undefined;
  #index: Promise<ArchiveIndex> | undefined;

  constructor(root: Root, store: Store | undefined, directories: readonly string[]) {
    this.#root = root;
    this.#store = store;
    this.#directories = directories;
  }

  async find(name: Bytes, version: Bytes, architecture: Bytes): Promise<ArchiveSource | undefined> {
    for (const kept of this.#kept(name, version)) {
      if (await isExactly(kept.file, name, version, architecture)) return kept;
    }
    const named = this.#named(name).filter(
      (found) =>
        (found.version === version || found.version === withoutEpoch(version)) &&
        (architecture === '' || found.architecture === architecture),
    );
    for (const { file, where } of named) {
      const verified = await this.#verified(file, name, version, architecture);
      if (verified !== undefined) return { file, source: `${where}, ${verified}` };
    }
    return undefined;
  }

  /** Which versions the file names promise; the newest file first. */
  versions(name: Bytes): { version: Bytes; architecture: Bytes }[] {
    const kept = this.#intended(name).map(({ architecture, version }) => ({ version, architecture }));
    const named = [...this.#named(name)].sort((a, b) => b.time - a.time);
    return [...kept, ...named.map(({ version, architecture }) => ({ version, architecture }))];
  }

  close(): void {
    void this.#index?.then((index) => index.close());
    this.#index = undefined;
  }

  #intended(
    name: Bytes,
  ): { architecture: Bytes; version: Bytes; file: () => string | undefined; id: string }[] {
    const store = this.#store;
    if (store === undefined) return [];
    return listTransactions(store, 'open', 'interrupted').flatMap(({ id, runs }) =>
      runs.flatMap(({ packages }) =>
        packages
          .filter((pkg) => bytesFromText(pkg.name) === name && pkg.archive?.kept !== undefined)
          .map((pkg) => ({
            architecture: bytesFromText(pkg.architecture),
            version: bytesFromText(pkg.newVersion ?? ''),
            file: () => keptArchive(store, id, pkg),
            id,
          })),
      ),
    );
  }

  *#kept(name: Bytes, version: Bytes): Generator<ArchiveSource> {
    for (const intended of this.#intended(name)) {
      if (intended.version !== version) continue;
      const file = intended.file();
      if (file !== undefined)
        yield { file, source: `kept by transaction ${intended.id}, with the SHA-256 of its intent` };
    }
  }

  /** Files whose names say that they are of a package. */
  #named(name: Bytes): readonly Found[] {
    this.#files ??= this.#list();
    return this.#files.get(name) ?? [];
  }

  #list(): Map<Bytes, Found[]> {
    const files = new Map<Bytes, Found[]>();
    const cache = this.#root.resolveDirectory(CACHE);
    const directories = this.#directories.map((directory) => [bytesFromText(directory), directory] as const);
    if (cache.kind === 'found') directories.unshift([cache.host, CACHE]);
    for (const [host, where] of directories) {
      for (const file of regularFiles(host)) {
        const parsed = parseArchiveName(file.path);
        if (parsed === undefined) continue;
        const { name, version, architecture } = parsed;
        const found = { version, architecture, file: file.path, where, time: file.time };
        files.set(name, [...(files.get(name) ?? []), found]);
      }
    }
    return files;
  }

  /** @returns against what it was verified; undefined when it is not what it has to be */
  async #verified(
    file: string,
    name: Bytes,
    version: Bytes,
    architecture: Bytes,
  ): Promise<string | undefined> {
    this.#index ??= this.#openIndex();
    const digests = (await this.#index).lookup(name, version, architecture);
    if (digests.length > 0) {
      const sha256 = sha256Of(file);
      const matches = digests.some((digest) => digest.sha256 === sha256);
      return matches ? 'with the SHA-256 of the archive’s index' : undefined;
    }
    try {
      if (!(await isExactly(file, name, version, architecture))) return undefined;
      await readArchive(file);
      return 'which no index knows: it names this version itself and unpacks whole';
    } catch (error) {
      if (error instanceof DebmendError) return undefined;
      throw error;
    }
  }

  /** The store's summaries where they are up to date; else new ones, which leave nothing behind. */
  async #openIndex(): Promise<ArchiveIndex> {
    if (this.#store !== undefined) {
      const index = openIndex(this.#root, this.#store.file(INDEX_CACHE));
      if (!index.stale) return index;
      index.close();
    }
    const directory = mkdtempSync(join(tmpdir(), 'debmend-index-'));
    try {
      await refreshIndexSummaries(this.#root, directory);
      return openIndex(this.#root, directory); // it holds its files open
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

function withoutEpoch(version: Bytes): Bytes {
  return version.slice(version.indexOf(':') + 1);
}

async function isExactly(file: string, name: Bytes, version: Bytes, architecture: Bytes): Promise<boolean> {
  try {
    const control = await readControlArchive(file);
    return (
      control.package === name &&
      control.version === version &&
      (architecture === '' || control.architecture === architecture)
    );
  } catch (error) {
    if (error instanceof DebmendError) return false;
    throw error;
  }
}

/** The regular files of a directory with names that dpkg-deb can be given; none when it cannot be read. */
function regularFiles(host: Bytes): { path: string; time: number }[] {
  const base = Buffer.from(host, 'latin1');
  if (/[^\x00-\x7f]/.test(host) && Buffer.compare(Buffer.from(base.toString('utf8'), 'utf8'), base) !== 0)
    return [];
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer' })
      .map(bytesOf)
      .filter((name) => /^[\x21-\x7e]+\.deb$/.test(name))
      .flatMap((name) => {
        const stat = lstatSync(fsPath(`${host}/${name}`), { throwIfNoEntry: false });
        return stat?.isFile() === true
          ? [{ path: `${base.toString('utf8')}/${name}`, time: stat.mtimeMs }]
          : [];
      });
  } catch {
    return [];
  }
}
