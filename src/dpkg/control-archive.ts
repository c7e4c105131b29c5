/**
 * The control archive of a .deb (deb(5), deb-control(5)): what dpkg will put into its database, read before it does.
 */
import type { Bytes } from '../system/bytes.ts';
import { readControlMember } from './control-member.ts';
import { archiveUnreadable, type TarEntry, TarParser, unpack } from './deb.ts';
import { parseDeb822 } from './deb822.ts';
import { parseMd5sums } from './manifest.ts';
import { MULTI_ARCH, type MultiArch } from './package.ts';

export interface DeclaredConffile {
  /** Absolute. */
  readonly path: Bytes;
  /** Not in the archive: dpkg takes the file away when it upgrades to this version. */
  readonly removeOnUpgrade: boolean;
}

export interface ControlArchive {
  readonly package: Bytes;
  readonly version: Bytes;
  readonly architecture: Bytes;
  readonly multiArch: MultiArch;
  readonly essential: boolean;
  readonly protected: boolean;
  /** Lower-case hexadecimal MD5 by absolute path; empty where the archive has no such list. */
  readonly md5sums: ReadonlyMap<Bytes, Bytes>;
  readonly conffiles: readonly DeclaredConffile[];
  /** The names of its maintainer scripts (`postinst`), sorted. */
  readonly scripts: readonly string[];
  /** The text of its triggers file (deb-triggers(5)), if it has one. */
  readonly triggers: Bytes | undefined;
}

/** The list of a package with a million files has some 100 MB, and nothing else here comes near. */
const MAX_MEMBER_BYTES = 128 * 1024 * 1024;
/** What dpkg and debconf run (deb-control(5), SEE ALSO). */
const SCRIPTS: ReadonlySet<Bytes> = new Set(['/preinst', '/postinst', '/prerm', '/postrm', '/config']);
const WANTED: ReadonlySet<Bytes> = new Set(['/control', '/md5sums', '/conffiles', '/triggers']);

/**
 * Reads the control archive of a .deb. Of the lists in it, what dpkg would refuse is left out.
 *
 * @param file absolute
 * @throws DebmendError `archive-unreadable` when dpkg-deb fails, its output ends early, or it names no package
 */
export async function readControlArchive(file: string): Promise<ControlArchive> {
  const wants = ({ path, size }: TarEntry): boolean => WANTED.has(path) && size <= MAX_MEMBER_BYTES;
  let parser = new TarParser(wants);
  const member = readControlMember(file);
  if (member !== undefined) parser.push(member);
  if (!parser.ended) {
    parser = new TarParser(wants);
    await unpack(file, '--ctrl-tarfile', parser);
  }
  const control = parseControlArchive(parser);
  if (control === undefined) throw archiveUnreadable(file, 'its control file names no package and version');
  const large = parser.entries.find(({ path, size }) => WANTED.has(path) && size > MAX_MEMBER_BYTES);
  if (large !== undefined) throw archiveUnreadable(file, `${large.path} has ${large.size} bytes`);
  return control;
}

/** What a whole control archive says; undefined without a package, a version and an architecture. Never throws. */
export function parseControlArchive(
  archive: Pick<TarParser, 'entries' | 'contents'>,
): ControlArchive | undefined {
  const fields = parseDeb822(archive.contents.get('/control') ?? '').stanzas[0]?.fields;
  const name = fields?.get('package');
  const version = fields?.get('version');
  const architecture = fields?.get('architecture');
  if (!name || !version || !architecture) return undefined;
  const word = (field: string): Bytes | undefined => fields?.get(field)?.toLowerCase();
  const scripts = archive.entries
    .filter(({ path, type }) => type === 'file' && SCRIPTS.has(path))
    .map(({ path }) => path.slice(1));
  return {
    package: name,
    version,
    architecture,
    multiArch: MULTI_ARCH.find((known) => known === word('multi-arch')) ?? 'no',
    essential: word('essential') === 'yes',
    protected: word('protected') === 'yes',
    md5sums: parseMd5sums(archive.contents.get('/md5sums') ?? '').hashes,
    conffiles: parseDeclaredConffiles(archive.contents.get('/conffiles') ?? ''),
    scripts: [...new Set(scripts)].sort(),
    triggers: archive.contents.get('/triggers'),
  };
}

const REMOVE = 'remove-on-upgrade ';

/**
 * Parses the conffiles file of a control archive (deb-conffiles(5); dpkg's src/main/unpack.c, deb_parse_conffiles). A
 * line that dpkg refuses the archive for is left out.
 */
export function parseDeclaredConffiles(data: Bytes): DeclaredConffile[] {
  const lines = data.split('\n');
  lines.pop();
  return lines.flatMap((line) => {
    const removeOnUpgrade = line.startsWith(REMOVE);
    const path = trimEnd(removeOnUpgrade ? line.slice(REMOVE.length) : line);
    return path.startsWith('/') && !path.includes('\0') ? [{ path, removeOnUpgrade }] : [];
  });
}

/** Without the C locale's white space at the end; String.trimEnd takes the byte A0 of a UTF-8 name for a blank. */
function trimEnd(line: Bytes): Bytes {
  let end = line.length;
  while (end > 0 && /[ \t-\r]/.test(line.charAt(end - 1))) end -= 1;
  return line.slice(0, end);
}
