import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bufferOf, fsPath } from '../../src/system/bytes.ts';
import { Root } from '../../src/system/root.ts';

let outside: string;
let directory: string;
let root: Root;
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'debmend-root-test-'));
  directory = join(outside, 'root');
  mkdirSync(join(directory, 'usr/bin'), { recursive: true });
  mkdirSync(join(outside, 'secret'));
  writeFileSync(join(outside, 'secret/file'), '');
  writeFileSync(join(directory, 'usr/file'), '');
  root = new Root(directory);
});
afterEach(() => execFileSync('rm', ['-rf', '--', outside]));

const link = (target: string, name: string): void => symlinkSync(target, join(directory, name));
const found = (inside: string) => ({
  kind: 'found',
  inside,
  host: inside === '/' ? directory : directory + inside,
});
const unreachable = (errno: string, at: string) => ({ kind: 'unreachable', errno, at });

describe('I7: every path is resolved beneath the root', () => {
  it.each([
    ['/usr/bin', '/usr/bin'],
    ['/usr//bin/', '/usr/bin'],
    ['/usr/./bin/.', '/usr/bin'],
    ['/', '/'],
    ['', '/'],
    ['/..', '/'],
    ['/../../../..', '/'],
    ['/usr/../../usr/bin/..', '/usr'],
    ['usr', '/usr'],
  ])('I7: the directory %j is %s', (path, inside) => {
    expect(root.resolveDirectory(path)).toEqual(found(inside));
  });

  it('I7: .. from a link goes to the parent of what it points to', () => {
    mkdirSync(join(directory, 'a/b'), { recursive: true });
    link('/a/b', 'usr/link');
    expect(root.resolveDirectory('/usr/link/..')).toEqual(found('/a'));
  });

  it('I7: an absolute link begins at the root, not at the host’s', () => {
    link('/usr/bin', 'bin');
    expect(root.resolve('/bin/sh')).toEqual(found('/usr/bin/sh'));
    link(`${outside}/secret`, 'usr/planted');
    expect(root.resolve('/usr/planted/file')).toEqual(unreachable('ENOENT', `/${outside.split('/')[1]}`));
  });

  it.each([
    ['/../secret', '../secret'],
    ['one level', '../../secret'],
    ['more levels than there are', `${'../'.repeat(30)}secret`],
  ])('I7: a relative link to the outside stays inside: %s', (_, target) => {
    link(target, 'usr/planted');
    expect(root.resolve('/usr/planted/file')).toEqual(unreachable('ENOENT', '/secret'));
    mkdirSync(join(directory, 'secret'));
    expect(new Root(directory).resolve('/usr/planted/file')).toEqual(found('/secret/file'));
  });

  it('I7: a link planted at any component moves nothing outside', () => {
    for (const component of ['a', 'a/b', 'a/b/c']) {
      for (const target of [outside, `${outside}/secret`, '..', '../..', '../../../../../..', '/..', '.']) {
        rmSync(join(directory, 'a'), { recursive: true, force: true });
        mkdirSync(join(directory, 'a/b/c'), { recursive: true });
        rmSync(join(directory, component), { recursive: true });
        link(target, component);
        const fresh = new Root(directory);
        for (const resolve of [fresh.resolve, fresh.resolveFully, fresh.resolveDirectory]) {
          const result = resolve.call(fresh, '/a/b/c/file');
          if (result.kind === 'found') {
            expect(`${result.host}/`.startsWith(`${directory}/`)).toBe(true);
            expect(result.inside.split('/')).not.toContain('..');
          }
        }
      }
    }
  });

  it('I7: the last component is not followed', () => {
    link('/usr/file', 'link');
    expect(root.resolve('/link')).toEqual(found('/link'));
    expect(root.resolve('/usr/bin/../../link')).toEqual(found('/link'));
  });

  it('I7: the last component is followed where it is asked for, inside the root', () => {
    link('usr/file', 'link');
    link('../../../secret/file', 'usr/planted');
    expect(root.resolveFully('/link')).toEqual(found('/usr/file'));
    expect(root.resolveFully('/usr/planted')).toEqual(unreachable('ENOENT', '/secret'));
    expect(root.resolveFully('/usr/missing')).toEqual(found('/usr/missing'));
  });

  it('I7: a last component that is . or .. or has a slash behind it is a directory, and followed', () => {
    link('/usr/bin', 'bin');
    for (const path of ['/bin/', '/bin/.', '/bin/x/..']) {
      mkdirSync(join(directory, 'usr/bin/x'), { recursive: true });
      expect(new Root(directory).resolve(path)).toEqual(found('/usr/bin'));
    }
  });

  it.each([40, 41])('I7: a chain of %d links, of which the kernel follows 40', (length) => {
    link('usr', 'l1');
    for (let i = 2; i <= length; i += 1) link(`l${i - 1}`, `l${i}`);
    const result = root.resolveDirectory(`/l${length}`);
    expect(result).toEqual(length === 40 ? found('/usr') : unreachable('ELOOP', '/l1'));
    // the kernel's own word
    const kernel = (): Buffer =>
      execFileSync('stat', ['-L', join(directory, `l${length}`)], { stdio: 'pipe' });
    if (length === 40) expect(kernel).not.toThrow();
    else expect(kernel).toThrow(/Too many levels/);
  });

  it('I7: loops end', () => {
    link('loop', 'loop');
    link('/b', 'a');
    link('/a', 'b');
    link('grow/x', 'grow');
    for (const path of ['/loop/x', '/a/x', '/grow/x']) {
      expect(root.resolve(path)).toMatchObject({ kind: 'unreachable', errno: 'ELOOP' });
    }
    expect(root.resolve('/loop')).toEqual(found('/loop'));
  });

  it('I7: a parent that is missing or no directory is named', () => {
    expect(root.resolve('/usr/none/a/b')).toEqual(unreachable('ENOENT', '/usr/none'));
    expect(root.resolve('/usr/none/../bin/a')).toEqual(unreachable('ENOENT', '/usr/none'));
    expect(root.resolve('/usr/file/a')).toEqual(unreachable('ENOTDIR', '/usr/file'));
    expect(root.resolve('/usr/file/../bin')).toEqual(unreachable('ENOTDIR', '/usr/file'));
    link('/nowhere', 'dangling');
    expect(root.resolve('/dangling/a')).toEqual(unreachable('ENOENT', '/nowhere'));
  });

  it.each(['/usr/file/', '/usr/file/.', '/to-file/', '/slash'])('I7: %s is no file', (path) => {
    link('/usr/file', 'to-file');
    link('/usr/file/', 'slash');
    expect(root.resolveFully(path)).toEqual(unreachable('ENOTDIR', '/usr/file'));
  });

  it('I7: names are bytes', () => {
    const name = '/caf\xe9 \\ \n*';
    mkdirSync(fsPath(`${directory}${name}`));
    execFileSync('ln', ['-s', '--', '/usr', join(directory, 'plain')]);
    symlinkSync(bufferOf('/caf\xe9 \\ \n*'), bufferOf(`${directory}/to\xff`));
    expect(root.resolve(`${name}/a`)).toEqual(found(`${name}/a`));
    expect(root.resolve('/to\xff/a')).toEqual(found(`${name}/a`));
  });

  it.each(['/a\0b/c', `/${'x'.repeat(300)}/a`, `/${'d/'.repeat(5000)}a`])(
    'I7: nothing makes it throw: %j',
    (path) => {
      expect(root.resolve(path)).toMatchObject({ kind: 'unreachable' });
    },
  );

  it('I7: the root may be named with slashes at its end, and / is the host', () => {
    expect(new Root(`${directory}///`).resolve('/usr/bin/a')).toEqual(found('/usr/bin/a'));
    const host = new Root('/');
    expect(host.isHost).toBe(true);
    expect(host.path).toBe('/');
    expect(host.resolve(`${directory}/usr/file`)).toEqual({
      kind: 'found',
      inside: `${directory}/usr/file`,
      host: `${directory}/usr/file`,
    });
  });
});
