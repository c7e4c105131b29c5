/**
 * The way back from lost+found: what a repair of the filesystem moved there returns to its place (docs/fsck.md). A look
 * proposes and changes nothing; returning is a run of journaled actions, which `debmend undo` takes back.
 *
 *     collect, hash ─► places by manifest and snapshot ─► match ─► rename ─► read again
 */
import { lstatSync } from 'node:fs';
import { type Database, readDatabase } from '../dpkg/database.ts';
import { lostDirectories } from '../fsck/lost-directories.ts';
import type { LostFound, LostReturn } from '../model/lost-found.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import { loadXxh64, type Xxh64 } from '../scan/xxh64.ts';
import type { Store } from '../snapshot/store.ts';
import { type Bytes, compareBytes, fsPath } from '../system/bytes.ts';
import { DebmendError, messageOf } from '../system/errors.ts';
import type { Root } from '../system/root.ts';
import { Run, settleRun, unfinishedRuns } from './actions.ts';
import type { RunStore } from './journal.ts';
import { collectLost, type Lost, readContent } from './lost-found/collect.ts';
import { flatten, matchLost, type Return } from './lost-found/match.ts';
import { Places } from './lost-found/places.ts';

export interface LostFoundOptions {
  readonly root: Root;
  /** Snapshots; without them manifests alone know places. */
  readonly store: Store | undefined;
  /** Other lost+found directories than the root's own, inside the root. */
  readonly directories?: readonly Bytes[] | undefined;
}

export interface ReturnOptions extends LostFoundOptions {
  /** Where the run is journaled. */
  readonly runs: RunStore;
  readonly command: readonly string[];
}

/** What belongs where; changes nothing. A root without a dpkg database is matched with snapshots alone. */
export async function proposeReturns(options: LostFoundOptions): Promise<LostFound> {
  return (await look(options)).document;
}

/**
 * Returns what is known. The caller holds dpkg's locks (I5).
 *
 * @throws DebmendError when no run can be begun, its journal cannot be written, or the disk is full; what was returned by
 * then stays, and is journaled
 */
export async function returnLost(options: ReturnOptions): Promise<LostFound> {
  const { root, runs, command } = options;
  for (const id of unfinishedRuns(runs)) settleRun(runs, root, id);
  root.forget();
  const looked = await look(options);
  const { document } = looked;
  if (looked.returns.length === 0) return { ...document, applied: true };
  const run = Run.begin(runs, root, { command: [...command], policy: undefined });
  try {
    const done = returnAll(run, root, looked);
    run.end(done.every(({ outcome }) => outcome === 'returned') ? 'mended' : 'incomplete');
    return { ...document, applied: true, run: run.id, returns: done };
  } catch (error) {
    run.note(`it stopped: ${messageOf(error)}`);
    run.end('failed');
    throw error;
  }
}

/** The same as a part of another run. @returns what went wrong, for people @throws as returnLost does */
export async function returnLostWithin(run: Run, options: LostFoundOptions): Promise<string[]> {
  const looked = await look(options);
  const done = returnAll(run, options.root, looked);
  options.root.forget();
  return [...looked.document.problems, ...done.flatMap(({ problem }) => problem ?? [])];
}

function returnAll(run: Run, root: Root, { returns, places, xxh64 }: Looked): LostReturn[] {
  return returns.map((one) => {
    try {
      carryOut(run, root, one, places, xxh64);
      return entryOf(one, 'returned');
    } catch (error) {
      if (!(error instanceof DebmendError) || ['disk-full', 'read-only', 'interrupted'].includes(error.code))
        throw error;
      return { ...entryOf(one, 'failed'), problem: error.message };
    }
  });
}

interface Looked {
  readonly document: LostFound;
  readonly returns: readonly Return[];
  readonly places: Places;
  readonly xxh64: Xxh64;
}

async function look({ root, store, directories }: LostFoundOptions): Promise<Looked> {
  const xxh64 = await loadXxh64();
  const problems: string[] = [];
  const found = directories ?? lostDirectories(root);
  const lost: Lost[] = [];
  for (const directory of found) {
    try {
      lost.push(...collectLost(root, directory, xxh64));
    } catch (error) {
      problems.push(`${pathToText(directory)} cannot be read: ${messageOf(error)}`);
    }
  }
  const places = new Places({ root, store, database: databaseOf(root, problems) }, flatten(lost));
  const { returns, stays } = matchLost(root, lost, places, xxh64);
  const document: LostFound = {
    directories: found.map(pathToText),
    applied: false,
    returns: returns.map((one) => entryOf(one, 'proposed')),
    stays: [...stays].sort((a, b) => compareBytes(a.path, b.path)),
    problems,
  };
  return { document, returns, places, xxh64 };
}

function databaseOf(root: Root, problems: string[]): Database | undefined {
  try {
    return readDatabase(root);
  } catch (error) {
    problems.push(`manifests are not known: ${messageOf(error)}`);
    return undefined;
  }
}

/** @throws DebmendError of an action; `action-failed` when what stands there afterwards is not what was lost */
function carryOut(run: Run, root: Root, one: Return, places: Places, xxh64: Xxh64): void {
  const { lost, to, replaces, reason, source, place } = one;
  const why = {
    reason: `from lost+found: ${reason}`,
    source,
    ...(place?.package === undefined ? {} : { package: place.package }),
  };
  for (const parent of missingParents(root, to)) {
    const known = places.directory(parent);
    // Nobody knows what a directory was that stands in no snapshot; packages' own are nearly all like this.
    const attributes = known ?? { mode: 0o755, uid: 0, gid: 0 };
    const { mode, uid, gid } = attributes;
    run.perform({ kind: 'directory', path: parent, attributes: { mode, uid, gid } }, why);
  }
  if (replaces) run.perform({ kind: 'quarantine', path: to }, why);
  run.perform({ kind: 'rename', from: lost.path, to }, why);
  // What has its name again is read again (I11).
  const wanted = lost.content;
  if (wanted === undefined || readContent(root.hostPath(to), xxh64)?.md5 === wanted.md5) return;
  throw new DebmendError(
    'action-failed',
    `returning ${pathToText(to)}: read again, it is not what lay in lost+found`,
    `see 'debmend undo ${run.id}', and the kernel log: the device may be failing`,
  );
}

/** Directories above a path that are not there, the uppermost first. */
function missingParents(root: Root, path: Bytes): Bytes[] {
  const missing: Bytes[] = [];
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
    const parent = path.slice(0, at);
    if (lstatSync(fsPath(root.hostPath(parent)), { throwIfNoEntry: false }) !== undefined) break;
    missing.unshift(parent);
  }
  return missing;
}

function entryOf(
  { lost, to, place, source, reason, replaces, others }: Return,
  outcome: LostReturn['outcome'],
): LostReturn {
  return {
    from: pathToText(lost.path),
    to: pathToText(to),
    type: lost.type,
    ...(place?.package === undefined ? {} : { package: bytesToText(place.package) }),
    source,
    reason,
    replaces,
    others: others.map(pathToText),
    outcome,
  };
}
