/**
 * A hand-made root that is just enough of a Debian system for an audit: dpkg's database with its manifests, and the
 * files of the packages, in a directory of its own. It is sound unless a test says otherwise, it needs no rights, and
 * making one takes a few milliseconds. For real roots see test/lab/roots.ts.
 */
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface TinyPackage {
  readonly name: string;
  /** Default: 1.0-1. */
  readonly version?: string;
  /** Default: amd64. */
  readonly architecture?: string;
  /** The whole `Status` field. Default: `install ok installed`. */
  readonly status?: string;
  /** Further fields, each a whole line without its end. */
  readonly fields?: readonly string[];
  /** Content by absolute path; directories on the way are owned too, as in a real package. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly conffiles?: Readonly<Record<string, string>>;
  /** Target by absolute path. */
  readonly links?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
}

export interface TinyRoot {
  /** The root, as a path of this host without symbolic links. */
  readonly directory: string;
  /** A path inside the root as a path of this host. */
  at(path: string): string;
  /** Writes a file inside the root, its directories included. */
  write(path: string, content: string | Buffer): void;
  remove(): void;
}

/** What every root has: without dpkg's own record its architecture is not known. */
export const DPKG: TinyPackage = {
  name: 'dpkg',
  version: '1.21.22',
  fields: ['Essential: yes'],
  files: { '/usr/bin/dpkg': '#!/bin/sh\necho dpkg\n', '/usr/share/doc/dpkg/copyright': 'GPL-2+\n' },
  conffiles: { '/etc/dpkg/dpkg.cfg': '# no options\nlog /var/log/dpkg.log\n' },
};

/** A second package with some of everything, for tests that damage something. */
export const HELLO: TinyPackage = {
  name: 'hello',
  version: '2.10-3',
  files: {
    '/usr/bin/hello': '#!/bin/sh\necho hello, world\n',
    '/usr/share/hello/data': 'some data\n'.repeat(100),
    '/usr/share/doc/hello/copyright': 'GPL-3+\n',
  },
  conffiles: { '/etc/hello.conf': 'greeting = hello\n' },
  links: { '/usr/share/hello/link': 'data' },
  scripts: { postinst: '#!/bin/sh\nset -e\nexit 0\n' },
};

/**
 * Makes a root with these packages, dpkg's own put first.
 *
 * @throws Error of the system call that failed
 */
export function tinyRoot(packages: readonly TinyPackage[] = [HELLO]): TinyRoot {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'debmend-tiny-')));
  const at = (path: string): string => join(directory, path);
  const write = (path: string, content: string | Buffer): void => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  };
  for (const path of ['updates', 'info', 'triggers', 'alternatives', 'parts']) {
    mkdirSync(at(`/var/lib/dpkg/${path}`), { recursive: true });
  }
  write('/var/lib/dpkg/info/format', '1\n');
  write('/var/lib/dpkg/status', '');
  write('/etc/os-release', 'PRETTY_NAME="Tiny Debian"\nID=debian\n');
  for (const pkg of [DPKG, ...packages]) install(at, write, pkg);
  return { directory, at, write, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

function install(at: (path: string) => string, write: TinyRoot['write'], pkg: TinyPackage): void {
  const { name, files = {}, conffiles = {}, links = {}, scripts = {} } = pkg;
  const owned = new Set(['/.']);
  const own = (path: string): void => {
    for (let slash = path.indexOf('/', 1); slash > 0; slash = path.indexOf('/', slash + 1)) {
      owned.add(path.slice(0, slash));
    }
    owned.add(path);
  };
  let md5sums = '';
  for (const [path, content] of Object.entries(files)) {
    own(path);
    write(path, content);
    md5sums += `${md5(content)}  ${path.slice(1)}\n`;
  }
  for (const [path, content] of Object.entries(conffiles)) {
    own(path);
    write(path, content);
  }
  for (const [path, target] of Object.entries(links)) {
    own(path);
    mkdirSync(dirname(at(path)), { recursive: true });
    symlinkSync(target, at(path));
  }
  const info = `/var/lib/dpkg/info/${name}`;
  write(`${info}.list`, [...owned].map((path) => `${path}\n`).join(''));
  write(`${info}.md5sums`, md5sums);
  if (Object.keys(conffiles).length > 0) write(`${info}.conffiles`, `${Object.keys(conffiles).join('\n')}\n`);
  for (const [kind, text] of Object.entries(scripts)) write(`${info}.${kind}`, text);
  const stanza = [
    `Package: ${name}`,
    `Status: ${pkg.status ?? 'install ok installed'}`,
    'Priority: optional',
    'Section: misc',
    'Installed-Size: 1',
    'Maintainer: Nobody <nobody@localhost>',
    `Architecture: ${pkg.architecture ?? 'amd64'}`,
    `Version: ${pkg.version ?? '1.0-1'}`,
    ...(pkg.fields ?? []),
    ...(Object.keys(conffiles).length > 0
      ? ['Conffiles:', ...Object.entries(conffiles).map(([path, content]) => ` ${path} ${md5(content)}`)]
      : []),
    'Description: a package of a test',
  ];
  appendFileSync(at('/var/lib/dpkg/status'), `${stanza.join('\n')}\n\n`);
}

function md5(content: string | Buffer): string {
  return createHash('md5').update(content).digest('hex');
}
