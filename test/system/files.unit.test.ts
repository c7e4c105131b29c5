import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bufferOf } from '../../src/system/bytes.ts';
import { openQuietly, readRegularFile } from '../../src/system/files.ts';
import { unprivileged } from '../lab/unprivileged.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-files-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
const at = (name: string): string => join(directory, name);
const openFiles = (): number => readdirSync('/proc/self/fd').length;

describe('readRegularFile', () => {
  it.each([0, 1, 4096, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 9 * 1024 * 1024])(
    'reads %d bytes',
    (size) => {
      const data = Buffer.alloc(size, 'ab\xff\0', 'latin1');
      writeFileSync(at('file'), data);
      const outcome = readRegularFile(at('file'));
      expect(outcome.kind === 'read' && bufferOf(outcome.data).equals(data)).toBe(true);
    },
  );

  it('does not mix up what it reads one after the other', () => {
    writeFileSync(at('long'), 'x'.repeat(100_000));
    writeFileSync(at('short'), 'y');
    const long = readRegularFile(at('long'));
    expect(readRegularFile(at('short'))).toEqual({ kind: 'read', data: 'y' });
    expect(long).toEqual({ kind: 'read', data: 'x'.repeat(100_000) });
  });

  it('reads a file with an odd name', () => {
    writeFileSync(bufferOf(`${directory}/caf\xe9 \n`), 'x');
    expect(readRegularFile(`${directory}/caf\xe9 \n`)).toEqual({ kind: 'read', data: 'x' });
  });

  it('says what is missing', () => {
    expect(readRegularFile(at('none'))).toEqual({ kind: 'missing' });
    expect(readRegularFile(at('none/file'))).toEqual({ kind: 'missing' });
    writeFileSync(at('file'), '');
    expect(readRegularFile(at('file/x'))).toEqual({ kind: 'unreadable', errno: 'ENOTDIR' });
  });

  it('does not follow the last component', () => {
    writeFileSync(at('file'), 'x');
    symlinkSync('file', at('link'));
    symlinkSync('none', at('dangling'));
    expect(readRegularFile(at('link'))).toEqual({ kind: 'unreadable', errno: 'ENOTREG' });
    expect(readRegularFile(at('dangling'))).toEqual({ kind: 'unreadable', errno: 'ENOTREG' });
    expect(() => openQuietly(at('link'))).toThrow(expect.objectContaining({ code: 'ELOOP' }));
  });

  it('reads nothing that is no regular file, and does not wait for it', async () => {
    execFileSync('mkfifo', [at('fifo')]);
    mkdirSync(at('directory'));
    const server = createServer().listen(at('socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    for (const path of [at('fifo'), at('directory'), at('socket'), '/dev/zero', '/dev/null']) {
      expect(readRegularFile(path)).toEqual({ kind: 'unreadable', errno: 'ENOTREG' });
    }
    server.close();
    // without the look before it, opening a FIFO would not wait either
    closeSync(openQuietly(at('fifo')));
  });

  it('says that a file may not be read', () => {
    writeFileSync(at('file'), 'x');
    chmodSync(at('file'), 0);
    const outcome = unprivileged(directory, () => readRegularFile(at('file')));
    expect(outcome).toEqual({ kind: 'unreadable', errno: 'EACCES' });
  });

  it('reads no more than the limit allows', () => {
    writeFileSync(at('file'), '12345');
    expect(readRegularFile(at('file'), 5)).toEqual({ kind: 'read', data: '12345' });
    expect(readRegularFile(at('file'), 4)).toEqual({ kind: 'unreadable', errno: 'EFBIG' });
    // /proc says that its files have no size
    const endless = readRegularFile('/proc/self/maps', 10);
    expect(endless.kind === 'read' && endless.data.length).toBe(10);
  });

  it('ends with a file that grows', async () => {
    writeFileSync(at('file'), 'x'.repeat(1000));
    const writer = execWriter(at('file'));
    try {
      for (let i = 0; i < 200; i += 1) {
        const outcome = readRegularFile(at('file'));
        expect(outcome.kind === 'read' && outcome.data.length >= 1000 && !/[^x]/.test(outcome.data)).toBe(
          true,
        );
        if (i % 20 === 0) {
          appendFileSync(at('file'), 'x'.repeat(1000));
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    } finally {
      writer();
    }
  });

  it('leaves the access time as it is', () => {
    writeFileSync(at('file'), 'x');
    const old = new Date('2001-01-01');
    utimesSync(at('file'), old, old);
    readRegularFile(at('file'));
    const fd = openQuietly(at('file'));
    readSync(fd, Buffer.alloc(1));
    closeSync(fd);
    expect(statSync(at('file')).atime).toEqual(old);
  });

  it('leaves nothing open, whatever happens', () => {
    writeFileSync(at('file'), '12345');
    symlinkSync('file', at('link'));
    const before = openFiles();
    for (const name of ['file', 'link', 'none', '.']) {
      readRegularFile(at(name));
      readRegularFile(at(name), 2);
    }
    expect(openFiles()).toBe(before);
  });
});

/** Appends to a file from another process. @returns what stops it */
function execWriter(file: string): () => void {
  const [pid = ''] = execFileSync(
    'sh',
    ['-c', 'while printf xxxxxxxx; do :; done >>"$0" 2>/dev/null & echo $!', file],
    {
      encoding: 'utf8',
    },
  ).split('\n');
  return () => process.kill(Number(pid), 'SIGKILL');
}
