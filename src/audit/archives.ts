/**
 * What only a package's archive knows: link targets, modes, owners, sizes and types. Archives are named on the command
 * line; each is used for the package whose very version dpkg records.
 */
import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../dpkg/database.ts';
import { parseArchiveName, readArchive, type TarEntry } from '../dpkg/deb.ts';
import { isExcluded } from '../dpkg/filters.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { Finding } from '../model/finding.ts';
import { type Bytes, bytesFromText, bytesOf, fsPath } from '../system/bytes.ts';
import { DebmendError, errnoOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { type Draft, finding } from './finding.ts';
import type { Accepts } from './scope.ts';

/**
 * Directories that a package's own program gives another mode and owner than its archive has: apt makes these 0700 and
 * its sandbox user's whenever it downloads (apt-pkg/acquire.cc, SetupAPTPartialDirectory).
 */
const PERMISSIONS_OF_PROGRAMS: ReadonlySet<Bytes> = new Set([
  '/var/lib/apt/lists/partial',
  '/var/cache/apt/archives/partial',
]);

export async function judgeArchives(
  options: { readonly root: Root; readonly archives: readonly string[]; readonly quick: boolean },
  database: Database,
  accepts: Accepts,
): Promise<Finding[]> {
  if (options.archives.length === 0 || options.quick) return [];
  const archives = findArchives(options.archives);
  const diversions = new Map(database.diversions.map((diversion) => [diversion.from, diversion]));
  const overridden = new Set(database.overrides.map((override) => override.path));
  const findings: Finding[] = [];
  for (const pkg of database.packages) {
    // In the middle of an upgrade neither version's archive says what has to be there.
    if (!accepts.package(pkg) || pkg.state === 'config-files' || pkg.state === 'half-installed') continue;
    const archive = archives.get(`${pkg.name}_${pkg.version}_${pkg.architecture}`);
    if (archive === undefined) continue;
    const conffiles = new Set(pkg.conffiles.map((conffile) => conffile.path));
    for (const entry of await readArchive(archive)) {
      if (entry.path === '/' || conffiles.has(entry.path) || !accepts.path(entry.path)) continue;
      if (isExcluded(database.filters, entry.path, entry.type !== 'file')) continue;
      const diversion = diversions.get(entry.path);
      const path = diversion !== undefined && diversion.package !== pkg.name ? diversion.to : entry.path;
      for (const draft of judge(options.root, pkg, database.native, entry, path)) {
        const permissions = draft.code === 'file-wrong-mode' || draft.code === 'file-wrong-owner';
        if (permissions && (overridden.has(entry.path) || PERMISSIONS_OF_PROGRAMS.has(entry.path))) continue;
        findings.push(finding(draft));
      }
    }
  }
  return findings;
}

/** Archives by `name_version_architecture`; of equals the first directory's. */
function findArchives(directories: readonly string[]): Map<Bytes, string> {
  const archives = new Map<Bytes, string>();
  for (const directory of directories) {
    let names: string[];
    try {
      names = readdirSync(directory).sort();
    } catch (error) {
      throw new DebmendError(
        'archive-unreadable',
        `reading the archives in ${directory}: ${errnoOf(error) ?? 'failed'}`,
        '--archives takes a directory with .deb files',
        error,
      );
    }
    for (const name of names) {
      const parts = parseArchiveName(name);
      if (parts === undefined) continue;
      const key = bytesFromText(`${parts.name}_${parts.version}_${parts.architecture}`);
      if (!archives.has(key)) archives.set(key, join(directory, name));
    }
  }
  return archives;
}

function judge(root: Root, pkg: Package, native: Bytes, entry: TarEntry, path: Bytes): Draft[] {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return []; // missing: the manifest's to say
  let stat: Stats | undefined;
  try {
    stat = lstatSync(fsPath(found.host), { throwIfNoEntry: false });
  } catch {
    return [];
  }
  if (stat === undefined) return [];
  const base = {
    package: displayName(pkg, native),
    version: pkg.version,
    path: entry.path,
    knownBy: 'archive' as const,
    likelyOutage: false,
    reason: 'a cut does not change types, links or permissions of whole files',
  };
  if (entry.type === 'link') return judgeLink(base, entry, found.host, stat, root, path);
  if (entry.type === 'directory') {
    const linked = stat.isSymbolicLink() && root.resolveDirectory(path).kind === 'found';
    if (stat.isDirectory()) return judgePermissions(base, entry, stat);
    // The manifest's own rule says so when other paths lie in it.
    return linked
      ? []
      : [
          {
            ...base,
            code: 'file-wrong-type',
            severity: 'error',
            message: 'a directory should be here',
            expected: 'a directory',
          },
        ];
  }
  // Content and type of files are the manifest's to judge.
  return entry.type === 'file' && stat.isFile() ? judgePermissions(base, entry, stat) : [];
}

type Base = Pick<Draft, 'package' | 'version' | 'path' | 'knownBy' | 'likelyOutage' | 'reason'>;

function judgeLink(base: Base, entry: TarEntry, host: Bytes, stat: Stats, root: Root, path: Bytes): Draft[] {
  if (!stat.isSymbolicLink()) {
    // dpkg keeps a directory where an archive brings a link to one.
    if (stat.isDirectory() && root.resolveDirectory(path).kind === 'found') return [];
    return [
      {
        ...base,
        code: 'file-wrong-type',
        severity: 'error',
        message: 'a symbolic link should be here',
        expected: `a link to ${entry.target}`,
      },
    ];
  }
  const target = bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' }));
  if (target === entry.target) return [];
  return [
    {
      ...base,
      code: 'file-wrong-link-target',
      severity: 'error',
      message: 'the link points elsewhere than the package made it point',
      expected: entry.target,
      found: target,
    },
  ];
}

function judgePermissions(base: Base, entry: TarEntry, stat: Stats): Draft[] {
  const drafts: Draft[] = [];
  const mode = stat.mode & 0o7777;
  if (mode !== entry.mode) {
    const octal = (bits: number): string => bits.toString(8).padStart(4, '0');
    drafts.push({
      ...base,
      code: 'file-wrong-mode',
      severity: 'warning',
      message: "its mode differs from the package's archive",
      expected: octal(entry.mode),
      found: octal(mode),
    });
  }
  if (stat.uid !== entry.uid || stat.gid !== entry.gid) {
    drafts.push({
      ...base,
      code: 'file-wrong-owner',
      severity: 'warning',
      message: "its owner differs from the package's archive",
      expected: `#${entry.uid}:#${entry.gid}`,
      found: `#${stat.uid}:#${stat.gid}`,
    });
  }
  return drafts;
}
