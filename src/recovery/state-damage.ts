/**
 * State of maintainer scripts held against how it stood at a seal. What a program or a person changes, changes the time
 * of an inode or of its directory; only what a disk did, or a repair of the filesystem, counts.
 */
import { lstatSync, type Stats } from 'node:fs';
import { pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { loadXxh64, type Xxh64, xxh64Of } from '../scan/xxh64.ts';
import { type SealedState, sealedState } from '../snapshot/state.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, fsPath } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import { standingAt } from './tracked-damage.ts';

export interface StateDamage {
  readonly path: Bytes;
  /** As a sentence goes on. */
  readonly damage: string;
  /** When that was written which is lost, in milliseconds since the epoch. */
  readonly at: number;
}

/** @param repaired whether a repair of the filesystem took things away: then what is gone counts, whoever took it */
export async function stateDamage(root: Root, store: Store, repaired: boolean): Promise<StateDamage[]> {
  const rows = new Map(sealedState(store).map((row) => [row.path, row]));
  const xxh64 = await loadXxh64();
  root.forget();
  return [...rows.values()].flatMap((row) => {
    const damage = damageOf({ root, rows, xxh64, repaired }, row);
    return damage === undefined ? [] : [{ path: row.path, damage, at: row.ctime }];
  });
}

export function lostState(damaged: readonly StateDamage[]): LeftAlone[] {
  return damaged.map(({ path, damage }) => ({
    finding: 'filesystem-file-damaged',
    path: pathToText(path),
    harmless: false,
    reason: `it is ${damage}: the disk lost what was synced at the end of an installation, or a repair took it, and nothing tells what it was`,
  }));
}

interface Context {
  readonly root: Root;
  readonly rows: ReadonlyMap<Bytes, SealedState>;
  readonly xxh64: Xxh64;
  readonly repaired: boolean;
}

function damageOf(context: Context, row: SealedState): string | undefined {
  const { root, xxh64 } = context;
  const stat = standingAt(root, row.path);
  if (stat === 'elsewhere') return undefined;
  if (stat === undefined) {
    const isLost = row.kind !== undefined && (context.repaired || isParentUntouched(context, row.path));
    return isLost && isTopmost(context, row.path) ? 'gone, which it was not then' : undefined;
  }
  if (row.kind === undefined) return stat.ctimeMs < row.ctime ? 'there, and was not then' : undefined;
  if (stat.ino !== row.ino)
    return stat.ctimeMs < row.ctime && isOnFilesystemOf(root, row.path, stat) ? OLDER : undefined;
  if (stat.ctimeMs < row.ctime) return OLDER;
  if (stat.ctimeMs > row.ctime || row.xxh64 === null) return undefined;
  const now = readRegularFile(root.hostPath(row.path));
  if (now.kind !== 'read') return 'no file that can be read any more';
  return row.xxh64.equals(xxh64Of(xxh64, Buffer.from(now.data, 'latin1')))
    ? undefined
    : 'of other content, and nobody touched it';
}

const OLDER = 'older than it was then';

/** Whoever takes a name from a directory changes its time. */
function isParentUntouched({ root, rows }: Context, path: Bytes): boolean {
  const parent = rows.get(parentOf(path));
  const stat = standingAt(root, parentOf(path));
  if (parent === undefined || stat === undefined || stat === 'elsewhere') return false;
  return stat.ino === parent.ino && stat.ctimeMs <= parent.ctime;
}

/** What was in a directory that is gone is gone with it. */
function isTopmost({ root }: Context, path: Bytes): boolean {
  return standingAt(root, parentOf(path)) !== undefined;
}

/** A mount point with nothing mounted may be as old as it likes. */
function isOnFilesystemOf(root: Root, path: Bytes, { dev }: Stats): boolean {
  return lstatSync(fsPath(root.hostPath(parentOf(path))), { throwIfNoEntry: false })?.dev === dev;
}

const parentOf = (path: Bytes): Bytes => path.slice(0, path.lastIndexOf('/')) || '/';
