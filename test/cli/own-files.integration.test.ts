/** What debmend says when files of its own are gone, as after a power cut on a disk that lies. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { scratch } from '../recovery/rig.ts';
import { HELLO, tinyRoot } from './tiny-root.ts';

const HOME = join(import.meta.dirname, '../..');

/** A copy of the program without one of the packages that it needs. */
function without(name: string): string {
  const home = scratch();
  for (const part of ['bin', 'src', 'package.json', 'schemas'])
    cpSync(join(HOME, part), join(home, part), { recursive: true });
  mkdirSync(join(home, 'node_modules'));
  for (const one of readdirSync(join(HOME, 'node_modules')))
    symlinkSync(join(HOME, 'node_modules', one), join(home, 'node_modules', one));
  rmSync(join(home, 'node_modules', name));
  return join(home, 'bin/debmend');
}

it('says that they are damaged, and who can help then', async () => {
  const tiny = tinyRoot([HELLO]);
  try {
    const program = without('better-sqlite3');
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      execFile(program, ['snapshot', 'list', '--root', tiny.directory], (error, _, said) =>
        resolve({ code: error?.code ?? 0, stderr: said }),
      );
    });
    expect(stderr).toMatch(/^debmend: its own files are damaged: .*better-sqlite3/);
    expect(stderr).toContain('debmend recover --root DIR --apply');
    expect(stderr.trim().split('\n')).toHaveLength(2);
    expect(code).toBe(3);
  } finally {
    tiny.remove();
  }
});
