/**
 * Three tiny packages in two versions that together do what makes interrupted installations hard: conffiles of every
 * fate, files that become directories, diversions, overrides, alternatives, users, triggers, and maintainer scripts that
 * write files in no manifest, step by step, and leave alone what is there already.
 *
 *   lab-extra ──► lab-core ──► lab-lib (Multi-Arch: same)
 *
 * A script that is between two steps passes `cut NAME`: where the environment has LAB_CUT=NAME, it kills dpkg and itself
 * there, so that half of a step is left behind at a place and not at a time.
 */
import { createHash } from 'node:crypto';
import type { Content, TinyPackage } from '../../lab/packages.ts';

export type LabVersion = '1.0' | '2.0';

export const LAB_PACKAGES = ['lab-lib', 'lab-core', 'lab-extra'] as const;

/** Where a script can be cut; each is passed by a fresh installation. */
export const SCRIPT_CUTS = [
  'preinst-before-diversion',
  'preinst-after-diversion',
  'postinst-begun',
  'postinst-after-user',
  'postinst-amid-settings',
  'postinst-after-settings',
  'postinst-amid-state',
  'postinst-before-state-mode',
  'postinst-after-state',
  'postinst-after-override',
  'postinst-after-alternative',
  'trigger-amid-index',
] as const;
/** And by a removal or a purge. */
export const REMOVAL_CUTS = [
  'prerm-after-alternative',
  'postrm-before-diversion',
  'postrm-after-diversion',
] as const;
export const PURGE_CUTS = [...REMOVAL_CUTS, 'postrm-amid-purge'] as const;

const HEAD = `#!/bin/sh
set -e
cut() { [ "\${LAB_CUT:-}" != "$1" ] || kill -KILL $PPID $$; }
`;

/** The same bytes each time, and none that compress away. */
function noise(of: string, bytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 64) }, (_, at) =>
    createHash('sha512').update(`${of} ${at}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}

/** All three, in the order in which they can be installed. @param native the root's architecture */
export function labPackages(version: LabVersion, native: string): TinyPackage[] {
  return [library(version, native), core(version), extra(version)];
}

function library(version: LabVersion, native: string): TinyPackage {
  const major = version.slice(0, 1);
  const files: Record<string, Content> = {
    [`/usr/lib/lab/liblab.so.${version}`]: noise(`liblab ${version}`, 20_000),
    [`/usr/lib/lab/liblab.so.${major}`]: { link: `liblab.so.${version}` },
    '/usr/lib/lab/liblab.so': { link: `liblab.so.${major}` },
    '/usr/share/doc/lab-lib/copyright': 'nobody’s\n',
  };
  return {
    name: 'lab-lib',
    version,
    architecture: native,
    fields: { 'Multi-Arch': 'same', Section: 'libs', Priority: 'optional' },
    files,
    control: { triggers: 'activate-noawait lab-refresh\n' },
  };
}

function core(version: LabVersion): TinyPackage {
  const old = version === '1.0';
  const conffiles: Record<string, Content> = {
    '/etc/lab/changed.conf': `as shipped in ${version}\n`,
    '/etc/lab/same.conf': `as shipped in ${version}\n`,
    '/etc/lab/constant.conf': 'the same in both\n',
    ...(old
      ? { '/etc/lab/dropped.conf': 'only in the old one\n' }
      : { '/etc/lab/new.conf': 'only in the new one\n' }),
  };
  const files: Record<string, Content> = {
    ...conffiles,
    '/usr/bin/lab': { content: `#!/bin/sh\necho lab ${version}\n`, mode: 0o755 },
    '/usr/bin/lab-alias': { hardLink: '/usr/bin/lab' },
    '/usr/lib/lab-core/helper': { content: noise(`helper ${version}`, 3000), mode: 0o4755 },
    '/usr/share/lab/data': noise(`data ${version}`, 70_000),
    '/usr/share/lab/constant': 'the same in both\n',
    '/usr/share/lab/nothing': '',
    '/usr/share/lab/empty': { directory: true },
    '/usr/share/lab/current': { link: old ? 'data' : 'constant' },
    '/usr/share/lab/greeting': `hello from lab-core ${version}\n`,
    '/usr/share/lab/real/one': `one of ${version}\n`,
    '/usr/share/lab-hooks/core': `hook of lab-core ${version}\n`,
    ...(old
      ? {
          '/usr/share/lab/obsolete': noise('obsolete', 2000),
          '/usr/share/lab/gone/deep/file': 'its directories go with it\n',
          '/usr/share/lab/topic': 'a file that becomes a directory\n',
          '/usr/share/lab/shared': { link: 'real' },
        }
      : {
          '/usr/share/lab/topic/chapter': 'in what was a file\n',
          '/usr/share/lab/shared/two': 'in what was a link\n',
          '/usr/share/lab/added': noise('added', 2000),
        }),
  };
  const helper = old
    ? ''
    : 'dpkg-maintscript-helper symlink_to_dir /usr/share/lab/shared real 2.0~ -- "$@"\n';
  return {
    name: 'lab-core',
    version,
    depends: [`lab-lib (= ${version})`],
    files,
    conffiles: Object.keys(conffiles),
    control: {
      triggers: 'activate lab-refresh\n',
      ...(old ? {} : { preinst: HEAD + helper }),
      postinst: HEAD + helper + CORE_POSTINST.replaceAll('MAJOR', version.slice(0, 1)),
      postrm: HEAD + helper + CORE_POSTRM,
    },
  };
}

/** readline-common makes /etc/inputrc as the settings here are made; MariaDB its data directory as the state. */
const CORE_POSTINST = `
[ "$1" = configure ] || exit 0
cut postinst-begun
getent passwd lab > /dev/null || useradd --system --user-group --no-create-home --home-dir /var/lib/lab --shell /usr/sbin/nologin lab
cut postinst-after-user
if [ ! -e /etc/lab-settings-MAJOR ]; then
  echo 'set first' > /etc/lab-settings-MAJOR
  cut postinst-amid-settings
  echo 'set second' >> /etc/lab-settings-MAJOR
fi
cut postinst-after-settings
if [ ! -d /var/lib/lab-MAJOR ]; then
  mkdir /var/lib/lab-MAJOR
  echo 'table one' > /var/lib/lab-MAJOR/one
  cut postinst-amid-state
  echo 'table two' > /var/lib/lab-MAJOR/two
  mkdir /var/lib/lab-MAJOR/private
  mkfifo /var/lib/lab-MAJOR/private/pipe
  cut postinst-before-state-mode
  chown -R lab:lab /var/lib/lab-MAJOR
  chmod 0700 /var/lib/lab-MAJOR/private
fi
cut postinst-after-state
`;

const CORE_POSTRM = `
[ "$1" = purge ] || exit 0
rm -f /etc/lab-settings-*
cut postrm-amid-purge
rm -rf /var/lib/lab-1 /var/lib/lab-2
if getent passwd lab > /dev/null; then userdel lab; fi
`;

function extra(version: LabVersion): TinyPackage {
  return {
    name: 'lab-extra',
    version,
    depends: [`lab-core (= ${version})`],
    files: {
      '/usr/share/lab/greeting': `hello from lab-extra ${version}\n`,
      '/usr/bin/lab-extra-pager': { content: `#!/bin/sh\necho pager ${version}\n`, mode: 0o755 },
      '/usr/share/lab-extra/pager.txt': `the manual of pager ${version}\n`,
      '/usr/lib/lab-extra/tool': { content: noise(`tool ${version}`, 5000), mode: 0o755 },
      '/usr/share/lab-hooks/extra': `hook of lab-extra ${version}\n`,
      '/var/lib/lab-extra': { directory: true },
    },
    control: {
      triggers: 'interest-noawait /usr/share/lab-hooks\ninterest lab-refresh\n',
      preinst: `${HEAD}
cut preinst-before-diversion
dpkg-divert --package lab-extra --add --rename --divert /usr/share/lab/greeting.lab-core /usr/share/lab/greeting
cut preinst-after-diversion
`,
      postinst: `${HEAD}
refresh() {
  printf 'index of ' > /var/lib/lab-extra/index
  cut trigger-amid-index
  ls /usr/share/lab-hooks | tr '\\n' ' ' >> /var/lib/lab-extra/index
}
case "$1" in
triggered) refresh ;;
configure)
  if ! dpkg-statoverride --list /usr/lib/lab-extra/tool > /dev/null; then
    dpkg-statoverride --update --add root lab 2755 /usr/lib/lab-extra/tool
  fi
  cut postinst-after-override
  update-alternatives --install /usr/bin/lab-pager lab-pager /usr/bin/lab-extra-pager 50 \\
    --slave /usr/share/lab-pager.txt lab-pager.txt /usr/share/lab-extra/pager.txt
  cut postinst-after-alternative
  refresh
  ;;
esac
`,
      prerm: `${HEAD}
[ "$1" != remove ] || update-alternatives --remove lab-pager /usr/bin/lab-extra-pager
cut prerm-after-alternative
`,
      postrm: `${HEAD}
case "$1" in
remove)
  rm -f /var/lib/lab-extra/index
  cut postrm-before-diversion
  dpkg-divert --package lab-extra --remove --rename --divert /usr/share/lab/greeting.lab-core /usr/share/lab/greeting
  cut postrm-after-diversion
  ;;
purge)
  if dpkg-statoverride --list /usr/lib/lab-extra/tool > /dev/null; then
    dpkg-statoverride --remove /usr/lib/lab-extra/tool
  fi
  ;;
esac
`,
    },
  };
}
