/** `debmend services` as a person or a program calls it, in a root that is none of this host's. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { inventorySchema } from '../../src/model/inventory.ts';
import { debmend, PROJECT } from './debmend.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'debmend-services-'));
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(root, 'usr/lib/debmend'), { recursive: true });
  cpSync(join(PROJECT, 'bin'), join(root, 'usr/lib/debmend/bin'), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

const services = (command: string, ...options: string[]) =>
  debmend(['services', command, '--root', root, ...options]);
const parsed = (text: string) => inventorySchema.parse(JSON.parse(text)).services;

it('installs, says so, and removes', () => {
  const before = services('status');
  expect(before).toMatchObject({ code: EXIT.findings, stderr: '' });
  expect(before.stdout).toMatch(/^missing {2}no {12}\/etc\/systemd\/system\/debmend-watch\.service$/m);
  expect(before.stdout).toMatch(/^hint: 'debmend services install'/m);

  const installed = services('install');
  expect(installed).toMatchObject({ code: EXIT.sound, stderr: '' });
  expect(installed.stdout.split('\n')).toContain('wrote /etc/systemd/system/debmend-watch.service');

  const after = services('status', '--json');
  expect(after).toMatchObject({ code: EXIT.sound, stderr: '' });
  expect(parsed(after.stdout)?.program).toBe('/usr/lib/debmend/bin/debmend');
  expect(parsed(after.stdout)?.units).toEqual(
    expect.arrayContaining([
      {
        name: 'debmend-watch.service',
        path: '/etc/systemd/system/debmend-watch.service',
        state: 'installed',
        enabled: true,
      },
      {
        name: 'debmend-audit.service',
        path: '/etc/systemd/system/debmend-audit.service',
        state: 'installed',
      },
    ]),
  );

  const removed = services('remove', '--json');
  expect(removed.code).toBe(EXIT.sound);
  expect(new Set(parsed(removed.stdout)?.units.map(({ state }) => state))).toEqual(new Set(['missing']));
  expect(services('remove')).toMatchObject({ code: EXIT.sound, stdout: 'no services were installed\n' });
});

it('a program elsewhere is named, by its whole path, and has to be there', () => {
  mkdirSync(join(root, 'opt/mend/bin'), { recursive: true });
  const program = ['--program', '/opt/mend/bin/debmend'];
  const refused = services('install', ...program);
  expect(refused).toMatchObject({ code: EXIT.failed, stdout: '' });
  expect(refused.stderr).toMatch(
    /^debmend: .*\/opt\/mend\/bin\/debmend.* \[services-unwritable\]\nhint: .+\n$/,
  );
  expect(existsSync(join(root, 'etc/systemd'))).toBe(false);

  cpSync(join(PROJECT, 'bin'), join(root, 'opt/mend/bin'), { recursive: true });
  expect(services('install', ...program).code).toBe(EXIT.sound);
  expect(services('status', ...program).code).toBe(EXIT.sound);
  const elsewhere = services('status');
  expect(elsewhere.code).toBe(EXIT.findings);
  expect(elsewhere.stdout).toMatch(/^different {2}yes/m);

  const relative = services('install', '--program', 'bin/debmend');
  expect(relative).toMatchObject({ code: EXIT.usage, stdout: '' });
  expect(relative.stderr).toContain('[usage]');
});

it('what someone else made is said, and stays', () => {
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  writeFileSync(join(root, 'etc/systemd/system/debmend-watch.service'), '[Service]\n');
  const refused = services('install');
  expect(refused).toMatchObject({ code: EXIT.failed, stdout: '' });
  expect(refused.stderr).toContain('debmend-watch.service');
  expect(services('status').stdout).toMatch(/^foreign {2}no .*debmend-watch\.service$/m);
});
