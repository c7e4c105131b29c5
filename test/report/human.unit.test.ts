import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { FINDING_CODES, type FindingCode } from '../../src/model/codes.ts';
import type { Finding } from '../../src/model/finding.ts';
import type { Host, Report, Summary } from '../../src/model/report.ts';
import { SEVERITIES } from '../../src/model/severity.ts';
import { type HumanOptions, renderHuman } from '../../src/report/human.ts';

function finding(parts: Partial<Finding> & { code: FindingCode }): Finding {
  return {
    severity: 'error',
    message: FINDING_CODES[parts.code],
    knownBy: 'md5sums',
    likelyOutage: true,
    reason: 'as the test wants it',
    ...parts,
  };
}

interface Changes {
  readonly host?: Partial<Host>;
  readonly summary?: Partial<Summary>;
}

function report(findings: readonly Finding[], { host, summary }: Changes = {}): Report {
  const of = (severity: Finding['severity']): number =>
    findings.filter((f) => f.severity === severity).length;
  return {
    schemaVersion: 1,
    tool: { name: 'debmend', version: '0.1.0' },
    host: {
      hostname: 'db1',
      os: 'Debian GNU/Linux 12 (bookworm)',
      architecture: 'amd64',
      root: '/',
      admindir: '/var/lib/dpkg',
      privileged: true,
      ...host,
    },
    summary: {
      verdict: findings.some((f) => f.severity !== 'info') ? 'findings' : 'sound',
      severities: { info: of('info'), warning: of('warning'), error: of('error'), critical: of('critical') },
      likelyOutage: findings.filter((f) => f.likelyOutage).length,
      packages: 412,
      files: 38211,
      bytesRead: 2_134_567_890,
      unchecked: { count: 0, paths: [] },
      scope: { quick: false, packages: [], paths: [], archives: [] },
      startedAt: '2026-03-01T03:00:00Z',
      seconds: 14.2,
      ...summary,
    },
    findings: [...findings],
  };
}

const scope = (parts: Partial<Summary['scope']>): Changes => ({
  summary: { scope: { quick: false, packages: [], paths: [], archives: [], ...parts } },
});

function render(of: Report, options: Partial<HumanOptions> = {}): string {
  return renderHuman(of, { colour: false, all: false, width: 120, ...options });
}

/** The text with its line breaks and indents gone, for a sentence that may be wrapped anywhere. */
function prose(text: string): string {
  return text.replace(/\s+/g, ' ');
}

/** A package with this many empty files, the first few of them errors. */
function emptyFiles(total: number, errors: number): Finding[] {
  return Array.from({ length: total }, (_, i) =>
    finding({
      code: 'file-zero-length',
      severity: i < errors ? 'error' : 'warning',
      package: 'big',
      version: '1.0-1',
      path: `/usr/share/big/${String(i).padStart(4, '0')}`,
    }),
  );
}

const MARIADB = { package: 'mariadb-server-core', version: '1:10.11.6-0+deb12u1' } as const;
const REALISTIC = report(
  [
    finding({
      code: 'database-update-nul',
      severity: 'critical',
      path: '/var/lib/dpkg/updates/0003',
      message: 'holds 512 NUL bytes',
      dpkgMessage: "parsing file '/var/lib/dpkg/updates/0003' near line 0:\n end of file after field name ''",
    }),
    finding({ code: 'package-half-installed', ...MARIADB, message: 'unpacking was interrupted' }),
    finding({
      code: 'file-zero-length',
      ...MARIADB,
      path: '/usr/share/mysql/czech/errmsg.sys',
      message: 'is empty, 78,432 bytes were installed',
    }),
    finding({
      code: 'file-nul-tail',
      ...MARIADB,
      path: '/usr/sbin/mariadbd',
      message: 'ends in 4,096 NUL bytes',
    }),
    finding({
      code: 'leftover-pending-conffile',
      severity: 'warning',
      package: 'mariadb-server',
      version: '1:10.11.6-0+deb12u1',
      path: '/etc/mysql/mariadb.conf.d/50-server.cnf.dpkg-new',
      message: 'waits for the package to be configured',
    }),
    finding({
      code: 'file-modified',
      severity: 'warning',
      package: 'python3-certbot',
      version: '2.1.0-4',
      path: '/usr/lib/python3/dist-packages/certbot/main.py',
      message: 'differs from its manifest',
      likelyOutage: false,
    }),
    ...['/etc/ssh/sshd_config', '/etc/hosts.allow'].map((path) =>
      finding({ code: 'conffile-modified', severity: 'info', package: 'x', path, likelyOutage: false }),
    ),
  ],
  { host: { privileged: false }, summary: { unchecked: { count: 14, paths: ['/etc/shadow'] } } },
);

test('a realistic report at 80 columns', () => {
  expect(`\n${render(REALISTIC, { width: 80 })}`).toMatchInlineSnapshot(`
    "
    6 findings, of which 5 look like the work of a power cut (marked outage)
    1 critical, 3 errors, 2 warnings in 3 packages and dpkg's database
      looked at  db1, Debian GNU/Linux 12 (bookworm), amd64
                 412 packages, 38,211 files, 2.1 GB read in 14 seconds
      not read   14 files for want of rights: root would read them

    dpkg's database: 1 critical
      critical  outage  database-update-nul  /var/lib/dpkg/updates/0003
                        holds 512 NUL bytes
                        dpkg says: parsing file '/var/lib/dpkg/updates/0003' near
                          line 0: end of file after field name ''

    mariadb-server-core 1:10.11.6-0+deb12u1: 3 errors
      error     outage  package-half-installed  unpacking was interrupted
      error     outage  file-zero-length        /usr/share/mysql/czech/errmsg.sys
                        is empty, 78,432 bytes were installed
      error     outage  file-nul-tail           /usr/sbin/mariadbd
                        ends in 4,096 NUL bytes

    mariadb-server 1:10.11.6-0+deb12u1: 1 warning
      warning   outage  leftover-pending-conffile
                        /etc/mysql/mariadb.conf.d/50-server.cnf.dpkg-new
                        waits for the package to be configured

    python3-certbot 2.1.0-4: 1 warning
      warning           file-modified  differs from its manifest
                        /usr/lib/python3/dist-packages/certbot/main.py

    2 changed conffiles need no hand: --all lists them

    what to do next
      1. do not run apt or dpkg before dpkg's database is mended, and make a copy of
         it before anything else
             cp -a /var/lib/dpkg /root/dpkg-copy
         - apt-daily.timer and apt-daily-upgrade.timer start apt by themselves: stop
           them until then
         - updates/: move the damaged entry aside, keep it, and audit again
      2. keep the .dpkg-new of 1 conffile until its package is configured: without
         it dpkg believes that nothing is left to do
         - check before that it is not empty or full of NUL bytes: dpkg would
           install it as it is
      3. when the database is mended, reinstall mariadb-server-core at the same
         version; configuring alone does not mend it
             apt-get install --reinstall mariadb-server-core=1:10.11.6-0+deb12u1
         - say no if apt wants to remove anything; read what it prints: it exits
           with 0 even if it found no archive
      4. nothing is urgent about 1 finding (python3-certbot): it does not look like
         the work of a power cut; ask who made a change before undoing it
      5. audit again as root: apt and dpkg can exit with 0 and leave damage behind
             debmend audit
    "
  `);
});

test('the same report on a wide terminal', () => {
  expect(`\n${render(REALISTIC, { width: 160 })}`).toMatchInlineSnapshot(`
    "
    6 findings, of which 5 look like the work of a power cut (marked outage)
    1 critical, 3 errors, 2 warnings in 3 packages and dpkg's database
      looked at  db1, Debian GNU/Linux 12 (bookworm), amd64
                 412 packages, 38,211 files, 2.1 GB read in 14 seconds
      not read   14 files for want of rights: root would read them

    dpkg's database: 1 critical
      critical  outage  database-update-nul  /var/lib/dpkg/updates/0003  holds 512 NUL bytes
                        dpkg says: parsing file '/var/lib/dpkg/updates/0003' near line 0: end of file after field name ''

    mariadb-server-core 1:10.11.6-0+deb12u1: 3 errors
      error     outage  package-half-installed  unpacking was interrupted
      error     outage  file-zero-length        /usr/share/mysql/czech/errmsg.sys  is empty, 78,432 bytes were installed
      error     outage  file-nul-tail           /usr/sbin/mariadbd                 ends in 4,096 NUL bytes

    mariadb-server 1:10.11.6-0+deb12u1: 1 warning
      warning   outage  leftover-pending-conffile  /etc/mysql/mariadb.conf.d/50-server.cnf.dpkg-new  waits for the package to be configured

    python3-certbot 2.1.0-4: 1 warning
      warning           file-modified  /usr/lib/python3/dist-packages/certbot/main.py  differs from its manifest

    2 changed conffiles need no hand: --all lists them

    what to do next
      1. do not run apt or dpkg before dpkg's database is mended, and make a copy of it before anything
         else
             cp -a /var/lib/dpkg /root/dpkg-copy
         - apt-daily.timer and apt-daily-upgrade.timer start apt by themselves: stop them until then
         - updates/: move the damaged entry aside, keep it, and audit again
      2. keep the .dpkg-new of 1 conffile until its package is configured: without it dpkg believes that
         nothing is left to do
         - check before that it is not empty or full of NUL bytes: dpkg would install it as it is
      3. when the database is mended, reinstall mariadb-server-core at the same version; configuring
         alone does not mend it
             apt-get install --reinstall mariadb-server-core=1:10.11.6-0+deb12u1
         - say no if apt wants to remove anything; read what it prints: it exits with 0 even if it found
           no archive
      4. nothing is urgent about 1 finding (python3-certbot): it does not look like the work of a power
         cut; ask who made a change before undoing it
      5. audit again as root: apt and dpkg can exit with 0 and leave damage behind
             debmend audit
    "
  `);
});

describe('the verdict', () => {
  test('a sound root takes a line, and what was looked at', () => {
    expect(render(report([]))).toBe(
      [
        'sound: no damage was found, nothing else to do',
        '  looked at  db1, Debian GNU/Linux 12 (bookworm), amd64',
        '             412 packages, 38,211 files, 2.1 GB read in 14 seconds',
        '',
      ].join('\n'),
    );
  });

  test.each([
    [[true], '1 finding, which looks like the work of a power cut'],
    [[false], '1 finding, which does not look like the work of a power cut'],
    [[false, false], '2 findings, none of which looks like the work of a power cut'],
    [[true, true], '2 findings, all of which look like the work of a power cut (marked outage)'],
    [[true, false], '2 findings, of which 1 looks like the work of a power cut (marked outage)'],
    [[true, true, false], '3 findings, of which 2 look like the work of a power cut (marked outage)'],
  ])('likely outages %j make the sentence "%s"', (outages, sentence) => {
    const findings = outages.map((likelyOutage, i) =>
      finding({ code: 'file-missing', package: 'a', path: `/${i}`, likelyOutage }),
    );
    expect(render(report(findings)).split('\n')[0]).toBe(sentence);
  });

  test('info does not count as a finding', () => {
    const info = finding({ code: 'conffile-modified', severity: 'info', package: 'a', path: '/etc/a' });
    expect(render(report([info]))).toMatch(/^sound: /);
  });

  test('what was not read makes it incomplete, and root would read it', () => {
    const text = render(
      report([], {
        host: { privileged: false },
        summary: { verdict: 'incomplete', unchecked: { count: 1, paths: [] } },
      }),
    );
    expect(text).toMatch(/^incomplete: 1 file could not be checked/);
    expect(text).toContain('not read   1 file for want of rights: root would read it\n');
    expect(text).toContain('run debmend as root to have 1 unread file checked');
  });

  test('root is not told to become root', () => {
    const text = render(
      report([], { summary: { verdict: 'incomplete', unchecked: { count: 2, paths: [] } } }),
    );
    expect(text).not.toMatch(/root would|as root/);
  });

  test('another root is named', () => {
    expect(render(report([], { host: { root: '/mnt/image' } }))).toContain('the root /mnt/image');
  });

  test('a quick look is said to be one, and is not called sound without more', () => {
    const text = render(report([], scope({ quick: true })));
    expect(text).toMatch(/^sound as far as package states and leftovers tell/);
    expect(text).toContain('but only   package states and leftovers (--quick)');
    expect(text).toContain('no content read');
  });

  test('a limited scope is said plainly', () => {
    const text = render(report([], scope({ packages: ['nginx', 'bind9'], paths: ['/etc/my dir'] })));
    expect(text).toContain('but only   the packages nginx and bind9\n');
    expect(text).toContain('what lies at /etc/my dir\n');
  });
});

describe('groups', () => {
  test('come by worst severity, then by how many are that bad, then by name', () => {
    const of = (name: string, severity: Finding['severity'], n: number): Finding[] =>
      Array.from({ length: n }, (_, i) =>
        finding({ code: 'file-missing', package: name, severity, path: `/${name}/${i}` }),
      );
    const text = render(
      report([
        ...of('many-warnings', 'warning', 9),
        ...of('b-one-error', 'error', 1),
        ...of('a-one-error', 'error', 1),
        ...of('two-errors', 'error', 2),
        finding({ code: 'database-status-nul', severity: 'critical', path: '/var/lib/dpkg/status' }),
      ]),
    );
    expect([...text.matchAll(/^([\w' -]+): \d+ (?:critical|error|warning)/gm)].map((m) => m[1])).toEqual([
      "dpkg's database",
      'two-errors',
      'a-one-error',
      'b-one-error',
      'many-warnings',
    ]);
  });

  test("the package apt is not apt's state", () => {
    const text = render(
      report([
        finding({ code: 'file-missing', package: 'apt', version: '2.6.1', path: '/usr/bin/apt' }),
        finding({ code: 'apt-partial', severity: 'warning', path: '/var/lib/apt/lists/partial/x' }),
      ]),
    );
    expect(text).toContain('\napt 2.6.1: 1 error\n');
    expect(text).toContain("\napt's state: 1 warning\n");
  });

  test('ten findings are all listed', () => {
    const text = render(report(emptyFiles(10, 2)));
    expect(text.match(/\/usr\/share\/big\//g)).toHaveLength(10);
    expect(text).not.toContain('more (');
  });

  test('eleven are folded to the five worst, and the rest is counted by severity', () => {
    const findings = emptyFiles(1288, 17);
    const text = render(report(findings.toReversed()));
    expect(text.match(/\/usr\/share\/big\/00/g)).toHaveLength(5);
    expect(text).toContain('big 1.0-1: 17 errors, 1,271 warnings\n');
    expect(text).toContain('  … and 1,283 more (12 errors, 1,271 warnings): --all shows them\n');
  });

  test('nothing is folded with all', () => {
    const text = render(report(emptyFiles(1288, 17)), { all: true });
    expect(text.match(/\/usr\/share\/big\//g)).toHaveLength(1288);
    expect(text).not.toContain('--all');
  });

  test('hundreds of thousands of findings can be listed', () => {
    expect(render(report(emptyFiles(200_000, 1)), { all: true }).split('\n').length).toBeGreaterThan(200_000);
  });
});

describe('info', () => {
  const infos = [
    finding({ code: 'file-excluded', severity: 'info', package: 'a', path: '/usr/share/doc/a' }),
    finding({ code: 'conffile-modified', severity: 'info', package: 'a', path: '/etc/a' }),
    finding({ code: 'conffile-modified', severity: 'info', package: 'b', path: '/etc/b' }),
  ];

  test('is counted by kind and not listed', () => {
    const text = render(report(infos));
    expect(text).toContain('2 changed conffiles, 1 excluded path need no hand: --all lists them\n');
    expect(text).not.toContain('/etc/a');
  });

  test('is listed with all', () => {
    expect(render(report(infos), { all: true })).toMatch(/info .*conffile-modified .*\/etc\/b/);
  });

  test('of an unforeseen code is counted by that code', () => {
    const odd = finding({ code: 'database-arch-damaged', severity: 'info' });
    expect(render(report([odd]))).toContain(
      '1 database-arch-damaged finding needs no hand: --all lists it\n',
    );
  });
});

describe('a finding', () => {
  const LONG = `/usr/lib/${'very-long-directory/'.repeat(8)}file.so`;

  test.each([20, 40, 80, 200, Number.POSITIVE_INFINITY])('keeps its path whole at %d columns', (width) => {
    const text = render(report([finding({ code: 'file-missing', package: 'a', path: LONG })]), { width });
    expect(text).toContain(LONG);
  });

  test('keeps a path with spaces on one line, in the listing and in the steps', () => {
    const path = '/usr/share/a name/with many spaces/in it that/does not fit.dpkg-tmp';
    const text = render(
      report([
        finding({ code: 'leftover-backup', package: 'a', path }),
        finding({ code: 'file-missing', package: 'a', path: path.slice(0, -'.dpkg-tmp'.length) }),
      ]),
      { width: 40 },
    );
    expect(text.match(new RegExp(path, 'g'))).toHaveLength(2);
  });

  test('aligns its columns by what a terminal shows, wide characters included', () => {
    const text = render(
      report([
        finding({ code: 'file-missing', package: 'a', path: '/usr/share/漢字', message: 'wide' }),
        finding({ code: 'file-missing', package: 'a', path: '/usr/share/abcd', message: 'narrow' }),
        finding({ code: 'file-missing', package: 'a', path: '/usr/share/e\u0301abc', message: 'combined' }),
      ]),
    );
    expect(text).toContain('/usr/share/漢字  wide\n');
    expect(text).toContain('/usr/share/abcd  narrow\n');
    expect(text).toContain('/usr/share/e\u0301abc  combined\n');
  });

  test('continues a long message below instead of cutting it', () => {
    const message = 'the last 1,204,224 of 25,432,112 bytes are NUL and its manifest knows another content';
    const text = render(
      report([finding({ code: 'file-nul-tail', package: 'a', path: '/usr/bin/a', message })]),
      {
        width: 60,
      },
    );
    expect(prose(text)).toContain(message);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(60);
  });

  test('quotes dpkg', () => {
    const dpkgMessage = "files list file for package 't' is missing final newline";
    const text = render(report([finding({ code: 'database-list-unterminated', package: 't', dpkgMessage })]));
    expect(text).toMatch(new RegExp(`^ {4,}dpkg says: ${dpkgMessage}$`, 'm'));
  });

  test('is marked with a word only when it looks like the work of a power cut', () => {
    const text = render(
      report([
        finding({ code: 'file-missing', package: 'a', path: '/a' }),
        finding({ code: 'file-missing', package: 'a', path: '/b', likelyOutage: false }),
      ]),
    );
    expect(text).toMatch(/error {2}outage {2}file-missing {2}\/a/);
    expect(text).toMatch(/error {10}file-missing {2}\/b/);
  });
});

describe('what a hostile or damaged system says', () => {
  const EVIL = 'x\u001b[2J\u001b]0;owned\u0007\nall is well\r\u009b1m\u202e';
  const text = render(
    report(
      [
        finding({
          code: 'file-missing',
          package: EVIL,
          version: EVIL,
          path: `/usr/${EVIL}`,
          message: EVIL,
          dpkgMessage: EVIL,
          device: EVIL,
        }),
        finding({ code: 'file-unreadable', package: EVIL, device: EVIL }),
        finding({ code: 'package-half-installed', package: EVIL, version: EVIL }),
      ],
      {
        host: { hostname: EVIL, os: EVIL, root: `/${EVIL}`, admindir: `/${EVIL}`, privileged: false },
        summary: {
          unchecked: { count: 1, paths: [`/${EVIL}`] },
          scope: { quick: true, packages: [EVIL], paths: [`/${EVIL}`], archives: [`/${EVIL}`] },
        },
      },
    ),
    { all: true },
  );

  test('reaches the terminal without a control or reordering character', () => {
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('begins no line of its own', () => {
    expect(text).not.toMatch(/^\s*all is well/m);
  });

  test('does not get into a command', () => {
    const bad = { package: 'a;reboot', version: '1.0' };
    expect(render(report([finding({ code: 'package-half-installed', ...bad })]))).not.toContain(
      '--reinstall',
    );
  });
});

describe('colour', () => {
  const coloured = render(REALISTIC, { colour: true });

  test('adds nothing but colour', () => {
    expect(stripVTControlCharacters(coloured)).toBe(render(REALISTIC));
  });

  test('is there when asked for, and else no escape at all', () => {
    expect(coloured).toContain('\u001b[');
    expect(render(REALISTIC)).not.toContain('\u001b');
  });
});

describe('what to do next', () => {
  test('a half-installed package is reinstalled at its version, not merely configured', () => {
    const half = finding({ code: 'package-half-installed', package: 'nginx', version: '1.22.1-9' });
    const text = render(report([half]));
    expect(prose(text)).toContain('reinstall nginx at the same version; configuring alone does not mend it');
    expect(text).toContain(' apt-get install --reinstall nginx=1.22.1-9\n');
    expect(text).not.toContain('--configure');
  });

  test('no command is given that would leave a package out', () => {
    const half = [
      finding({ code: 'package-half-installed', package: 'nginx', version: '1.22.1-9' }),
      finding({ code: 'package-half-installed', package: 'fresh' }),
    ];
    const text = render(report(half));
    expect(text).toContain('reinstall nginx and fresh at the same version');
    expect(text).not.toContain('--reinstall');
  });

  test('a damaged database is copied and mended before apt or dpkg run', () => {
    const text = render(
      report([
        finding({ code: 'package-reinst-required', package: 'a', version: '1' }),
        finding({ code: 'database-status-nul', severity: 'critical', path: '/var/lib/dpkg/status' }),
      ]),
    );
    const [copy, reinstall] = [
      text.indexOf('cp -a /var/lib/dpkg /root/dpkg-copy'),
      text.indexOf('--reinstall'),
    ];
    expect(prose(text)).toContain("do not run apt or dpkg before dpkg's database is mended");
    expect(prose(text)).toContain('when the database is mended, reinstall a');
    expect(copy).toBeGreaterThan(0);
    expect(copy).toBeLessThan(reinstall);
  });

  test('a pending conffile is kept until its package is configured', () => {
    const pending = finding({
      code: 'leftover-pending-conffile',
      severity: 'warning',
      package: 'a',
      path: '/etc/a.dpkg-new',
    });
    expect(prose(render(report([pending])))).toContain(
      'keep the .dpkg-new of 1 conffile until its package is configured',
    );
  });

  test('a backup whose original is gone is named as the only copy', () => {
    const text = render(
      report([
        finding({ code: 'leftover-backup', package: 'a', path: '/usr/bin/a.dpkg-tmp' }),
        finding({ code: 'leftover-backup', package: 'a', path: '/usr/bin/b.dpkg-tmp' }),
        finding({ code: 'file-missing', package: 'a', path: '/usr/bin/a' }),
      ]),
    );
    const steps = text.slice(text.indexOf('what to do next'));
    expect(steps).toMatch(/^ +\/usr\/bin\/a\.dpkg-tmp$/m);
    expect(steps).not.toContain('/usr/bin/b');
  });

  test('changes without marks of an outage are not urgent, and nothing else is asked for', () => {
    const modified = finding({
      code: 'file-modified',
      package: 'a',
      path: '/usr/bin/a',
      likelyOutage: false,
    });
    const text = prose(render(report([modified])));
    expect(text).toContain(
      'nothing is urgent about 1 finding (a): it does not look like the work of a power cut',
    );
    expect(text).not.toMatch(/reinstall|--configure|audit again/);
  });

  test('an I/O error puts the disk first, and writes no copy to it', () => {
    const text = render(
      report([
        finding({ code: 'database-status-nul', severity: 'critical', path: '/var/lib/dpkg/status' }),
        finding({ code: 'file-unreadable', package: 'a', path: '/usr/bin/a', device: '/dev/sda2' }),
      ]),
    );
    expect(text).toContain(
      '  1. the disk first: reading 1 file failed on /dev/sda2; copy your data off it now',
    );
    expect(text).not.toContain('cp -a');
  });

  test('a conffile is not promised back by reinstalling', () => {
    const conffile = finding({
      code: 'conffile-zero-length',
      package: 'nginx',
      path: '/etc/nginx/mime.types',
    });
    const text = prose(render(report([conffile])));
    expect(text).toContain('put back 1 conffile (nginx) from your own backup');
    expect(text).not.toContain('apt-get');
  });

  test('for another root it is meant inside that root', () => {
    const half = finding({ code: 'package-half-installed', package: 'a', version: '1' });
    const text = render(report([half], { host: { root: '/mnt/my image' } }));
    expect(text).toContain('commands and paths are meant inside /mnt/my image\n');
    expect(text).toContain("debmend audit --root '/mnt/my image'\n");
  });

  test.each(Object.keys(FINDING_CODES) as FindingCode[])('something can be done about %s', (code) => {
    for (const severity of ['warning', 'error', 'critical'] as const) {
      const text = render(report([finding({ code, severity, package: 'a', version: '1', path: '/a' })]));
      expect(text).toContain('what to do next\n');
    }
  });

  test('no advice for any finding is dangerous', () => {
    const every = (Object.keys(FINDING_CODES) as FindingCode[]).flatMap((code) =>
      SEVERITIES.flatMap((severity) =>
        [true, false].map((likelyOutage) =>
          finding({ code, severity, likelyOutage, package: 'a', version: '1', path: '/a' }),
        ),
      ),
    );
    const text = prose(render(report(every)));
    const steps = text.slice(text.indexOf('what to do next'));
    expect(steps).not.toMatch(/\brm\b|delete|-f install|fix-broken|--force|echo |>>|--purge|recover/);
  });
});

describe('the text', () => {
  test('is the same for the same report', () => {
    expect(render(REALISTIC)).toBe(render(structuredClone(REALISTIC)));
  });

  test('ends in one newline and has no space before one', () => {
    for (const width of [40, 80, 200]) {
      const text = render(REALISTIC, { width });
      expect(text).toMatch(/[^\n]\n$/);
      expect(text).not.toMatch(/[ \t]$/m);
    }
  });

  test('uses no exclamation mark and ends no line in a full stop', () => {
    expect(render(REALISTIC)).not.toMatch(/!|[^.]\.$/m);
  });
});
