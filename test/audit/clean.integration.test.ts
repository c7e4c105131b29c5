/**
 * An untouched root has no finding, and what makes the peers cry wolf makes none either: each of their false positives
 * (facts: dpkg, "Traps" and "Manifests, exactly") is made for real, by the root's own dpkg, on a root of its own.
 */
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { textToPath } from '../../src/model/path-text.ts';
import { type Report, reportSchema } from '../../src/model/report.ts';
import { fsPath } from '../../src/system/bytes.ts';
import { type DebianSuite, rootTest } from '../lab/roots.ts';
import {
  architectures,
  at,
  auditOf,
  debmend,
  inside,
  install,
  isThere,
  linesOf,
  open,
  REPOSITORY,
  SUITES,
} from './lab.ts';

/** Where every kept archive of a root lies. */
const ARCHIVES = 'var/cache/apt/archives';

/** The report, checked against the published schema where there is one, and always against the types it is made from. */
async function validReport(json: string): Promise<Report> {
  const document: unknown = JSON.parse(json);
  const schema = join(REPOSITORY, 'schemas/report.schema.json');
  if (existsSync(schema)) {
    const [{ Ajv2020 }, { default: formats }] = await Promise.all([
      import('ajv/dist/2020.js'),
      import('ajv-formats'),
    ]);
    const ajv = new Ajv2020({ allErrors: true, strict: false });
    formats.default(ajv);
    const validate = ajv.compile(JSON.parse(readFileSync(schema, 'utf8')));
    expect(validate(document) ? [] : validate.errors).toEqual([]);
  }
  return reportSchema.parse(document);
}

for (const suite of SUITES) {
  rootTest(`${suite}: a pristine root has no finding, not even for information`, async () => {
    const directory = await open(suite);
    const result = await auditOf(directory);
    expect(result.findings).toEqual([]);
    expect(result.unchecked).toEqual([]);
    // and it was looked at: every package, and all that they brought
    expect(result.packages).toBe(readdirSync(at(directory, 'var/lib/dpkg/info')).filter(isList).length);
    expect(result.files).toBeGreaterThan(4000);
    expect(result.bytesRead).toBeGreaterThan(100e6);
  });

  rootTest(`${suite}: modes, owners and links agree with the archives too`, async () => {
    const directory = await open(suite, { keepArchives: true });
    const archives = at(directory, ARCHIVES);
    const kept = readdirSync(archives).filter((name) => name.endsWith('.deb'));
    expect(kept.length).toBe(readdirSync(at(directory, 'var/lib/dpkg/info')).filter(isList).length);
    expect(await linesOf(directory, { archives: [archives] })).toEqual([]);
  });

  rootTest(`${suite}: the command line calls it sound, in JSON that its schema allows`, async () => {
    const directory = await open(suite);
    const { code, stdout, stderr } = debmend('audit', '--root', directory, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = await validReport(stdout);
    expect(report.summary).toMatchObject({
      verdict: 'sound',
      severities: { info: 0, warning: 0, error: 0, critical: 0 },
      likelyOutage: 0,
      unchecked: { count: 0, paths: [] },
    });
    expect(report.findings).toEqual([]);
    expect(report.host).toMatchObject({ root: directory, admindir: '/var/lib/dpkg', privileged: true });
    expect(report.host.os).toContain(suite);
    expect(report.host.hostname).toBeUndefined();
  });
}

/**
 * What a peer falsely reports, on a root of one suite: a third of the running time of both, and the dpkg of either
 * (1.21 and 1.22) makes half of them.
 */
function falseAlarm(suite: DebianSuite, name: string, body: (directory: string) => Promise<void>): void {
  rootTest(`${suite}: ${name}`, async () => body(await open(suite)));
}

falseAlarm('bookworm', 'a local diversion', async (directory) => {
  inside(directory, 'dpkg-divert', '--local', '--rename', '--add', '/usr/bin/nl');
  expect([isThere(directory, 'usr/bin/nl'), isThere(directory, 'usr/bin/nl.distrib')]).toEqual([false, true]);
  const diverted = 'info other file-diverted coreutils /usr/bin/nl';
  expect(await linesOf(directory)).toEqual([diverted]);
  // what an administrator puts in its place is no package's
  writeFileSync(at(directory, 'usr/bin/nl'), '#!/bin/sh\nexec nl.distrib "$@"\n', { mode: 0o755 });
  expect(await linesOf(directory)).toEqual([diverted]);
  // and the diverted file is still held against its hash
  writeFileSync(at(directory, 'usr/bin/nl.distrib'), '');
  expect(await linesOf(directory)).toEqual(['critical outage file-zero-length coreutils /usr/bin/nl']);
  rmSync(at(directory, 'usr/bin/nl.distrib'));
  expect(await linesOf(directory)).toEqual(['critical other file-missing coreutils /usr/bin/nl']);
});

falseAlarm('trixie', "a package that diverts another's file and brings its own", async (directory) => {
  const divert = 'dpkg-divert --package tiny --rename --add /usr/bin/nl';
  install(directory, {
    name: 'tiny',
    files: { '/usr/bin/nl': '#!/bin/sh\nexec nl.distrib "$@"\n' },
    control: { preinst: `#!/bin/sh -e\n[ "$1" != install ] || ${divert}\n` },
  });
  expect(readFileSync(at(directory, 'var/lib/dpkg/diversions'), 'utf8')).toContain(
    '/usr/bin/nl\n/usr/bin/nl.distrib\ntiny\n',
  );
  const diverted = 'info other file-diverted coreutils /usr/bin/nl';
  expect(await linesOf(directory)).toEqual([diverted]);
  // each of the two is held against its own package
  writeFileSync(at(directory, 'usr/bin/nl'), 'changed');
  expect(await linesOf(directory)).toEqual([diverted, 'warning other file-modified tiny /usr/bin/nl']);
});

falseAlarm(
  'bookworm',
  'what path-exclude keeps out is excluded, and what path-include brings back is not',
  async (directory) => {
    writeFileSync(
      at(directory, 'etc/dpkg/dpkg.cfg.d/excludes'),
      'path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\npath-exclude /usr/share/man/*\n',
    );
    // What was there before the configuration was: package-owned files, not the links of update-alternatives. dpkg keeps
    // links where an include could bring something back, because directories and links may hold it (src/main/filters.c).
    const gone = inside(directory, 'sh', '-c', 'cat /var/lib/dpkg/info/*.list')
      .split('\n')
      .filter((path) => {
        const stat = lstatSync(at(directory, path), { throwIfNoEntry: false });
        if (stat === undefined || stat.isDirectory()) return false;
        if (path.startsWith('/usr/share/man/')) return true;
        return path.startsWith('/usr/share/doc/') && stat.isFile() && !path.endsWith('/copyright');
      });
    expect(gone.length).toBeGreaterThan(100);
    for (const path of gone) rmSync(at(directory, path));
    // and those of a package that dpkg installs with it
    install(directory, {
      name: 'tiny',
      files: {
        '/usr/share/doc/tiny/copyright': 'free\n',
        '/usr/share/doc/tiny/changelog.gz': 'changes\n',
        '/usr/share/doc/tiny/examples/one': '1\n',
        '/usr/share/doc/tiny/readme': { link: 'copyright' },
        '/usr/share/man/man1/tiny.1.gz': 'manual\n',
      },
    });
    expect(isThere(directory, 'usr/share/doc/tiny/copyright')).toBe(true);
    expect(isThere(directory, 'usr/share/doc/tiny/readme')).toBe(true);
    expect(isThere(directory, 'usr/share/doc/tiny/changelog.gz')).toBe(false);
    const { findings } = await auditOf(directory);
    expect([...new Set(findings.map(({ code, severity }) => `${severity} ${code}`))]).toEqual([
      'info file-excluded',
    ]);
    const paths = new Set(findings.map(({ path }) => path));
    expect([...paths].filter((path) => path?.endsWith('/copyright'))).toEqual([]);
    expect([...paths].filter((path) => path?.includes('/tiny')).sort()).toEqual([
      '/usr/share/doc/tiny/changelog.gz',
      '/usr/share/doc/tiny/examples/one',
      '/usr/share/man/man1/tiny.1.gz',
    ]);
    expect(gone.filter((name) => !paths.has(name))).toEqual([]);
    // a copyright that is missing is not excluded
    rmSync(at(directory, 'usr/share/doc/tiny/copyright'));
    const after = await linesOf(directory);
    expect(after.filter((entry) => !entry.startsWith('info'))).toEqual([
      'error other file-missing tiny /usr/share/doc/tiny/copyright',
    ]);
  },
);

falseAlarm('bookworm', 'names below /bin, /lib and /sbin that /usr took in', async (directory) => {
  for (const name of ['bin', 'lib', 'sbin'])
    expect(lstatSync(at(directory, name)).isSymbolicLink()).toBe(true);
  install(directory, {
    name: 'tiny',
    files: { '/bin/tiny': 'one\n', '/lib/tiny/two': 'two\n', '/sbin/tiny': 'three\n' },
  });
  expect(await linesOf(directory)).toEqual([]);
  // damage goes by the name that the manifest has
  writeFileSync(at(directory, 'usr/sbin/tiny'), '');
  expect(await linesOf(directory)).toEqual(['error outage file-zero-length tiny /sbin/tiny']);
});

falseAlarm('trixie', 'a file that another package took over (Replaces)', async (directory) => {
  const shared = '/usr/share/tiny/shared';
  install(
    directory,
    { name: 'tiny-one', files: { [shared]: 'of the first\n', '/usr/share/tiny/one': '1\n' } },
    { name: 'tiny-two', files: { [shared]: 'of the second\n' }, fields: { Replaces: 'tiny-one' } },
  );
  const info = (file: string) => readFileSync(at(directory, `var/lib/dpkg/info/${file}`), 'utf8');
  expect(info('tiny-one.md5sums')).toContain(shared.slice(1));
  expect(info('tiny-one.list')).not.toContain(shared);
  expect(await linesOf(directory)).toEqual([]);
  writeFileSync(at(directory, shared), 'of the first\n');
  expect(await linesOf(directory)).toEqual([`warning other file-modified tiny-two ${shared}`]);
});

falseAlarm('trixie', 'a conffile that its package no longer ships', async (directory) => {
  const conffiles = ['/etc/tiny/kept.conf', '/etc/tiny/dropped.conf'];
  install(
    directory,
    { name: 'tiny', files: { '/etc/tiny/kept.conf': 'a\n', '/etc/tiny/dropped.conf': 'b\n' }, conffiles },
    {
      name: 'tiny',
      version: '2.0',
      files: { '/etc/tiny/kept.conf': 'a\n' },
      conffiles: conffiles.slice(0, 1),
    },
  );
  expect(inside(directory, 'dpkg-query', '--status', 'tiny')).toMatch(
    /dropped\.conf [0-9a-f]{32} obsolete\n/,
  );
  expect(await linesOf(directory)).toEqual([]);
  writeFileSync(at(directory, '/etc/tiny/dropped.conf'), 'changed\n');
  expect(await linesOf(directory)).toEqual([]);
  rmSync(at(directory, '/etc/tiny/dropped.conf'));
  expect(await linesOf(directory)).toEqual([]);
});

falseAlarm('trixie', 'the conffiles of a removed package', async (directory) => {
  install(directory, {
    name: 'tiny',
    files: { '/etc/tiny.conf': 'a\n', '/usr/bin/tiny': 'b\n' },
    conffiles: ['/etc/tiny.conf'],
  });
  inside(directory, 'dpkg', '--remove', 'tiny');
  expect(inside(directory, 'dpkg-query', '--status', 'tiny')).toContain(' config-files\n');
  expect(await linesOf(directory)).toEqual([]);
  writeFileSync(at(directory, 'etc/tiny.conf'), 'changed\n');
  expect(await linesOf(directory)).toEqual([]);
  rmSync(at(directory, 'etc/tiny.conf'));
  expect(await linesOf(directory)).toEqual([]);
});

falseAlarm(
  'trixie',
  'an empty .md5sums of a package that has only directories and links',
  async (directory) => {
    install(directory, {
      name: 'tiny',
      files: { '/usr/share/tiny/empty': { directory: true }, '/usr/bin/tiny': { link: 'true' } },
      md5sums: 'empty',
    });
    expect(statSync(at(directory, 'var/lib/dpkg/info/tiny.md5sums')).size).toBe(0);
    expect(await linesOf(directory)).toEqual([]);
  },
);

falseAlarm('bookworm', 'a package without an .md5sums', async (directory) => {
  const conffiles = ['/etc/tiny.conf'];
  install(directory, {
    name: 'tiny',
    files: { '/usr/bin/tiny': 'a\n', '/etc/tiny.conf': 'b\n' },
    conffiles,
    md5sums: 'absent',
  });
  // dpkg made one, and put the conffile in it
  expect(readFileSync(at(directory, 'var/lib/dpkg/info/tiny.md5sums'), 'utf8')).toContain(
    '  etc/tiny.conf\n',
  );
  expect(await linesOf(directory)).toEqual([]);
  writeFileSync(at(directory, 'etc/tiny.conf'), 'changed\n');
  expect(await linesOf(directory)).toEqual(['info other conffile-modified tiny /etc/tiny.conf']);
});

falseAlarm(
  'bookworm',
  'two architectures of a Multi-Arch: same package that share a file',
  async (directory) => {
    const { native, foreign } = architectures(directory);
    inside(directory, 'dpkg', '--add-architecture', foreign);
    const libraryOf = (architecture: string) => ({
      name: 'libtiny',
      architecture,
      fields: { 'Multi-Arch': 'same' },
      files: {
        '/usr/share/doc/libtiny/copyright': 'free\n',
        [`/usr/lib/${architecture}/libtiny.so`]: `for ${architecture}\n`,
      },
    });
    install(directory, libraryOf(native), libraryOf(foreign));
    expect(await linesOf(directory)).toEqual([]);
    // reported once, although both own it
    writeFileSync(at(directory, 'usr/share/doc/libtiny/copyright'), '');
    writeFileSync(at(directory, `usr/lib/${foreign}/libtiny.so`), '');
    expect(await linesOf(directory)).toEqual(
      [
        `error outage file-zero-length libtiny:${[native, foreign].sort()[0]} /usr/share/doc/libtiny/copyright`,
        `error outage file-zero-length libtiny:${foreign} /usr/lib/${foreign}/libtiny.so`,
      ].sort(),
    );
    // the first to be purged leaves the file to the other
    inside(directory, 'dpkg', '--purge', `libtiny:${foreign}`);
    expect(await linesOf(directory)).toEqual([
      `error outage file-zero-length libtiny:${native} /usr/share/doc/libtiny/copyright`,
    ]);
  },
);

falseAlarm('trixie', 'hard links, whose damage shows on each name', async (directory) => {
  install(directory, {
    name: 'tiny',
    files: { '/usr/bin/tiny': 'tiny\n', '/usr/bin/tiny-too': { hardLink: '/usr/bin/tiny' } },
  });
  expect(statSync(at(directory, 'usr/bin/tiny')).nlink).toBe(2);
  expect(await linesOf(directory)).toEqual([]);
  writeFileSync(at(directory, 'usr/bin/tiny'), '');
  expect(await linesOf(directory)).toEqual([
    'error outage file-zero-length tiny /usr/bin/tiny',
    'error outage file-zero-length tiny /usr/bin/tiny-too',
  ]);
});

falseAlarm(
  'bookworm',
  'a conffile that is a link to an equal file, as dpkg follows it',
  async (directory) => {
    renameSync(at(directory, 'etc/debconf.conf'), at(directory, 'srv/debconf.conf'));
    // absolute, so outside the root it leads to this host's
    symlinkSync('/srv/debconf.conf', at(directory, 'etc/debconf.conf'));
    expect(await linesOf(directory)).toEqual([]);
    writeFileSync(at(directory, 'srv/debconf.conf'), 'changed\n');
    expect(await linesOf(directory)).toEqual(['info other conffile-modified debconf /etc/debconf.conf']);
  },
);

falseAlarm('trixie', 'a directory that is a link to a directory', async (directory) => {
  renameSync(at(directory, 'usr/share/doc'), at(directory, 'srv/doc'));
  symlinkSync('/srv/doc', at(directory, 'usr/share/doc'));
  // an empty one, which only an archive knows for a directory
  rmSync(at(directory, 'usr/games'), { recursive: true });
  symlinkSync('/srv', at(directory, 'usr/games'));
  expect(await linesOf(directory)).toEqual([]);
});

falseAlarm('trixie', 'a name in Latin-1', async (directory) => {
  const name = '/usr/share/tiny/caf\xe9';
  install(directory, {
    name: 'tiny',
    files: { [name]: 'coffee\n', '/usr/share/tiny/caf\xc3\xa9': 'in UTF-8\n' },
  });
  expect(await linesOf(directory)).toEqual([]);
  writeFileSync(fsPath(`${directory}${name}`), '');
  writeFileSync(fsPath(`${directory}/usr/share/tiny/caf\xc3\xa9`), '');
  const { findings } = await auditOf(directory);
  expect(findings.map(({ code, path }) => [code, path])).toEqual([
    ['file-zero-length', '/usr/share/tiny/café'],
    ['file-zero-length', 'file:///usr/share/tiny/caf%E9'],
  ]);
  expect(textToPath(findings[1]?.path ?? '')).toBe(name);
});

falseAlarm(
  'trixie',
  'names with blanks, backslashes and what a shell or a report could stumble over',
  async (directory) => {
    const names = [
      ' ',
      ' a  b ',
      'a\\x2db',
      'a\\nb',
      '%2e',
      '#padding',
      '*?[a]',
      "'$(id)'\"`",
      '-rf',
      'tab\there',
      '~',
      'a\x1b[31mb',
      'é',
    ];
    const files = Object.fromEntries(
      names.map((name) => [`/usr/share/tiny/${Buffer.from(name, 'utf8').toString('latin1')}`, `${name}\n`]),
    );
    install(directory, { name: 'tiny', files });
    expect(await linesOf(directory)).toEqual([]);
    for (const name of names) writeFileSync(at(directory, `usr/share/tiny/${name}`), '');
    expect(await linesOf(directory)).toEqual(
      names.map((name) => `error outage file-zero-length tiny /usr/share/tiny/${name}`).sort(),
    );
  },
);

function isList(name: string): boolean {
  return name.endsWith('.list');
}
