import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToText, pathForTerminal, pathToText, textToPath } from '../../src/model/path-text.ts';

/** Any path that the kernel allows, as a byte string; half of them valid UTF-8. */
const path = fc
  .oneof(
    fc.uint8Array({ min: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc
      .string({ unit: 'grapheme', maxLength: 40 })
      .map((text) => Buffer.from(text.replaceAll('\0', ''), 'utf8')),
  )
  .map((bytes) => `/${bytes.toString('latin1')}`);

describe('a path as text', () => {
  it('comes back as the same bytes, through JSON too', () => {
    fc.assert(
      fc.property(path, (bytes) => {
        expect(textToPath(JSON.parse(JSON.stringify(pathToText(bytes))))).toBe(bytes);
      }),
    );
  });

  it('is never the text of another path', () => {
    fc.assert(fc.property(path, path, (a, b) => (a === b) === (pathToText(a) === pathToText(b))));
  });

  it('is itself, or a file URI that other programs read the same way', () => {
    fc.assert(
      fc.property(path, (bytes) => {
        const text = pathToText(bytes);
        if (text.startsWith('/')) return;
        expect(text).toMatch(/^file:\/\/\/(?:[\w./~+:@-]|%[0-9A-F]{2})*$/);
        const read = [...text.slice('file://'.length).matchAll(/%(..)|./g)]
          .map(([char, hex]) => (hex === undefined ? char : String.fromCharCode(Number.parseInt(hex, 16))))
          .join('');
        expect(read).toBe(bytes);
      }),
    );
  });

  it.each([
    ['/usr/share/caf\xc3\xa9', '/usr/share/café'],
    ['/usr/share/caf\xe9', 'file:///usr/share/caf%E9'],
    ['/100% \xff', 'file:///100%25%20%FF'],
    ['/file://x', '/file://x'],
  ])('%j is %s', (bytes, text) => {
    expect(pathToText(bytes)).toBe(text);
  });
});

describe('a path on a terminal', () => {
  it('never sends it a control character, a line break or a change of direction', () => {
    fc.assert(
      fc.property(path, (bytes) => {
        expect(pathForTerminal(pathToText(bytes))).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  it.each(['/a\x1b[31mred', '/caf\xe9', "/it's\n", '/back\\slash\t', '/\xe2\x80\xaeright', '/\xff4'])(
    'means the same file when it is pasted into a shell: %j',
    (bytes) => {
      const shown = pathForTerminal(pathToText(bytes));
      expect(shown).toMatch(/^\$'/);
      const { stdout } = spawnSync('bash', ['-c', `printf %s ${shown}`], { encoding: 'latin1' });
      expect(stdout).toBe(bytes);
    },
  );
});

describe('bytes as text', () => {
  it('are read as UTF-8, and text that is text already stays', () => {
    expect(bytesToText('caf\xc3\xa9')).toBe('café');
    expect(bytesToText('caf\xe9')).toBe('caf\ufffd');
    expect(bytesToText('’')).toBe('’');
    fc.assert(fc.property(fc.string({ unit: 'binary-ascii' }), (text) => bytesToText(text) === text));
  });
});
