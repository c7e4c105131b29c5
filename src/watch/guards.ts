/** The guarded globs: which directories they are about, and whether they match a path. */
import { readdirSync } from 'node:fs';
import { globPattern } from '../scan/glob-pattern.ts';
import { type Bytes, bufferOf, bytesFromText } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import { lookAt } from './look.ts';

/** A glob, its fixed part resolved inside the root (I7). */
export interface Guard {
  /** The fixed part as it is written. */
  readonly base: Bytes;
  /** The same, resolved: as it is called inside the root, and on this host. */
  readonly inside: Bytes;
  readonly host: Bytes;
  /** Identity of that directory: another one may be mounted there, or take its place. */
  readonly identity: string;
  /** Whether what matches may lie deeper than in that directory. */
  readonly deep: boolean;
  matches(inside: Bytes): boolean;
}

const WILDCARD = /[*?[\]{}()!+@\\]/;

/** The guards whose directories are there; the others may come. */
export function resolveGuards(root: Root, globs: readonly string[]): Guard[] {
  return globs.flatMap((glob) => {
    const wildcard = glob.search(WILDCARD);
    const slash = glob.lastIndexOf('/', wildcard < 0 ? glob.length : wildcard);
    const base = bytesFromText(glob.slice(0, slash) || '/');
    const rest = glob.slice(slash + 1);
    const found = root.resolveDirectory(base);
    if (found.kind === 'unreachable') return [];
    const stat = lookAt(found.host);
    if (stat === undefined) return [];
    const { inside, host } = found;
    const prefix = inside === '/' ? '/' : `${inside}/`;
    const pattern = rest === '**' ? undefined : globPattern(rest);
    return [
      {
        base,
        inside,
        host,
        identity: `${stat.dev}:${stat.ino}`,
        deep: rest.includes('**') || rest.includes('/'),
        matches: (path: Bytes) =>
          path.startsWith(prefix) && pattern?.test(textOf(path.slice(prefix.length))) !== false,
      },
    ];
  });
}

function textOf(path: Bytes): string {
  return bufferOf(path).toString('utf8');
}

/** A directory and all those below it, as text of this host; those whose names are not UTF-8 are left out. */
export function directoriesBelow(host: string, deep: boolean): string[] {
  const found = [host];
  if (!deep) return found;
  for (let at = 0; at < found.length; at += 1) {
    const directory = found[at] ?? '';
    try {
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        if (entry.isDirectory() && !entry.name.includes('\ufffd')) {
          found.push(`${directory === '/' ? '' : directory}/${entry.name}`);
        }
      }
    } catch {
      // It went away, or may not be read.
    }
  }
  return found;
}
