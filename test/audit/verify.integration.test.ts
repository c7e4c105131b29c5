/**
 * The audit beside `dpkg --verify`, on this host and on a damaged root: what both say of a path agrees, or a stated
 * rule says why it does not. A line on either side that neither explains fails the test.
 */
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { AuditResult } from '../../src/audit/audit.ts';
import type { Finding } from '../../src/model/finding.ts';
import { textToPath } from '../../src/model/path-text.ts';
import type { Bytes } from '../../src/system/bytes.ts';
import { DebmendError } from '../../src/system/errors.ts';
import { rootTest } from '../lab/roots.ts';
import { FILE_DAMAGES, makeAll } from './damages.ts';
import { at, auditOf, inside, install, line, must, open, type Said, SUITES, say } from './lab.ts';

/** One line of `dpkg --verify` (dpkg(1), --verify-format rpm; facts: dpkg, "Manifests, exactly"). */
interface VerifyLine {
  readonly kind: 'missing' | 'mode' | 'content';
  readonly conffile: boolean;
  readonly path: Bytes;
}

function parseVerify(output: string): VerifyLine[] {
  if (output === '') return [];
  expect(output.endsWith('\n')).toBe(true);
  return output
    .slice(0, -1)
    .split('\n')
    .map((text) => {
      // The reason stands behind missing paths only, and none of strerror's begins with anything but a capital.
      const match =
        /^(missing {2}|\?\?5\?{6}|\?M[5.?]\?{6}) ([c ]) (\/.*)$/s.exec(text) ??
        expect.fail(`not a line of dpkg --verify: ${JSON.stringify(text)}`);
      const [, what = '', attribute, rest = ''] = match;
      const kind = what.startsWith('missing') ? 'missing' : what.startsWith('?M') ? 'mode' : 'content';
      const path = kind === 'missing' ? rest.replace(/ \([A-Z][A-Za-z ]+\)$/, '') : rest;
      return { kind, conffile: attribute === 'c', path };
    });
}

/** Whether a finding says what a line says. */
function agrees(finding: Finding, { kind, conffile }: VerifyLine): boolean {
  const { code } = finding;
  if (conffile !== (finding.knownBy === 'conffile-hash')) return false;
  switch (kind) {
    case 'missing':
      return code === 'file-missing' || code === 'conffile-missing';
    case 'mode':
      return code === 'file-wrong-type';
    case 'content':
      return /^(?:conffile|file)-(?:modified|truncated|zero-length|nul-filled|nul-tail)$/.test(code);
  }
}

/** What is left after everything that agrees was taken away. */
interface Difference {
  readonly path: Bytes | undefined;
  readonly line?: VerifyLine;
  readonly finding?: Finding;
  readonly result: AuditResult;
}

interface Rule {
  readonly name: string;
  readonly explains: (difference: Difference) => boolean;
}

const RULES: readonly Rule[] = [
  {
    name: 'dpkg calls an excluded path missing',
    explains: ({ line: said, finding, path, result }) =>
      finding?.code === 'file-excluded' ||
      (said?.kind === 'missing' &&
        result.findings.some(
          ({ code, path: text = '' }) => code === 'file-excluded' && textToPath(text) === path,
        )),
  },
  {
    name: "a removed package's conffiles belong to the administrator, and dpkg still looks at them",
    explains: ({ line: said, path, result }) =>
      said?.conffile === true && isConffile(result, path, (state) => state === 'config-files'),
  },
  {
    name: 'an obsolete conffile may be missing or changed, and dpkg still looks at it',
    explains: ({ line: said, path, result }) =>
      said?.conffile === true && isConffile(result, path, (_, obsolete) => obsolete),
  },
  {
    name: 'dpkg hashes no diverted file, and names a missing one by the place that it was diverted to',
    explains: ({ path, result, line: said, finding }) =>
      result.database.diversions.some(({ from, to }) => (said === undefined ? path === from : path === to)) &&
      (said?.kind === 'missing' || finding !== undefined),
  },
  {
    name: 'dpkg does not look at the type of a directory',
    explains: ({ finding }) => finding?.code === 'file-wrong-type' && finding.expected === 'a directory',
  },
  {
    name: 'dpkg --verify does not know where links have to point',
    explains: ({ finding }) =>
      finding?.code === 'file-wrong-link-target' || finding?.knownBy === 'alternatives',
  },
  {
    name: 'dpkg --verify does not look at owners and modes that a statoverride sets',
    explains: ({ finding }) => finding?.knownBy === 'statoverride',
  },
  {
    name: 'dpkg --verify does not look for leftovers',
    explains: ({ finding }) => finding?.code.startsWith('leftover-') === true,
  },
  {
    name: 'package states are what dpkg --audit tells',
    explains: ({ finding }) => finding?.code.startsWith('package-') === true,
  },
  {
    name: "dpkg --verify checks neither its own database nor apt's state",
    explains: ({ finding }) => /^(?:database|apt)-/.test(finding?.code ?? ''),
  },
];

function isConffile(
  result: AuditResult,
  path: Bytes | undefined,
  wanted: (state: string, obsolete: boolean) => boolean,
): boolean {
  return result.database.packages.some(({ state, conffiles }) =>
    conffiles.some((conffile) => conffile.path === path && wanted(state, conffile.obsolete)),
  );
}

/** How often each rule was needed, and what none explains. */
function explain(result: AuditResult, output: string) {
  const left = new Map<Bytes, Finding[]>();
  const differences: Difference[] = [];
  for (const finding of result.findings) {
    const path = finding.path === undefined ? undefined : textToPath(finding.path);
    if (path === undefined) differences.push({ path, finding, result });
    else left.set(path, [...(left.get(path) ?? []), finding]);
  }
  let agreed = 0;
  const told = new Set<string>();
  for (const said of parseVerify(output)) {
    // A file that several packages own has a line for each, and one finding.
    const key = JSON.stringify(said);
    if (told.has(key)) continue;
    told.add(key);
    const findings = left.get(said.path) ?? [];
    const match = findings.find((finding) => agrees(finding, said));
    if (match === undefined) differences.push({ path: said.path, line: said, result });
    else {
      agreed += 1;
      left.set(
        said.path,
        findings.filter((finding) => finding !== match),
      );
    }
  }
  for (const [path, findings] of left)
    for (const finding of findings) differences.push({ path, finding, result });
  const needed: Record<string, number> = {};
  const unexplained: string[] = [];
  for (const difference of differences) {
    const rule = RULES.find(({ explains }) => explains(difference));
    if (rule !== undefined) needed[rule.name] = (needed[rule.name] ?? 0) + 1;
    else if (difference.finding !== undefined) unexplained.push(`debmend only: ${line(difference.finding)}`);
    else unexplained.push(`dpkg only: ${JSON.stringify(difference.line)}`);
  }
  return { agreed, needed, unexplained };
}

rootTest('on this host every difference to dpkg --verify has its rule', async () => {
  const result = await whileQuiet(() => auditOf('/'));
  const said = say('dpkg', '--verify');
  expect(said.code).toBe(0);
  const { agreed, needed, unexplained } = explain(result, said.stdout);
  console.log(`this host: ${agreed} paths agree;`, needed);
  expect(unexplained).toEqual([]);
});

/** Waits until no one installs anything on this host. */
async function whileQuiet<T>(action: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      const busy = error instanceof DebmendError && ['locked', 'database-changed'].includes(error.code);
      if (!busy || attempt === 20) throw error;
      await sleep(5000);
    }
  }
}

for (const suite of SUITES) {
  rootTest(`${suite}: on a damaged root every difference to dpkg --verify has its rule`, async () => {
    const directory = await open(suite);
    makeAll(directory, FILE_DAMAGES);
    // A directory in place of a file ends dpkg's run there and then.
    const aborted = verify(directory);
    expect(aborted).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("cannot compute MD5 digest for file '/usr/bin/comm'"),
    });
    expect(parseVerify(aborted.stdout).length).toBeLessThan(10);
    rmSync(at(directory, 'usr/bin/comm'), { recursive: true });
    makeMore(directory);

    const said = verify(directory);
    expect(said.code).toBe(0);
    const { agreed, needed, unexplained } = explain(await auditOf(directory), said.stdout);
    expect(unexplained).toEqual([]);
    expect(agreed).toBe(19);
    // and no rule stands here in vain
    expect(Object.keys(needed).sort()).toEqual(RULES.map(({ name }) => name).sort());
  });
}

rootTest('a FIFO in place of a file, at which dpkg waits for ever, is a finding', async () => {
  const directory = await open('trixie');
  rmSync(at(directory, 'usr/bin/comm'));
  must('mkfifo', at(directory, 'usr/bin/comm'));
  const waiting = say('timeout', '3', 'chroot', directory, 'dpkg', '--verify', 'coreutils');
  expect(waiting.code).toBe(124);
  expect((await auditOf(directory)).findings.map(line)).toEqual([
    'error other file-wrong-type coreutils /usr/bin/comm',
  ]);
});

function verify(directory: string): Said {
  return say('chroot', directory, 'dpkg', '--verify');
}

/** What the two see differently, beside the damages that other tests share. */
function makeMore(root: string): void {
  const usr = (name: string) => at(root, `usr/bin/${name}`);
  // links: to an equal file, to another, to nothing
  renameSync(usr('od'), usr('od.real'));
  symlinkSync('od.real', usr('od'));
  rmSync(usr('ptx'));
  symlinkSync('od.real', usr('ptx'));
  rmSync(usr('pr'));
  symlinkSync('nowhere', usr('pr'));
  // diverted files: changed, and missing
  writeFileSync(usr('nl.distrib'), 'changed\n');
  inside(root, 'dpkg-divert', '--local', '--rename', '--add', '/usr/bin/tsort');
  rmSync(usr('tsort.distrib'));
  // conffiles: obsolete ones, and those of a removed package
  const old = ['/etc/tiny-old/missing', '/etc/tiny-old/changed', '/etc/tiny-old/empty'];
  const gone = ['/etc/tiny-gone/missing', '/etc/tiny-gone/changed'];
  const filesOf = (paths: readonly string[]) => Object.fromEntries(paths.map((path) => [path, `${path}\n`]));
  install(
    root,
    { name: 'tiny-old', files: filesOf(old), conffiles: old },
    { name: 'tiny-old', version: '2.0' },
    { name: 'tiny-gone', files: filesOf(gone), conffiles: gone },
    {
      name: 'tiny-links',
      files: { '/usr/share/tiny-links/empty': { directory: true }, '/usr/bin/tiny': { link: 'true' } },
    },
    { name: 'tiny-half', files: { '/usr/bin/tiny-half': 'half\n' } },
    { name: 'tiny-flat', files: { '/usr/share/tiny-flat/file': 'one\n' } },
  );
  inside(root, 'dpkg', '--remove', 'tiny-gone');
  for (const path of ['/etc/tiny-old/missing', '/etc/tiny-gone/missing']) rmSync(at(root, path));
  for (const path of ['/etc/tiny-old/changed', '/etc/tiny-gone/changed'])
    writeFileSync(at(root, path), 'changed\n');
  writeFileSync(at(root, '/etc/tiny-old/empty'), '');
  // links and directories that are missing, and a file in a directory's place
  rmSync(at(root, 'usr/share/tiny-links'), { recursive: true });
  rmSync(usr('tiny'));
  rmSync(at(root, 'usr/share/tiny-flat'), { recursive: true });
  writeFileSync(at(root, 'usr/share/tiny-flat'), '');
  // a package in the middle of its unpacking, and its journal
  const status = at(root, 'var/lib/dpkg/status');
  must(
    'sed',
    '-i',
    '/^Package: tiny-half$/,/^$/s/^Status: .*/Status: install reinstreq half-installed/',
    status,
  );
  writeFileSync(usr('tiny-half'), '');
  writeFileSync(at(root, 'var/lib/dpkg/updates/0000'), '');
  // a mode that a statoverride does not set
  inside(root, 'dpkg-statoverride', '--add', 'root', 'mail', '2755', '/usr/bin/expand');
}
