/**
 * What changed since a moment and nothing vouches for: of an installation whose record the disk lost, these are the
 * files that it may have brought, or left half-written, and that the recovery cannot judge.
 *
 *   /etc, /usr, /opt, /boot, /var ─► changed since ─┬─► content of a manifest, or a conffile as dpkg has it: vouched for
 *                                                   └─► all else: by name, a new directory as a whole
 */
import { lstatSync, readdirSync, type Stats } from 'node:fs';
import type { Database } from '../dpkg/database.ts';
import type { Package } from '../dpkg/package.ts';
import { OwnedPaths } from '../fsck/owned-paths.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { md5OfRegularFile } from '../system/hash-file.ts';
import { mountOf, readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { ACCOUNT_FILES } from './accounts.ts';

/** Where installations put what is meant to stay. */
export const TREES = ['/boot', '/etc', '/opt', '/usr', '/var'] as const;

/** What programs rewrite as they please, and what the audit judges by itself: dpkg's own and debmend's. */
const NOT_JUDGED: ReadonlySet<Bytes> = new Set([
  '/var/backups',
  '/var/cache',
  '/var/lib/apt',
  '/var/lib/debmend',
  '/var/lib/dpkg',
  '/var/lock',
  '/var/log',
  '/var/run',
  '/var/spool',
  '/var/tmp',
]);

/** Of dpkg's own files those that nobody can make anew from packages alone, in its admindir. */
const OF_DPKG = ['diversions', 'statoverride', 'alternatives', 'triggers'] as const;

/** A directory with more of them is named as a whole. */
export const MOST_OF_A_DIRECTORY = 50;

type Kind = 'directory' | 'link' | 'file';

/** In milliseconds since the epoch. */
interface Period {
  readonly since: number;
  readonly until: number;
  /** Whether somebody else vouches for a file or a link, beside the manifests. */
  readonly isKnown?: (path: Bytes) => boolean;
  /** Of times of change in the period, in milliseconds since the epoch: those that count. Default: all. */
  readonly isSuspect?: (ctime: number) => boolean;
}

/**
 * Paths inside the root, sorted; never those below another one.
 *
 * @param since when the installation began, in milliseconds since the epoch; times of change (ctime, inode(7)) are
 * compared, which nobody can set
 * @param until when the recovery began: what it made itself is right. A directory that a package owns may have been a
 * link to another until the installation, and no manifest tells
 * @param database as the audit has just verified it: files of manifests that are not right are findings already
 */
export function unverifiedSince(
  root: Root,
  database: Database,
  { since, until, isKnown = () => false, isSuspect = () => true }: Period,
): Bytes[] {
  const vouched = new Set<Bytes>();
  new OwnedPaths(root, database.admindir).each((path) => vouched.add(path));
  const conffiles = new Map<Bytes, Bytes>();
  for (const { conffiles: entries } of database.packages)
    for (const { path, hash } of entries) {
      const found = root.resolve(path);
      if (found.kind === 'found') conffiles.set(found.inside, hash);
    }

  const mounts = readMounts();
  // overlayfs gives a new birth to whatever is written to.
  const birthOf = (path: Bytes, { birthtimeMs }: Stats): number | undefined =>
    mountOf(mounts, root.hostPath(path))?.type === 'overlay' ? undefined : birthtimeMs;

  const isVouchedFor = (path: Bytes, kind: Kind, stat: Stats): boolean => {
    const birth = birthOf(path, stat);
    if (kind !== 'directory' && birth !== undefined && birth >= until) return true;
    const hash = conffiles.get(path);
    if (hash !== undefined) return kind === 'file' && md5Of(root.hostPath(path)) === hash;
    if (!vouched.has(path) || kind === 'link') return false; // a manifest knows no link's target
    return kind === 'file' || birth === undefined || birth < since || birth >= until;
  };

  // Another machine's, or the kernel's: no installation writes there.
  const foreign = new Set(
    mounts.flatMap(({ source, mountPoint }) => (source.startsWith('/dev/') ? [] : [mountPoint])),
  );

  const walk = (directory: Bytes): Bytes[] => {
    const changed: Bytes[] = [];
    const below: Bytes[] = [];
    for (const name of namesIn(root.hostPath(directory))) {
      const path = `${directory}/${name}`;
      const host = root.hostPath(path);
      const stat = NOT_JUDGED.has(path) || foreign.has(host) ? undefined : statOf(host);
      if (stat === undefined) continue;
      const kind = stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'link' : 'file';
      const isRecent = stat.ctimeMs >= since && isSuspect(stat.ctimeMs);
      if (isRecent && !isVouchedFor(path, kind, stat) && !isKnown(path)) changed.push(path);
      else if (kind === 'directory') below.push(...walk(path));
    }
    if (changed.length > MOST_OF_A_DIRECTORY) return [directory];
    return [...changed, ...below];
  };

  const { admindir } = database;
  // What is missing was there: every system has them all.
  const hasChanged = (name: string): boolean => {
    const stat = statOf(`${admindir.host}/${name}`);
    return stat === undefined || stat.ctimeMs >= since;
  };
  const ofDpkg = OF_DPKG.filter(
    // In a directory whose names changed something may be missing too.
    (name) => hasChanged(name) || admindir.names(name).some((file) => hasChanged(`${name}/${file}`)),
  ).map((name) => `${admindir.inside}/${name}`);
  const inTrees = TREES.flatMap((tree) => {
    const found = root.resolveDirectory(tree);
    return found.kind === 'found' ? walk(found.inside) : [];
  });
  return [...new Set([...withAccounts(root, inTrees), ...ofDpkg])].sort();
}

/** passwd(5) and the like belong together: where one of them changed, an old one of another is wrong by itself. */
function withAccounts(root: Root, paths: readonly Bytes[]): readonly Bytes[] {
  if (!paths.some((path) => ACCOUNT_FILES.includes(path))) return paths;
  return [...paths, ...ACCOUNT_FILES.filter((path) => statOf(root.hostPath(path)) !== undefined)];
}

/** Packages that are installed, and a control file of which changed since: whoever installs or removes one does that. */
export function touchedSince({ admindir, info, packages }: Database, since: number): Package[] {
  return packages.filter((pkg) => {
    if (pkg.state === 'not-installed' || pkg.state === 'config-files') return false;
    const stem = info.stemOf(pkg);
    return [...info.kindsOf(stem)].some((kind) => {
      const stat = statOf(`${admindir.host}/info/${stem}.${kind}`);
      return stat !== undefined && stat.ctimeMs >= since;
    });
  });
}

/** What goes away meanwhile, or cannot be read, is a finding of the audit's where it matters. */
function namesIn(host: Bytes): Bytes[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'latin1' });
  } catch {
    return [];
  }
}

function statOf(host: Bytes): Stats | undefined {
  return lstatSync(fsPath(host), { throwIfNoEntry: false });
}

function md5Of(host: Bytes): string | undefined {
  try {
    return md5OfRegularFile(fsPath(host));
  } catch {
    return undefined;
  }
}
