import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeDurably } from '../../src/system/durable.ts';
import { unprivileged } from '../lab/unprivileged.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-durable-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
const at = (name: string): string => join(directory, name);

describe('writeDurably', () => {
  it.each([
    ['text', 'grün\n', Buffer.from('grün\n')],
    ['bytes', new Uint8Array([0, 255, 10]), Buffer.from([0, 255, 10])],
    ['nothing', '', Buffer.alloc(0)],
    ['more than one write may take', Buffer.alloc(20_000_000, 7), Buffer.alloc(20_000_000, 7)],
  ])('writes %s', (_, data, expected) => {
    writeDurably(at('file'), data);
    expect(readFileSync(at('file')).equals(expected)).toBe(true);
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it('replaces what is there, and gives it the mode that was asked for', () => {
    writeFileSync(at('file'), 'old');
    chmodSync(at('file'), 0o666);
    const before = statSync(at('file')).ino;
    writeDurably(at('file'), 'new', 0o600);
    expect(readFileSync(at('file'), 'utf8')).toBe('new');
    expect(statSync(at('file')).mode & 0o777).toBe(0o600);
    expect(statSync(at('file')).ino).not.toBe(before);
  });

  it('fails without a trace when the target cannot be replaced', () => {
    mkdirSync(at('file'));
    writeFileSync(at('file/inside'), 'old');
    expect(() => writeDurably(at('file'), 'new')).toThrow(expect.objectContaining({ syscall: 'rename' }));
    expect(readdirSync(directory)).toEqual(['file']);
    expect(readFileSync(at('file/inside'), 'utf8')).toBe('old');
  });

  it('fails without a trace when the directory is missing', () => {
    expect(() => writeDurably(at('none/file'), 'new')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(readdirSync(directory)).toEqual([]);
  });

  it('fails without a trace when the directory may not be written', () => {
    writeFileSync(at('file'), 'old');
    chmodSync(directory, 0o555);
    try {
      unprivileged(directory, () => {
        expect(() => writeDurably(at('file'), 'new')).toThrow(expect.objectContaining({ code: 'EACCES' }));
      });
    } finally {
      chmodSync(directory, 0o755);
    }
    expect(readdirSync(directory)).toEqual(['file']);
    expect(readFileSync(at('file'), 'utf8')).toBe('old');
  });

  it('takes away what a cut left of an earlier attempt, and never writes through it', () => {
    writeFileSync(at('elsewhere'), 'precious');
    linkSync(at('elsewhere'), at('.file.debmend-new'));
    writeDurably(at('file'), 'new');
    expect(readdirSync(directory).toSorted()).toEqual(['elsewhere', 'file']);
    expect(readFileSync(at('elsewhere'), 'utf8')).toBe('precious');
  });

  it('gives the mode that was asked for, whatever the umask', () => {
    const umask = process.umask(0o077);
    try {
      writeDurably(at('file'), 'new', 0o644);
    } finally {
      process.umask(umask);
    }
    expect(statSync(at('file')).mode & 0o777).toBe(0o644);
  });

  it('fails without a trace, and with the old content, when there is no room', () => {
    writeFileSync(at('file'), 'old');
    // In a process of its own, which may write no file beyond a few KB.
    const program = `
      import { writeDurably } from ${JSON.stringify(new URL('../../src/system/durable.ts', import.meta.url).href)};
      process.on('SIGXFSZ', () => {});
      try { writeDurably(process.argv[1], 'x'.repeat(1_000_000)); console.log('written'); }
      catch (error) { console.log(error.code); }`;
    const said = execFileSync(
      'sh',
      [
        '-c',
        'ulimit -f 8; exec "$@"',
        'sh',
        process.execPath,
        '--input-type=module',
        '-e',
        program,
        at('file'),
      ],
      { encoding: 'utf8' },
    );
    expect(said.trim()).toBe('EFBIG');
    expect(readFileSync(at('file'), 'utf8')).toBe('old');
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it('leaves nothing open, whatever happens', () => {
    mkdirSync(at('directory'));
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    writeDurably(at('file'), 'x');
    expect(() => writeDurably(at('directory'), 'x')).toThrow();
    expect(open()).toBe(before);
  });
});
