/**
 * Carrying out a step, and settling one that was cut short. Each does the same few moves (moves.ts) in an order in which
 * the disk itself tells, at every instant, how far it came:
 *
 *     quarantine  path ─rename─► place
 *     remove      path ─rename─► place ─unlink─► gone
 *     put, link,  temporary made ─► place named too ─► temporary ─rename─► path
 *     directory
 *     restore     [path kept at place] ─► from ─rename or link+unlink─► path
 *     rename      to named too ─► path ─rename─► place ─unlink─► gone
 *     purge       from ─► gone, piece by piece
 *
 * What has not come to the move that decides is taken back and counts as not begun; what has is completed.
 */
import { renameSync, unlinkSync } from 'node:fs';
import { textToPath } from '../../model/path-text.ts';
import type { Step, Thing } from '../../model/run.ts';
import { DebmendError } from '../../system/errors.ts';
import {
  at,
  changed,
  dropOldName,
  dropTemporary,
  keepAside,
  moveAlong,
  moveAside,
  moveBack,
  syncBoth,
  takeBack,
} from './moves.ts';
import { dropEmptyPlace, Opened, openPlace, openTarget, type Site, type Spot } from './places.ts';
import { describe } from './prepare.ts';
import { purge } from './purge.ts';
import { refused } from './refusal.ts';
import { type Data, makeTemporary } from './temporary.ts';
import { Held, hasAttributes, hashOf, isSame, isSameInode, lookAt } from './things.ts';

/** What of an intent is needed to act. */
export interface Task {
  readonly step: Step;
  readonly before: Thing | null;
}

export interface Settled {
  readonly left: 'done' | 'not-begun';
  readonly after: Thing | null;
  /** What a person should know beside. */
  readonly note?: string;
}

/**
 * Does what the intent says; it is durable when this returns.
 *
 * @returns what stands at the path afterwards; of a rename, at the new one
 * @throws the error of a system call, DebmendError; the caller settles what was begun
 */
export function carryOut(site: Site, { step, before }: Task, data: Data | undefined): Thing | null {
  const doing = describe(step);
  return Opened.with((opened) => {
    if (step.kind === 'purge') {
      purge(opened, site, step.from);
      dropEmptyPlace(opened, site, step.from);
      return null;
    }
    const target = openTarget(opened, site, textToPath(step.path), doing);
    if (!isSame(lookAt(target), before)) throw changed(doing);
    switch (step.kind) {
      case 'quarantine':
        moveAside(target, present(before, doing), made(opened, site, step.place), doing);
        return null;
      case 'remove': {
        const place = made(opened, site, step.place);
        moveAside(target, present(before, doing), place, doing);
        unlinkSync(at(place));
        place.directory.sync();
        dropEmptyPlace(opened, site, step.place);
        return null;
      }
      case 'put':
      case 'link':
      case 'directory': {
        const temporary: Spot = { directory: target.directory, name: step.temporary };
        makeTemporary(temporary, step, data, doing);
        const place = before === null ? undefined : made(opened, site, step.place);
        if (before !== null && place !== undefined) {
          // A directory can't replace anything else, nor be replaced: then the old one leaves first.
          if (step.kind === 'directory') moveAside(target, before, place, doing);
          else keepAside(target, before, place, doing);
        }
        decide(temporary, target, place);
        target.directory.sync();
        return lookAt(target);
      }
      case 'attributes':
        Held.with(target, (held) => {
          if (before === null || String(held.stat.ino) !== before.inode) throw changed(doing);
          held.set(step.attributes);
        });
        return lookAt(target);
      case 'rename': {
        const to = openTarget(opened, site, textToPath(step.to), doing);
        moveAlong(target, present(before, doing), to, made(opened, site, step.place), doing);
        dropEmptyPlace(opened, site, step.place);
        return lookAt(to);
      }
      case 'restore': {
        const from = openPlace(opened, site, step.from, false);
        if (from === undefined)
          throw refused(doing, 'it is not in the quarantine any more', 'see the journal');
        if (!isSame(lookAt(from), step.thing)) throw changed(doing);
        if (before === null) moveBack(from, target);
        else {
          const place = made(opened, site, step.place);
          if (step.thing.type === 'directory') moveAside(target, before, place, doing);
          else keepAside(target, before, place, doing);
          decide(from, target, place);
          syncBoth(target, from);
        }
        dropEmptyPlace(opened, site, step.from);
        return lookAt(target);
      }
    }
  });
}

/** The move that decides. What stands in the way by now is only what was kept a moment ago. */
function decide(from: Spot, target: Spot, place: Spot | undefined): void {
  const now = lookAt(target);
  if (now !== null && (place === undefined || !isSame(now, lookAt(place))))
    throw Object.assign(new Error('the name is taken'), { code: 'EEXIST' });
  // Two names of one inode: rename(2) would leave both.
  if (now !== null && isSame(now, lookAt(from))) unlinkSync(at(from));
  else renameSync(at(from), at(target));
}

function made(opened: Opened, site: Site, place: string): Spot {
  const spot = openPlace(opened, site, place, true);
  if (spot === undefined) throw refused(`opening ${place}`, 'it is not there', 'run it again');
  return spot;
}

function present(thing: Thing | null, doing: string): Thing {
  if (thing === null) throw refused(doing, 'nothing stands there', 'run it again');
  return thing;
}

/**
 * Brings a step whose end is not known to one of two ends. Called again after another cut it comes to the same.
 *
 * @throws the error of a system call: the disk does not let itself be put right; nothing is lost
 */
export function settle(site: Site, task: Task): Settled {
  return Opened.with((opened) => settleIn(opened, site, task));
}

function settleIn(opened: Opened, site: Site, { step, before }: Task): Settled {
  const doing = describe(step);
  if (step.kind === 'purge') {
    purge(opened, site, step.from);
    dropEmptyPlace(opened, site, step.from);
    return { left: 'done', after: null };
  }
  let target: Spot;
  try {
    target = openTarget(opened, site, textToPath(step.path), doing);
  } catch (error) {
    if (error instanceof DebmendError && error.code === 'action-refused')
      return lost(opened, site, step, error);
    throw error;
  }
  const now = lookAt(target);
  if (step.kind === 'attributes') {
    if (before === null || now === null || now.inode !== before.inode || now.type !== before.type)
      return { left: 'not-begun', after: now, note: 'something else stands there now' };
    Held.with(target, (held) => held.set(step.attributes));
    return { left: 'done', after: lookAt(target) };
  }
  const place = openPlace(opened, site, step.place, false);
  const kept = place === undefined ? null : lookAt(place);
  switch (step.kind) {
    case 'quarantine':
      if (place === undefined || kept === null) {
        dropEmptyPlace(opened, site, step.place);
        return { left: 'not-begun', after: now };
      }
      syncBoth(place, target);
      return { left: 'done', after: now };
    case 'remove':
      if (place !== undefined && kept !== null) {
        if (!isSame(kept, before)) return { left: 'done', after: now, note: 'it stays in the quarantine' };
        unlinkSync(at(place));
        place.directory.sync();
      }
      dropEmptyPlace(opened, site, step.place);
      if (kept !== null) return { left: 'done', after: now };
      return { left: isSame(now, before) ? 'not-begun' : 'done', after: now };
    case 'put':
    case 'link':
    case 'directory':
      return settlePlaced(opened, site, step, before, target);
    case 'rename': {
      const to = openTarget(opened, site, textToPath(step.to), doing);
      const there = lookAt(to);
      if (before === null || !isSameInode(there, before)) {
        const back = place === undefined || there !== null ? 'nothing' : takeBack(place, target);
        dropEmptyPlace(opened, site, step.place);
        return { left: 'not-begun', after: lookAt(to), ...(back === 'kept' ? KEPT : {}) };
      }
      if (place !== undefined && kept !== null) {
        unlinkSync(at(place));
        place.directory.sync();
      } else if (now !== null && isSameInode(now, before))
        dropOldName(target, now, made(opened, site, step.place), doing);
      syncBoth(to, target);
      dropEmptyPlace(opened, site, step.place);
      return { left: 'done', after: there };
    }
    case 'restore': {
      const from = openPlace(opened, site, step.from, false);
      const source = from === undefined ? null : lookAt(from);
      if (from === undefined || source === null) {
        target.directory.sync();
        dropEmptyPlace(opened, site, step.from);
        const changedSince = isSame(now, step.thing) ? {} : { note: 'it was changed since' };
        return { left: 'done', after: now, ...changedSince };
      }
      if (isSame(now, source)) {
        // It has its place again; only the name in the quarantine is left to go.
        unlinkSync(at(from));
        syncBoth(target, from);
        dropEmptyPlace(opened, site, step.from);
        return { left: 'done', after: now };
      }
      const back = place === undefined ? 'nothing' : takeBack(place, target);
      dropEmptyPlace(opened, site, step.place);
      return { left: 'not-begun', after: lookAt(target), ...(back === 'kept' ? KEPT : {}) };
    }
  }
}

const KEPT = { note: 'something else stands there now; what stood there before is in the quarantine' };

type Placing = Extract<Step, { kind: 'put' | 'link' | 'directory' }>;

function settlePlaced(
  opened: Opened,
  site: Site,
  step: Placing,
  before: Thing | null,
  target: Spot,
): Settled {
  const temporary: Spot = { directory: target.directory, name: step.temporary };
  const half = lookAt(temporary) !== null;
  const place = openPlace(opened, site, step.place, half);
  const unfinished = place !== undefined && dropTemporary(temporary, place);
  const now = lookAt(target);
  const kept = place === undefined ? null : lookAt(place);
  if (!unfinished && (before === null || kept !== null)) {
    if (now !== null && isAsPut(target, now, step)) {
      target.directory.sync();
      return { left: 'done', after: now };
    }
    // Neither the temporary name nor the old thing is there: the new one was in its place, and someone changed it.
    if (now !== null && kept !== null && !isSame(now, kept))
      return { left: 'done', after: now, note: 'it was changed since' };
  }
  const back = place === undefined ? 'nothing' : takeBack(place, target);
  dropEmptyPlace(opened, site, step.place);
  return { left: 'not-begun', after: lookAt(target), ...(back === 'kept' ? KEPT : {}) };
}

/** Whether a thing is what the step puts there, read again. */
export function isAsPut(spot: Spot, thing: Thing, step: Placing): boolean {
  switch (step.kind) {
    case 'put':
      if (thing.type !== 'file' || thing.size !== step.size || !hasAttributes(thing, step.attributes))
        return false;
      return Held.with(spot, hashOf) === step.sha256;
    case 'link':
      return (
        thing.type === 'link' &&
        thing.target === step.target &&
        thing.uid === step.uid &&
        thing.gid === step.gid
      );
    case 'directory': {
      // Its time changes with every name in it.
      const { mtime: _mtime, ...attributes } = step.attributes;
      return thing.type === 'directory' && hasAttributes(thing, attributes);
    }
  }
}

/** The directory of the path is not there any more: what the quarantine has is all that is known. */
function lost(
  opened: Opened,
  site: Site,
  step: Exclude<Step, { kind: 'purge' }>,
  error: DebmendError,
): Settled {
  const place = 'place' in step ? openPlace(opened, site, step.place, false) : undefined;
  const kept = place !== undefined && lookAt(place) !== null;
  const left = kept && (step.kind === 'quarantine' || step.kind === 'remove') ? 'done' : 'not-begun';
  return { left, after: null, note: error.message };
}
