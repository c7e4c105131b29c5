import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { bootId, uptime } from '../../src/system/boot.ts';
import { ancestors, commandLine, readProcess, workingDirectory } from '../../src/system/processes.ts';

it('knows this process, and its parents', () => {
  const self = readProcess(process.pid);
  expect(self).toMatchObject({ pid: process.pid, parent: process.ppid });
  expect(self?.startTicks).toBeGreaterThan(0);
  const chain = ancestors();
  expect(chain[0]?.pid).toBe(process.ppid);
  expect(commandLine(process.pid).length).toBeGreaterThan(0);
  expect(workingDirectory(process.pid)).toBe(process.cwd());
});

it('is not misled by a program whose name has parentheses and blanks', () => {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-process-'));
  const program = join(directory, 'a) S 1 (b');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['60'], { stdio: 'ignore' });
  try {
    expect(readProcess(child.pid ?? 0)).toMatchObject({ program: 'a) S 1 (b', parent: process.pid });
    expect(commandLine(child.pid ?? 0)).toEqual([program, '60']);
  } finally {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
});

it('knows nothing of a process that is gone', () => {
  expect(readProcess(2 ** 22 + 1)).toBeUndefined();
  expect(commandLine(2 ** 22 + 1)).toEqual([]);
  expect(workingDirectory(2 ** 22 + 1)).toBeUndefined();
});

it('knows the boot', () => {
  expect(bootId()).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  expect(uptime()).toBeGreaterThan(1);
});
