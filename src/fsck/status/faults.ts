/** The errors of a filesystem, from all who tell of them, and the files that they name. */
import type { FilesystemFault } from '../../model/filesystem.ts';
import { bytesToText, pathToText } from '../../model/path-text.ts';
import { bytesFromText } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import type { MountedFilesystem } from '../filesystems.ts';
import type { OwnedPaths } from '../owned-paths.ts';
import type { Answer } from './answering.ts';
import type { Ext } from './ext4.ts';
import type { KernelFault } from './kernel-errors.ts';
import { findPlaces, type Place } from './places.ts';
import { behaviourOf } from './weak-options.ts';

/** Errors of one filesystem that are told: the last ones. */
export const MOST_ERRORS = 30;

/** A fault and what names its place; only the fault goes into the report. */
interface Clue {
  readonly fault: FilesystemFault;
  readonly inode?: number | undefined;
  readonly block?: number | undefined;
  readonly subvolume?: number | undefined;
  readonly path?: string | undefined;
}

export interface Located {
  readonly errors: readonly FilesystemFault[];
  /** Of the packages that are named, where they are known. */
  readonly versions: ReadonlyMap<string, string>;
  readonly unread: readonly string[];
}

export interface FaultSources {
  readonly root: Root;
  readonly filesystems: readonly MountedFilesystem[];
  readonly owned: OwnedPaths | undefined;
  readonly ext: Ext;
  /** Those of this filesystem. */
  readonly kernel: readonly KernelFault[];
  /** What came of reading its device. */
  readonly answer: Answer | undefined;
}

/** The errors of a filesystem, with the paths and packages that they hit. Never throws. */
export async function locateFaults(mounted: MountedFilesystem, sources: FaultSources): Promise<Located> {
  const { root, filesystems, owned, ext, kernel, answer } = sources;
  const clues = [
    ...(answer?.kind === 'failed' ? [probeClue(answer.said, mounted)] : []),
    ...superblockClues(ext),
    ...kernel.filter(({ kind }) => kind !== 'read-only').map((fault) => kernelClue(fault, mounted)),
  ];
  const distinct = [...new Map(clues.map((clue) => [clue.fault.text, clue])).values()].slice(-MOST_ERRORS);
  if (distinct.length === 0) return { errors: [], versions: new Map(), unread: [] };
  const places = await findPlaces({
    root,
    filesystem: mounted,
    filesystems,
    owned,
    clues: distinct,
    mayLook: mounted.readOnly || behaviourOf(mounted.options, ext.superblock) !== 'panic',
  });
  const versions = new Map<string, string>();
  const named = (place: Place | undefined): Pick<FilesystemFault, 'path' | 'packages'> => {
    if (place === undefined) return {};
    for (const { package: name, version } of place.owners)
      if (version !== '') versions.set(bytesToText(name), bytesToText(version));
    const packages = place.owners.map(({ package: name }) => bytesToText(name));
    return { path: pathToText(place.path), ...(packages.length === 0 ? {} : { packages }) };
  };
  return {
    errors: [
      ...distinct.map((clue) => ({ ...clue.fault, ...named(places.found.get(clue)) })),
      ...places.unreadable.map((place) => ({
        source: 'file-system' as const,
        text: `it cannot be looked at (${place.errno})`,
        ...named(place),
      })),
    ],
    versions,
    unread: places.unread,
  };
}

function probeClue(said: string, { device }: MountedFilesystem): Clue {
  return { fault: { source: 'kernel-log', text: said, ...(device === undefined ? {} : { device }) } };
}

function superblockClues({ first, last }: Ext): Clue[] {
  return [first, last].flatMap((error) => {
    if (error === undefined) return [];
    const { at, func, line, inode, block, errcode } = error;
    const where = func === undefined ? 'an error' : `${func}${line === undefined ? '' : `:${line}`}`;
    const what = [
      ...(errcode === undefined ? [] : [errcode]),
      ...(inode === undefined ? [] : [`inode ${inode}`]),
      ...(block === undefined ? [] : [`block ${block}`]),
    ];
    const when = at === undefined ? '' : ` at ${at.toISOString()}`;
    const fault: FilesystemFault = {
      source: 'superblock',
      ...(at === undefined ? {} : { at: at.toISOString() }),
      text: `${where}${what.length === 0 ? '' : ` (${what.join(', ')})`}${when}`,
      ...(inode === undefined ? {} : { inode }),
      ...(block === undefined ? {} : { block }),
    };
    return [{ fault, inode, block }];
  });
}

function kernelClue(fault: KernelFault, { device: own, type }: MountedFilesystem): Clue {
  const { device, kind, text, uptime, inode, block, subvolume, path } = fault;
  // Blocks of `Buffer I/O error` are of the device and of its own block size: no block of the filesystem's.
  const blockOfOwn = kind === 'io' && inode === undefined ? undefined : block;
  return {
    fault: {
      source: 'kernel-log',
      text,
      ...(uptime === undefined ? {} : { uptime }),
      ...(kind === 'io' ? { device } : device === own || type === 'btrfs' ? {} : { device }),
      ...(inode === undefined ? {} : { inode }),
      ...(blockOfOwn === undefined ? {} : { block: blockOfOwn }),
    },
    inode,
    block: blockOfOwn,
    subvolume,
    ...(path === undefined ? {} : { path: bytesFromText(path) }),
  };
}
