import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Root } from '../../src/system/root.ts';
import { diskFilesystems, syncFiles, syncFilesystems } from '../../src/system/sync.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-sync-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('syncFilesystems', () => {
  it('waits until each is synced', async () => {
    expect(await syncFilesystems([directory, '/'], 60_000)).toEqual(['synced', 'synced']);
  });

  it('says what cannot be synced', async () => {
    expect(await syncFilesystems([`${directory}/none`], 60_000)).toEqual(['failed']);
  });

  it('waits no longer than it may', async () => {
    expect(await syncFilesystems([directory], 0)).toEqual(['not-waited-for']);
  });
});

describe('syncFiles', () => {
  it('counts what is synced and what fails', async () => {
    const files = Array.from({ length: 20 }, (_, at) => join(directory, String(at)));
    for (const file of files.slice(1)) writeFileSync(file, 'x');
    expect(await syncFiles(files, 60_000)).toEqual({ synced: 19, failed: 1, notWaitedFor: 0 });
  });

  it('begins nothing after its time', async () => {
    writeFileSync(join(directory, 'file'), 'x');
    expect(await syncFiles([join(directory, 'file')], -1)).toEqual({ synced: 0, failed: 0, notWaitedFor: 1 });
  });
});

it('finds the filesystems of a root that are on a disk, each once', () => {
  const found = diskFilesystems(new Root('/'));
  expect(found[0]).toBe('/');
  expect(found).not.toContain('/proc');
  expect(found).not.toContain('/sys');
  expect(new Set(found).size).toBe(found.length);
});
