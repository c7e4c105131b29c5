/** Files that packages' programs make: damaged for real, found, made again by the program, and found no more. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { judgeGenerated } from '../../src/audit/generated.ts';
import { readDatabase } from '../../src/dpkg/database.ts';
import type { Finding } from '../../src/model/finding.ts';
import { regeneration } from '../../src/recovery/regenerate.ts';
import { Root } from '../../src/system/root.ts';
import { mustInRoot } from '../lab/chroot.ts';
import {
  type DebianRoot,
  type DebianSuite,
  debianRoot,
  LONG_SUITES,
  rootDescribe,
  someOf,
} from '../lab/roots.ts';
import { GENERATING } from './regenerate-lab.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const BUILD_MS = 15 * 60 * 1000;

const PYTHON: Readonly<Record<DebianSuite, string>> = { bookworm: '311', trixie: '313' };

/** Whose content the program makes the same each time, byte for byte. */
const SAME = (suite: DebianSuite): string[] => [
  '/etc/ld.so.cache',
  '/etc/ssl/certs/ca-certificates.crt',
  '/lib/udev/hwdb.bin',
  '/usr/share/mime/mime.cache',
  '/usr/share/mime/globs2',
  '/usr/share/mime/application/zip.xml',
  '/etc/nsswitch.conf',
  '/etc/profile',
  '/root/.bashrc',
  '/etc/inputrc',
  `/usr/lib/python3.${PYTHON[suite].slice(1)}/encodings/__pycache__/__init__.cpython-${PYTHON[suite]}.pyc`,
  `/usr/share/python3/debpython/__pycache__/option.cpython-${PYTHON[suite]}.pyc`,
];
/** These are made from what debconf knows, from the copy before, and in another order. */
const OTHERWISE = ['/etc/ca-certificates.conf', '/var/cache/debconf/templates.dat', '/etc/shells'] as const;
/** What the generator always makes. */
const ALWAYS: ReadonlySet<string> = new Set([
  '/etc/ld.so.cache',
  '/etc/ssl/certs/ca-certificates.crt',
  '/lib/udev/hwdb.bin',
  '/usr/share/mime/mime.cache',
]);

/** A cut's work: nothing written, only the length written, the beginning written. */
const DAMAGES: Readonly<Record<string, (content: Buffer) => Buffer>> = {
  empty: () => Buffer.alloc(0),
  'NUL-filled': (content) => Buffer.alloc(content.length),
  'NUL from the middle': (content) => Buffer.from(content).fill(0, Math.floor(content.length / 2)),
};

for (const suite of LONG_SUITES) {
  rootDescribe(`what packages generate in ${suite}`, () => {
    let root: DebianRoot;
    const host = (path: string): string => join(root.directory, path);

    beforeAll(async () => {
      root = await debianRoot(suite, GENERATING);
    }, BUILD_MS);
    afterAll(() => root?.remove());

    const judge = (path?: string): Promise<Finding[]> => {
      const view = new Root(root.directory);
      return judgeGenerated(
        view,
        readDatabase(view),
        path === undefined ? undefined : (name) => name === path,
      );
    };

    /** Does what the regeneration says, as a recovery does: aside, run. */
    async function regenerate(finding: Finding): Promise<void> {
      const made = regeneration(finding);
      if (made === undefined) throw new Error(`nothing makes ${finding.path}`);
      for (const path of made.before.quarantine) {
        if (existsSync(host(path))) renameSync(host(path), join(root.directory, 'tmp', basename(path)));
      }
      await mustInRoot(root.directory, [made.program, ...made.args]);
    }

    it('is sound', async () => expect(await judge()).toEqual([]));

    it.each(someOf(SAME(suite), 3))('%s is made again as it was', async (path) => {
      const before = readFileSync(host(path));
      const { mode } = lstatSync(host(path));
      for (const [name, damage] of Object.entries(DAMAGES)) {
        writeFileSync(host(path), damage(before));
        const findings = await judge(path);
        expect([name, findings.map(({ code, path: at }) => [code, at])]).toEqual([
          name,
          [['generated-damaged', path]],
        ]);
        for (const finding of findings) await regenerate(finding);
        expect([name, await judge(path)]).toEqual([name, []]);
        expect([name, readFileSync(host(path)).equals(before)]).toEqual([name, true]);
        expect(lstatSync(host(path)).mode).toBe(mode);
      }
    });

    it.each(someOf([...ALWAYS], 2))('%s is missed and made again', async (path) => {
      const before = readFileSync(host(path));
      rmSync(host(path));
      const findings = await judge(path);
      expect(findings.map(({ code }) => code)).toEqual(['generated-missing']);
      for (const finding of findings) await regenerate(finding);
      expect(readFileSync(host(path)).equals(before)).toBe(true);
    });

    it.each(someOf(OTHERWISE, 3))('%s is made again', async (path) => {
      const before = readFileSync(host(path));
      writeFileSync(host(path), Buffer.alloc(before.length));
      const findings = await judge(path);
      expect(findings.map(({ code }) => code)).toEqual(['generated-damaged']);
      for (const finding of findings) await regenerate(finding);
      expect(await judge(path)).toEqual([]);
      expect(lstatSync(host(path)).size).toBeGreaterThan(0);
    });

    it('leaves what an administrator may have written to a person', async () => {
      const path = '/etc/pam.d/common-auth';
      const before = readFileSync(host(path));
      writeFileSync(host(path), '');
      const findings = await judge(path);
      expect(findings.map(({ severity, code }) => [severity, code])).toEqual([
        ['critical', 'generated-damaged'],
      ]);
      expect(findings.map(regeneration)).toEqual([undefined]);
      writeFileSync(host(path), before);
    });

    it('takes byte code for damaged at whatever byte it was cut', async () => {
      const directory = `/usr/lib/python3.${PYTHON[suite].slice(1)}/__pycache__`;
      const names = readdirSync(host(directory)).slice(0, 8);
      expect(names).toHaveLength(8);
      for (const name of names) {
        const path = `${directory}/${name}`;
        const content = readFileSync(host(path));
        for (let part = 1; part < 12; part += 1) {
          writeFileSync(host(path), content.subarray(0, Math.floor((content.length * part) / 12)));
          expect((await judge(path)).map(({ code }) => code)).toEqual(['generated-damaged']);
        }
        writeFileSync(host(path), content);
      }
      expect(await judge()).toEqual([]);
    });

    it('is judged at a cost that other files do not raise', () => {
      const before = systemCalls(root.directory);
      for (const directory of ['/srv/data', '/home/user', '/usr/share/doc/more', '/usr/lib/more']) {
        mkdirSync(host(directory), { recursive: true });
        for (let index = 0; index < 500; index += 1) writeFileSync(host(`${directory}/${index}`), '');
      }
      const after = systemCalls(root.directory);
      expect(before).toBeGreaterThan(500);
      // One more directory is listed where a glob asks which architectures there are.
      expect(after - before).toBeLessThan(50);
    });
  });
}

/** How many files are opened, listed and looked at while a root is judged. */
function systemCalls(directory: string): number {
  const scratch = mkdtempSync(join(tmpdir(), 'debmend-calls-'));
  const script = [
    `import { judgeGenerated } from '${REPOSITORY}/src/audit/generated.ts';`,
    `import { readDatabase } from '${REPOSITORY}/src/dpkg/database.ts';`,
    `import { Root } from '${REPOSITORY}/src/system/root.ts';`,
    'const root = new Root(process.argv[1]);',
    'await judgeGenerated(root, readDatabase(root));',
  ].join('\n');
  try {
    const trace = [
      '-f',
      '-qq',
      '-o',
      join(scratch, 'trace'),
      '-e',
      'trace=openat,getdents64,newfstatat,statx',
    ];
    const node = [process.execPath, '--input-type=module', '-e', script, directory];
    const result = spawnSync('strace', [...trace, ...node], { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`strace: ${result.error ?? result.stderr}`);
    // What Node itself loads differs from run to run.
    return readFileSync(join(scratch, 'trace'), 'latin1')
      .split('\n')
      .filter((line) => line.includes(directory)).length;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
