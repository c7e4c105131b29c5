/**
 * Whose files a filesystem's damage hit: the damage that a checker found (fsck/run.ts) becomes findings, with the
 * packages that own what was hit. Only dpkg's lists are asked, by path: the files may be gone, so nothing is resolved on
 * the disk. Of merged /usr both spellings count as one.
 */
import { createHash } from 'node:crypto';
import type { Database } from '../dpkg/database.ts';
import { readManifest } from '../dpkg/database.ts';
import { displayName, type Package } from '../dpkg/package.ts';
import type { Damage } from '../fsck/run.ts';
import type { Finding } from '../model/finding.ts';
import { compareSeverity } from '../model/severity.ts';
import { type Bytes, bufferOf } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { compareFindings } from './audit.ts';
import { finding } from './finding.ts';

/** How a filesystem stands in the root whose packages own its files. */
export interface Placement {
  readonly database: Database;
  /** Inside that root; `/` for the root filesystem itself. */
  readonly mountPoint: Bytes;
  /** The directory of the filesystem that is mounted there: empty, or a btrfs subvolume (`/@rootfs`). */
  readonly top: Bytes;
  /** That root as it can be read now, with this filesystem in its place; undefined when it cannot. */
  readonly readable: Root | undefined;
}

export interface FilesystemFacts {
  readonly damages: readonly Damage[];
  /** The device or image, for people. */
  readonly device: string;
  readonly placement: Placement | undefined;
}

interface Owner {
  readonly record: Package;
  readonly display: Bytes;
  /** Of a file whose content the manifest knows. */
  readonly md5: Bytes | undefined;
  /** By way of which it is this package's, when not by its own path. */
  readonly by: 'path' | 'installed-copy';
}

interface Owned {
  readonly owners: readonly Owner[];
  /** Packages with files below, of a directory; the one with most of them first. */
  readonly below: readonly { readonly display: Bytes; readonly files: number; readonly vital: boolean }[];
}

/** Packages that a finding about a directory names; all of them are counted. */
const NAMED_BELOW = 10;
const LARGEST_READ = 512 * 1024 * 1024;

/** The findings about a checked filesystem, the worst first. */
export function judgeFilesystem(facts: FilesystemFacts): Finding[] {
  const { damages, placement } = facts;
  const paths = damages.flatMap(({ path }) => (path === undefined ? [] : [insideRoot(path, placement)]));
  const owned = placement === undefined ? new Map<Bytes, Owned>() : findOwners(placement, paths);
  return [
    ...damages.filter(({ kind }) => kind !== 'orphan').map((damage) => judge(damage, facts, owned)),
    ...judgeOrphans(
      damages.filter(({ kind }) => kind === 'orphan'),
      facts,
    ),
  ].sort(
    (a, b) =>
      compareSeverity(b.severity, a.severity) ||
      // Whose file was hit is what a person wants to know first.
      Number(b.path !== undefined) - Number(a.path !== undefined) ||
      compareFindings(a, b),
  );
}

const OUTAGE = 'an interrupted write leaves this behind, and so does a failing disk: see smartctl -a';

function judge(
  damage: Damage,
  { device, placement }: FilesystemFacts,
  owned: ReadonlyMap<Bytes, Owned>,
): Finding {
  const { kind, inode, said, more, harmless } = damage;
  const words = `${said.map((one) => one.replace(/[.\s]+$/, '')).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
  const base = { knownBy: 'fsck', likelyOutage: !harmless, reason: OUTAGE, device } as const;
  switch (kind) {
    case 'file':
    case 'directory': {
      const path = damage.path === undefined ? undefined : insideRoot(damage.path, placement);
      const { owners = [], below = [] } = (path === undefined ? undefined : owned.get(path)) ?? {};
      const owner = owners[0];
      const isDirectory = kind === 'directory' || below.length > 0;
      const vital = owners.some(({ record }) => record.vital) || below.some((one) => one.vital);
      const others = isDirectory ? belowText(below) : ownersText(owners);
      const content = path === undefined || isDirectory ? '' : contentText(placement, path, owners);
      return finding({
        ...base,
        code: isDirectory ? 'fsck-directory-damaged' : 'fsck-file-damaged',
        severity: vital ? 'critical' : 'error',
        package: owner?.display ?? (isDirectory ? below[0]?.display : undefined),
        version: owner?.record.version,
        path,
        message: `${path === undefined ? `inode ${inode ?? '?'}, to which no name leads` : isDirectory ? 'a directory' : 'a file'}: ${words}${others}${content}`,
      });
    }
    case 'structure':
      return finding({
        ...base,
        code: harmless ? 'fsck-structure-stale' : 'fsck-structure-damaged',
        severity: harmless ? 'info' : 'error',
        message: `the filesystem's own structures: ${words}`,
        likelyOutage: true,
        reason: harmless ? 'they are written at unmount only, which a cut keeps from happening' : OUTAGE,
      });
    case 'journal':
      return finding({
        ...base,
        code: 'fsck-journal-pending',
        severity: 'warning',
        message: words,
        likelyOutage: true,
        reason: 'the journal of a filesystem that was unmounted is empty',
      });
    case 'unclean':
      return finding({
        ...base,
        code: 'fsck-unclean',
        severity: 'warning',
        message: words,
        likelyOutage: true,
        reason: 'unmounting takes the mark away',
      });
    case 'unfinished':
      return finding({
        ...base,
        code: 'fsck-unfinished',
        severity: 'error',
        message: `what else is wrong is not known: ${words}`,
        likelyOutage: false,
        reason: 'a check that gives up says nothing of what it did not reach',
      });
    case 'orphan':
      throw new Error('orphans are told together');
  }
}

/** A lost directory leaves thousands: they are one finding. */
function judgeOrphans(orphans: readonly Damage[], { device }: FilesystemFacts): Finding[] {
  if (orphans.length === 0) return [];
  const inodes = orphans.flatMap(({ inode }) => inode ?? []);
  const first = inodes.slice(0, 20).join(', ');
  const what =
    inodes.length === 0
      ? orphans.flatMap(({ said }) => said).join('; ')
      : `${inodes.length === 1 ? 'an inode has' : `${inodes.length} inodes have`} no name any more: ${first}${inodes.length > 20 ? ', …' : ''}`;
  return [
    finding({
      code: 'fsck-orphan',
      severity: 'error',
      message: `${what}; a repair moves them to lost+found, from where 'debmend fsck return' brings back what it knows`,
      knownBy: 'fsck',
      likelyOutage: true,
      reason: OUTAGE,
      device,
    }),
  ];
}

function insideRoot(path: Bytes, placement: Placement | undefined): Bytes {
  if (placement === undefined) return path;
  const { mountPoint, top } = placement;
  if (top !== '' && path !== top && !path.startsWith(`${top}/`)) return path; // in another subvolume
  const below = path.slice(top.length);
  if (below === '' || below === '/') return mountPoint;
  return mountPoint === '/' ? below : `${mountPoint}${below}`;
}

/**
 * `/bin/x` and `/usr/bin/x` are one file since /usr was merged (Debian 12), and packages of either age name either. So
 * what lies below /usr is counted there by both names.
 */
function plain(path: Bytes): Bytes {
  return /^\/(?:bin|sbin|lib|lib32|lib64|libx32|libo32)(?:\/|$)/.test(path) ? `/usr${path}` : path;
}

function findOwners({ database, mountPoint }: Placement, paths: readonly Bytes[]): Map<Bytes, Owned> {
  const wanted = new Map<Bytes, Bytes[]>();
  const add = (key: Bytes, path: Bytes): void => {
    wanted.set(key, [...(wanted.get(key) ?? []), path]);
  };
  const loaders = new Map<Bytes, Bytes[]>();
  for (const path of new Set(paths)) {
    add(plain(path), path);
    // What grub-install and bootctl copy to the EFI partition no list names: its original is a package's.
    const name = /\/([^/]+\.efi)$/i.exec(path)?.[1]?.toLowerCase();
    if (name !== undefined && isOnEfi(mountPoint, path))
      loaders.set(name, [...(loaders.get(name) ?? []), path]);
  }
  const diverted = new Map(database.diversions.map((diversion) => [diversion.from, diversion]));
  const owners = new Map<Bytes, Owner[]>();
  const below = new Map<Bytes, Map<Bytes, { display: Bytes; files: number; vital: boolean }>>();
  for (const record of database.packages) {
    if (record.state === 'config-files') continue;
    const { paths: listed, hashes } = readManifest({ ...database, problems: [] }, record, true);
    const conffiles = new Map(record.conffiles.map((one) => [one.path, one.hash]));
    const display = displayName(record, database.native);
    for (const path of listed) {
      const diversion = diverted.get(path);
      const placed = diversion === undefined || diversion.package === record.name ? path : diversion.to;
      const key = plain(placed);
      const md5 = hashes.get(path) ?? conffiles.get(path);
      const own = (by: Owner['by'], of: Bytes): void => {
        const known = owners.get(of) ?? [];
        if (!known.some((one) => one.record === record))
          owners.set(of, [...known, { record, display, md5, by }]);
      };
      for (const of of wanted.get(key) ?? []) own('path', of);
      const copied = /\/([^/]+\.efi)(?:\.signed)?$/i.exec(path)?.[1]?.toLowerCase();
      if (copied !== undefined) for (const of of loaders.get(copied) ?? []) own('installed-copy', of);
      // Only files and empty directories count: what a directory of the list holds is counted by itself.
      if (md5 === undefined) continue;
      for (let at = key.lastIndexOf('/'); at >= 0; at = key.lastIndexOf('/', at - 1)) {
        for (const of of wanted.get(at === 0 ? '/' : key.slice(0, at)) ?? []) {
          const counts = below.get(of) ?? new Map();
          const count = counts.get(display) ?? { display, files: 0, vital: record.vital };
          counts.set(display, { ...count, files: count.files + 1 });
          below.set(of, counts);
        }
        if (at === 0) break;
      }
    }
  }
  return new Map(
    paths.map((path) => {
      const counts = [...(below.get(path)?.values() ?? [])].sort((a, b) => b.files - a.files);
      return [path, { owners: owners.get(path) ?? [], below: counts }];
    }),
  );
}

function isOnEfi(mountPoint: Bytes, path: Bytes): boolean {
  return /^\/(?:boot\/efi|efi|boot)(?:\/|$)/.test(mountPoint) || /\/efi\//i.test(path);
}

function belowText(below: Owned['below']): string {
  if (below.length === 0) return '';
  const names = below.slice(0, NAMED_BELOW).map(({ display, files }) => `${display} (${files})`);
  const rest = below.length - names.length;
  return `; files of ${below.length === 1 ? 'this package' : `${below.length} packages`} lie in it: ${names.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function ownersText(owners: readonly Owner[]): string {
  if (owners.length === 0) return '';
  if (owners[0]?.by === 'installed-copy')
    return `; it is a copy of a file of ${owners.map(({ display }) => display).join(', ')}`;
  return owners.length === 1 ? '' : `; ${owners.map(({ display }) => display).join(', ')} own it`;
}

/** What can be read of it now, held against its manifest. */
function contentText(placement: Placement | undefined, path: Bytes, owners: readonly Owner[]): string {
  const readable = placement?.readable;
  const hashes = owners.flatMap(({ md5, by }) => (md5 === undefined || by !== 'path' ? [] : [md5]));
  if (readable === undefined || hashes.length === 0) return '';
  const found = readable.resolve(path);
  const read = found.kind === 'found' ? readRegularFile(found.host, LARGEST_READ) : undefined;
  switch (read?.kind) {
    case undefined:
    case 'missing':
      return '; nothing can be read of it';
    case 'unreadable':
      return `; it cannot be read (${read.errno})`;
    case 'read':
      return hashes.includes(createHash('md5').update(bufferOf(read.data)).digest('hex'))
        ? '; its content is still what its package says'
        : '; its content is not what its package says';
  }
}
