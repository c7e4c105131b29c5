/**
 * Files that cannot be read: because the filesystem or the device below is damaged, which is a finding that names the
 * device, and because the user may not, which is none and makes the audit incomplete.
 */
import { chmodSync, closeSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { reportSchema } from '../../src/model/report.ts';
import { mountOf, readMounts } from '../../src/system/mounts.ts';
import { rootTest } from '../lab/roots.ts';
import {
  at,
  atEnd,
  auditOf,
  BIN,
  debmend,
  install,
  line,
  linesOf,
  must,
  open,
  REPOSITORY,
  say,
  temporaryDirectory,
} from './lab.ts';

const BLOCK = 1024;
const BLOCKS = 16 * 1024;

/**
 * Moves a package's directory to an ext4 image of its own, which `damage` may hurt before it is mounted in its place.
 *
 * @param last the file that is written to the image last, so that everything else lies before it
 */
function onImage(
  directory: string,
  path: string,
  last: string,
  damage: (image: string) => void,
): { image: string; device: string } {
  const image = join(temporaryDirectory(), 'image');
  const content = temporaryDirectory();
  must('cp', '-a', `${at(directory, path)}/.`, content);
  rmSync(join(content, last));
  must('truncate', '-s', String(BLOCK * BLOCKS), image);
  must('mke2fs', '-q', '-F', '-t', 'ext4', '-b', String(BLOCK), '-d', content, image);
  debugfs(image, `write ${at(directory, path)}/${last} ${last}`);
  damage(image);
  must('mount', '-o', 'loop,ro', image, at(directory, path));
  atEnd(() => void must('umount', at(directory, path)));
  const device = mountOf(readMounts(), at(directory, path))?.source ?? '';
  expect(device).toMatch(/^\/dev\/loop\d+$/);
  return { image, device };
}

function debugfs(image: string, command: string): string {
  return must('debugfs', '-w', '-R', command, image);
}

/** Where a file's first block lies in its image, in bytes. */
function firstBlock(image: string, path: string): number {
  return Number(/\d+/.exec(debugfs(image, `bmap ${path} 0`))?.[0]) * BLOCK;
}

rootTest('a damaged filesystem below a package: each file is a finding that names the device', async () => {
  const directory = await open('trixie');
  const names = ['good', 'inode', 'extents', 'listing/file', 'start', 'middle'];
  install(directory, {
    name: 'tiny',
    files: Object.fromEntries(names.map((name) => [`/usr/share/tiny/${name}`, Buffer.alloc(400_000, name)])),
  });
  expect(await linesOf(directory)).toEqual([]);
  const { image, device } = onImage(directory, 'usr/share/tiny', 'middle', (file) => {
    debugfs(file, 'set_inode_field /inode checksum 0x1234');
    debugfs(file, 'set_inode_field /extents block[0] 0');
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.alloc(64, 'foreign bytes'), 0, 64, firstBlock(file, '/listing'));
    closeSync(fd);
  });
  // The device loses its end while it is in use: a file can be read to its middle, and no further.
  truncateSync(image, Math.ceil((firstBlock(image, '/middle') + 200_000) / 4096) * 4096);
  // What the kernel says to anyone.
  const said = names.map((name) => {
    const { stderr } = say('cat', at(directory, `usr/share/tiny/${name}`));
    return [name, stderr.replace(/^.*: /s, '').trim()];
  });
  expect(Object.fromEntries(said)).toEqual({
    good: '',
    inode: 'Bad message',
    extents: 'Structure needs cleaning',
    'listing/file': 'Bad message',
    start: '',
    middle: 'Input/output error',
  });

  const { findings } = await auditOf(directory);
  expect(findings.map(line)).toEqual(
    ['extents', 'inode', 'listing', 'listing/file', 'middle'].map(
      (name) => `critical outage file-unreadable tiny /usr/share/tiny/${name}`,
    ),
  );
  for (const finding of findings) {
    expect(finding.device).toBe(device);
    expect(finding.message).toContain(device);
    expect(finding.knownBy).toBe('file-system');
  }
  // And to a person, through the command line.
  const human = debmend('audit', '--root', directory);
  expect(human.code).toBe(1);
  expect(human.stdout).toContain(device);
});

/** debmend as `nobody` calls it: the checkout itself, or a copy of it where that is closed to other users. */
function unprivileged(): string {
  const nobody = (...command: string[]) => say('setpriv', ...AS_NOBODY, ...command);
  if (nobody('test', '-r', join(REPOSITORY, 'src/cli/main.ts')).code === 0) return BIN;
  const copy = temporaryDirectory();
  chmodSync(copy, 0o755);
  for (const name of ['bin', 'src', 'package.json', 'node_modules'])
    must('cp', '-a', '--no-preserve=ownership', join(REPOSITORY, name), copy);
  must('chmod', '-R', 'a+rX', copy);
  return join(copy, 'bin/debmend');
}

const AS_NOBODY = ['--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '--'];

rootTest(
  'without the rights to read a file the audit is incomplete, and says what it could not read',
  async () => {
    const directory = await open('trixie');
    install(directory, {
      name: 'tiny',
      files: { '/usr/share/tiny/open': 'o\n', '/usr/share/tiny/closed': 'c\n' },
    });
    chmodSync(directory, 0o755);
    chmodSync(at(directory, 'usr/share/tiny/closed'), 0o600);
    const run = (...args: string[]) =>
      say(
        'setpriv',
        ...AS_NOBODY,
        'env',
        'HOME=/nonexistent',
        unprivileged(),
        'audit',
        '--root',
        directory,
        ...args,
      );
    const json = run('--json');
    expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 0, stderr: '' });
    const report = reportSchema.parse(JSON.parse(json.stdout));
    expect(report.findings).toEqual([]);
    expect(report.host.privileged).toBe(false);
    expect(report.summary.verdict).toBe('incomplete');
    const unchecked = [
      '/root',
      '/usr/share/tiny/closed',
      '/var/cache/apt/archives/partial',
      '/var/cache/ldconfig',
      '/var/lib/apt/lists/partial',
    ];
    expect(report.summary.unchecked).toEqual({ count: unchecked.length, paths: unchecked });
    const human = run('--all');
    expect(human.code).toBe(0);
    expect(human.stdout).toMatch(/^incomplete: 5 files could not be checked/);
    for (const path of unchecked) expect(human.stdout).toContain(path);
    // what is wrong with the rest is found all the same
    writeFileSync(at(directory, 'usr/share/tiny/open'), '');
    const worse = run('--json');
    expect(worse.code).toBe(1);
    const { summary, findings } = reportSchema.parse(JSON.parse(worse.stdout));
    expect(summary.verdict).toBe('findings');
    expect(findings.map(line)).toEqual(['error outage file-zero-length tiny /usr/share/tiny/open']);
  },
);
