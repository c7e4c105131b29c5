import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_ADMINDIR, readDatabase } from '../../src/dpkg/database.ts';
import { changedRecords, packageOf, readSelection, stanzasOf } from '../../src/dpkg/selection.ts';
import { Root } from '../../src/system/root.ts';
import { HELLO, type TinyRoot, tinyRoot } from '../cli/tiny-root.ts';

const roots: TinyRoot[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) root.remove();
});

describe('readSelection', () => {
  it('gives the same records as reading all of the database', () => {
    const root = tinyRoot([HELLO, { name: 'other' }, { name: 'third' }]);
    roots.push(root);
    const all = readDatabase(new Root(root.directory));
    const some = readSelection(new Root(root.directory), new Set(['hello', 'third']), DEFAULT_ADMINDIR);
    expect(some.packages).toEqual(all.packages.filter(({ name }) => name === 'hello' || name === 'third'));
    expect(some.native).toBe(all.native);
  });

  it('takes what the journal says over what status says', () => {
    const root = tinyRoot([HELLO]);
    roots.push(root);
    root.write(
      '/var/lib/dpkg/updates/0001',
      'Package: hello\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 3\n\n',
    );
    const some = readSelection(new Root(root.directory), new Set(['hello']), DEFAULT_ADMINDIR);
    expect(some.packages.map(({ state, version }) => [state, version])).toEqual([['half-configured', '3']]);
  });

  it('finds nothing where the status file is damaged, and does not fail (I8)', () => {
    const root = tinyRoot([HELLO]);
    roots.push(root);
    root.write('/var/lib/dpkg/status', Buffer.alloc(4096));
    const some = readSelection(new Root(root.directory), new Set(['hello']), DEFAULT_ADMINDIR);
    expect(some.packages).toEqual([]);
  });
});

describe('changedRecords', () => {
  const stanza = (name: string, version: string) => `Package: ${name}\nVersion: ${version}\n`;

  it('names what came, went and changed, whatever the order', () => {
    const before = [[stanza('a', '1'), stanza('b', '1'), stanza('c', '1')].join('\n')];
    const after = [[stanza('d', '1'), stanza('b', '2'), stanza('a', '1')].join('\n')];
    expect([...changedRecords(before, after)].sort()).toEqual(['b', 'c', 'd']);
    expect([...changedRecords(before, before)]).toEqual([]);
  });

  it('does not take a longer name for a shorter one', () => {
    expect(packageOf('Package: libc6-dev\nDepends: x\n')).toBe('libc6-dev');
    expect(packageOf('Version: 1\nPackage: late\n')).toBe('late');
    expect(packageOf('Version: 1\n')).toBeUndefined();
    expect(stanzasOf('\n\nPackage: a\n\n\n\nPackage: b\n')).toEqual(['Package: a', 'Package: b\n']);
  });
});
