/**
 * The .debs of a transaction: hashed, held against the archive's own index, kept by hard link until the seal, so that a
 * recovery needs no network (I6), and their file lists read, so that the files of a package that was cut before dpkg
 * wrote its list are known.
 *
 * The list comes from the control archive, which costs some milliseconds; unpacking a large package to see its links
 * and directories costs seconds (docs/benchmarks.md), and as the .deb is kept, a recovery can do that when it needs to.
 */
import { closeSync, constants, copyFileSync, fsyncSync, linkSync, mkdirSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { IntendedPackage } from '../../dpkg/apt-hook.ts';
import type { ArchiveIndex } from '../../dpkg/apt-index.ts';
import { type ControlArchive, readControlArchive } from '../../dpkg/control-archive.ts';
import { bytesToText, pathToText } from '../../model/path-text.ts';
import type { ArchiveRecord, IntendedPackageRecord } from '../../model/transaction.ts';
import { type Bytes, bufferOf, fsPath } from '../../system/bytes.ts';
import { syncDirectory } from '../../system/durable.ts';
import { errnoOf, messageOf } from '../../system/errors.ts';
import { openQuietly } from '../../system/files.ts';
import { hashRegularFile } from '../../system/hash-file.ts';
import type { Root } from '../../system/root.ts';

/** The files of a package that is to be installed: MD5 by absolute path, empty for conffiles. */
export type FileList = ReadonlyMap<Bytes, Bytes>;

export interface ExaminedPackage {
  readonly record: IntendedPackageRecord;
  readonly files: FileList | undefined;
}

/** Control archives that are read at a time: as many as a small server has processors, and one more. */
const AT_ONCE = 3;
/** Where a link is not possible a .deb is copied if it leaves this part of the free space, and is no larger, in bytes. */
const COPY_SHARE = 0.5;
const COPY_LIMIT = 512 * 1024 * 1024;

/**
 * Looks at what a front end is going to do.
 *
 * @param index undefined where there is no summary of the archive's indexes
 * @param keepIn the directory that .debs are kept in, which is made and synced; undefined: none is kept
 */
export async function examinePackages(
  root: Root,
  packages: readonly IntendedPackage[],
  index: ArchiveIndex | undefined,
  keepIn: string | undefined,
): Promise<ExaminedPackage[]> {
  // dpkg-deb works beside this process while the archives are hashed here.
  const controls = readControls(root, packages);
  const hashed = packages.map((pkg) =>
    pkg.archive === undefined ? undefined : hashArchive(root, pkg.archive),
  );
  if (keepIn !== undefined && hashed.some((archive) => archive?.kind === 'hashed')) {
    mkdirSync(keepIn, { recursive: true, mode: 0o700 });
  }
  const kept = hashed.map((archive) =>
    archive?.kind === 'hashed' && keepIn !== undefined ? keepArchive(archive, keepIn) : undefined,
  );
  if (keepIn !== undefined && kept.some((name) => name !== undefined)) syncDirectory(keepIn);
  const read = await controls;
  return packages.map((pkg, at) => examined(pkg, hashed[at], read[at], kept[at], index));
}

function examined(
  pkg: IntendedPackage,
  hashed: HashedArchive | UnreadArchive | undefined,
  control: ControlArchive | string | undefined,
  kept: string | undefined,
  index: ArchiveIndex | undefined,
): ExaminedPackage {
  const known = typeof control === 'object' ? control : undefined;
  const architecture = pkg.architecture ?? known?.architecture ?? '';
  const newVersion = pkg.newVersion ?? known?.version;
  const problems = [
    hashed?.kind === 'unread' ? hashed.problem : undefined,
    typeof control === 'string' ? control : undefined,
    known !== undefined && pkg.newVersion !== undefined && known.version !== pkg.newVersion
      ? `the archive holds version ${known.version}`
      : undefined,
  ].filter((problem) => problem !== undefined);
  const files = known === undefined ? undefined : fileList(known);
  const archive: ArchiveRecord | undefined =
    hashed?.kind === 'hashed' && pkg.archive !== undefined
      ? {
          path: pathToText(pkg.archive),
          size: hashed.size,
          sha256: hashed.sha256,
          index: heldAgainst(index, pkg.name, newVersion, known?.architecture ?? architecture, hashed),
          ...(kept === undefined ? {} : { kept }),
          ...(files === undefined ? {} : { files: files.size }),
        }
      : undefined;
  return {
    record: {
      name: bytesToText(known?.package ?? pkg.name),
      architecture: bytesToText(architecture),
      action: pkg.action,
      ...(pkg.oldVersion === undefined ? {} : { oldVersion: bytesToText(pkg.oldVersion) }),
      ...(newVersion === undefined ? {} : { newVersion: bytesToText(newVersion) }),
      ...(archive === undefined ? {} : { archive }),
      ...(problems.length === 0 ? {} : { problem: bytesToText(problems.join('; ')) }),
    },
    files,
  };
}

function heldAgainst(
  index: ArchiveIndex | undefined,
  name: Bytes,
  version: Bytes | undefined,
  architecture: Bytes,
  archive: HashedArchive,
): ArchiveRecord['index'] {
  if (index === undefined || version === undefined) return 'unchecked';
  const answers = index.lookup(name, version, architecture);
  if (answers.some(({ sha256, size }) => sha256 === archive.sha256 && size === archive.size))
    return 'matches';
  if (answers.length > 0) return 'differs';
  return index.stale ? 'unchecked' : 'unknown';
}

/** What the control archive of each package says, or why it could not be read. */
async function readControls(
  root: Root,
  packages: readonly IntendedPackage[],
): Promise<(ControlArchive | string | undefined)[]> {
  const found: (ControlArchive | string | undefined)[] = packages.map(() => undefined);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < packages.length; at = next++) {
      const archive = packages[at]?.archive;
      const host = archive === undefined ? undefined : hostOf(root, archive);
      if (host === undefined) continue;
      found[at] = await readControlArchive(bufferOf(host).toString('utf8')).catch((error: unknown) =>
        messageOf(error),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}

function fileList(control: ControlArchive): FileList {
  const files = new Map<Bytes, Bytes>(control.md5sums);
  for (const { path, removeOnUpgrade } of control.conffiles) if (!removeOnUpgrade) files.set(path, '');
  return files;
}

interface HashedArchive {
  readonly kind: 'hashed';
  readonly host: Bytes;
  readonly sha256: string;
  readonly size: number;
}

interface UnreadArchive {
  readonly kind: 'unread';
  readonly problem: string;
}

function hashArchive(root: Root, archive: Bytes): HashedArchive | UnreadArchive {
  const host = hostOf(root, archive);
  if (host === undefined) return { kind: 'unread', problem: 'the archive is not there' };
  try {
    // A person may name a link to an archive, and dpkg follows it: hostOf did.
    return { kind: 'hashed', host, ...hashRegularFile(fsPath(host)) };
  } catch (error) {
    return { kind: 'unread', problem: `the archive cannot be read: ${errnoOf(error) ?? messageOf(error)}` };
  }
}

function hostOf(root: Root, archive: Bytes): Bytes | undefined {
  const found = root.resolveFully(archive);
  return found.kind === 'found' ? found.host : undefined;
}

/**
 * Keeps a .deb: apt never syncs what it downloads, so without the fsync a cut could leave a kept archive empty.
 *
 * @returns its name in the directory; undefined when it can't be kept
 */
function keepArchive(archive: HashedArchive, directory: string): string | undefined {
  const name = `${archive.sha256.slice(0, 12)}-${basename(bufferOf(archive.host).toString('utf8'))}`;
  const to = join(directory, name);
  try {
    if (!link(archive.host, to) && !copy(archive, to, directory)) return undefined;
    const fd = openQuietly(to);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    return name;
  } catch {
    return undefined;
  }
}

function link(host: Bytes, to: string): boolean {
  try {
    linkSync(fsPath(host), to);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EEXIST'; // an earlier run of the same transaction kept it
  }
}

/** @throws the error of the call that failed */
function copy(archive: HashedArchive, to: string, directory: string): boolean {
  const space = statfsSync(directory);
  if (archive.size > COPY_LIMIT || archive.size > space.bavail * space.bsize * COPY_SHARE) return false;
  copyFileSync(fsPath(archive.host), to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  return true;
}
