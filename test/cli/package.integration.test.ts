/** What the package ships: npm's own list of it. */
import { expect, it } from 'vitest';
import { shell } from './debmend.ts';

it('the package has the launcher, the schema, the pages and the licence, and no source or test', () => {
  const npm = shell('npm pack --dry-run --json --ignore-scripts', {
    env: { PATH: process.env['PATH'] ?? '' },
  });
  const [packed] = JSON.parse(npm.stdout) as { files: { path: string; mode: number }[] }[];
  const paths = packed?.files.map(({ path }) => path) ?? [];
  expect(paths).toEqual(
    expect.arrayContaining([
      'LICENSE',
      'README.md',
      'bin/debmend',
      'docs/configuration.md',
      'package.json',
      'schemas/report.schema.json',
    ]),
  );
  const top = new Set(paths.map((path) => path.split('/')[0]));
  for (const name of ['LICENSE', 'README.md', 'bin', 'dist', 'docs', 'package.json', 'schemas', 'systemd'])
    top.delete(name);
  expect([...top]).toEqual([]);
  expect(paths.filter((path) => /\.ts$|\.test\./.test(path))).toEqual([]);
  expect(packed?.files.find(({ path }) => path === 'bin/debmend')?.mode).toBe(0o755);
});
