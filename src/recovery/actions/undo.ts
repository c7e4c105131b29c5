/**
 * Taking a run back, action by action, the newest first. Each way back is an action of a run of its own, journaled like
 * any other; so an undo that is killed is settled like any run, and called again goes on with what is left. What someone
 * changed since stays as it is, and is said.
 */
import { readdirSync } from 'node:fs';
import { textToPath } from '../../model/path-text.ts';
import type { Step, Thing, Undo } from '../../model/run.ts';
import { bytesOf } from '../../system/bytes.ts';
import { DebmendError, messageOf } from '../../system/errors.ts';
import type { Root } from '../../system/root.ts';
import { type RunStore, runIds } from '../journal.ts';
import { type Done, readHistory } from './history.ts';
import { Opened, openPlace, openTarget, type Site } from './places.ts';
import { type Attributes, describe, type OwnAction } from './prepare.ts';
import { refused } from './refusal.ts';
import { Run } from './run.ts';
import { refuseRunning, settleRun, unfinishedRuns } from './settle.ts';
import { isAsPut } from './steps.ts';
import { hasAttributes, isSame, isUnchanged, lookAt } from './things.ts';

export interface UndoOptions {
  /** Without it only looks, and says what would be done. */
  readonly apply: boolean;
  readonly command?: readonly string[] | undefined;
}

type Entry = Undo['actions'][number];

/**
 * Takes a run back.
 *
 * @throws DebmendError `unknown-run`; `locked` while its process still works; `action-refused` when lines of its journal
 * are lost, or when it would be settled first but may not be, and what settling throws
 */
export function undoRun(store: RunStore, root: Root, id: string, options: UndoOptions): Undo {
  refuseRunning(readHistory(store, id));
  if (options.apply) for (const unfinished of unfinishedRuns(store)) settleRun(store, root, unfinished);
  const history = readHistory(store, id);
  if (history.damage !== undefined) {
    throw refused(
      `undoing run ${id}`,
      `its journal is damaged: ${history.damage}`,
      "'debmend quarantine list' tells what can be put back one by one",
    );
  }
  const undone = undoneActions(store, id);
  const site = { root, store };
  const looks = new Looks(site);
  const entries: Entry[] = [];
  let run: Run | undefined;
  for (const done of history.actions.toReversed()) {
    const { action, step } = done.intent;
    const entry = (outcome: Entry['outcome'], text: string): void => {
      entries.push({ id: `${id}/${action}`, kind: step.kind, path: step.path ?? '', outcome, text });
    };
    if (done.state === 'not-begun') continue;
    if (undone.has(action)) {
      entry('undone-before', 'it was taken back already');
      continue;
    }
    const way = wayBack(looks, `${id}/${action}`, done);
    if (way.kind !== 'action') {
      entry(way.kind, way.text);
      continue;
    }
    if (!options.apply) {
      looks.pretend(done);
      entry('would-undo', describe(way.action));
      continue;
    }
    run ??= Run.begin(store, root, {
      command: options.command ?? ['undo', id],
      policy: undefined,
      undoes: id,
    });
    try {
      run.performOwn(way.action, { reason: `undo of ${id}/${action}` }, { run: id, action });
      entry('undone', describe(way.action));
    } catch (error) {
      if (!(error instanceof DebmendError)) throw error;
      entry('failed', messageOf(error));
    }
  }
  const whole = entries.every(({ outcome }) => outcome === 'undone' || outcome === 'undone-before');
  run?.end(whole ? 'mended' : 'incomplete');
  return {
    run: id,
    applied: options.apply,
    ...(run === undefined ? {} : { by: run.id }),
    actions: entries,
    programs: [...history.programs],
  };
}

/** The actions of a run that were taken back, and whose taking back was not taken back itself. */
function undoneActions(store: RunStore, id: string): Set<number> {
  const histories = runIds(store).map((run) => readHistory(store, run));
  const undoneOf = (run: string): Set<number> => {
    const undone = new Set<number>();
    for (const history of histories) {
      const own = history.actions.filter(({ intent }) => intent.undoes?.run === run);
      if (own.length === 0) continue;
      const again = undoneOf(history.id);
      for (const { intent, state } of own)
        if (state === 'done' && intent.undoes !== undefined && !again.has(intent.action))
          undone.add(intent.undoes.action);
    }
    return undone;
  };
  return undoneOf(id);
}

type Way =
  | { readonly kind: 'action'; readonly action: OwnAction }
  | { readonly kind: 'changed-since' | 'impossible' | 'undone-before'; readonly text: string };

function wayBack(looks: Looks, id: string, done: Done): Way {
  try {
    return wayBackFrom(looks, id, done);
  } catch (error) {
    if (error instanceof DebmendError) return { kind: 'changed-since', text: error.message };
    throw error;
  }
}

function wayBackFrom(looks: Looks, id: string, done: Done): Way {
  const { step, before } = done.intent;
  switch (step.kind) {
    case 'quarantine': {
      const now = looks.at(step.path);
      if (now !== 'unknown' && now !== null)
        return isSame(now, before)
          ? { kind: 'undone-before', text: 'it is in its place again' }
          : { kind: 'changed-since', text: 'something else stands there now' };
      return restored(looks, id, step.place, step.path, false);
    }
    case 'remove': {
      const target = before?.target;
      if (before === null || target === undefined)
        return { kind: 'impossible', text: 'it was deleted, by policy; the journal has its hash alone' };
      const now = looks.at(step.path);
      if (now !== 'unknown' && now !== null)
        return { kind: 'changed-since', text: 'something else stands there now' };
      const { uid, gid } = before;
      return {
        kind: 'action',
        action: {
          kind: 'link',
          path: textToPath(step.path),
          target: textToPath(target),
          attributes: { uid, gid },
        },
      };
    }
    case 'put':
    case 'link':
    case 'directory':
    case 'restore': {
      const why = whyChanged(looks, step, done.after);
      if (why !== undefined) return { kind: 'changed-since', text: why };
      if (before !== null) return restored(looks, id, step.place, step.path, true);
      return { kind: 'action', action: { kind: 'quarantine', path: textToPath(step.path) } };
    }
    case 'attributes': {
      const now = looks.at(step.path);
      if (before === null) return { kind: 'impossible', text: 'what was there before is not known' };
      if (now !== 'unknown') {
        if (now === null || now.inode !== before.inode || now.type !== before.type)
          return { kind: 'changed-since', text: 'something else stands there now' };
        const { mtime: _mtime, ...attributes } = step.attributes;
        if (!hasAttributes(now, before.type === 'directory' ? attributes : step.attributes))
          return { kind: 'changed-since', text: 'its mode, owner or time were changed since' };
      }
      return {
        kind: 'action',
        action: {
          kind: 'attributes',
          path: textToPath(step.path),
          attributes: attributesOf(before, step.attributes.mtime !== undefined),
        },
      };
    }
    case 'rename': {
      const now = looks.at(step.to);
      if (now !== 'unknown' && !isUnchanged(now, done.after))
        return { kind: 'changed-since', text: 'what had the new name was changed since' };
      const old = looks.at(step.path);
      if (old !== 'unknown' && old !== null)
        return { kind: 'changed-since', text: 'something else has the old name now' };
      return {
        kind: 'action',
        action: { kind: 'rename', from: textToPath(step.to), to: textToPath(step.path) },
      };
    }
    case 'purge':
      return { kind: 'impossible', text: 'what was purged is gone' };
  }
}

function restored(looks: Looks, item: string, from: string, path: string, over: boolean): Way {
  if (looks.quarantined(from) === null)
    return { kind: 'impossible', text: 'what stood there is not in the quarantine any more' };
  return { kind: 'action', action: { kind: 'restore', path: textToPath(path), from, item, over } };
}

/** Why what an action put in place must not be moved again; undefined when it is as it was put. */
function whyChanged(
  looks: Looks,
  step: Extract<Step, { kind: 'put' | 'link' | 'directory' | 'restore' }>,
  after: Thing | null,
): string | undefined {
  const now = looks.at(step.path);
  if (now === 'unknown') return undefined;
  if (now === null) return 'it was taken away since';
  if (step.kind === 'restore') {
    if (now.type === 'directory')
      return 'a whole directory was put back: what changed in it since is not known';
    return isUnchanged(now, after) ? undefined : 'it was changed since';
  }
  if (looks.isPretended(step.path) ? !isUnchanged(now, after) : !looks.isAsPut(step, now))
    return 'it was changed since';
  if (step.kind === 'directory' && !looks.isEmpty(step.path)) return 'something is in the directory now';
  return undefined;
}

function attributesOf(thing: Thing, time: boolean): Attributes {
  return {
    mode: Number.parseInt(thing.mode, 8),
    uid: thing.uid,
    gid: thing.gid,
    ...(time ? { mtime: BigInt(thing.mtime) } : {}),
    ...(thing.capability === undefined ? {} : { capability: Buffer.from(thing.capability, 'hex') }),
  };
}

/** What stands where; without --apply as if what would be done before had been done. */
class Looks {
  readonly #site: Site;
  readonly #pretended = new Map<string, Thing | null>();

  constructor(site: Site) {
    this.#site = site;
  }

  /** `unknown`: below something that would be moved. */
  at(path: string): Thing | null | 'unknown' {
    const known = this.#pretended.get(path);
    if (known !== undefined) return known;
    for (let above = parentOf(path); above !== ''; above = parentOf(above))
      if (this.#pretended.has(above)) return 'unknown';
    return Opened.with((opened) =>
      lookAt(openTarget(opened, this.#site, textToPath(path), `looking at ${path}`)),
    );
  }

  isPretended(path: string): boolean {
    return this.#pretended.has(path);
  }

  isAsPut(step: Parameters<typeof isAsPut>[2], thing: Thing): boolean {
    return Opened.with((opened) =>
      isAsPut(openTarget(opened, this.#site, textToPath(step.path), `looking at ${step.path}`), thing, step),
    );
  }

  /** Of one that would be renamed back this is looked at when it has been. */
  isEmpty(path: string): boolean {
    if (this.isPretended(path)) return true;
    return Opened.with((opened) => {
      const { directory, name, inside } = openTarget(
        opened,
        this.#site,
        textToPath(path),
        `looking at ${path}`,
      );
      const names = readdirSync(opened.add(directory.open(name)).entry('.'), { encoding: 'buffer' });
      const gone = new Set(
        [...this.#pretended].flatMap(([at, thing]) => (thing === null ? [textToPath(at)] : [])),
      );
      return names.every((each) => gone.has(`${inside}/${bytesOf(each)}`));
    });
  }

  quarantined(place: string): Thing | null {
    return Opened.with((opened) => {
      const spot = openPlace(opened, this.#site, place, false);
      return spot === undefined ? null : lookAt(spot);
    });
  }

  /** From now on as if this had been taken back. */
  pretend({ intent: { step, before } }: Done): void {
    if (step.path !== undefined) this.#pretended.set(step.path, before);
    if (step.kind === 'rename') this.#pretended.set(step.to, null);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
