/** I7 on random trees, against a model that is as simple as path_resolution(7), and against the kernel in a chroot. */
import { execFileSync, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fsPath } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';
import { rootTest } from '../lab/roots.ts';

const NAMES = ['a', 'b', 'c'];
type Node =
  | { kind: 'directory'; children: Map<string, Node> }
  | { kind: 'file' }
  | { kind: 'link'; target: string };

const part = fc.constantFrom(...NAMES, ...NAMES, '..', '.', '');
const path = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
const target = fc.tuple(fc.boolean(), path).map(([absolute, rest]) => (absolute ? `/${rest}` : rest || '.'));
const node: fc.Arbitrary<Node> = fc.letrec<{ node: Node; directory: Node }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant<Node>({ kind: 'file' }),
    target.map((to): Node => ({ kind: 'link', target: to })),
    tie('directory'),
  ),
  directory: fc
    .uniqueArray(fc.tuple(fc.constantFrom(...NAMES), tie('node')), {
      selector: ([name]) => name,
      maxLength: 3,
    })
    .map((entries): Node => ({ kind: 'directory', children: new Map(entries) })),
})).directory;

function build(directory: string, tree: Node): void {
  if (tree.kind !== 'directory') return;
  mkdirSync(directory, { recursive: true });
  for (const [name, child] of tree.children) {
    const host = join(directory, name);
    if (child.kind === 'directory') build(host, child);
    else if (child.kind === 'file') writeFileSync(host, '');
    else symlinkSync(child.target, host);
  }
}

/** path_resolution(7), recursively, over the tree in memory. @returns the directories' names, or why there is none */
function walk(tree: Node, from: string[], text: string, links = { count: 0 }): string[] | string {
  let at = text.startsWith('/') ? [] : from;
  const parts = text.split('/');
  for (const name of parts) {
    const here = nodeAt(tree, at);
    if (here?.kind !== 'directory') return 'ENOTDIR';
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at = at.slice(0, -1);
      continue;
    }
    const child = here.children.get(name);
    if (child === undefined) return 'ENOENT';
    if (child.kind !== 'link') {
      at = [...at, name];
      continue;
    }
    links.count += 1;
    if (links.count > 40) return 'ELOOP';
    const followed = walk(tree, at, child.target, links);
    if (typeof followed === 'string') return followed;
    at = followed;
  }
  return at;
}
function nodeAt(tree: Node, at: string[]): Node | undefined {
  let here: Node | undefined = tree;
  for (const name of at) here = here?.kind === 'directory' ? here.children.get(name) : undefined;
  return here;
}

let outside: string;
let count = 0;
const fresh = (tree: Node): string => {
  const directory = join(outside, String(count++));
  build(directory, tree);
  return directory;
};
beforeAll(() => {
  outside = mkdtempSync(join(tmpdir(), 'debmend-tree-'));
});
afterAll(() => execFileSync('rm', ['-rf', '--', outside]));

describe('I7: on any tree', () => {
  it('I7: directories are found where path_resolution(7) finds them, and never outside', () => {
    fc.assert(
      fc.property(node, fc.array(path, { minLength: 5, maxLength: 20 }), (tree, paths) => {
        const directory = fresh(tree);
        const root = new Root(directory);
        for (const text of paths) {
          const result = root.resolveDirectory(`/${text}`);
          const model = walk(tree, [], `/${text}`);
          if (typeof model === 'string') expect(result).toMatchObject({ kind: 'unreachable', errno: model });
          else if (nodeAt(tree, model)?.kind !== 'directory') {
            expect(result).toMatchObject({ kind: 'unreachable', errno: 'ENOTDIR' });
          } else {
            const inside = `/${model.join('/')}`;
            expect(result).toEqual({
              kind: 'found',
              inside,
              host: inside === '/' ? directory : directory + inside,
            });
          }
        }
      }),
      { numRuns: 400 },
    );
  });

  rootTest('I7: whole paths are found where the kernel finds them in a chroot', () => {
    const program = `
      chroot shift or die; chdir "/"; -e "/proc/self" and die "not inside";
      print join(":", (stat "/$_")[0, 1]), "\\n" for @ARGV;`;
    fc.assert(
      fc.property(node, fc.array(path, { minLength: 5, maxLength: 15 }), (tree, paths) => {
        const directory = fresh(tree);
        const answer = spawnSync('perl', ['-e', program, directory, ...paths], { encoding: 'utf8' });
        expect(answer.stderr).toBe('');
        const root = new Root(directory);
        const ours = paths.map((text) => {
          const result = root.resolveFully(`/${text}`);
          const options = { throwIfNoEntry: false } as const;
          const stat = result.kind === 'found' ? lstatSync(fsPath(result.host), options) : undefined;
          return stat === undefined ? '' : `${stat.dev}:${stat.ino}`;
        });
        expect(ours).toEqual(answer.stdout.split('\n').slice(0, -1));
      }),
      { numRuns: 100 },
    );
  });
});
