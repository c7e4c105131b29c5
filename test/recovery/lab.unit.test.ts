/** What of the power-cut lab needs no power to cut: chance, names, lies, verdicts, and its page. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Entry, RootImage } from './lab/image.ts';
import {
  caseNamed,
  casesOf,
  EVERYTHING,
  instantOf,
  isPossible,
  nameOfCase,
  secondShareOf,
} from './lab/power/cases.ts';
import { BLOCK_BYTES, differingBlocks, mannerOf, tellLies } from './lab/power/lie.ts';
import { DRAWINGS, drawingOf, withTables } from './lab/power/page.ts';
import { randomOf, shareOf } from './lab/power/random.ts';
import { keyOf, parseResults, type Result, Results } from './lab/power/results.ts';
import { debmendVerdict, type Judged, playbookVerdict } from './lab/power/verdict.ts';

const REPOSITORY = join(import.meta.dirname, '../..');

function inScratch<T>(work: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'debmend-lab-unit-'));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe('chance', () => {
  it('comes again with the same words, and with others does not', () => {
    const numbers = (words: string) => {
      const random = randomOf(words);
      return Array.from({ length: 5 }, () => random.below(1000));
    };
    expect(numbers('a case')).toEqual(numbers('a case'));
    expect(numbers('a case')).not.toEqual(numbers('another'));
  });

  it('spreads cuts evenly, however many there are', () => {
    for (const count of [5, 20, 100]) {
      const shares = Array.from({ length: count }, (_, at) => shareOf(7, at + 1)).sort((a, b) => a - b);
      const gaps = shares.map((share, at) => share - (shares[at - 1] ?? 0));
      // the three-distance theorem: no gap is larger than 2.7 times an equal one
      expect(Math.max(...gaps) * count).toBeLessThan(2.7);
    }
  });
});

describe('a case', () => {
  it('is known by its name', () => {
    for (const one of casesOf({ ...EVERYTHING, cuts: 2, seed: 3 })) {
      expect(caseNamed(nameOfCase(one))).toEqual(one);
      expect(isPossible(one)).toBe(true);
    }
    expect(() => caseNamed('upgrade/ext4/honest')).toThrow(
      'one is WORKLOAD/FILESYSTEM/honest|lying|kill/SEED.NUMBER',
    );
    expect(() => caseNamed('upgrade/ntfs/honest/1.1')).toThrow('no filesystem ntfs; there are ext4,');
    expect(() => caseNamed('dance/ext4/honest/1.1')).toThrow('no workload dance; there are upgrade,');
  });

  it('is cut at the same instant each time, mostly while dpkg is at work', () => {
    const cases = casesOf({ ...EVERYTHING, cuts: 40, seed: 1 }).filter(
      ({ workload: { name } }) => name === 'upgrade',
    );
    const instants = cases.slice(0, 40).map((one) => instantOf(one, { begins: 2, seconds: 10 }));
    expect(instants).toEqual(cases.slice(0, 40).map((one) => instantOf(one, { begins: 2, seconds: 10 })));
    expect(instants.filter((at) => at >= 2 && at <= 10).length).toBeGreaterThanOrEqual(28);
    expect(instants.some((at) => at < 2) && instants.some((at) => at > 10)).toBe(true);
    for (const one of cases) expect(secondShareOf(one)).toBe(secondShareOf(one));
  });

  it('of btrfs has no lying disk, and of apt no killed dpkg', () => {
    const possible = casesOf({ ...EVERYTHING, cuts: 1, seed: 1 }).map(nameOfCase);
    expect(possible.filter((name) => name.includes('/btrfs/lying/'))).toEqual([]);
    expect(possible.filter((name) => /^(apt-|mysql|unattended).*\/kill\//.test(name))).toEqual([]);
    expect(possible).toContain('upgrade/btrfs/honest/1.1');
  });
});

describe('a lying disk', () => {
  const block = (value: number) => Buffer.alloc(BLOCK_BYTES, value);

  /** Ten blocks, of which all but two have changed. */
  const images = (directory: string) => {
    const [old, now] = [join(directory, 'old'), join(directory, 'now')];
    writeFileSync(old, Buffer.concat(Array.from({ length: 10 }, (_, at) => block(at))));
    writeFileSync(
      now,
      Buffer.concat(Array.from({ length: 10 }, (_, at) => block(at === 2 || at === 5 ? at : at + 100))),
    );
    return { old, now };
  };

  it('touches nothing but what was written in its last seconds', () => {
    inScratch((directory) => {
      const { old, now } = images(directory);
      expect(differingBlocks(now, old)).toEqual([0, 1, 3, 4, 6, 7, 8, 9]);
      const data = new Set([0, 1, 3, 4]);
      const manner = { seconds: 1, dataShare: 0, metadataShare: 0.9 };
      const lie = tellLies(now, old, data, manner, 'a case');
      expect(lie.changed).toEqual({ data: 4, metadata: 4 });
      expect(lie.lost + lie.torn + lie.foreign).toBeGreaterThan(0);
      const left = readFileSync(now);
      for (const at of [0, 1, 3, 4])
        expect(left.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES)).toEqual(block(at + 100));
      for (const at of [2, 5])
        expect(left.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES)).toEqual(block(at));
    });
  });

  it('tells the same lies each time: lost blocks are old, torn ones begin new, foreign ones are another’s', () => {
    inScratch((directory) => {
      const { old, now } = images(directory);
      const pristine = readFileSync(now);
      const data = new Set(Array.from({ length: 10 }, (_, at) => at));
      const manner = { seconds: 1, dataShare: 0.99, metadataShare: 0 };
      const totals = { lost: 0, torn: 0, foreign: 0 };
      for (let number = 0; number < 20; number += 1) {
        writeFileSync(now, pristine);
        const lie = tellLies(now, old, data, manner, `case ${number}`);
        const left = readFileSync(now);
        writeFileSync(now, pristine);
        expect(tellLies(now, old, data, manner, `case ${number}`)).toEqual(lie);
        expect(readFileSync(now).equals(left)).toBe(true);
        for (const kind of ['lost', 'torn', 'foreign'] as const) totals[kind] += lie[kind];
        for (let at = 0; at < 10; at += 1) {
          const found = left.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES);
          const first = found[0] ?? -1;
          const last = found[BLOCK_BYTES - 1] ?? -1;
          if (first === last) expect(found).toEqual(block(first));
          else expect([first, last]).toEqual([at + 100, at]); // torn
        }
      }
      expect(Math.min(...Object.values(totals))).toBeGreaterThan(5);
    });
  });

  it('has a manner of its own for each case', () => {
    const manners = Array.from({ length: 60 }, (_, at) => mannerOf(`upgrade/ext4/lying/1.${at}`));
    expect(new Set(manners.map(({ dataShare }) => dataShare)).size).toBe(4);
    expect(manners.some(({ metadataShare }) => metadataShare > 0)).toBe(true);
    expect(manners.some(({ seconds }) => seconds === Number.POSITIVE_INFINITY)).toBe(true);
  });
});

describe('a verdict', () => {
  const after: RootImage = {
    directory: '/',
    entries: new Map(),
    texts: new Map([['/var/lib/dpkg/info/tiny:amd64.list', '/.\n/usr\n/usr/bin\n/usr/bin/tiny\n']]),
    contents: new Map(),
  };
  const report = (findings: readonly object[], unmended: readonly object[] = []) =>
    JSON.stringify({ ...REPORT, findings, recovery: { ...REPORT.recovery, unmended } });
  const judged = (one: Partial<Judged>): Judged => ({
    code: 0,
    differences: [],
    lost: [],
    audit: '',
    wrong: '',
    stdout: report([]),
    ...one,
  });
  const finding = (path: string | undefined, pkg?: string) => ({
    code: 'file-modified',
    severity: 'error',
    ...(path === undefined ? {} : { path }),
    ...(pkg === undefined ? {} : { package: pkg }),
    message: 'it differs',
    knownBy: 'md5sums',
    likelyOutage: true,
    reason: 'of its looks',
  });
  const verdict = (one: Partial<Judged>) => debmendVerdict(judged(one), after);

  it('calls what says that all is well, and is not, a liar', () => {
    expect(verdict({}).verdict).toBe('equal');
    expect(verdict({ differences: ['/etc/hosts: empty instead of 9 bytes'] }).verdict).toBe('liar');
    expect(verdict({ audit: 'tiny is half-installed' }).verdict).toBe('liar');
    expect(verdict({ wrong: 'there is no server' }).verdict).toBe('liar');
    expect(verdict({ code: 1 }).verdict).toBe('cautious');
    expect(verdict({ lost: ['/srv/own: a file of 9 bytes'] }).verdict).toBe('lost');
    expect(verdict({ code: 3 }).verdict).toBe('failed');
    expect(verdict({ stdout: 'Killed' }).verdict).toBe('failed');
  });

  it('wants every difference named, by its path, a directory above it, or its package', () => {
    const differences = ['/usr/bin/tiny: other content, 5 bytes', '/etc/hosts: empty instead of 9 bytes'];
    const of = (...findings: object[]) => verdict({ code: 1, differences, stdout: report(findings) });
    expect(of(finding('/usr/bin/tiny'), finding('/etc/hosts'))).toEqual({ verdict: 'named', unnamed: [] });
    expect(of(finding(undefined, 'tiny:amd64'), finding('/etc')).verdict).toBe('named');
    expect(of(finding('/usr/bin/tiny'))).toEqual({ verdict: 'unnamed', unnamed: [differences[1]] });
    expect(of({ ...finding('/usr/bin/tiny'), severity: 'info' }, finding('/etc/hosts')).verdict).toBe(
      'unnamed',
    );
    expect(of(finding('/etc/host'), finding('/usr/bin/tiny')).verdict).toBe('unnamed');
    const record = ["/var/lib/dpkg/status: dpkg's record of tiny:amd64: version is '1' instead of '2'"];
    expect(
      verdict({ code: 1, differences: record, stdout: report([finding(undefined, 'tiny:amd64')]) }).verdict,
    ).toBe('named');
  });

  it('takes what was before for an end where a disk had lost all record, and only there', () => {
    const differences = ['/usr/bin/tiny: missing, a file of 5 bytes'];
    expect(verdict({ differences, fromBefore: [] }).verdict).toBe('before');
    expect(verdict({ differences, fromBefore: ['/usr/bin/other: other content'] }).verdict).toBe('liar');
    expect(verdict({ differences }).verdict).toBe('liar');
  });

  it('lets stand what is as it was before where it is said that nobody knows what was to be done', () => {
    const said = JSON.parse(report([])) as { recovery: object };
    const lost = { finding: 'transaction-interrupted', reason: 'it is lost', harmless: false };
    const stdout = JSON.stringify({ ...said, recovery: { ...said.recovery, unmended: [lost] } });
    const still = '/usr/bin/still: should not be there, a file of 5 bytes';
    const half = '/usr/bin/half: other content, 5 bytes';
    const record = "/var/lib/dpkg/status: dpkg's record of still:all should not be there";
    const of = (differences: string[], fromBefore: string[], text = stdout) =>
      verdict({ code: 1, differences, fromBefore, stdout: text });
    const other = "/var/lib/dpkg/status: dpkg's record of other:all is missing";
    expect(of([still, record], [other, '/usr/bin/other: missing, a file']).verdict).toBe('named');
    expect(of([still, record], [other, '/usr/bin/other: missing, a file'], report([])).verdict).toBe(
      'unnamed',
    );
    expect(of([still, half], [half, other, '/a: missing, a file'])).toEqual({
      verdict: 'unnamed',
      unnamed: [half],
    });
  });

  it('finds a file that nobody knows in lost+found, when that is named', () => {
    const entry = (hash: string) => ({ type: 'file', hash }) as Entry;
    const base = { ...after, entries: new Map([['/var/lib/own', entry('aa')]]) };
    const found = { ...after, entries: new Map([['/lost+found/#12', entry('aa')]]) };
    const left = {
      finding: 'filesystem-lost-found',
      path: '/lost+found',
      reason: 'unknown',
      harmless: false,
    };
    const of = (unmended: object[], image: RootImage) =>
      debmendVerdict(
        judged({
          code: 1,
          differences: ['/var/lib/own: missing, a file of 9 bytes', '/lost+found/#12: should not be there'],
          fromBefore: ['/var/lib/own: missing, a file of 9 bytes', '/a: missing', '/b: missing'],
          base,
          stdout: report([], unmended),
        }),
        image,
      ).verdict;
    expect(of([left], found)).toBe('named');
    expect(of([left], after)).toBe('unnamed');
    expect(of([], found)).toBe('unnamed');
  });

  it('lets what people keep for themselves be lost to a repair that is named, and nothing of a package', () => {
    const base = { ...after, entries: new Map([['/srv/own', { type: 'file', hash: 'aa' } as Entry]]) };
    const owned = new Map([['/var/lib/dpkg/info/site.list', '/.\n/srv\n/srv/own\n']]);
    const left = {
      finding: 'filesystem-lost-found',
      path: '/lost+found',
      reason: 'unknown',
      harmless: false,
    };
    const of = (unmended: object[], was: RootImage) =>
      debmendVerdict(
        judged({
          code: 1,
          differences: ['/srv/own: missing, a file of 9 bytes'],
          base: was,
          stdout: report([], unmended),
        }),
        after,
      ).verdict;
    expect(of([left], base)).toBe('named');
    expect(of([], base)).toBe('unnamed');
    expect(of([left], { ...base, texts: owned })).toBe('unnamed');
  });

  it('asks of the playbook nothing but the end', () => {
    expect(playbookVerdict(judged({ code: 100 }))).toBe('equal');
    expect(playbookVerdict(judged({ differences: ['/a: missing, a file'] }))).toBe('liar');
    expect(playbookVerdict(judged({ code: 100, differences: ['/a: missing, a file'] }))).toBe('unnamed');
  });
});

describe('results', () => {
  const result = (one: Partial<Result>): Result => ({
    case: 'upgrade/ext4/honest/1.1',
    by: 'debmend',
    verdict: 'equal',
    at: 1.5,
    of: 3,
    phase: 'status unpacked tiny:amd64',
    neighbour: false,
    begun: true,
    code: 0,
    seconds: 2,
    differs: 0,
    differences: [],
    lost: [],
    audit: '',
    wrong: '',
    sources: 'abc',
    ...one,
  });

  it('are kept line by line; the newest counts, and half a line is none', () => {
    inScratch((directory) => {
      const results = new Results(directory);
      expect(results.read().size).toBe(0);
      results.append(result({ verdict: 'liar' }));
      results.append(result({ by: 'playbook', verdict: 'unnamed' }));
      results.append(result({}));
      writeFileSync(results.file, '{"case":"upgrade/ext4/ho', { flag: 'a' });
      expect([...results.read().values()].map((one) => `${keyOf(one)} ${one.verdict}`)).toEqual([
        'upgrade/ext4/honest/1.1 debmend equal',
        'upgrade/ext4/honest/1.1 playbook unnamed',
      ]);
    });
  });

  it('make the page that is published, and its drawings', () => {
    const read = (name: string) => readFileSync(join(REPOSITORY, 'docs', name), 'utf8');
    const results = [...parseResults(read('lab/results.jsonl')).values()];
    expect(withTables(read('lab.md'), results)).toBe(read('lab.md'));
    for (const disk of ['honest', 'lying'] as const)
      expect(drawingOf(results, disk, DRAWINGS[disk])).toBe(read(`lab/${disk}.svg`));
  });
});

/** The least that is a report of a recovery. */
const REPORT = {
  schemaVersion: 1,
  tool: { name: 'debmend', version: '0.1.0' },
  host: { root: '/', admindir: '/var/lib/dpkg', privileged: true },
  summary: {
    verdict: 'findings',
    severities: { info: 0, warning: 0, error: 1, critical: 0 },
    likelyOutage: 0,
    packages: 1,
    files: 1,
    bytesRead: 1,
    unchecked: { count: 0, paths: [] },
    scope: { quick: false, packages: [], paths: [], archives: [] },
    startedAt: '2026-01-01T00:00:00.000Z',
    seconds: 1,
  },
  recovery: {
    mode: 'apply',
    policy: 'repair',
    outcome: 'incomplete',
    passes: 1,
    mended: 0,
    unmended: [],
    problems: [],
    retry: false,
    seconds: 1,
  },
} as const;
