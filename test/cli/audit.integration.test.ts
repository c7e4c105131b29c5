/** `debmend audit` as a person and a program use it, on a small hand-made root. */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import type { Report } from '../../src/model/report.ts';
import { SEVERITIES } from '../../src/model/severity.ts';
import { schemaMistakes } from '../report/report-schema.ts';
import { debmend, PROJECT, shell } from './debmend.ts';
import { type TinyRoot, tinyRoot } from './tiny-root.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'debmend-cli-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let root: TinyRoot;
beforeEach(() => {
  root = tinyRoot();
});
afterEach(() => root.remove());

const audit = (...args: string[]) => debmend(['audit', '--root', root.directory, ...args]);

function report(...args: string[]): Report {
  const { stdout, stderr } = audit('--json', ...args);
  expect(stderr).toBe('');
  const document: Report = JSON.parse(stdout);
  expect(schemaMistakes(document)).toEqual([]);
  return document;
}

const codesAndPaths = (document: Report) => document.findings.map(({ code, path }) => `${code} ${path}`);

/** One finding of each severity. */
function damage(): void {
  root.write('/etc/hello.conf', 'greeting = good morning\n');
  root.write('/usr/share/hello/data.dpkg-new', 'some');
  root.write('/usr/bin/hello', '');
  root.write('/usr/bin/dpkg', '');
}
const DAMAGE = [
  'file-zero-length /usr/bin/dpkg',
  'file-zero-length /usr/bin/hello',
  'leftover-partial /usr/share/hello/data.dpkg-new',
  'conffile-modified /etc/hello.conf',
];

describe('a sound root', () => {
  it('ends with 0 and says so first', () => {
    const { code, stdout, stderr } = audit();
    expect({ code, stderr }).toEqual({ code: EXIT.sound, stderr: '' });
    expect(stdout).toMatch(/^sound/);
  });

  it('has no findings in JSON', () => {
    const { findings, summary } = report();
    expect(findings).toEqual([]);
    expect(summary).toMatchObject({ verdict: 'sound', packages: 2, unchecked: { count: 0 } });
  });
});

describe('the root', () => {
  it.each([
    ['is not there', () => join(scratch, 'none'), 'root-unreadable', 'ENOENT'],
    ['is a file', () => root.at('/usr/bin/hello'), 'root-unreadable', 'it is no directory'],
    ['has no dpkg database', () => root.at('/usr'), 'no-dpkg-database', 'ENOENT'],
  ])('that %s ends with 3 and a hint', (_, directory, code, message) => {
    const ended = debmend(['audit', '--root', directory()]);
    expect(ended).toMatchObject({ code: EXIT.failed, stdout: '' });
    const [first, second] = ended.stderr.split('\n');
    expect(first).toMatch(new RegExp(`^debmend: .*${message}.* \\[${code}\\]$`));
    expect(second).toMatch(/^hint: /);
  });

  it('may be named through a link', () => {
    const link = join(scratch, 'link');
    symlinkSync(root.directory, link);
    expect(debmend(['audit', '--root', link]).code).toBe(EXIT.sound);
  });

  it('may have its database elsewhere inside', () => {
    mkdirSync(root.at('/srv'));
    expect(shell(`mv ${root.at('/var/lib/dpkg')} ${root.at('/srv/dpkg')}`).code).toBe(0);
    expect(audit()).toMatchObject({ code: EXIT.failed });
    expect(report('--admindir', '/srv/dpkg').summary.packages).toBe(2);
  });
});

describe('--fail-on', () => {
  it('is warning unless it is said', () => {
    root.write('/etc/hello.conf', 'greeting = good morning\n');
    expect(audit().code).toBe(EXIT.sound);
    root.write('/usr/share/hello/data.dpkg-new', 'some');
    expect(audit().code).toBe(EXIT.findings);
  });

  const worst = {
    info: () => root.write('/etc/hello.conf', 'greeting = good morning\n'),
    warning: () => root.write('/usr/share/hello/data.dpkg-new', 'some'),
    error: () => root.write('/usr/bin/hello', ''),
    critical: () => root.write('/usr/bin/dpkg', ''),
  };
  it.each(SEVERITIES)('counts what is as bad or worse, and the worst is %s', (severity) => {
    worst[severity]();
    expect(report().findings.map((finding) => finding.severity)).toEqual([severity]);
    const codes = [...SEVERITIES, 'never'].map((failOn) => audit('--fail-on', failOn).code);
    const reached = SEVERITIES.indexOf(severity);
    expect(codes).toEqual([
      ...SEVERITIES.map((_, at) => (at <= reached ? EXIT.findings : EXIT.sound)),
      EXIT.sound,
    ]);
  });

  it('never is what npm run audit uses, so that npm adds no noise of its own', () => {
    damage();
    const { scripts } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'));
    const { code, stdout, stderr } = shell(`${scripts.audit} --root ${root.directory}`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^3 findings/);
  });
});

describe('--json', () => {
  it('is one valid document, the worst first', () => {
    damage();
    const document = report();
    expect(codesAndPaths(document)).toEqual(DAMAGE);
    expect(document.summary).toMatchObject({
      verdict: 'findings',
      severities: { info: 1, warning: 1, error: 1, critical: 1 },
    });
    expect(document.host).toMatchObject({
      root: root.directory,
      admindir: '/var/lib/dpkg',
      architecture: 'amd64',
    });
  });

  it('is the same in every run but for the time', () => {
    damage();
    const timeless = (): string =>
      audit('--json').stdout.replace(/"startedAt": ".*?"|"seconds": [\d.]+/g, (field) =>
        field.replace(/:.*/, ''),
      );
    const first = timeless();
    expect(first).toContain('"startedAt",');
    expect(timeless()).toBe(first);
  });

  it('carries a name that is not UTF-8 as an escaped URI', () => {
    writeFileSync(Buffer.from(`${root.at('/usr/share/hello')}/caf\xe9.dpkg-new`, 'latin1'), '');
    expect(codesAndPaths(report())).toEqual(['leftover-partial file:///usr/share/hello/caf%E9.dpkg-new']);
  });

  it('has all findings, however many', () => {
    const files = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`/usr/share/many/${i}`, `content ${i}`]),
    );
    root.remove();
    root = tinyRoot([{ name: 'many', files }]);
    for (const path of Object.keys(files)) root.write(path, '');
    expect(report().findings).toHaveLength(300);
    expect(audit().stdout.split('\n').length).toBeLessThan(60);
    expect(audit('--all').stdout.match(/\/usr\/share\/many\/\d+/g)).toHaveLength(300);
  });
});

describe('--package', () => {
  it('looks at no other package', () => {
    damage();
    expect(report('--package', 'hello').findings.map(({ package: name }) => name)).toEqual([
      'hello',
      'hello',
      'hello',
    ]);
    expect(report('--package', 'hello:amd64').summary.packages).toBe(1);
    expect(report('--package', 'dpkg', 'hello').summary.packages).toBe(2);
  });

  it.each(['none', 'hello:armhf', 'hel*'])('that dpkg does not know ends with 2: %s', (name) => {
    const { code, stdout, stderr } = audit('--package', name);
    expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' });
    expect(stderr).toContain(
      `auditing the package ${name}: dpkg's database does not have it [unknown-package]\nhint: `,
    );
  });
});

describe('--path', () => {
  it.each([
    [['/usr/bin'], ['/usr/bin/dpkg', '/usr/bin/hello']],
    [['/usr/bin/'], ['/usr/bin/dpkg', '/usr/bin/hello']],
    [['/usr/bin/hello'], ['/usr/bin/hello']],
    [['/usr/bin/hel'], []],
    [['/usr/*hello'], ['/usr/bin/hello']],
    [
      ['/usr/bin/[a-e]*', '/etc'],
      ['/usr/bin/dpkg', '/etc/hello.conf'],
    ],
    [['/'], ['/usr/bin/dpkg', '/usr/bin/hello', '/usr/share/hello/data.dpkg-new', '/etc/hello.conf']],
  ])('%s looks at what is below it, or matches', (paths, found) => {
    damage();
    expect(report('--path', ...paths).findings.map(({ path }) => path)).toEqual(found);
  });
});

describe('--config', () => {
  const config = (text: string): string => {
    const file = join(scratch, 'config.yaml');
    writeFileSync(file, text);
    return file;
  };

  it('names globs whose matches are leftovers', () => {
    root.write('/srv/vendor/a.partial', '');
    root.write('/srv/vendor/deep/b.partial', '');
    const file = config('audit:\n  leftoverGlobs: [/srv/**/*.partial]\n');
    expect(codesAndPaths(report('--config', file))).toEqual([
      'leftover-configured /srv/vendor/a.partial',
      'leftover-configured /srv/vendor/deep/b.partial',
    ]);
  });

  it.each([
    [
      'a wrong key',
      'audit:\n  leftovers: []\n',
      'line 2: audit: unrecognized key: "leftovers" [config-invalid]',
    ],
    ['broken YAML', 'audit: {}\naudit: {}\n', 'line 2: map keys must be unique [config-invalid]'],
  ])('with a mistake ends with 2 and its place, before anything is looked at: %s', (_, text, message) => {
    const { code, stdout, stderr } = audit('--config', config(text));
    expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' });
    expect(stderr.split('\n')[0]).toBe(
      `debmend: reading the configuration ${scratch}/config.yaml, ${message}`,
    );
    expect(stderr).toContain('\nhint: ');
  });

  it('that is not there ends with 2', () => {
    expect(audit('--config', join(scratch, 'none.yaml'))).toMatchObject({ code: EXIT.usage, stdout: '' });
  });
});

describe('--output', () => {
  it('writes the report to a file and nothing to standard output', () => {
    damage();
    const file = join(scratch, 'report.json');
    expect(audit('--json', '--output', file)).toEqual({ code: EXIT.findings, stdout: '', stderr: '' });
    const document = JSON.parse(readFileSync(file, 'utf8'));
    expect(schemaMistakes(document)).toEqual([]);
    expect(codesAndPaths(document)).toEqual(DAMAGE);
    expect(readdirSync(scratch).filter((name) => name.includes('report.json'))).toEqual(['report.json']);
  });

  it('replaces what a file held before', () => {
    const file = join(scratch, 'page.txt');
    writeFileSync(file, 'old\n'.repeat(10_000));
    expect(audit('--output', file).code).toBe(EXIT.sound);
    expect(readFileSync(file, 'utf8')).toMatch(/^sound/);
    expect(readFileSync(file, 'utf8')).not.toContain('old');
  });

  it('into a directory that is not there ends with 3 and says what can be done', () => {
    const file = join(scratch, 'none/report.json');
    const { code, stdout, stderr } = audit('--output', file);
    expect({ code, stdout }).toEqual({ code: EXIT.failed, stdout: '' });
    expect(stderr).toBe(
      `debmend: writing the report to ${file}: ENOENT [output-unwritable]\nhint: name a file in a directory that can be written\n`,
    );
  });

  it.each([
    ['where even root may not', '/sys/debmend-report.json'],
    ['that is a file', '/etc/passwd/report.json'],
    ['with a name that is too long', `/tmp/${'x'.repeat(300)}`],
  ])('to a place %s ends with 3', (_, file) => {
    const { code, stdout, stderr } = audit('--output', file);
    expect({ code, stdout }).toEqual({ code: EXIT.failed, stdout: '' });
    expect(stderr).toMatch(/^debmend: writing the report to .*: E[A-Z]+ \[output-unwritable\]\nhint: /);
  });

  it.each([
    ['a directory', (path: string) => mkdirSync(path)],
    // As root, renaming over these would take /dev/null or /dev/stdout away from the whole system.
    ['a pipe, or a device', (path: string) => shell(`mkfifo ${path}`)],
    ['a link', (path: string) => symlinkSync('/dev/null', path)],
  ])('never replaces %s', (_, make) => {
    const path = join(mkdtempSync(join(scratch, 'odd-')), 'report');
    make(path);
    const before = statSync(path).mode;
    const { code, stderr } = audit('--output', path);
    expect(code).toBe(EXIT.failed);
    expect(stderr).toMatch(
      /^debmend: writing the report to .*: it is no regular file \[output-unwritable\]\nhint: /,
    );
    expect(statSync(path).mode).toBe(before);
  });
});

describe('another process at work on the database', () => {
  /** Takes the lock as dpkg does (fcntl(2)) and says when it has it. */
  const HOLDER = `use Fcntl; $| = 1; open my $f, '+>', $ARGV[0] or die; my $lock = pack('s s x![q] q q i x![q]', F_WRLCK, 0, 0, 0, 0);
    fcntl($f, F_SETLK, $lock) or die; print "held\\n"; sleep 60;`;

  it('ends with 4, unless it is to be ignored', async () => {
    const holder = spawn('perl', ['-e', HOLDER, root.at('/var/lib/dpkg/lock')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const { code, stdout, stderr } = audit();
      expect({ code, stdout }).toEqual({ code: EXIT.locked, stdout: '' });
      expect(stderr).toContain(
        `auditing while process ${holder.pid} (perl) holds ${root.at('/var/lib/dpkg/lock')} [locked]\nhint: `,
      );
      expect(audit('--ignore-lock').code).toBe(EXIT.sound);
    } finally {
      holder.kill();
    }
  });
});

describe('the root afterwards', () => {
  it('is as it was, access times included', () => {
    damage();
    const state = (): string[] =>
      readdirSync(root.directory, { recursive: true, encoding: 'utf8' })
        .sort()
        .map((name) => {
          const path = root.at(`/${name}`);
          const stat = statSync(path, { bigint: true });
          // Listing a directory here changes its own access time.
          const read = stat.isFile() ? stat.atimeNs : 0n;
          return `${name} ${stat.mode} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${read}`;
        });
    const before = state();
    audit();
    audit('--quick');
    expect(state()).toEqual(before);
    expect(existsSync(root.at('/var/lib/dpkg/lock'))).toBe(false);
  });
});
