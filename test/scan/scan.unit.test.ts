import { spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import xxhash from 'xxhash-wasm';
import { type Scan, type ScanOptions, type ScanProgress, scan } from '../../src/scan/scan.ts';
import { Done, hashText, Kind, Pattern, Want, WorkList } from '../../src/scan/work.ts';
import { bytesFromText } from '../../src/system/bytes.ts';

const OPTIONS: ScanOptions = { md5: true, xxh64: false, markers: ['.dpkg-'] };

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-scan-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return bytesFromText(path);
}

/** Scans paths whose content is wanted, and returns the scan. */
async function scanPaths(paths: readonly string[], options: Partial<ScanOptions> = {}): Promise<Scan> {
  const list = new WorkList();
  for (const path of paths) list.add(path, Want.content | Want.names);
  return await scan(list, { ...OPTIONS, ...options });
}

describe('looking', () => {
  it('tells every kind of thing apart and follows no link (I7)', async () => {
    mkdirSync(join(directory, 'sub'));
    symlinkSync('/etc/passwd', join(directory, 'link'));
    spawnSync('mkfifo', [join(directory, 'fifo')]);
    const { work } = await scanPaths([
      file('plain', 'x'),
      join(directory, 'sub'),
      join(directory, 'link'),
      join(directory, 'fifo'),
      '/dev/null',
    ]);
    expect([...work.kind]).toEqual([Kind.file, Kind.directory, Kind.link, Kind.fifo, Kind.characterDevice]);
    expect([...work.done]).toEqual([
      Done.looked | Done.read,
      Done.looked,
      Done.looked,
      Done.looked,
      Done.looked,
    ]);
  });

  it('writes down mode, owner, size and times', async () => {
    const path = file('plain', 'four');
    chmodSync(path, 0o4711);
    utimesSync(path, 1000, 2000.5);
    const { work } = await scanPaths([path]);
    const stat = lstatSync(path);
    expect(work.mode[0]).toBe(0o4711);
    expect([work.uid[0], work.gid[0]]).toEqual([stat.uid, stat.gid]);
    expect(work.size[0]).toBe(4);
    expect(work.mtime[0]).toBe(2_000_500);
    expect(work.ino[0]).toBe(stat.ino);
  });

  it('says which call failed for what is missing', async () => {
    const { work } = await scanPaths([join(directory, 'nothing'), join(file('plain', 'x'), 'below')]);
    expect([...work.errno]).toEqual([2, 20]);
  });

  it('finds names that hold a marker, Latin-1 ones too', async () => {
    file('a.conf.dpkg-new', '');
    file('a.conf', '');
    const odd = Buffer.concat([
      Buffer.from(`${directory}/caf`),
      Buffer.from([0xe9]),
      Buffer.from('.dpkg-tmp'),
    ]);
    writeFileSync(odd, '');
    const { named } = await scanPaths([directory]);
    expect(named.toSorted()).toEqual([`${directory}/a.conf.dpkg-new`, odd.toString('latin1')]);
  });
});

describe('a directory of very many names', () => {
  it('gives those with a marker as a small one does, Latin-1 ones too', async () => {
    for (let i = 0; i < 2000; i += 1) file(`${'x'.repeat(200)}${i}`, '');
    // On a filesystem that tells no such size it is read as a small one, with the same result.
    const odd = Buffer.concat([
      Buffer.from(`${directory}/caf`),
      Buffer.from([0xe9]),
      Buffer.from('.dpkg-tmp'),
    ]);
    writeFileSync(odd, '');
    const { named } = await scanPaths([directory]);
    expect(named).toEqual([odd.toString('latin1')]);
  });

  it('does not exhaust a thread', async () => {
    const spool = mkdtempSync('/dev/shm/debmend-scan-');
    try {
      const long = join(spool, 'x'.repeat(230));
      for (let i = 0; i < 300_000; i += 1) closeSync(openSync(`${long}${i}`, 'w'));
      writeFileSync(join(spool, 'a.dpkg-new'), '');
      const list = new WorkList();
      list.add(spool, Want.names);
      for (let i = 0; i < 2000; i += 1) list.add(`${long}${i}`, 0); // enough for threads
      const { named } = await scan(list, { md5: false, xxh64: false, markers: ['.dpkg-'] });
      expect(named).toEqual([join(spool, 'a.dpkg-new')]);
    } finally {
      rmSync(spool, { recursive: true });
    }
  }, 120_000);
});

describe('reading', () => {
  it('hashes content of every size with MD5', async () => {
    const sizes = [0, 1, 63, 64, 65, 65_535, 65_536, 65_537, 131_072, 1_000_000];
    const contents = sizes.map((size) => Buffer.alloc(size, `${size}`));
    const { work, bytesRead } = await scanPaths(contents.map((content, i) => file(`f${i}`, content)));
    expect(sizes.map((_, i) => hashText(work.md5, i))).toEqual(
      contents.map((content) => hash('md5', content)),
    );
    expect(bytesRead).toBe(sizes.reduce((a, b) => a + b));
  });

  it('hashes with XXH64 as well when that is wanted', async () => {
    const { h64Raw } = await xxhash();
    const contents = [Buffer.alloc(0), Buffer.from('abc'), Buffer.alloc(200_000, 'y')];
    const paths = contents.map((content, i) => file(`f${i}`, content));
    const both = await scanPaths(paths, { xxh64: true });
    const alone = await scanPaths(paths, { xxh64: true, md5: false });
    for (const { work } of [both, alone]) {
      expect([...work.xxh64.subarray(0, 3)]).toEqual(contents.map((content) => h64Raw(content)));
    }
    expect(hashText(both.work.md5, 1)).toBe(hash('md5', 'abc'));
  });

  it('knows content that is all NUL, and where a NUL tail begins, across pieces', async () => {
    const tail = Buffer.concat([Buffer.alloc(70_000, 'x'), Buffer.alloc(130_000)]);
    const inner = Buffer.concat([
      Buffer.alloc(100),
      Buffer.from('x'),
      Buffer.alloc(70_000),
      Buffer.from('y'),
    ]);
    const aligned = Buffer.concat([Buffer.alloc(65_536, 'x'), Buffer.alloc(65_536)]);
    const { work } = await scanPaths([
      file('nul', Buffer.alloc(150_000)),
      file('tail', tail),
      file('inner', inner),
      file('empty', ''),
      file('aligned', aligned),
    ]);
    expect([...work.pattern]).toEqual([
      Pattern.nulFilled,
      Pattern.nulTail,
      Pattern.none,
      Pattern.none,
      Pattern.nulTail,
    ]);
    expect([work.nulFrom[1], work.nulFrom[4]]).toEqual([70_000, 65_536]);
  });

  it('marks what has the expected MD5, and only that', async () => {
    const list = new WorkList();
    const right = list.add(file('right', 'abc'), 0);
    const wrong = list.add(file('wrong', 'abd'), 0);
    list.expect(right, hash('md5', 'abc'));
    list.expect(wrong, hash('md5', 'abc'));
    const { work } = await scan(list, OPTIONS);
    expect((work.done[right] ?? 0) & Done.matched).not.toBe(0);
    expect((work.done[wrong] ?? 0) & Done.matched).toBe(0);
  });

  it('reads content whatever size and times say (I10)', async () => {
    const path = file('plain', 'abc');
    const { atime, mtime } = lstatSync(path);
    writeFileSync(path, 'abd');
    utimesSync(path, atime, mtime);
    const list = new WorkList();
    list.expect(list.add(path, 0), hash('md5', 'abc'));
    const { work } = await scan(list, OPTIONS);
    expect(work.done[0]).toBe(Done.looked | Done.read);
  });

  it('reads an inode once, whatever number of names it has, and judges each name by its own hash', async () => {
    const list = new WorkList();
    const one = list.add(file('one', 'content'), 0);
    linkSync(join(directory, 'one'), join(directory, 'two'));
    linkSync(join(directory, 'one'), join(directory, 'three'));
    const two = list.add(`${directory}/two`, 0);
    const three = list.add(`${directory}/three`, 0);
    for (const index of [one, two]) list.expect(index, hash('md5', 'content'));
    list.expect(three, hash('md5', 'something else'));
    const { work, bytesRead } = await scan(list, OPTIONS);
    expect(bytesRead).toBe('content'.length);
    expect([one, two, three].map((index) => hashText(work.md5, index))).toEqual(
      Array(3).fill(hash('md5', 'content')),
    );
    expect([one, two, three].map((index) => ((work.done[index] ?? 0) & Done.matched) !== 0)).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('leaves access times as they are', async () => {
    const path = file('plain', 'x');
    utimesSync(path, 1000, 2_000_000_000);
    await scanPaths([path]);
    expect(lstatSync(path).atimeMs).toBe(1_000_000);
  });

  it('does not begin a file that claims to be larger than a package can hold', async () => {
    const path = file('sparse', '');
    truncateSync(path, 20e9);
    const { work, bytesRead } = await scanPaths([path]);
    expect(work.errno[0]).toBe(27);
    expect(bytesRead).toBe(0);
  });

  it('gives up on a file that never ends', async () => {
    // Its inode promises nothing, and it goes on for megabytes.
    const { work } = await scanPaths(['/proc/kallsyms']);
    expect(work.errno[0]).toBe(27);
    expect((work.done[0] ?? 0) & Done.read).toBe(0);
  });
});

describe('threads', () => {
  it('give the same results as a run without them', async () => {
    const contents = Array.from({ length: 2000 }, (_, i) => Buffer.alloc((i * 37) % 5000, `${i}`));
    const paths = contents.map((content, i) => file(`f${i}`, content));
    const { work } = await scanPaths(paths);
    expect(contents.map((_, i) => hashText(work.md5, i))).toEqual(
      contents.map((content) => hash('md5', content)),
    );
    const few = await scanPaths(paths.slice(0, 100));
    expect(hashText(few.work.md5, 99)).toBe(hashText(work.md5, 99));
  });

  it('report progress in entries and then in bytes, and end with all of it', async () => {
    const paths = Array.from({ length: 1600 }, (_, i) => file(`f${i}`, 'content'));
    const seen: ScanProgress[] = [];
    await scanPaths(paths, { onProgress: (progress) => seen.push(progress) });
    expect(seen.findLast((progress) => progress.phase === 'looking')).toMatchObject({
      done: 1600,
      total: 1600,
    });
    expect(seen.at(-1)).toEqual({ phase: 'reading', done: 1600 * 7, total: 1600 * 7 });
  });

  it('stop when they are told to, and say so', async () => {
    const paths = Array.from({ length: 1600 }, (_, i) => file(`f${i}`, 'content'));
    const abort = new AbortController();
    const running = scanPaths(paths, { signal: abort.signal });
    abort.abort();
    await expect(running).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('the list of work', () => {
  it('keeps a path once and joins what is wanted of it', () => {
    const list = new WorkList();
    const paths = Array.from({ length: 20_000 }, (_, i) => `/some/directory/${i % 10_000}`);
    const numbers = paths.map((path) => list.add(path, Want.names));
    expect(list.count).toBe(10_000);
    expect(numbers[10_000]).toBe(numbers[0]);
    expect(list.path(9_999)).toBe('/some/directory/9999');
    list.add('/some/directory/0', Want.content);
    expect(list.layOut().want[0]).toBe(Want.names | Want.content);
  });
});
