/** A package as dpkg's status file records it (deb-control(5), dpkg-query(1), lib/dpkg/dpkg-db.h). */
import type { Bytes } from '../system/bytes.ts';

export const PACKAGE_STATES = [
  'not-installed',
  'config-files',
  'half-installed',
  'unpacked',
  'half-configured',
  'triggers-awaited',
  'triggers-pending',
  'installed',
] as const;
export type PackageState = (typeof PACKAGE_STATES)[number];

export const PACKAGE_WANTS = ['unknown', 'install', 'hold', 'deinstall', 'purge'] as const;
export type PackageWant = (typeof PACKAGE_WANTS)[number];

export const PACKAGE_FLAGS = ['ok', 'reinstreq'] as const;
export type PackageFlag = (typeof PACKAGE_FLAGS)[number];

export const MULTI_ARCH = ['no', 'same', 'allowed', 'foreign'] as const;
export type MultiArch = (typeof MULTI_ARCH)[number];

export interface Conffile {
  /** Absolute. */
  readonly path: Bytes;
  /** 32 hex digits, or `newconffile` (never installed), or `-` (no file was there). */
  readonly hash: Bytes;
  readonly obsolete: boolean;
  readonly removeOnUpgrade: boolean;
}

export interface Package {
  readonly name: Bytes;
  /** Empty where the record has none, as in old config-files records. */
  readonly architecture: Bytes;
  readonly version: Bytes;
  readonly want: PackageWant;
  readonly flag: PackageFlag;
  /** `unknown` for a package that only its control files tell of, because the status file is damaged. */
  readonly state: PackageState | 'unknown';
  readonly multiArch: MultiArch;
  /** Essential, Protected or of required priority: the system needs it to run or to be mended. */
  readonly vital: boolean;
  readonly configVersion: Bytes;
  readonly conffiles: readonly Conffile[];
  readonly triggersPending: readonly Bytes[];
  readonly triggersAwaited: readonly Bytes[];
  /** The file of the database that the record was read from, as a path inside the admindir. */
  readonly source: Bytes;
}

/** `name:arch`, the one name that is unique in the database. */
export function qualifiedName(pkg: Pick<Package, 'name' | 'architecture'>): Bytes {
  return pkg.architecture === '' ? pkg.name : `${pkg.name}:${pkg.architecture}`;
}

/** The name as dpkg prints it (lib/dpkg/pkg-show.c, pnaw_nonambig): qualified where the bare name could mislead. */
export function displayName(pkg: Pick<Package, 'name' | 'architecture' | 'multiArch'>, native: Bytes): Bytes {
  if (pkg.architecture === '') return pkg.name;
  const plain = pkg.multiArch !== 'same' && (pkg.architecture === native || pkg.architecture === 'all');
  return plain ? pkg.name : `${pkg.name}:${pkg.architecture}`;
}
