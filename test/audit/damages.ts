/**
 * Damage to a real root, made as a cut, a disk or a hand makes it, and what the audit has to say of each: the tests of
 * the audit itself and of its comparison with dpkg share the table.
 */
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { at, inside, install } from './lab.ts';

export interface Damage {
  /** What happened, in a few words. */
  readonly what: string;
  readonly make: (directory: string) => void;
  /** The audit's findings for it, as lines (lab.ts). */
  readonly findings: readonly string[];
}

/** Overwrites a part of a file in place, as dd does. */
export function overwrite(directory: string, path: string, from: number, data: Buffer): void {
  const file = at(directory, path);
  const content = readFileSync(file);
  data.copy(content, from);
  writeFileSync(file, content.subarray(0, Math.max(content.length, from + data.length)));
}

/** Turns a file's bytes from an offset on into NUL; its size stays. */
export function nul(directory: string, path: string, from = 0): void {
  overwrite(directory, path, from, Buffer.alloc(statSync(at(directory, path)).size - from));
}

/** Cuts a file off in the middle of what it holds. */
export function cut(directory: string, path: string, size: number): void {
  truncateSync(at(directory, path), size);
}

/** One conffile that the second version no longer ships. */
function installWithObsoleteConffile(directory: string): void {
  const dropped = '/etc/tiny/dropped.conf';
  install(
    directory,
    { name: 'tiny', files: { [dropped]: 'one\n' }, conffiles: [dropped] },
    { name: 'tiny', version: '2.0', files: { '/usr/share/tiny/two': 'two\n' } },
  );
}

/** What happened to files, conffiles and leftovers: dpkg's database is whole, so that its own --verify works. */
export const FILE_DAMAGES: readonly Damage[] = [
  {
    what: 'a file is missing',
    make: (root) => rmSync(at(root, 'usr/bin/tac')),
    findings: ['critical other file-missing coreutils /usr/bin/tac'],
  },
  {
    what: 'a program lost its second half',
    make: (root) => cut(root, 'usr/bin/factor', Math.floor(statSync(at(root, 'usr/bin/factor')).size / 2)),
    findings: ['critical outage file-truncated coreutils /usr/bin/factor'],
  },
  {
    what: 'a file is empty',
    make: (root) => cut(root, 'usr/share/perl5/Debconf/Config.pm', 0),
    findings: ['error outage file-zero-length debconf /usr/share/perl5/Debconf/Config.pm'],
  },
  {
    what: 'the blocks of a file were never written',
    make: (root) => nul(root, 'usr/bin/sum'),
    findings: ['critical outage file-nul-filled coreutils /usr/bin/sum'],
  },
  {
    what: 'the last blocks of a file were never written',
    make: (root) => nul(root, 'usr/bin/shuf', 8192),
    findings: ['critical outage file-nul-tail coreutils /usr/bin/shuf'],
  },
  {
    what: 'a sector holds what belongs to another file',
    make: (root) =>
      overwrite(root, 'usr/bin/join', 4096, readFileSync(at(root, 'usr/bin/true')).subarray(0, 512)),
    findings: ['warning other file-modified coreutils /usr/bin/join'],
  },
  {
    what: 'a directory stands where a file should be',
    make: (root) => {
      rmSync(at(root, 'usr/bin/comm'));
      mkdirSync(at(root, 'usr/bin/comm'));
    },
    findings: ['error other file-wrong-type coreutils /usr/bin/comm'],
  },
  {
    what: 'an alternative points to what is none of its choices',
    make: (root) => {
      rmSync(at(root, 'etc/alternatives/awk'));
      symlinkSync('/usr/bin/false', at(root, 'etc/alternatives/awk'));
    },
    findings: ['warning other file-wrong-link-target - /etc/alternatives/awk'],
  },
  {
    what: "a package's link points elsewhere than its archive says",
    make: (root) => {
      if (readlinkSync(at(root, 'usr/bin/infotocap')) !== 'tic')
        throw new Error('infotocap is no link to tic');
      rmSync(at(root, 'usr/bin/infotocap'));
      symlinkSync('true', at(root, 'usr/bin/infotocap'));
    },
    findings: ['error other file-wrong-link-target ncurses-bin /usr/bin/infotocap'],
  },
  {
    what: 'a conffile was edited',
    make: (root) => writeFileSync(at(root, 'etc/debconf.conf'), '# edited\n', { flag: 'a' }),
    findings: ['info other conffile-modified debconf /etc/debconf.conf'],
  },
  {
    what: 'a conffile was removed',
    make: (root) => rmSync(at(root, 'etc/pam.conf')),
    findings: ['info other conffile-missing libpam-runtime /etc/pam.conf'],
  },
  {
    what: 'a conffile is empty',
    make: (root) => cut(root, 'etc/bash.bashrc', 0),
    findings: ['critical outage conffile-zero-length bash /etc/bash.bashrc'],
  },
  {
    what: 'a path-exclude covers a file that is not there',
    make: (root) => {
      writeFileSync(
        at(root, 'etc/dpkg/dpkg.cfg.d/excludes'),
        'path-exclude=/usr/share/doc/tar/*\npath-include=/usr/share/doc/tar/c*\n',
      );
      rmSync(at(root, 'usr/share/doc/tar/NEWS.gz'));
    },
    findings: ['info other file-excluded tar /usr/share/doc/tar/NEWS.gz'],
  },
  {
    what: 'a diversion took a file elsewhere',
    make: (root) => void inside(root, 'dpkg-divert', '--local', '--rename', '--add', '/usr/bin/nl'),
    findings: ['info other file-diverted coreutils /usr/bin/nl'],
  },
  {
    what: 'a new version was left half unpacked',
    make: (root) => {
      copyFileSync(at(root, 'usr/bin/paste'), at(root, 'usr/bin/paste.dpkg-new'));
      cut(root, 'usr/bin/paste.dpkg-new', 10_000);
    },
    findings: ['warning outage leftover-partial coreutils /usr/bin/paste.dpkg-new'],
  },
  {
    what: 'a backup was left beside its original',
    make: (root) => linkSync(at(root, 'usr/bin/fold'), at(root, 'usr/bin/fold.dpkg-tmp')),
    findings: ['warning outage leftover-backup coreutils /usr/bin/fold.dpkg-tmp'],
  },
  {
    what: 'a backup is all that is left',
    make: (root) => {
      installWithObsoleteConffile(root);
      renameSync(at(root, 'etc/tiny/dropped.conf'), at(root, 'etc/tiny/dropped.conf.dpkg-tmp'));
    },
    findings: ['error outage leftover-backup tiny /etc/tiny/dropped.conf.dpkg-tmp'],
  },
];

/** And three of dpkg's own files, after which dpkg itself refuses to work. */
export const DATABASE_DAMAGES: readonly Damage[] = [
  {
    what: 'a list of files ends in the middle of a name',
    make: (root) => {
      const file = 'var/lib/dpkg/info/ncurses-base.list';
      cut(root, file, statSync(at(root, file)).size - 7);
    },
    findings: [
      'critical outage database-list-unterminated ncurses-base /var/lib/dpkg/info/ncurses-base.list',
    ],
  },
  {
    what: 'an entry of the journal is empty',
    make: (root) => writeFileSync(at(root, 'var/lib/dpkg/updates/0000'), ''),
    findings: ['error outage database-update-empty - /var/lib/dpkg/updates/0000'],
  },
  {
    what: 'a maintainer script consists of NUL bytes',
    make: (root) => nul(root, 'var/lib/dpkg/info/base-passwd.postinst'),
    findings: ['critical outage database-script-nul base-passwd /var/lib/dpkg/info/base-passwd.postinst'],
  },
];

/** Makes them all, in order; returns the lines that an audit has to give, sorted. */
export function makeAll(directory: string, damages: readonly Damage[]): string[] {
  for (const damage of damages) damage.make(directory);
  return damages.flatMap(({ findings }) => findings).sort();
}
