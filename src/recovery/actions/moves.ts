/**
 * The moves that every action is made of, and their way back. At no instant is a thing without a name: it gets the new
 * one before it loses the old one, or both at once by rename. Every move between two looks is checked: what was moved
 * has to be what was looked at.
 */
import { linkSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import type { Thing } from '../../model/run.ts';
import { errnoOf } from '../../system/errors.ts';
import type { Spot } from './places.ts';
import { refused } from './refusal.ts';
import { isSame, lookAt } from './things.ts';

/** What link(2) answers where a second name is not to be had: the type, the filesystem, or its limit. */
const NO_LINK: ReadonlySet<string> = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK']);

export function at({ directory, name }: Spot): string | Buffer {
  return directory.entry(name);
}

/** Gives a thing a second name. @returns false where none is to be had @throws EEXIST and other errors of link(2) */
function linked(from: Spot, to: Spot): boolean {
  try {
    linkSync(at(from), at(to));
    return true;
  } catch (error) {
    if (NO_LINK.has(errnoOf(error) ?? '')) return false;
    throw error;
  }
}

/** Renames to a name that has to be free. rename(2) itself would replace what stands there. */
function renameToFree(from: Spot, to: Spot): void {
  if (lookAt(to) !== null) throw Object.assign(new Error('the name is taken'), { code: 'EEXIST' });
  renameSync(at(from), at(to));
}

/** Both ends of a rename made durable, the new name first. */
export function syncBoth(to: Spot, from: Spot): void {
  to.directory.sync();
  if (from.directory !== to.directory) from.directory.sync();
}

/** Moves a thing into the quarantine, durably. @throws when what was moved is not what had been looked at */
export function moveAside(from: Spot, thing: Thing, place: Spot, doing: string): void {
  renameToFree(from, place);
  if (!isSame(lookAt(place), thing)) {
    moveBack(place, from);
    throw changed(doing);
  }
  syncBoth(place, from);
}

/**
 * Gives a thing a second name in the quarantine, durably; it stays where it is. Where that is impossible, and for
 * directories, it is moved.
 */
export function keepAside(from: Spot, thing: Thing, place: Spot, doing: string): void {
  if (thing.type === 'directory' || !linked(from, place)) {
    moveAside(from, thing, place, doing);
    return;
  }
  // A link's look is compared, not the name's: who swaps the two would be seen.
  if (!isSame(lookAt(place), thing)) {
    unlinkSync(at(place));
    throw changed(doing);
  }
  place.directory.sync();
}

/** Brings a thing from a private directory to a name that has to be free. @throws EEXIST when it is not */
export function moveBack(place: Spot, to: Spot): void {
  if (lookAt(place)?.type === 'directory' || !linked(place, to)) renameToFree(place, to);
  else {
    to.directory.sync();
    unlinkSync(at(place));
  }
  syncBoth(to, place);
}

/**
 * Gives a thing another name that has to be free. A name in a directory that others may write to is not unlinked: what
 * has it by then might be someone else's. It is moved into the quarantine first, and looked at there.
 */
export function moveAlong(from: Spot, thing: Thing, to: Spot, place: Spot, doing: string): void {
  if (thing.type === 'directory' || !linked(from, to)) {
    renameToFree(from, to);
    if (!isSame(lookAt(to), thing)) {
      renameToFree(to, from);
      throw changed(doing);
    }
    syncBoth(to, from);
    return;
  }
  to.directory.sync();
  if (!isSame(lookAt(to), thing)) {
    // Someone else's thing got a second name: that is taken away again, unless it has become the only one.
    renameToFree(to, place);
    if (isSame(lookAt(place), lookAt(from))) unlinkSync(at(place));
    throw changed(doing);
  }
  dropOldName(from, thing, place, doing);
}

/** The second half of moveAlong: the old name of what has its new one already. */
export function dropOldName(from: Spot, thing: Thing, place: Spot, doing: string): void {
  moveAside(from, thing, place, doing);
  unlinkSync(at(place));
  place.directory.sync();
}

/**
 * Takes a temporary name away. It was debmend's own when it was made, but stands in a directory that others may write
 * to: so it is moved into the quarantine under `N.new` first, and deleted there only if it is what debmend makes.
 *
 * @returns whether there was one
 */
export function dropTemporary(temporary: Spot, place: Spot): boolean {
  const half: Spot = { directory: place.directory, name: `${place.name}.new` };
  const found = lookAt(temporary) !== null;
  if (found && lookAt(half) === null) renameSync(at(temporary), at(half));
  const thing = lookAt(half);
  if (thing === null) return found;
  syncBoth(half, temporary);
  if (thing.type === 'directory') {
    try {
      rmdirSync(at(half));
    } catch (error) {
      if (errnoOf(error) !== 'ENOTEMPTY') throw error; // someone put something into it: that stays
    }
  } else if (thing.links === 1 && (thing.type === 'file' || thing.type === 'link')) unlinkSync(at(half));
  half.directory.sync();
  return true;
}

/**
 * Undoes keepAside or moveAside of an action that did not come to its end.
 *
 * @returns what could not be put back because something else stands there; it stays in the quarantine
 */
export function takeBack(place: Spot, to: Spot): 'nothing' | 'back' | 'kept' {
  const kept = lookAt(place);
  if (kept === null) return 'nothing';
  const now = lookAt(to);
  if (now === null) {
    moveBack(place, to);
    return 'back';
  }
  if (!isSame(kept, now)) return 'kept';
  unlinkSync(at(place));
  place.directory.sync();
  return 'back';
}

export function changed(doing: string): Error {
  return refused(
    doing,
    'it was changed by someone else at that moment',
    'see who changes it, then run it again',
  );
}
