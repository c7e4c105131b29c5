/** What the tests of runs share: a throwaway root with a store, and a census of everything below a directory. */
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { RunStore } from '../../src/recovery/journal.ts';
import { type Bytes, bytesOf, fsPath } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';

export interface Scene {
  /** As paths of this host. */
  readonly directory: string;
  readonly root: Root;
  readonly store: RunStore;
  at(path: Bytes): string | Buffer;
}

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

export function scratch(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'debmend-run-')));
  made.push(directory);
  return directory;
}

/** A root with a store in its place. */
export function scene(
  directory = join(scratch(), 'root'),
  store = join(directory, 'var/lib/debmend'),
): Scene {
  mkdirSync(directory, { recursive: true });
  mkdirSync(store, { recursive: true, mode: 0o700 });
  return {
    directory,
    root: new Root(directory),
    store: { directory: store },
    at: (path) => fsPath(directory + path),
  };
}

export const why = { reason: 'a test' };

/**
 * Everything below a directory: a line each with what belongs to it. Times of directories change with every name in
 * them, and the inode is what a rename keeps.
 */
export function census(directory: string, leaveOut: readonly Bytes[] = []): Map<Bytes, string> {
  const found = new Map<Bytes, string>();
  const walk = (path: Bytes): void => {
    if (leaveOut.includes(path)) return;
    const host = fsPath(directory + path);
    const stat = lstatSync(host, { bigint: true });
    const mode = Number(stat.mode).toString(8);
    const kept = stat.isDirectory() ? '' : `${stat.size} ${stat.mtimeNs} ${stat.nlink} ${stat.rdev}`;
    const content = stat.isFile()
      ? createHash('sha256').update(readFileSync(host)).digest('hex').slice(0, 16)
      : stat.isSymbolicLink()
        ? bytesOf(readlinkSync(host, { encoding: 'buffer' }))
        : '';
    found.set(path === '' ? '/' : path, `${stat.ino} ${mode} ${stat.uid}:${stat.gid} ${kept} ${content}`);
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(host, { encoding: 'buffer' })) walk(`${path}/${bytesOf(name)}`);
  };
  walk('');
  return found;
}

/** A census without inodes and link counts: what a person can tell two trees apart by. */
export function contents(directory: string, leaveOut: readonly Bytes[] = []): Map<Bytes, string> {
  return new Map(
    [...census(directory, leaveOut)].map(([path, line]) => {
      const [, mode = '', owner = '', ...rest] = line.split(' ');
      return [path, [mode, owner, rest[0], rest[3], rest[4]].join(' ')];
    }),
  );
}
