/**
 * I7, of a whole recovery: a root whose installation was interrupted, and in which somebody who means harm has put links,
 * FIFOs, devices, endless files and names that climb, is recovered from outside and from inside. A canary beside the
 * root keeps its content, its names and its times, those of reading among them.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import { reportSchema } from '../../src/model/report.ts';
import { inRoot } from '../lab/chroot.ts';
import { rootDescribe, rootTest, someOf } from '../lab/roots.ts';
import { interrupt, StatesLab, workloadNamed } from './lab/states.ts';

const BIN = join(import.meta.dirname, '../../bin/debmend');
const INFO = 'var/lib/dpkg/info';
/** Reading renews a time of access that is not after that of the last change (mount(8), relatime). */
const LONG_AGO = new Date('2001-02-03T04:05:06Z');
/** So long a run waits for nothing that never comes, in milliseconds. */
const PATIENCE_MS = 5 * 60_000;

const NAMES = ['file', 'data', 'helper', 'changed.conf', 'lab-core.list', 'lab', '0000', 'tmp.i', 'control'];

interface Canary {
  readonly directory: string;
  census(): string[];
}

/** A directory beside the root, with names that somebody who comes there by a link takes for the root's own. */
function canaryIn(scratch: string): Canary {
  const directory = join(scratch, 'canary');
  mkdirSync(join(directory, 'empty'), { recursive: true });
  for (const name of NAMES) writeFileSync(join(directory, name), `the canary ${name}\n`);
  for (const name of [...NAMES, 'empty', '']) utimesSync(join(directory, name), LONG_AGO, LONG_AGO);
  const census = () => {
    // looked at first: counting the names is reading too
    const stats = [...NAMES, 'empty', ''].map((name) => {
      const { mode, uid, size, nlink, atimeMs, mtimeMs, ctimeMs } = lstatSync(join(directory, name));
      return [name, mode, uid, size, nlink, atimeMs, mtimeMs, ctimeMs].join(' ');
    });
    return stats;
  };
  return { directory, census };
}

/** Ends of planted links: absolute, which a chroot keeps inside, and by `..`, which climbs as far as it goes. */
const endsOf = ({ directory }: Canary, name: string): [string, string] => [
  join(directory, name),
  `${'../'.repeat(30)}${join(directory, name).slice(1)}`,
];

function replaceByLink(root: string, path: string, end: string): void {
  rmSync(join(root, path), { recursive: true, force: true });
  symlinkSync(end, join(root, path));
}

async function make(...command: [string, ...string[]]): Promise<void> {
  const [program, ...args] = command;
  await promisify(execFile)(program, args);
}

const SIDES = ['outside', 'inside'] as const;

rootDescribe('a recovery of a hostile root', () => {
  let lab: StatesLab;
  let scratch: string;
  beforeAll(async () => {
    lab = await StatesLab.open();
    scratch = mkdtempSync(join(tmpdir(), 'debmend-hostile-'));
  });
  afterAll(() => {
    lab?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  const plants: Readonly<Record<string, (root: string, canary: Canary) => void | Promise<void>>> = {
    'links in the place of its packages’ directories and files': (root, canary) => {
      const [absolute, climbing] = endsOf(canary, '');
      replaceByLink(root, 'usr/share/lab', climbing);
      replaceByLink(root, 'etc/lab', absolute);
      replaceByLink(root, 'usr/lib/lab-core', climbing);
      replaceByLink(root, 'var/lib/lab-1', climbing);
      replaceByLink(root, 'usr/bin/lab', endsOf(canary, 'lab')[1]);
      replaceByLink(root, 'usr/bin/lab-extra-pager', endsOf(canary, 'file')[0]);
      // names that dpkg makes, and takes away
      for (const name of ['usr/bin/lab.dpkg-new', 'usr/bin/lab.dpkg-tmp'])
        replaceByLink(root, name, endsOf(canary, 'file')[1]);
    },
    'links in the place of dpkg’s and apt’s own files': (root, canary) => {
      const [file, climbing] = endsOf(canary, 'file');
      replaceByLink(root, `${INFO}/lab-core.list`, endsOf(canary, 'lab-core.list')[1]);
      replaceByLink(root, `${INFO}/lab-extra.postinst`, climbing);
      replaceByLink(root, `${INFO}/lab-extra.md5sums`, file);
      replaceByLink(root, 'var/lib/dpkg/tmp.ci', endsOf(canary, '')[1]);
      replaceByLink(root, 'var/lib/dpkg/diversions', climbing);
      replaceByLink(root, 'var/lib/dpkg/alternatives', endsOf(canary, '')[1]);
      replaceByLink(root, 'var/lib/apt/extended_states', climbing);
      replaceByLink(root, 'var/cache/apt/archives', endsOf(canary, '')[1]);
      replaceByLink(root, 'var/lib/dpkg/updates', endsOf(canary, '')[1]);
    },
    'FIFOs, devices, endless files and hard links where files should be': async (root) => {
      const node = async (path: string, ...how: string[]) => {
        rmSync(join(root, path), { recursive: true, force: true });
        await make('mknod', join(root, path), ...how);
      };
      await node('usr/bin/lab', 'p');
      await node('usr/lib/lab-core/helper', 'c', '1', '5'); // /dev/zero never ends
      await node('etc/lab/same.conf', 'p');
      await node('usr/share/lab/data', 'b', '7', '7');
      await node(`${INFO}/lab-lib:amd64.md5sums`, 'p');
      await node(`${INFO}/lab-extra.prerm`, 'c', '1', '9');
      await node('usr/bin/lab.dpkg-new', 'p');
      const grown = join(root, 'usr/share/lab/constant');
      rmSync(grown, { force: true });
      writeFileSync(grown, '');
      truncateSync(grown, 10 * 2 ** 40);
      rmSync(join(root, 'usr/share/lab/greeting.lab-core'), { force: true });
      linkSync(join(root, 'etc/shadow'), join(root, 'usr/share/lab/greeting.lab-core'));
    },
    'names that climb in its lists and notes': (root, canary) => {
      const up = `/usr/share${'/..'.repeat(30)}${canary.directory}`;
      const lines = [`${up}/file`, `${up}/data`, `${up}/empty`, up, '/..', '/usr/share/lab/\x1b]0;title\x07'];
      for (const list of ['lab-core.list', 'lab-extra.list'])
        appendFileSync(join(root, INFO, list), `${lines.join('\n')}\n`);
      appendFileSync(
        join(root, INFO, 'lab-core.md5sums'),
        `d41d8cd98f00b204e9800998ecf8427e  ${up.slice(1)}/file\n`,
      );
      appendFileSync(join(root, 'var/lib/dpkg/diversions'), `${up}/file\n${up}/file.distrib\nlab-extra\n`);
      appendFileSync(join(root, 'var/lib/dpkg/statoverride'), `root root 4777 ${up}/file\n`);
      writeFileSync(join(root, INFO, 'lab-core.conffiles'), `${up}/changed.conf\n`);
    },
  };

  // The ordinary run takes each from one side.
  const cases = Object.entries(plants).flatMap(([name, plant], at) =>
    (at % 2 === 0 ? SIDES : SIDES.toReversed()).map((from) => ({ name, plant, from })),
  );
  for (const { name, plant, from } of someOf(cases, 2)) {
    rootTest(`I7: ${name}, from ${from}`, async () => {
      const workload = workloadNamed('upgrade');
      const overlay = lab.overlay(workload);
      const root = overlay.directory;
      const place = mkdtempSync(join(scratch, 'beside-'));
      try {
        const at = { class: 'script', at: 'postinst-amid-state' };
        expect(await interrupt(root, workload, at, 0)).toBe(true);
        const canary = canaryIn(place);
        await plant(root, canary);
        const shadow = readFileSync(join(root, 'etc/shadow'));
        const before = canary.census();
        const ended =
          from === 'outside'
            ? await fromOutside(root)
            : await inRoot(root, ['debmend', 'recover', '--apply', '--json'], {
                offline: true,
                boot: randomUUID(),
                timeout: PATIENCE_MS,
              });
        expect(canary.census()).toEqual(before);
        expect(readdirSync(canary.directory).sort()).toEqual([...NAMES, 'empty'].sort());
        // A canary that sings for nobody proves nothing: this very reading shows in it.
        expect(canary.census()).not.toEqual(before);
        expect(readFileSync(join(root, 'etc/shadow')).equals(shadow)).toBe(true);
        // It came to an end that it can tell of, and calls nothing mended that is not.
        expect([0, 1], ended.stderr).toContain(ended.code);
        const { recovery, findings } = reportSchema.parse(JSON.parse(ended.stdout));
        expect(recovery?.outcome, JSON.stringify(findings.slice(0, 5))).toMatch(
          /^(mended|incomplete|not-mended)$/,
        );
        if (recovery?.outcome === 'mended')
          expect(findings.filter(({ severity }) => severity === 'critical' || severity === 'error')).toEqual(
            [],
          );
      } finally {
        overlay.remove();
      }
    });
  }
});

async function fromOutside(root: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const options = { maxBuffer: 64 * 1024 * 1024, timeout: PATIENCE_MS };
  try {
    const said = await promisify(execFile)(BIN, ['recover', '--apply', '--json', '--root', root], options);
    return { code: 0, ...said };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string };
    return { code: typeof code === 'number' ? code : -1, stdout, stderr };
  }
}
