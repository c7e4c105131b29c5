/**
 * Packages that a test makes up: built by dpkg-deb(1) from a description, and an archive of them inside a root, from
 * which the root's own apt installs, upgrades and removes them without a network.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Bytes, bufferOf, bytesFromText, fsPath } from '../../src/system/bytes.ts';
import { mustInRoot } from './chroot.ts';

export type Content =
  | string
  | Buffer
  /** With a mode of its own: setuid (0o4755), a program, a secret. */
  | { readonly content: string | Buffer; readonly mode: number }
  | { readonly link: string }
  | { readonly hardLink: Bytes }
  | { readonly directory: true };

/** A package that a test makes up. */
export interface TinyPackage {
  readonly name: string;
  /** Default 1.0. */
  readonly version?: string;
  /** Default all. */
  readonly architecture?: string;
  /** As in a control file: `tiny-data (= 2.0)`. */
  readonly depends?: readonly string[];
  /** Further fields of the control file. */
  readonly fields?: Readonly<Record<string, string>>;
  /** By absolute path, as bytes. What has no mode of its own gets 0644, and all of it is root's. */
  readonly files?: Readonly<Record<Bytes, Content>>;
  readonly conffiles?: readonly Bytes[];
  /** preinst, postinst, triggers and the like. */
  readonly control?: Readonly<Record<string, string>>;
  /** `absent` makes dpkg generate one on installation, from 1.16.3 on. Default: as dh_md5sums makes it. */
  readonly md5sums?: 'listed' | 'empty' | 'absent';
}

/** Builds a .deb in a directory of this host. @returns its path @throws Error with what dpkg-deb said */
export function buildPackage(pkg: TinyPackage, into: string): string {
  const { name, version = '1.0', architecture = 'all', files = {}, conffiles = [], control = {} } = pkg;
  const tree = mkdtempSync(join(tmpdir(), 'debmend-package-'));
  try {
    chmodSync(tree, 0o755);
    mkdirSync(join(tree, 'DEBIAN'));
    const hashes: Bytes[] = [];
    for (const [path, content] of Object.entries(files)) {
      const host = fsPath(`${bytesFromText(tree)}${path}`);
      must('mkdir', '-p', join(tree, path, '..'));
      const hash = put(host, content, (other) => fsPath(`${bytesFromText(tree)}${other}`));
      if (hash !== undefined && !conffiles.includes(path)) hashes.push(`${hash}  ${path.slice(1)}\n`);
    }
    const write = (file: string, text: Bytes, mode = 0o644) =>
      writeFileSync(join(tree, 'DEBIAN', file), bufferOf(text), { mode });
    const fields = {
      Package: name,
      Version: version,
      Architecture: architecture,
      Maintainer: 'debmend tests <tests@example.org>',
      ...(pkg.depends === undefined ? {} : { Depends: pkg.depends.join(', ') }),
      ...pkg.fields,
      Description: 'made up by a test',
    };
    write(
      'control',
      Object.entries(fields).reduce((text, [field, value]) => `${text}${field}: ${value}\n`, ''),
    );
    if (conffiles.length > 0) write('conffiles', conffiles.map((path) => `${path}\n`).join(''));
    if (pkg.md5sums === 'empty') write('md5sums', '');
    else if (pkg.md5sums !== 'absent' && hashes.length > 0) write('md5sums', hashes.join(''));
    for (const [file, text] of Object.entries(control))
      write(file, text, file === 'triggers' ? 0o644 : 0o755);
    const deb = join(into, `${name}_${version}_${architecture}.deb`);
    must('dpkg-deb', '--root-owner-group', '-Zgzip', '-z1', '--build', tree, deb);
    return deb;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** Makes one entry of a package. @returns the MD5 of a file's content */
function put(
  host: string | Buffer,
  content: Content,
  other: (path: Bytes) => string | Buffer,
): string | undefined {
  if (typeof content === 'string' || Buffer.isBuffer(content)) {
    return put(host, { content, mode: 0o644 }, other);
  }
  if ('content' in content) {
    writeFileSync(host, content.content);
    chmodSync(host, content.mode); // open(2) takes the umask off, and chown would take setuid
    return md5(content.content);
  }
  if ('link' in content) symlinkSync(content.link, host);
  else if ('hardLink' in content) {
    linkSync(other(content.hardLink), host);
    return md5(readFileSync(host));
  } else mkdirSync(host, { recursive: true });
  return undefined;
}

const md5 = (content: string | Buffer): string => createHash('md5').update(content).digest('hex');

/** Where the archive lies in a root, and apt's sources for it. */
const ARCHIVE = '/srv/debmend-archive';
const SOURCES = '/etc/apt/sources.list.d/debmend-archive.list';

export interface ArchiveOptions {
  /**
   * `copy` makes apt put what it installs into /var/cache/apt/archives, as it does with what comes by a network; with
   * `file` it is installed from where it is. Default: file.
   */
  readonly method?: 'file' | 'copy';
}

/**
 * Adds packages to a root's archive, and tells its apt. What was added before stays, so that a later version is an
 * upgrade; for the sources that the root had already, apt keeps the lists that it has.
 *
 * @param debs paths of this host
 * @throws Error with what dpkg-scanpackages (dpkg-dev) or apt-get said
 */
export async function localArchive(
  directory: string,
  debs: readonly string[],
  { method = 'file' }: ArchiveOptions = {},
): Promise<void> {
  const archive = join(directory, ARCHIVE);
  mkdirSync(archive, { recursive: true });
  for (const deb of debs) copyFileSync(deb, join(archive, basename(deb)));
  // From within, so that the names are relative to the archive, as its source's `./` wants them.
  const packages = must('env', '--chdir', archive, 'dpkg-scanpackages', '--multiversion', '.');
  writeFileSync(join(archive, 'Packages'), packages);
  writeFileSync(join(directory, SOURCES), `deb [trusted=yes] ${method}:${ARCHIVE} ./\n`);
  const only = [`Dir::Etc::SourceList=${SOURCES}`, 'Dir::Etc::SourceParts=-', 'APT::Get::List-Cleanup=0'];
  await mustInRoot(directory, ['apt-get', '-q', ...only.flatMap((option) => ['-o', option]), 'update']);
}

/** Builds packages and adds them to a root's archive. */
export async function publish(directory: string, ...packages: readonly TinyPackage[]): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-archive-'));
  try {
    await localArchive(
      directory,
      packages.map((pkg) => buildPackage(pkg, scratch)),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function must(program: string, ...args: string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  if (result.status === 0) return result.stdout;
  throw new Error(
    `${program} ${args.join(' ')}: ${result.error ?? result.status}\n${result.stdout}${result.stderr}`,
  );
}
