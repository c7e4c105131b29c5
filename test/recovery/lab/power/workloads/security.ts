/** Real packages upgraded from the release to its security archive: at once by apt, and by unattended-upgrades in steps. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../../../src/system/run.ts';
import { denyServices, inRoot, mustInRoot } from '../../../../lab/chroot.ts';
import type { DebianSuite } from '../../../../lab/roots.ts';
import type { Check, PowerWorkload, Scene } from '../workloads.ts';

const KEEP = ['--force-confdef', '--force-confold'].flatMap((option) => ['-o', `Dpkg::Options::=${option}`]);
const DOWNLOAD_TIMEOUT_MS = 10 * 60 * 1000;

/** Of those, with what they need, the security archive has had newer versions for long; small ones of every kind. */
const PACKAGES = [
  ...[
    'antiword',
    'bind9-dnsutils',
    'ca-certificates',
    'curl',
    'expat',
    'git',
    'iperf3',
    'jq',
    'libarchive-tools',
  ],
  ...[
    'libevent-extra-2.1-7',
    'libevent-openssl-2.1-7',
    'libevent-pthreads-2.1-7',
    'libpcre2-posix3',
    'libpng-tools',
  ],
  ...[
    'libsasl2-modules',
    'libxml2-utils',
    'memcached',
    'nginx-light',
    'openssh-client',
    'openssl',
    'parted',
    'perl',
  ],
  ...['postgresql-client-common', 'python3', 'python3-dnspython', 'python3-httplib2', 'python3-pyasn1'],
  ...['redis-server', 'rsync', 'rsyslog', 'sudo', 'unzip', 'xsltproc', 'xz-utils', 'xzdec', 'zip'],
];
const FEWEST_UPGRADES = 50;

export const securityUpgrade: PowerWorkload = {
  name: 'security',
  what: `apt-get upgrade of ${FEWEST_UPGRADES} and more packages from the release to the security archive`,
  scene: {
    name: 'release',
    size: 3 * 1024 ** 3,
    include: PACKAGES,
    prepare: async (directory, suite) => {
      const upgrades = await offerSecurity(directory, suite);
      if (upgrades < FEWEST_UPGRADES)
        throw new Error(`the security archive has only ${upgrades} newer packages`);
    },
  },
  command: ['apt-get', '-y', ...KEEP, '--no-download', 'upgrade'],
  afterSeconds: 4,
  check: (directory) => works(directory, PROGRAMS),
};

const unattendedScene: Scene = {
  name: 'unattended',
  size: 3 * 1024 ** 3,
  include: ['unattended-upgrades', 'python3'],
  prepare: async (directory, suite) => {
    await offerSecurity(directory, suite);
    // What is installed it deletes from apt's cache otherwise, and the next contestant's archives are not downloaded.
    const conf = join(directory, 'etc/apt/apt.conf.d/52lab');
    writeFileSync(conf, 'Unattended-Upgrade::Keep-Debs-After-Install "true";\n');
  },
};

const UNATTENDED = ['unattended-upgrade', '--verbose'];

export const unattended: PowerWorkload = {
  name: 'unattended',
  what: "unattended-upgrades in minimal steps, dozens of apt's runs",
  scene: unattendedScene,
  command: UNATTENDED,
  timer: UNATTENDED,
  afterSeconds: 4,
  check: (directory) =>
    works(directory, [['python3', '-c', 'import apt, apt_pkg, ssl, json, ctypes; print(1)']]),
};

/** Adds the security archive that this host installs from, and downloads what an upgrade takes. @returns how many */
async function offerSecurity(directory: string, suite: DebianSuite): Promise<number> {
  denyServices(directory);
  const uri = await securityArchive(suite);
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const line = `deb [signed-by=${keyring}] ${uri} ${suite}-security main\n`;
  writeFileSync(join(directory, 'etc/apt/sources.list.d/security.list'), line);
  await mustInRoot(directory, ['apt-get', '-q', 'update'], { timeout: DOWNLOAD_TIMEOUT_MS });
  await mustInRoot(directory, ['apt-get', '-y', '--download-only', 'upgrade'], {
    timeout: DOWNLOAD_TIMEOUT_MS,
  });
  return readdirSync(join(directory, 'var/cache/apt/archives')).filter((name) => name.endsWith('.deb'))
    .length;
}

async function securityArchive(suite: DebianSuite): Promise<string> {
  const args = ['indextargets', '--format', '$(REPO_URI)|$(RELEASE)', 'Created-By: Packages'];
  const { stdout } = await run('apt-get', args, { timeout: 60_000 });
  const uri = new RegExp(`^(.*)\\|${suite}-security$`, 'm').exec(stdout.toString('utf8'))?.[1];
  if (uri === undefined) throw new Error(`no security archive of ${suite} among the sources of apt`);
  return uri;
}

const PROGRAMS: readonly (readonly string[])[] = [
  ['python3', '-c', 'import ssl, json, ctypes, sqlite3, xml.etree.ElementTree; print(ssl.OPENSSL_VERSION)'],
  ['perl', '-MPOSIX', '-MEncode', '-e', 'print POSIX::floor(2.5)'],
  ['openssl', 'version'],
  ['curl', '--version'],
  ['git', '--version'],
  ['rsync', '--version'],
  ['sudo', '--version'],
  ['rsyslogd', '-N1'],
];

/** Each program answers, with its version: a fact. */
async function works(directory: string, programs: readonly (readonly string[])[]): Promise<Check> {
  const facts: string[] = [];
  const wrong: string[] = [];
  for (const command of programs) {
    const { code, stdout, stderr } = await inRoot(directory, command, { offline: true });
    if (code === 0) facts.push(`${command[0]}: ${stdout.split('\n')[0]}`);
    else wrong.push(`${command[0]}: ${stderr.trim().split('\n').at(-1) ?? code}`);
  }
  return { facts, wrong: wrong.join('\n') };
}
