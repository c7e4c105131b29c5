import { describe, expect, it } from 'vitest';
import { rewindRecords } from '../../../src/recovery/redo/rewind.ts';

const stanza = (name: string, version: string, state = 'installed', architecture = 'all'): string =>
  `Package: ${name}\nStatus: install ok ${state}\nArchitecture: ${architecture}\nVersion: ${version}\n`;
const file = (...stanzas: string[]): string => stanzas.map((one) => `${one}\n`).join('');

describe('records that are put back', () => {
  const before = [file(stanza('a', '1'), stanza('b', '1'), stanza('lib', '1', 'installed', 'amd64'))];

  it('touches only the packages that are named: others keep what was recorded meanwhile', () => {
    const now = [file(stanza('a', '2', 'half-installed'), stanza('b', '5'), stanza('c', '1'))];
    expect(rewindRecords(before, now, new Set(['a']))).toBe(
      file(stanza('a', '1'), stanza('b', '5'), stanza('c', '1')),
    );
  });

  it('takes away a package that was not there', () => {
    const now = [file(stanza('a', '1'), stanza('b', '1'), stanza('new', '1', 'unpacked'))];
    expect(rewindRecords(before, now, new Set(['new', 'lib']))).toBe(
      file(stanza('a', '1'), stanza('b', '1'), stanza('lib', '1', 'installed', 'amd64')),
    );
  });

  it('merges the journal, on both sides, in its order', () => {
    const now = [
      before[0] ?? '',
      file(stanza('a', '2', 'half-installed')),
      file(stanza('a', '2', 'unpacked'), stanza('b', '2')),
    ];
    expect(rewindRecords([before[0] ?? '', file(stanza('a', '1.5'))], now, new Set(['a']))).toBe(
      file(stanza('a', '1.5'), stanza('b', '2'), stanza('lib', '1', 'installed', 'amd64')),
    );
  });

  it('keeps the architectures of a name apart, and puts all of them back', () => {
    const two = [file(stanza('lib', '1', 'installed', 'amd64'), stanza('lib', '1', 'installed', 'i386'))];
    const now = [file(stanza('lib', '2', 'unpacked', 'amd64'), stanza('lib', '2', 'unpacked', 'i386'))];
    expect(rewindRecords(two, now, new Set(['lib']))).toBe(two[0]);
  });
});
