import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readCapabilities } from '../../src/system/capabilities.ts';
import { run } from '../../src/system/run.ts';
import { rootTest } from '../lab/roots.ts';

rootTest('file capabilities are read as they are, and no link is followed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-capabilities-'));
  try {
    const file = (name: string) => join(directory, name);
    for (const name of ['plain', 'capable', 'caf\xe9'])
      copyFileSync('/bin/true', Buffer.from(file(name), 'latin1'));
    symlinkSync('capable', file('link'));
    const set = await run('setcap', ['cap_net_raw+ep', file('capable')], { timeout: 10_000 });
    expect(set.code, set.stderr).toBe(0);
    const found = await readCapabilities([
      file('plain'),
      file('capable'),
      file('link'),
      file('none'),
      file('caf\xe9'),
    ]);
    expect([...(found ?? [])].map(([at, value]) => [at, value.toString('hex')])).toEqual([
      // linux/capability.h: revision 2 with the effective bit, then CAP_NET_RAW (13) permitted.
      [1, '0100000200200000000000000000000000000000'],
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
