import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { inRoot, mustInRoot } from './chroot.ts';
import { buildPackage, localArchive, publish, type TinyPackage } from './packages.ts';
import { type DebianRoot, debianRoot, rootTest } from './roots.ts';

const opened: DebianRoot[] = [];
async function open(): Promise<string> {
  const root = await debianRoot('bookworm');
  opened.push(root);
  return root.directory;
}
afterEach(() => {
  for (const root of opened.splice(0)) root.remove();
});

const DATA: TinyPackage = { name: 'tiny-data', files: { '/usr/share/tiny/data': 'some data\n' } };

const tiny = (version: string): TinyPackage => ({
  name: 'tiny',
  version,
  depends: ['tiny-data (>= 1.0)'],
  files: {
    '/usr/bin/tiny': { content: `#!/bin/sh\necho ${version}\n`, mode: 0o4755 },
    '/usr/bin/tiny-link': { link: 'tiny' },
    '/usr/lib/tiny/hard': { hardLink: '/usr/bin/tiny' },
    '/etc/tiny.conf': `version = ${version}\n`,
    '/var/lib/tiny': { directory: true },
  },
  conffiles: ['/etc/tiny.conf'],
  control: { postinst: `#!/bin/sh\necho "$1 ${version} $2" >> /var/lib/tiny/log\n` },
});

rootTest('apt installs, upgrades and removes what a test made up, without a network', async () => {
  const directory = await open();
  const native = (await mustInRoot(directory, ['dpkg', '--print-architecture'])).trim();
  const made = (version: string) => ({ ...tiny(version), architecture: native });
  // No network is found: the archive is a file, and apt asks no one else.
  const apt = (...args: string[]) =>
    mustInRoot(directory, ['apt-get', '-y', ...args], { env: { http_proxy: 'http://127.0.0.1:9' } });
  const state = () => statusOf(directory);

  await publish(directory, DATA, made('1.0'));
  await apt('install', 'tiny');
  expect(await state()).toEqual(['Status: install ok installed', 'Version: 1.0']);
  expect(await mustInRoot(directory, ['tiny-link'])).toBe('1.0\n');
  expect(await mustInRoot(directory, ['stat', '-c', '%a %U %h', '/usr/bin/tiny'])).toBe('4755 root 2\n');
  expect(await inRoot(directory, ['dpkg', '--verify'])).toMatchObject({ code: 0, stdout: '', stderr: '' });

  await publish(directory, made('2.0'));
  await apt('install', 'tiny');
  expect(await state()).toEqual(['Status: install ok installed', 'Version: 2.0']);
  expect(await mustInRoot(directory, ['tiny'])).toBe('2.0\n');
  expect(readFileSync(join(directory, 'etc/tiny.conf'), 'utf8')).toBe('version = 2.0\n');
  expect(readFileSync(join(directory, 'var/lib/tiny/log'), 'utf8')).toBe(
    'configure 1.0 \nconfigure 2.0 1.0\n',
  );

  await apt('remove', 'tiny');
  expect((await state())[0]).toBe('Status: deinstall ok config-files');
  // The lists of the archive that the root came from are still there.
  expect(await mustInRoot(directory, ['apt-cache', 'policy', 'hello'])).toMatch(/Candidate: \d/);
});

async function statusOf(directory: string): Promise<string[]> {
  return (await mustInRoot(directory, ['dpkg', '-s', 'tiny'])).match(/^(?:Status|Version): .*/gm) ?? [];
}

rootTest('an archive can be one whose packages apt copies into its cache', async () => {
  const directory = await open();
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-packages-'));
  try {
    chmodSync(scratch, 0o700);
    await localArchive(directory, [buildPackage(DATA, scratch)], { method: 'copy' });
  } finally {
    rmSync(scratch, { recursive: true });
  }
  await mustInRoot(directory, ['apt-get', '-y', 'install', 'tiny-data']);
  expect(readdirSync(join(directory, 'var/cache/apt/archives'))).toContain('tiny-data_1.0_all.deb');
});
