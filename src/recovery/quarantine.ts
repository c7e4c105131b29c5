/** What was moved aside, by any run: listed, put back, and, only here, deleted. */
import { readdirSync } from 'node:fs';
import { pathToText, textToPath } from '../model/path-text.ts';
import type { QuarantineItem } from '../model/run.ts';
import { type Bytes, bytesFromText, bytesOf, fsPath } from '../system/bytes.ts';
import { DebmendError, errnoOf } from '../system/errors.ts';
import { readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { readHistory } from './actions/history.ts';
import { ELSEWHERE, Opened, openPlace, placeOnHost, type Site } from './actions/places.ts';
import { refused } from './actions/refusal.ts';
import { type ActionRecord, Run, type Why } from './actions/run.ts';
import { settleRun, unfinishedRuns } from './actions/settle.ts';
import { lookAt } from './actions/things.ts';
import { isRunId, type RunStore, runIds } from './journal.ts';

/** An item with what the journal knows it by. */
interface Known {
  readonly item: QuarantineItem;
  readonly place: string;
}

/**
 * All that is in the quarantine, the oldest first: what the journals say was moved there and still is, and what lies
 * there though its journal is lost.
 *
 * @throws DebmendError when a journal cannot be read
 */
export function listQuarantine(store: RunStore, root: Root): QuarantineItem[] {
  return known({ root, store }).map(({ item }) => item);
}

/** @throws DebmendError `unknown-quarantine` */
export function findQuarantined(store: RunStore, root: Root, id: string): QuarantineItem {
  return find({ root, store }, id).item;
}

/**
 * Puts a quarantined thing back to where it stood, and nowhere else.
 *
 * @throws DebmendError `unknown-quarantine`; `action-refused` when something stands there, or when it is not known where
 * it stood; `disk-full`, `read-only`, `action-failed`
 */
export function restoreQuarantined(
  store: RunStore,
  root: Root,
  id: string,
  command: readonly string[],
): string {
  settleAll(store, root);
  const { item, place } = find({ root, store }, id);
  if (item.path === undefined) {
    throw refused(
      `putting ${id} back`,
      'the journal that says where it stood is lost',
      `it is ${item.place}; move it by hand`,
    );
  }
  const run = Run.begin(store, root, { command, policy: undefined });
  try {
    const path = textToPath(item.path);
    run.performOwn({ kind: 'restore', path, from: place, item: id, over: false }, { reason: 'asked for' });
    run.end('mended');
  } catch (error) {
    run.end('failed');
    throw error;
  }
  return item.path;
}

/**
 * Puts a quarantined thing back within a run that goes on.
 *
 * @throws DebmendError as restoreQuarantined
 */
export function putBack(run: Run, store: RunStore, root: Root, id: string, why: Why): ActionRecord {
  const { item, place } = find({ root, store }, id);
  if (item.path === undefined) {
    throw refused(`putting ${id} back`, 'the journal that says where it stood is lost', 'move it by hand');
  }
  return run.performOwn(
    { kind: 'restore', path: textToPath(item.path), from: place, item: id, over: false },
    why,
  );
}

export interface PurgeChoice {
  /** RUN or RUN/N; empty: all. */
  readonly ids: readonly string[];
  /** Only what was moved aside before; what has no journal has no time and is left then. */
  readonly before?: Date | undefined;
}

/** What a purge would delete. @throws DebmendError `unknown-quarantine` for an id that names nothing */
export function choosePurged(store: RunStore, root: Root, { ids, before }: PurgeChoice): QuarantineItem[] {
  const items = listQuarantine(store, root);
  const isNamed = (item: QuarantineItem, id: string): boolean => item.run === id || item.id === id;
  for (const id of ids) if (!items.some((item) => isNamed(item, id))) throw unknown(id);
  return items.filter(
    (item) =>
      (ids.length === 0 || ids.some((id) => isNamed(item, id))) &&
      (before === undefined || (item.at !== undefined && new Date(item.at) < before)),
  );
}

/**
 * Deletes quarantined things for good; that each was there, and what it was, stays in the journals.
 *
 * @returns the ids that are gone
 * @throws DebmendError as Run.perform; what was deleted by then is gone, the rest is there
 */
export function purgeQuarantine(
  store: RunStore,
  root: Root,
  choice: PurgeChoice,
  command: readonly string[],
): string[] {
  settleAll(store, root);
  const site = { root, store };
  const chosen = choosePurged(store, root, choice);
  if (chosen.length === 0) return [];
  const places = new Map(known(site).map(({ item, place }) => [item.id, place]));
  const run = Run.begin(store, root, { command, policy: undefined });
  const purged: string[] = [];
  try {
    for (const { id, path } of chosen) {
      const from = places.get(id);
      if (from === undefined) continue;
      const known = path === undefined ? undefined : textToPath(path);
      run.performOwn({ kind: 'purge', path: known, from, item: id }, { reason: 'asked for' });
      purged.push(id);
    }
    run.end('mended');
  } catch (error) {
    run.end('failed');
    throw error;
  }
  return purged;
}

function settleAll(store: RunStore, root: Root): void {
  for (const id of unfinishedRuns(store)) settleRun(store, root, id);
}

function find(site: Site, id: string): Known {
  const found = known(site).find(({ item }) => item.id === id);
  if (found === undefined) throw unknown(id);
  return found;
}

function unknown(id: string): DebmendError {
  return new DebmendError(
    'unknown-quarantine',
    `looking for ${id} in the quarantine: it is not there`,
    "'debmend quarantine list' tells what is",
  );
}

function known(site: Site): Known[] {
  const all: Known[] = [];
  const places = new Set<string>();
  for (const run of runIds(site.store)) {
    for (const { intent } of readHistory(site.store, run).actions) {
      const { step, action, at, why } = intent;
      if (!('place' in step)) continue;
      const thing = look(site, step.place);
      if (thing === null) continue;
      places.add(step.place);
      const id = `${run}/${action}`;
      const place = pathToText(placeOnHost(site, step.place));
      // After a restore over it, what lies there stood at the same path.
      const item: QuarantineItem = { id, run, at, path: step.path, place, thing, why };
      all.push({ item, place: step.place });
    }
  }
  return [...all, ...orphans(site, places)];
}

/** Things whose journal is lost: they have a place, and nothing else is known of them. */
function orphans(site: Site, places: ReadonlySet<string>): Known[] {
  const { root, store } = site;
  const tops = new Set<Bytes>(['']);
  for (const { mountPoint } of readMounts())
    if (mountPoint.startsWith(`${root.prefix}/`)) tops.add(mountPoint.slice(root.prefix.length));
  const above: [host: Bytes, place: string][] = [
    [`${bytesFromText(store.directory)}/quarantine`, 'quarantine'],
    ...[...tops].map((top): [Bytes, string] => [
      root.hostPath(`${top === '/' ? '' : top}/${ELSEWHERE}`),
      pathToText(`${top === '/' ? '' : top}/${ELSEWHERE}`),
    ]),
  ];
  return above.flatMap(([host, text]) =>
    namesIn(host)
      .filter(isRunId)
      .flatMap((run) =>
        namesIn(`${host}/${run}`).flatMap((name): Known[] => {
          const place = `${text}/${run}/${name}`;
          if (!/^\d+$/.test(name) || places.has(place)) return [];
          const thing = look(site, place);
          const item: QuarantineItem = {
            id: `${run}/${name}`,
            run,
            place: pathToText(`${host}/${run}/${name}`),
            ...(thing === null ? {} : { thing }),
          };
          return [{ item, place }];
        }),
      ),
  );
}

function look(site: Site, place: string): QuarantineItem['thing'] | null {
  try {
    return Opened.with((opened) => {
      const spot = openPlace(opened, site, place, false);
      return spot === undefined ? null : lookAt(spot);
    });
  } catch {
    return null; // its filesystem is not mounted, or someone else's directory stands there
  }
}

function namesIn(host: Bytes): Bytes[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer' })
      .map((name) => bytesOf(name))
      .sort();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}
