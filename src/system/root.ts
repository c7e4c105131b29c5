/**
 * Paths inside a root (I7): every path is resolved beneath the root, component by component; a symbolic link on the
 * way is followed as the kernel would follow it inside a chroot, and `..` never climbs out. The last component is not
 * followed unless it is asked for.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { type Bytes, bytesFromText, bytesOf, fsPath } from './bytes.ts';
import { errnoOf } from './errors.ts';

/** What the kernel allows in one look-up (path_resolution(7)). */
const MAX_LINKS = 40;

export type Resolution =
  /** `inside` is the resolved path as seen inside the root, without a trailing slash (`/` for the root itself). */
  | { kind: 'found'; inside: Bytes; host: Bytes }
  /** A parent is missing, is not a directory, forms a loop or may not be searched. */
  | { kind: 'unreachable'; errno: 'ENOENT' | 'ENOTDIR' | 'ELOOP' | 'EACCES' | 'EIO'; at: Bytes };

type Step =
  | { kind: 'directory' }
  | { kind: 'link'; target: Bytes }
  | { kind: 'other' }
  | { kind: 'error'; errno: string };

export class Root {
  /** The root as a path of this host, without a trailing slash; empty for `/`. */
  readonly prefix: Bytes;
  readonly #steps = new Map<Bytes, Step>();
  readonly #directories = new Map<Bytes, Resolution>();

  constructor(directory: string) {
    const bytes = bytesFromText(directory).replace(/\/+$/, '');
    this.prefix = bytes;
  }

  /** The root as it is shown: `/`, or the directory. */
  get path(): Bytes {
    return this.prefix === '' ? '/' : this.prefix;
  }

  get isHost(): boolean {
    return this.prefix === '';
  }

  /** A resolved path inside the root as a path of this host. */
  hostPath(inside: Bytes): Bytes {
    return this.prefix === '' ? inside : inside === '/' ? this.prefix : this.prefix + inside;
  }

  /** Resolves the parents of an absolute path; the last component stays as it is. Never throws. */
  resolve(path: Bytes): Resolution {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (name === '' || name === '.' || name === '..') return this.resolveDirectory(path);
    const parent = this.resolveDirectory(path.slice(0, slash));
    if (parent.kind === 'unreachable') return parent;
    const inside = parent.inside === '/' ? `/${name}` : `${parent.inside}/${name}`;
    return { kind: 'found', inside, host: this.hostPath(inside) };
  }

  /** Resolves an absolute path all the way, links at its end included. The end may be of any type, or missing. */
  resolveFully(path: Bytes): Resolution {
    return this.#walk(path, false);
  }

  /** Resolves a path all the way to a directory. Results are kept: a root is looked at, not changed, by its owner. */
  resolveDirectory(path: Bytes): Resolution {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const result = this.#walk(path, true);
    this.#directories.set(path, result);
    return result;
  }

  /** Lets go of what was seen so far: something in the root is going to change, or has. */
  forget(): void {
    this.#steps.clear();
    this.#directories.clear();
  }

  #walk(path: Bytes, endIsDirectory: boolean): Resolution {
    const pending = path.split('/').reverse();
    let inside: Bytes = '';
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        inside = inside.slice(0, Math.max(0, inside.lastIndexOf('/')));
        continue;
      }
      const next = `${inside}/${name}`;
      // What a slash follows has to be a directory, even when no name follows the slash (path_resolution(7)).
      const last = pending.length === 0;
      const step = this.#step(next);
      switch (step.kind) {
        case 'directory':
          inside = next;
          break;
        case 'link':
          links += 1;
          if (links > MAX_LINKS) return { kind: 'unreachable', errno: 'ELOOP', at: next };
          pending.push(...step.target.split('/').reverse());
          if (step.target.startsWith('/')) inside = '';
          break;
        case 'other':
          if (!last || endIsDirectory) return { kind: 'unreachable', errno: 'ENOTDIR', at: next };
          inside = next;
          break;
        case 'error':
          if (step.errno === 'ENOENT' && last && !endIsDirectory) {
            inside = next;
            break;
          }
          return { kind: 'unreachable', errno: knownErrno(step.errno), at: next };
      }
    }
    const resolved = inside === '' ? '/' : inside;
    return { kind: 'found', inside: resolved, host: this.hostPath(resolved) };
  }

  #step(inside: Bytes): Step {
    const known = this.#steps.get(inside);
    if (known !== undefined) return known;
    const step = this.#look(inside);
    // Only directories and links are worth keeping: they are what many paths share.
    if (step.kind !== 'other') this.#steps.set(inside, step);
    return step;
  }

  #look(inside: Bytes): Step {
    const host = fsPath(this.hostPath(inside));
    try {
      const stat = lstatSync(host);
      if (stat.isDirectory()) return { kind: 'directory' };
      if (stat.isSymbolicLink())
        return { kind: 'link', target: bytesOf(readlinkSync(host, { encoding: 'buffer' })) };
      return { kind: 'other' };
    } catch (error) {
      return { kind: 'error', errno: errnoOf(error) ?? 'EIO' };
    }
  }
}

function knownErrno(errno: string): 'ENOENT' | 'ENOTDIR' | 'ELOOP' | 'EACCES' | 'EIO' {
  switch (errno) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ELOOP':
    case 'EACCES':
      return errno;
    case 'ENAMETOOLONG':
      return 'ENOENT';
    default:
      return 'EIO';
  }
}
