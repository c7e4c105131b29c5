/**
 * What a .deb puts into dpkg's database: its control files as they are, and the lists that dpkg makes while it unpacks
 * (src/main/unpack.c; lib/dpkg/db-fsys-files.c, write_filelist_except; db-fsys-digest.c, write_filehash_except).
 */
import { createHash } from 'node:crypto';
import { parseDeclaredConffiles } from '../../dpkg/control-archive.ts';
import { archiveUnreadable, type TarEntry, TarParser, unpack } from '../../dpkg/deb.ts';
import { parseDeb822 } from '../../dpkg/deb822.ts';
import type { Bytes } from '../../system/bytes.ts';
import { bufferOf } from '../../system/bytes.ts';

/** The lists of a package with a million files have some 100 MB, and nothing else in a control archive comes near. */
const MAX_MEMBER_BYTES = 128 * 1024 * 1024;

export interface ControlMember {
  readonly data: Bytes;
  /** Permission bits. */
  readonly mode: number;
}

export interface PackageArchive {
  /** As a path of this host. */
  readonly file: string;
  readonly name: Bytes;
  readonly version: Bytes;
  readonly architecture: Bytes;
  /** Its control file, as it is. */
  readonly control: Bytes;
  /** What dpkg puts into info/: every regular file of the control archive but `control`, by its name. */
  readonly members: ReadonlyMap<Bytes, ControlMember>;
  /** Absolute paths of the conffiles that it ships, in their order, and of those that it takes away. */
  readonly conffiles: readonly { readonly path: Bytes; readonly removeOnUpgrade: boolean }[];
  /**
   * Reads what it installs, once: to unpack a large package takes seconds.
   *
   * @throws DebmendError `archive-unreadable` when it does not unpack whole
   */
  readonly data: () => Promise<ArchiveData>;
}

export interface ArchiveData {
  /** What it installs, in the order of the archive. */
  readonly entries: readonly TarEntry[];
  /** MD5 of its conffiles; of all its files where it has no md5sums of its own. By absolute path. */
  readonly hashes: ReadonlyMap<Bytes, Bytes>;
}

/**
 * Reads the control archive of a .deb.
 *
 * @throws DebmendError `archive-unreadable` when it is damaged, or its control file names no package
 */
export async function readPackageArchive(file: string): Promise<PackageArchive> {
  const parser = new TarParser(({ size }) => size <= MAX_MEMBER_BYTES);
  await unpack(file, '--ctrl-tarfile', parser);
  const members = new Map<Bytes, ControlMember>();
  for (const { path, type, mode } of parser.entries) {
    const name = path.slice(1);
    const data = parser.contents.get(path);
    // dpkg looks at what lies directly in it, and warns of a directory (pkg_infodb_update).
    if (type === 'file' && data !== undefined && !name.includes('/')) members.set(name, { data, mode });
  }
  const control = members.get('control')?.data ?? '';
  members.delete('control');
  const fields = parseDeb822(control).stanzas[0]?.fields;
  const name = fields?.get('package');
  const version = fields?.get('version');
  const architecture = fields?.get('architecture');
  if (!name || !version || !architecture)
    throw archiveUnreadable(file, 'its control file names no package and version');
  const conffiles = parseDeclaredConffiles(members.get('conffiles')?.data ?? '');
  const shipped = new Set(conffiles.filter((conffile) => !conffile.removeOnUpgrade).map(({ path }) => path));
  const all = !members.has('md5sums');
  const wants = ({ path }: TarEntry): boolean => all || shipped.has(path);
  let read: Promise<ArchiveData> | undefined;
  const data = (): Promise<ArchiveData> => {
    read ??= readData(file, wants);
    return read;
  };
  return { file, name, version, architecture, control, members, conffiles, data };
}

async function readData(file: string, wants: (entry: TarEntry) => boolean): Promise<ArchiveData> {
  const parser = new HashingParser(wants);
  await unpack(file, '--fsys-tarfile', parser);
  return { entries: parser.entries, hashes: parser.hashes };
}

/** Keeps the MD5 of contents instead of the contents. */
class HashingParser extends TarParser {
  readonly hashes = new Map<Bytes, Bytes>();

  override push(chunk: Buffer): void {
    super.push(chunk);
    for (const [path, content] of this.contents) {
      this.hashes.set(path, createHash('md5').update(bufferOf(content)).digest('hex'));
      this.contents.delete(path);
    }
  }
}

/**
 * The .list that dpkg writes after it unpacked an archive: its entries in their order, and behind them the conffiles of
 * older versions that are still there.
 *
 * @param obsolete as the record has them, in its order
 * @param isTaken whether a file belongs to a package that replaced it, and dpkg has taken it out of this list
 */
export function listOf(
  { entries }: Pick<ArchiveData, 'entries'>,
  obsolete: readonly Bytes[],
  isTaken: (path: Bytes) => boolean,
): Bytes {
  const shipped = new Set(entries.map(({ path }) => path));
  const own = entries
    .filter(({ path, type }) => type === 'directory' || !isTaken(path))
    .map(({ path }) => (path === '/' ? '/.' : path));
  return [...own, ...obsolete.filter((path) => !shipped.has(path))].map((path) => `${path}\n`).join('');
}

/** The .md5sums that ends up in info/: the archive's own, or what dpkg makes where it has none, conffiles included. */
export async function md5sumsOf(archive: PackageArchive): Promise<Bytes> {
  const own = archive.members.get('md5sums');
  if (own !== undefined) return own.data;
  const { entries, hashes } = await archive.data();
  return entries
    .flatMap(({ path, type, target }) => {
      const hash = hashes.get(type === 'hard-link' ? target : path);
      return hash === undefined || (type !== 'file' && type !== 'hard-link')
        ? []
        : [`${hash}  ${path.slice(1)}\n`];
    })
    .join('');
}
