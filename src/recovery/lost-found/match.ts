/**
 * Which of what lies in lost+found belongs where. A file is known by its content, a link by its target, a directory by
 * what lies in it; an inode number that a snapshot knows decides between equals, and alone proves nothing, because
 * numbers are given again. What is not proved stays, and is described.
 */
import { lstatSync } from 'node:fs';
import type { LostUnknown } from '../../model/lost-found.ts';
import { pathToText } from '../../model/path-text.ts';
import type { Thing } from '../../model/run.ts';
import { Kind } from '../../scan/work.ts';
import type { Xxh64 } from '../../scan/xxh64.ts';
import { type Bytes, compareBytes, fsPath } from '../../system/bytes.ts';
import type { Root } from '../../system/root.ts';
import type { Lost } from './collect.ts';
import { type Place, type Places, stateOf } from './places.ts';

export interface Return {
  readonly lost: Lost;
  /** Inside the root, parents resolved. */
  readonly to: Bytes;
  readonly place: Place | undefined;
  /** What stands there is damaged, and goes to quarantine. */
  readonly replaces: boolean;
  /** Further places that lack the same content. */
  readonly others: readonly Bytes[];
  readonly source: string;
  readonly reason: string;
}

export interface Matched {
  /** Directories before what is returned into them. */
  readonly returns: readonly Return[];
  readonly stays: readonly LostUnknown[];
}

export function matchLost(root: Root, lost: readonly Lost[], places: Places, xxh64: Xxh64): Matched {
  const matcher = new Matcher(root, places, xxh64);
  // Directories first: what lies in one is known better by where it lies than by its content alone.
  for (const one of lost) if (one.type === 'directory') matcher.directory(one);
  for (const one of lost) if (one.type !== 'directory') matcher.single(one);
  return matcher.matched();
}

/** Everything, with what is below it. */
export function flatten(lost: readonly Lost[]): Lost[] {
  return lost.flatMap((one) => [one, ...flatten(one.children)]);
}

class Matcher {
  readonly #root: Root;
  readonly #places: Places;
  readonly #xxh64: Xxh64;
  readonly #returns: Return[] = [];
  readonly #stays: LostUnknown[] = [];
  /** Where something is going to be put already. */
  readonly #taken = new Set<Bytes>();

  constructor(root: Root, places: Places, xxh64: Xxh64) {
    this.#root = root;
    this.#places = places;
    this.#xxh64 = xxh64;
  }

  matched(): Matched {
    const depth = (path: Bytes): number => path.split('/').length;
    const returns = this.#returns.toSorted(
      (a, b) =>
        Number(b.lost.type === 'directory') - Number(a.lost.type === 'directory') ||
        depth(a.to) - depth(b.to) ||
        compareBytes(a.to, b.to),
    );
    return { returns, stays: this.#stays };
  }

  /** A file, a link, or something else that is no directory. */
  single(lost: Lost): void {
    if (lost.type !== 'file' && lost.type !== 'link') {
      this.#stay(lost, 'a special file has no content by which it could be known');
      return;
    }
    if (lost.type === 'file' && lost.content === undefined) {
      this.#stay(lost, 'it cannot be read to its end');
      return;
    }
    const places = this.#places
      .of(lost)
      .map((place) => ({ place, state: stateOf(this.#root, place, lost, this.#xxh64) }));
    const free = places.filter(({ place, state }) => state === 'missing' && !this.#taken.has(place.path));
    const damaged = places.filter(({ place, state }) => state === 'damaged' && !this.#taken.has(place.path));
    const open = free.length > 0 ? free : damaged;
    const chosen = this.#choose(
      lost,
      open.map(({ place }) => place),
    );
    if (chosen !== undefined) {
      const others = open.map(({ place }) => place.path).filter((path) => path !== chosen.place.path);
      this.#return(lost, chosen.place.path, chosen.place, {
        replaces: free.length === 0,
        others,
        reason: chosen.reason,
      });
      return;
    }
    const sound = places.find(({ state }) => state === 'sound');
    if (sound !== undefined) this.#stay(lost, `its content stands at ${pathToText(sound.place.path)}, too`);
    else if (open.length > 0)
      this.#stay(
        lost,
        'what it holds belongs at several places, and nothing tells at which this one stood',
        open.map(({ place }) => place.path),
      );
    else if (places.length > 0) {
      const { place } = places[0] ?? {};
      this.#stay(
        lost,
        `something else stands where it belongs${place === undefined ? '' : ` (${pathToText(place.path)})`}`,
        places.map((one) => one.place.path),
      );
    } else
      this.#stay(
        lost,
        'no manifest and no snapshot knows it',
        this.#places.ofInode(lost.ino, kindOf(lost.type)),
      );
  }

  /** Of several places with the same content the one that had this inode; else one that fits in mode, owner and time. */
  #choose(lost: Lost, places: readonly Place[]): { place: Place; reason: string } | undefined {
    const what = lost.type === 'link' ? 'link' : 'content';
    const byInode = places.filter(({ known }) => known?.ino === lost.ino);
    const [first] = byInode;
    if (byInode.length === 1 && first !== undefined)
      return { place: first, reason: `it has the ${what}, and the inode number, that this path had` };
    const [only] = places;
    // Empty files and the like are everywhere: one that merely has no content belongs nowhere in particular.
    const says = lost.size > 0 || lost.type === 'link';
    if (places.length === 1 && only !== undefined && says)
      return { place: only, reason: `no other path that lacks this ${what} is known` };
    const fitting = places.filter(({ known }) => known !== undefined && fits(known, lost));
    const [best] = fitting;
    if (fitting.length === 1 && best !== undefined)
      return {
        place: best,
        reason: `of ${places.length} paths that lack this ${what} it alone had this mode, owner and time`,
      };
    if (only === undefined || !says) return undefined;
    // They are the same byte for byte: whichever is first gets it, and the others are said.
    return {
      place: only,
      reason: `${places.length} paths lack this very ${what}; this is the first of them`,
    };
  }

  directory(lost: Lost): void {
    const to = this.#placeOf(lost);
    if (to === undefined) {
      // What is in it may be known by itself.
      const before = this.#returns.length;
      for (const child of lost.children)
        if (child.type === 'directory') this.directory(child);
        else if (this.#places.of(child).length > 0) this.single(child);
      if (this.#returns.length === before)
        this.#stay(
          lost,
          'nothing in it tells where it stood',
          this.#places.ofInode(lost.ino, Kind.directory),
        );
      return;
    }
    this.#directoryTo(lost, to.path, to.reason);
  }

  #directoryTo(lost: Lost, to: Bytes, reason: string): void {
    const stat = lstatSync(fsPath(this.#root.hostPath(to)), { throwIfNoEntry: false });
    if (stat === undefined && !this.#taken.has(to)) {
      this.#return(lost, to, undefined, { replaces: false, others: [], reason });
      return;
    }
    if (stat !== undefined && !stat.isDirectory()) {
      this.#stay(lost, `something else stands where it belongs (${pathToText(to)})`, [to]);
      return;
    }
    // It was made anew: what is not in the new one returns piece by piece.
    for (const child of lost.children) {
      const place = `${to === '/' ? '' : to}/${child.name}`;
      const there = lstatSync(fsPath(this.#root.hostPath(place)), { throwIfNoEntry: false });
      if (there === undefined && !this.#taken.has(place))
        this.#return(child, place, undefined, {
          replaces: false,
          others: [],
          reason: `its directory is known to be ${pathToText(to)}`,
        });
      else if (child.type === 'directory') this.#directoryTo(child, place, reason);
      else this.single(child);
    }
  }

  /** Where a directory stood: by its inode and by what lies in it, which may not contradict each other. */
  #placeOf(lost: Lost): { path: Bytes; reason: string } | undefined {
    const votes = new Map<Bytes, number>();
    const below = flatten(lost.children);
    for (const one of below) {
      const relative = one.path.slice(lost.path.length);
      for (const place of this.#places.of(one)) {
        if (!place.path.endsWith(relative)) continue;
        const directory = place.path.slice(0, -relative.length) || '/';
        votes.set(directory, (votes.get(directory) ?? 0) + 1);
      }
    }
    const byInode = this.#places.ofInode(lost.ino, Kind.directory);
    const ranked = [...votes].sort((a, b) => b[1] - a[1] || compareBytes(a[0], b[0]));
    const [best, second] = ranked;
    const [inode] = byInode;
    if (best === undefined) {
      // An empty directory, or one of files that nobody knows: where its inode stood is free, and nothing speaks against it.
      const free =
        inode !== undefined &&
        lstatSync(fsPath(this.#root.hostPath(inode)), { throwIfNoEntry: false }) === undefined;
      return byInode.length === 1 && inode !== undefined && free && this.#fitsDirectory(lost, inode)
        ? {
            path: inode,
            reason: 'its inode number, mode and owner are those of this directory, which is missing',
          }
        : undefined;
    }
    const [path, count] = best;
    const reason = `${count} of the ${below.length} things in it belong there`;
    if (byInode.includes(path)) return { path, reason: `${reason}, and its inode number stood there` };
    return second?.[1] === count ? undefined : { path, reason };
  }

  #fitsDirectory(lost: Lost, path: Bytes): boolean {
    const known = this.#places.directory(path);
    return (
      known !== undefined && known.mode === lost.mode && known.uid === lost.uid && known.gid === lost.gid
    );
  }

  #return(
    lost: Lost,
    to: Bytes,
    place: Place | undefined,
    how: { replaces: boolean; others: readonly Bytes[]; reason: string },
  ): void {
    this.#taken.add(to);
    const known = place?.known !== undefined;
    const source =
      place === undefined
        ? 'what lies in the directory'
        : place.inManifest
          ? known
            ? "the package's manifest and a snapshot"
            : "the package's manifest"
          : 'a snapshot';
    this.#returns.push({ lost, to, place, source, ...how });
  }

  #stay(lost: Lost, reason: string, hints: readonly Bytes[] = []): void {
    const { path, type, mode, uid, gid, mtime, looksLike } = lost;
    const files = flatten(lost.children).filter((one) => one.type === 'file');
    const at = new Date(mtime);
    this.#stays.push({
      path: pathToText(path),
      type,
      size: type === 'directory' ? files.reduce((sum, { size }) => sum + size, 0) : lost.size,
      mode: mode.toString(8).padStart(4, '0'),
      uid,
      gid,
      ...(Number.isNaN(at.getTime()) ? {} : { modifiedAt: at.toISOString() }),
      looksLike: type === 'directory' ? `a directory with ${files.length} files` : looksLike,
      reason,
      hints: hints.map(pathToText),
    });
  }
}

/** Times are compared in whole seconds: not every filesystem keeps more. */
function fits(known: { mode: number; uid: number; gid: number; mtime: number }, lost: Lost): boolean {
  const sameTime = Math.floor(known.mtime / 1000) === Math.floor(lost.mtime / 1000);
  return known.mode === lost.mode && known.uid === lost.uid && known.gid === lost.gid && sameTime;
}

function kindOf(type: Thing['type']): number {
  switch (type) {
    case 'file':
      return Kind.file;
    case 'directory':
      return Kind.directory;
    case 'link':
      return Kind.link;
    default:
      return Kind.unknown;
  }
}
