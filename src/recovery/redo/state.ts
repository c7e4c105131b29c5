/**
 * State that an interrupted transaction made outside every manifest and every tracked glob. A postinst that finds a
 * half-made /var/lib/mysql leaves it alone, and the service never starts (facts): only moving it aside and configuring
 * anew mends that. Three things have to hold, so that no user's data ever moves:
 *
 *  - a package of the transaction names the place, in its archive or literally in a maintainer script;
 *  - nobody else's package owns it;
 *  - the filesystem says that it was born after the transaction began (statx(2), stx_btime). A filesystem that does not
 *    tell (0, or a birth that equals the last change) leaves everything where it is.
 *
 * A package that dpkg called `installed` long before the end has its state on disk by then: the kernel writes what is
 * older than half a minute (vm.dirty_expire_centisecs). That stays.
 */

import { lstatSync, type Stats } from 'node:fs';
import { PLACES, SHARED } from '../../dpkg/script-places.ts';
import { bytesToText } from '../../model/path-text.ts';
import { type Bytes, fsPath } from '../../system/bytes.ts';
import { namesIn } from '../../system/files.ts';
import type { Before } from './before.ts';
import { aside, type Effect, type EffectsInput } from './effect.ts';

/** After so long everything that was written is on disk, in milliseconds: 30 s until it expires, 5 until a flusher comes. */
export const WRITTEN_BACK_MS = 60_000;
/** File times are coarser than clocks. */
const TICK_MS = 1000;
/** Deeper trees are looked at no further; what is below is as old as what is above, or older. */
const MAX_LOOKED_AT = 20_000;

export function stateOf(input: EffectsInput): Effect[] {
  const { root } = input;
  const startedAt = beginningOf(input.before);
  const effects: Effect[] = [];
  const taken: Bytes[] = [];
  for (const [place, unfinished] of places(input)) {
    const found = root.resolve(place);
    if (found.kind !== 'found') continue;
    const { inside } = found;
    if (SHARED.test(inside) || taken.some((path) => inside === path || inside.startsWith(`${path}/`)))
      continue;
    if (input.before.find(inside) !== undefined || input.ownedByOthers(inside)) continue;
    for (const path of bornSince(root.hostPath(inside), inside, startedAt)) {
      if (SHARED.test(path) || input.ownedByOthers(path)) continue;
      if (!unfinished && newest(root.hostPath(path)) < input.lastAlive - WRITTEN_BACK_MS) continue;
      taken.push(path);
      const reason = unfinished
        ? `the interrupted installation made it and did not finish; ${bytesToText(path)} is made anew`
        : 'the interrupted installation made it, and the last of it may never have reached the disk';
      effects.push(aside(path, reason, true));
    }
  }
  return effects;
}

/** Every place that a package of the transaction names, the shallow ones first, and whether that package is unfinished. */
function places({ packages, archives }: EffectsInput): [Bytes, boolean][] {
  const places = new Map<Bytes, boolean>();
  for (const pkg of packages) {
    const archive = archives.get(pkg);
    if (archive === undefined) continue;
    const unfinished = pkg.why === 'unfinished';
    const put = (place: Bytes): void => {
      places.set(place, (places.get(place) ?? false) || unfinished);
    };
    for (const script of archive.scripts) for (const place of script.match(PLACES) ?? []) put(place);
    for (const { path, type } of archive.entries)
      if (type === 'directory' && /^\/(?:var|srv|opt)\/[^/]+\/./.test(path)) put(path);
  }
  return [...places].sort(([a], [b]) => a.length - b.length);
}

/** The path itself when it is that young, else what is in it. */
function bornSince(host: Bytes, inside: Bytes, since: number): Bytes[] {
  const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (isBornSince(stat, since)) return [inside];
  if (!stat.isDirectory()) return [];
  return namesIn(host).flatMap((name) => {
    const child = lstatSync(fsPath(`${host}/${name}`), { throwIfNoEntry: false });
    return child !== undefined && !child.isSymbolicLink() && isBornSince(child, since)
      ? [`${inside}/${name}`]
      : [];
  });
}

/** When the first run began that was not sealed, in milliseconds since the epoch. */
export function beginningOf({ runs, transaction }: Before): number {
  return Date.parse(runs[0]?.at ?? transaction.startedAt) - TICK_MS;
}

/** Whether a file was made then or later (statx(2), stx_btime); not where the filesystem does not tell. */
export function isBornSince({ birthtimeMs }: Stats, since: number): boolean {
  return birthtimeMs > 0 && birthtimeMs >= since;
}

/** The latest change of anything in a tree, in milliseconds since the epoch. */
function newest(host: Bytes): number {
  let latest = 0;
  const pending = [host];
  for (let looked = 0; looked < MAX_LOOKED_AT; looked += 1) {
    const path = pending.pop();
    if (path === undefined) return latest;
    const stat = lstatSync(fsPath(path), { throwIfNoEntry: false });
    if (stat === undefined) continue;
    latest = Math.max(latest, stat.ctimeMs);
    if (stat.isDirectory()) for (const name of namesIn(path)) pending.push(`${path}/${name}`);
  }
  return Number.POSITIVE_INFINITY;
}
