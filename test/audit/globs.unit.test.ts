import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { judgeConfiguredLeftovers } from '../../src/audit/globs.ts';
import { Root } from '../../src/system/root.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debmend-globs-'));
  for (const name of ['root/srv/a', 'root/srv/b', 'outside'])
    mkdirSync(join(directory, name), { recursive: true });
  for (const name of ['root/srv/a/x.tmp', 'root/srv/b/y.tmp', 'root/srv/.hidden.tmp', 'outside/secret.tmp']) {
    writeFileSync(join(directory, name), '');
  }
  symlinkSync(join(directory, 'outside'), join(directory, 'root/srv/link'));
  symlinkSync('/srv/a', join(directory, 'root/inside'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function matched(...globs: string[]): Promise<(string | undefined)[]> {
  const findings = await judgeConfiguredLeftovers(new Root(join(directory, 'root')), globs, () => true);
  return findings.map((finding) => finding.path);
}

describe('leftover globs', () => {
  it('match names in a directory, hidden ones too, and below it with two stars', async () => {
    expect(await matched('/srv/*.tmp')).toEqual(['/srv/.hidden.tmp']);
    expect(await matched('/srv/**/*.tmp')).toEqual(['/srv/.hidden.tmp', '/srv/a/x.tmp', '/srv/b/y.tmp']);
  });

  it('name each match once, whatever number of globs match it', async () => {
    expect(await matched('/srv/a/*', '/srv/a/x.tmp')).toEqual(['/srv/a/x.tmp']);
  });

  it('go through links inside the root, as the root sees them', async () => {
    expect(await matched('/inside/*.tmp')).toEqual(['/srv/a/x.tmp']);
  });

  it('lead nowhere outside (I7): not by a link, not by one in braces, not upwards', async () => {
    expect(await matched('/srv/link/*')).toEqual([]);
    expect(await matched('/srv/{link,a}/*')).toEqual(['/srv/a/x.tmp']);
    expect(await matched('/srv/*/*.tmp')).toEqual(['/srv/a/x.tmp', '/srv/b/y.tmp']);
    expect(await matched('/srv/../../outside/*')).toEqual([]);
    expect(await matched('/srv/{a,../../outside}/*')).toEqual(['/srv/a/x.tmp']);
  });
});
