/**
 * Deleting what is in the quarantine, the only deletion there is. Processes may still work in a directory that was moved
 * there, and swap its parts for links; so nothing is ever deleted by a path of more than one name: what is in a
 * subdirectory is brought up into a directory of debmend's own first, and no depth is too much for it.
 */
import { mkdirSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { type Bytes, bytesOf } from '../../system/bytes.ts';
import { errnoOf } from '../../system/errors.ts';
import { at } from './moves.ts';
import { type Directory, type Opened, openPlace, type Site, type Spot } from './places.ts';
import { lookAt } from './things.ts';

/**
 * Deletes a quarantined thing. Cut short, it goes on where it was when it is called again.
 *
 * @throws the error of a system call
 */
export function purge(opened: Opened, site: Site, place: string): void {
  const spot = openPlace(opened, site, place, false);
  if (spot === undefined) return;
  const pit: Spot = { directory: spot.directory, name: `${spot.name}.purge` };
  const thing = lookAt(spot);
  if (thing !== null && thing.type !== 'directory') unlinkSync(at(spot));
  else if (thing !== null) {
    makePit(pit);
    renameSync(at(spot), at({ directory: opened.add(spot.directory.open(pit.name)), name: '0' }));
  }
  if (lookAt(pit) !== null) {
    empty(opened.add(spot.directory.open(pit.name)));
    rmdirSync(at(pit));
  }
  spot.directory.sync();
}

function makePit(pit: Spot): void {
  try {
    mkdirSync(at(pit), { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

function empty(pit: Directory): void {
  let next = 1;
  for (;;) {
    const names = namesIn(pit, '.');
    if (names.length === 0) return;
    for (const name of names) {
      const spot: Spot = { directory: pit, name };
      if (lookAt(spot)?.type !== 'directory') {
        unlinkSync(at(spot));
        continue;
      }
      const directory = pit.open(name);
      try {
        for (const inner of namesIn(directory, '.')) {
          const from: Spot = { directory, name: inner };
          if (lookAt(from)?.type !== 'directory') unlinkSync(at(from));
          else {
            const to = freeName(pit, next);
            next = to + 1;
            renameSync(at(from), at({ directory: pit, name: String(to) }));
          }
        }
      } finally {
        directory.close();
      }
      rmdirSync(at(spot));
    }
  }
}

function freeName(pit: Directory, first: number): number {
  for (let name = first; ; name += 1)
    if (lookAt({ directory: pit, name: String(name) }) === null) return name;
}

function namesIn(directory: Directory, name: Bytes): Bytes[] {
  return readdirSync(directory.entry(name), { encoding: 'buffer' }).map((each) => bytesOf(each));
}
