/**
 * An interrupted transaction taken back instead of ended (policy `recovery.transaction: take-back`): every file of its
 * packages becomes what it was. Old versions come from where the hooks kept them before dpkg replaced them, conffiles
 * and links from the snapshot; what was not there leaves. Each is verified before it is used (I6), and when one is not
 * at hand nothing is taken back at all: half of the old and half of the new is what the outage left already. Names of
 * one file (hard links) become files of their own with the same content.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { bytesToText } from '../../model/path-text.ts';
import { Kind } from '../../scan/work.ts';
import { type Xxh64, xxh64Of } from '../../scan/xxh64.ts';
import type { Entry } from '../../snapshot/entries.ts';
import type { Store } from '../../snapshot/store.ts';
import { transactionDirectory } from '../../snapshot/transaction/record.ts';
import { type Bytes, bufferOf, bytesFromText, bytesOf, compareBytes, fsPath } from '../../system/bytes.ts';
import { namesIn, readRegularFile } from '../../system/files.ts';
import { aside, type Effect, type EffectsInput } from './effect.ts';

export interface TakenBack {
  readonly effects: readonly Effect[];
  /** Paths whose old version is not at hand. */
  readonly lost: readonly Bytes[];
}

/** The files of the transaction's packages, as they were. */
export function planTakeBack(store: Store, input: EffectsInput): TakenBack {
  const { root, before } = input;
  const effects: Effect[] = [];
  const lost: Bytes[] = [];
  const directories: Bytes[] = [];
  for (const [path, run] of pathsOf(input)) {
    const found = root.resolve(path);
    // Its directory is gone too, and comes back before it: a shorter path sorts first.
    if (found.kind !== 'found' && found.errno !== 'ENOENT') continue;
    const { inside, host } = found.kind === 'found' ? found : { inside: path, host: root.hostPath(path) };
    const entry = before.find(inside, run);
    const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
    if (entry === undefined) {
      if (stat === undefined || input.ownedByOthers(path) || input.ownedByOthers(inside)) continue;
      if (stat.isDirectory()) directories.push(inside);
      else effects.push(aside(inside, 'the installation that is taken back brought it'));
      continue;
    }
    const old = oldVersion(store, input, entry, host);
    if (old === 'lost') lost.push(inside);
    else if (old !== undefined) effects.push(old);
  }
  // The deepest first, and only when nothing but what leaves is in them.
  const leaving = new Set(effects.map(({ action }) => ('path' in action ? action.path : '')));
  for (const directory of directories.sort((a, b) => b.length - a.length)) {
    const left = namesIn(root.hostPath(directory)).filter((name) => !leaving.has(`${directory}/${name}`));
    if (left.length > 0) continue;
    effects.push(aside(directory, 'the installation that is taken back made it'));
    leaving.add(directory);
  }
  // What leaves goes first: below a directory that becomes a link again its name would lead elsewhere.
  const leaves = (effect: Effect): boolean => effect.action.kind === 'quarantine';
  return { effects: [...effects.filter(leaves), ...effects.filter((effect) => !leaves(effect))], lost };
}

/** Every path of the packages, and where diversions put it, with the run that its package is known from; sorted. */
function pathsOf({ ownedBefore, archives, packages, diversions }: EffectsInput): [Bytes, number][] {
  const diverted = new Map(diversions.map(({ from, to }) => [from, to]));
  const paths = new Map<Bytes, number>();
  const add = (path: Bytes, run: number): void => {
    for (const name of [path, diverted.get(path)])
      if (name !== undefined && !paths.has(name)) paths.set(name, run);
  };
  for (const path of ownedBefore) add(path, 0);
  for (const pkg of packages) for (const { path } of archives.get(pkg)?.entries ?? []) add(path, pkg.run);
  return [...paths].sort(([a], [b]) => compareBytes(a, b));
}

function oldVersion(
  store: Store,
  input: EffectsInput,
  entry: Entry,
  host: Bytes,
): Effect | 'lost' | undefined {
  const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
  const { mode, uid, gid, mtime, capability } = entry;
  const attributes = { mode, uid, gid, mtime, ...(capability === null ? {} : { capability }) };
  const why = {
    reason: 'as it was before the installation that is taken back',
    source: 'what was kept of it',
  };
  switch (entry.kind) {
    case Kind.directory:
      return stat?.isDirectory() === true &&
        (stat.mode & 0o7777) === mode &&
        stat.uid === uid &&
        stat.gid === gid
        ? undefined
        : {
            action: { kind: 'directory', path: entry.path, attributes: { mode, uid, gid } },
            why,
            comesBack: false,
          };
    case Kind.link:
      if (entry.target === null) return 'lost';
      return stat?.isSymbolicLink() === true &&
        bytesOf(readlinkSync(fsPath(host), { encoding: 'buffer' })) === entry.target
        ? undefined
        : {
            action: { kind: 'link', path: entry.path, target: entry.target, attributes },
            why,
            comesBack: false,
          };
    case Kind.file: {
      if (stat?.isFile() === true && hasContent(host, entry, input.xxh64)) return undefined;
      const data = input.before.contentOf(entry) ?? keptContent(store, input, entry);
      return data === undefined
        ? 'lost'
        : { action: { kind: 'put', path: entry.path, data, attributes }, why, comesBack: false };
    }
    default:
      return stat === undefined ? 'lost' : undefined;
  }
}

function hasContent(host: Bytes, { xxh64 }: Entry, hash: Xxh64): boolean {
  const now = readRegularFile(host);
  return xxh64 !== null && now.kind === 'read' && xxh64.equals(xxh64Of(hash, bufferOf(now.data)));
}

/** The version that was kept by a second name, when it still has the content that it had then. */
function keptContent(store: Store, { before, xxh64 }: EffectsInput, entry: Entry): Buffer | undefined {
  const { id } = before.transaction;
  const row = store.db
    .prepare('SELECT file, xxh64 FROM kept WHERE trans = ? AND path = ?')
    .get(id, entry.id) as { file: string; xxh64: Buffer | null } | undefined;
  if (row === undefined || row.xxh64 === null) return undefined;
  const read = readRegularFile(bytesFromText(join(transactionDirectory(store, id), 'replaced', row.file)));
  if (read.kind !== 'read') return undefined;
  const data = bufferOf(read.data);
  return xxh64Of(xxh64, data).equals(row.xxh64) ? data : undefined;
}

/** @returns for people, of which paths the old version is not at hand */
export function describeLost(lost: readonly Bytes[]): string | undefined {
  if (lost.length === 0) return undefined;
  const some = lost.slice(0, 3).map(bytesToText).join(', ');
  return `the old version of ${lost.length} files is not at hand (${some}${lost.length > 3 ? ', …' : ''}), so it cannot be taken back`;
}
