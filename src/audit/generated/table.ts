/**
 * What packages' triggers and scripts generate, and how it is made again. Where an entry's knowledge comes from stands
 * beside it: the postinst named was read in bookworm and in trixie, unless one of them is named. What an administrator
 * may have written a part of is only made again by what keeps that part; where nothing does, a person has to.
 */
import type { Bytes } from '../../system/bytes.ts';
import {
  catalog,
  debconf,
  type Examiner,
  fontCache,
  gdbm,
  gvdb,
  hwdb,
  iconCache,
  ldSoCache,
  localeArchive,
  mimeCache,
  pemBundle,
  text,
  textBeginning,
} from './formats.ts';

export interface Command {
  /** Found by PATH inside the root, or absolute. */
  readonly program: Bytes;
  readonly args: readonly Bytes[];
}

export interface Generated {
  /** Globs inside the root; `*` stays in a directory. */
  readonly paths: readonly string[];
  /** The package whose scripts make them; of several names of one package through the releases, any. */
  readonly packages: readonly Bytes[];
  readonly examine: Examiner;
  readonly severity: 'critical' | 'error' | 'warning';
  /** An empty one is as good as any. */
  readonly mayBeEmpty?: boolean;
  /** An empty one is damage only where this file beside it is not empty: it had content, and is empty now. */
  readonly emptyUnless?: (path: Bytes) => Bytes;
  /**
   * Whether its absence is damage. Then `paths` are plain. A glob: when one of its matches is there, which the
   * generator makes the file for.
   */
  readonly always?: true | string;
  /** What makes it anew; undefined where only a person can. */
  readonly make: ((path: Bytes) => Command) | undefined;
  /** What has to go with the damaged file so that the program makes it anew. */
  readonly aside?: readonly Bytes[];
}

const run = (program: Bytes, ...args: readonly Bytes[]): (() => Command) => {
  return () => ({ program, args });
};

/** `cp -p TEMPLATE FILE`, as base-files, libc-bin and readline-common do where there is no file. */
function copyOf(path: Bytes, template: Bytes, pkg: Bytes, severity: 'error' | 'warning'): Generated {
  return { paths: [path], packages: [pkg], examine: text, severity, make: run('cp', '-p', template, path) };
}

const directoryOf = (path: Bytes): Bytes => path.slice(0, path.lastIndexOf('/'));

export const GENERATED: readonly Generated[] = [
  {
    // libc-bin.postinst: `ldconfig` on configure and for the trigger ldconfig.
    paths: ['/etc/ld.so.cache'],
    packages: ['libc-bin'],
    examine: ldSoCache,
    severity: 'error',
    always: true,
    make: run('ldconfig'),
  },
  {
    // ca-certificates.postinst: update-ca-certificates, which writes the bundle anew whatever has changed. Not --fresh:
    // that takes away links of an administrator.
    paths: ['/etc/ssl/certs/ca-certificates.crt'],
    packages: ['ca-certificates'],
    examine: pemBundle,
    severity: 'error',
    always: '/etc/ca-certificates.conf',
    make: run('update-ca-certificates'),
  },
  {
    // ca-certificates.postinst: written from debconf's answers where it is not there.
    paths: ['/etc/ca-certificates.conf'],
    packages: ['ca-certificates'],
    examine: text,
    severity: 'error',
    make: run('dpkg-reconfigure', '--frontend=noninteractive', 'ca-certificates'),
  },
  {
    // udev.postinst: `systemd-hwdb --usr update` on configure and for its trigger.
    paths: ['/lib/udev/hwdb.bin'],
    packages: ['udev'],
    examine: hwdb,
    severity: 'error',
    always: true,
    make: run('systemd-hwdb', '--usr', 'update'),
  },
  {
    // systemd.postinst: `journalctl --update-catalog` on configure and for its trigger.
    paths: ['/var/lib/systemd/catalog/database'],
    packages: ['systemd'],
    examine: catalog,
    severity: 'warning',
    always: true,
    make: run('journalctl', '--update-catalog'),
  },
  {
    // shared-mime-info.postinst: `update-mime-database /usr/share/mime` on configure and for its trigger.
    paths: ['/usr/share/mime/mime.cache'],
    packages: ['shared-mime-info'],
    examine: mimeCache,
    severity: 'error',
    always: true,
    make: run('update-mime-database', '/usr/share/mime'),
  },
  {
    // The same; update-mime-database.c writes these texts beside the cache. icons is empty on every system seen.
    paths: [
      '/usr/share/mime/{XMLnamespaces,aliases,generic-icons,globs,globs2,subclasses,types,version}',
      '/usr/share/mime/{application,audio,font,image,inode,message,model,multipart,text,video,x-content,x-epoc}/*.xml',
    ],
    packages: ['shared-mime-info'],
    examine: (data) => (data.includes(0) ? 'holds NUL bytes' : undefined),
    severity: 'error',
    make: run('update-mime-database', '/usr/share/mime'),
  },
  {
    // libglib2.0-0.postinst (trixie: libglib2.0-0t64): glib-compile-schemas on configure and for its trigger; it makes
    // none where there is no schema.
    paths: ['/usr/share/glib-2.0/schemas/gschemas.compiled'],
    packages: ['libglib2.0-0', 'libglib2.0-0t64'],
    examine: gvdb,
    severity: 'error',
    always: '/usr/share/glib-2.0/schemas/*.gschema.xml',
    make: (path) => compileSchemas(directoryOf(path)),
  },
  {
    // The same postinst: gio-querymodules, which makes none where there is no module.
    paths: ['/usr/lib/*/gio/modules/giomodule.cache'],
    packages: ['libglib2.0-0', 'libglib2.0-0t64'],
    examine: text,
    severity: 'error',
    make: (path) => ({
      program: path.replace('/gio/modules/giomodule.cache', '/glib-2.0/gio-querymodules'),
      args: [directoryOf(path)],
    }),
  },
  {
    // libgdk-pixbuf-2.0-0.postinst (bookworm): gdk-pixbuf-query-loaders into this file; --update-cache writes the same.
    paths: ['/usr/lib/*/gdk-pixbuf-2.0/2.10.0/loaders.cache'],
    packages: ['libgdk-pixbuf-2.0-0'],
    examine: textBeginning('# GdkPixbuf Image Loader Modules file'),
    severity: 'error',
    make: (path) => ({
      program: `${directoryOf(directoryOf(path))}/gdk-pixbuf-query-loaders`,
      args: ['--update-cache'],
    }),
  },
  {
    // hicolor-icon-theme.postinst (bookworm): gtk-update-icon-cache --force for its trigger. The program is another
    // package's (gtk-update-icon-cache); without it none is made.
    paths: ['/usr/share/icons/*/icon-theme.cache'],
    packages: ['gtk-update-icon-cache', 'libgtk-3-bin'],
    examine: iconCache,
    severity: 'warning',
    make: (path) => ({ program: 'gtk-update-icon-cache', args: ['--force', '--quiet', directoryOf(path)] }),
  },
  {
    // fontconfig.postinst (bookworm): `fc-cache -s -f` on configure. Users of it make their own where one is damaged.
    paths: ['/var/cache/fontconfig/*-le64.cache-*'],
    packages: ['fontconfig'],
    examine: fontCache,
    severity: 'warning',
    make: run('fc-cache', '-s', '-f'),
  },
  {
    // desktop-file-utils.postinst: update-desktop-database on configure and for its trigger /usr/share/applications.
    paths: ['/usr/share/applications/mimeinfo.cache'],
    packages: ['desktop-file-utils'],
    examine: textBeginning('[MIME Cache]'),
    severity: 'warning',
    make: run('update-desktop-database', '/usr/share/applications'),
  },
  {
    // install-info.postinst: update-info-dir on configure and for its trigger; base-files makes the first one.
    paths: ['/usr/share/info/dir'],
    packages: ['install-info'],
    examine: text,
    severity: 'warning',
    make: run('update-info-dir'),
  },
  {
    // man-db.postinst: mandb as the user man; `--create` makes it anew. Every language has one in its directory.
    paths: ['/var/cache/man/index.db', '/var/cache/man/*/index.db'],
    packages: ['man-db'],
    examine: gdbm,
    severity: 'warning',
    make: run('setpriv', '--reuid=man', '--regid=man', '--init-groups', 'mandb', '--quiet', '--create'),
  },
  {
    // locales.postinst: locale-gen, from /etc/locale.gen; it begins a new archive.
    paths: ['/usr/lib/locale/locale-archive'],
    packages: ['locales'],
    examine: localeArchive,
    severity: 'error',
    make: run('locale-gen'),
  },
  {
    // debianutils.postinst: update-shells on configure and for its trigger. It leaves out what an administrator took
    // away, which is what its state has and the file has not: with an emptied file that would be all.
    paths: ['/etc/shells'],
    packages: ['debianutils'],
    examine: text,
    severity: 'error',
    make: run('update-shells'),
    aside: ['/var/lib/shells.state'],
  },
  {
    // libpam-runtime.postinst: pam-auth-update --package. It takes a damaged file for one that an administrator wrote
    // and leaves it alone; with --force it would take away what another has written into the sound ones.
    paths: [
      '/etc/pam.d/common-account',
      '/etc/pam.d/common-auth',
      '/etc/pam.d/common-password',
      '/etc/pam.d/common-session',
      '/etc/pam.d/common-session-noninteractive',
    ],
    packages: ['libpam-runtime'],
    examine: text,
    severity: 'critical',
    always: true,
    make: undefined,
  },
  {
    // debconf keeps the one before beside each of its databases (Debconf/DbDriver/File.pm, savedb).
    paths: ['/var/cache/debconf/{config,templates}.dat'],
    packages: ['debconf'],
    examine: debconf,
    severity: 'error',
    emptyUnless: (path) => `${path}-old`,
    make: (path) => ({ program: 'cp', args: ['-p', `${path}-old`, path] }),
  },
  // libc-bin.postinst in trixie; base-files.postinst wrote it before, from a template that went to libc-bin in bookworm.
  copyOf('/etc/nsswitch.conf', '/usr/share/libc-bin/nsswitch.conf', 'libc-bin', 'error'),
  // base-files.postinst, install_from_default. An empty motd is many an administrator's wish, and is not looked at.
  copyOf('/etc/profile', '/usr/share/base-files/profile', 'base-files', 'error'),
  copyOf('/root/.profile', '/usr/share/base-files/dot.profile', 'base-files', 'warning'),
  copyOf('/root/.bashrc', '/usr/share/base-files/dot.bashrc', 'base-files', 'warning'),
  // readline-common.postinst, install_from_default: one that is there, empty or not, stays for ever.
  copyOf('/etc/inputrc', '/usr/share/readline/inputrc', 'readline-common', 'warning'),
];

/**
 * The programs lie in a directory of their architecture, and of several architectures only some can run here. No shell
 * word is made of a path: both go as arguments.
 */
const COMPILE_SCHEMAS =
  'for program in /usr/lib/*/glib-2.0/glib-compile-schemas; do "$program" "$1" && exit 0; done; exit 1';

function compileSchemas(directory: Bytes): Command {
  return { program: 'sh', args: ['-c', COMPILE_SCHEMAS, 'sh', directory] };
}
