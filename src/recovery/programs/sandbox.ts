/**
 * Another root's programs, run as its own system would run them:
 *
 *   setpriv --pdeathsig ──► unshare ──► sh, first process of its pid namespace ──► setpriv ──► chroot ──► the program
 *
 * /proc, /sys, /dev and /run are mounted for the time, in a mount namespace of its own: they vanish with the last
 * process in it, and the host never sees them. All that the program leaves running ends with it, and all of it with
 * debmend, whatever ends that one. Nothing is written into the root to make this work.
 *
 * No service is started or stopped (Debian's invoke-rc.d, deb-systemd-invoke, systemctl, as of 12 and 13): /run is a
 * fresh one, without /run/systemd/system, a bus or utmp, so deb-systemd-invoke is not called (its callers look for that
 * directory), invoke-rc.d finds no runlevel and no start link, and systemctl sees that it is in a chroot. What a script
 * starts by its own hands has no network, sees none of the host's processes, and ends with it. policy-rc.d would say the
 * same, but only as a file in the root's /usr/sbin: nothing can be mounted where no file is.
 *
 * This protects the host from mistakes, not from malice: who repairs a root lets its programs run as root.
 */
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { basename } from 'node:path';
import { bufferOf, bytesFromText, fsPath } from '../../system/bytes.ts';
import { DebmendError } from '../../system/errors.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';

export interface SandboxOptions {
  /** Paths of this host whose files the program is to see, read-only, under `insideName`. */
  readonly visible: readonly string[];
  /** The host's network and resolver; without it there is not even another process to talk to. */
  readonly network: boolean;
}

/** Where files of the host are seen inside: in the /dev that is made for the time. */
const VISIBLE = '/dev/debmend';
/** The host's own clock, modules, ports and power are no business of another root's. */
const DROPPED = ['sys_boot', 'sys_module', 'sys_time', 'sys_rawio'].map((name) => `-${name}`).join(',');
/** Of chroot(8), for what it cannot do itself; the script below takes the same. */
export const SETUP_FAILED = 125;

/**
 * $1 root, $2 name of the machine, $3 `network` or not, $4 how many files to show; two words for each; the command. The
 * shell stays: the first process of a namespace has to reap, and takes no signal from within. What it says itself
 * ("Killed") goes nowhere.
 */
const FIRST_PROCESS = `
root=$1; name=$2; network=$3; files=$4; shift 4
set -e
trap 'exit ${SETUP_FAILED}' EXIT
umask 022
[ -z "$name" ] || echo "$name" > /proc/sys/kernel/hostname || :
[ "$network" = network ] || ip link set lo up 2> /dev/null || :
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
for path in sys sysrq-trigger; do
  [ -e "$root/proc/$path" ] || continue # a kernel may have no sysrq
  mount --bind "$root/proc/$path" "$root/proc/$path"
  mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/$path"
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=755,nosuid,nodev debmend-run "$root/run"
mkdir -m 1777 "$root/run/lock"
mount -t tmpfs -o mode=755,nosuid,noexec debmend-dev "$root/dev"
device() {
  mknod -m 666 "$root/dev/$1" c "$2" "$3" 2> /dev/null && return
  : > "$root/dev/$1" # where making devices is not allowed, the host's own of these six will do
  mount --bind "/dev/$1" "$root/dev/$1"
}
device null 1 3; device zero 1 5; device full 1 7; device random 1 8; device urandom 1 9; device tty 5 0
mkdir "$root/dev/pts"; mkdir -m 1777 "$root/dev/shm"
mount -t devpts -o nosuid,noexec,newinstance,gid=5,mode=0620,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"; ln -s /proc/self/fd/1 "$root/dev/stdout"; ln -s /proc/self/fd/2 "$root/dev/stderr"
while [ "$files" -gt 0 ]; do
  if [ ! -e "$root$2" ]; then mkdir -p "$root\${2%/*}"; : > "$root$2"; fi
  mount -o bind,ro "$1" "$root$2"
  shift 2; files=$((files - 1))
done
trap - EXIT
set +e
exec 3>&2 2> /dev/null
"$@" 2>&3 3>&-
exit $?
`;

/**
 * What is run on the host to run a program inside a root.
 *
 * @throws DebmendError `cannot-run-programs` when the root has no directories to mount on
 */
export function inSandbox(
  root: Root,
  command: readonly string[],
  { visible, network }: SandboxOptions,
): { program: string; args: string[] } {
  const directory = bufferOf(root.path).toString('utf8');
  requireMountPoints(root);
  const namespaces = ['--mount', '--pid', '--uts', '--ipc', ...(network ? [] : ['--net'])];
  const shown = visible
    .filter((file) => insideName(root, file).startsWith(`${VISIBLE}/`))
    .map((file) => [file, insideName(root, file)]);
  const files = [...shown, ...(network ? resolver(root) : [])];
  return {
    program: 'setpriv',
    args: [
      ...['--pdeathsig', 'KILL', 'unshare', ...namespaces, '--mount-proc', '--kill-child'],
      ...['sh', '-c', FIRST_PROCESS, 'sh', directory, machineName(root), network ? 'network' : 'alone'],
      ...[String(files.length), ...files.flat()],
      ...['setpriv', `--bounding-set=${DROPPED}`, `--inh-caps=${DROPPED}`, 'chroot', directory, ...command],
    ],
  };
}

/** $1: the root's dpkg configuration, or nothing; the command follows. The host's path-exclude is not for this root. */
const WITH_ITS_CONFIGURATION = `
set -e
trap 'exit ${SETUP_FAILED}' EXIT
[ ! -d /etc/dpkg ] || if [ -n "$1" ]; then mount --bind "$1" /etc/dpkg; else mount -t tmpfs debmend-dpkg /etc/dpkg; fi
shift
trap - EXIT
set +e
exec 3>&2 2> /dev/null
"$@" 2>&3 3>&-
exit $?
`;

/** What is run to have the host's own dpkg work on a root: dpkg itself still runs maintainer scripts by chroot. */
export function withHostDpkg(root: Root, args: readonly string[]): { program: string; args: string[] } {
  const directory = bufferOf(root.path).toString('utf8');
  const found = root.resolveDirectory('/etc/dpkg');
  const configuration = found.kind === 'found' ? bufferOf(found.host).toString('utf8') : '';
  const namespaces = ['--mount', '--pid', '--uts', '--ipc', '--net', '--mount-proc', '--kill-child'];
  return {
    program: 'setpriv',
    args: [
      ...['--pdeathsig', 'KILL', 'unshare', ...namespaces],
      ...['sh', '-c', WITH_ITS_CONFIGURATION, 'sh', configuration],
      ...['dpkg', `--root=${directory}`, ...args],
    ],
  };
}

/**
 * What a file of this host, a .deb mostly, is called inside the root while a program runs that it is `visible` to. For
 * what lies in the root already that is its own path there, and for the host's root nothing changes.
 *
 * @param file absolute, without links in it
 */
export function insideName(root: Root, file: string): string {
  if (root.isHost) return file;
  const prefix = `${bufferOf(root.path).toString('utf8')}/`;
  if (file.startsWith(prefix)) return file.slice(prefix.length - 1);
  const place = createHash('sha256').update(file).digest('hex').slice(0, 12);
  return `${VISIBLE}/${place}/${basename(file)}`;
}

/** A link in one of their places would have the host's directories mounted over. */
function requireMountPoints(root: Root): void {
  for (const name of ['/proc', '/sys', '/dev', '/run']) {
    let isDirectory = false;
    try {
      isDirectory = lstatSync(fsPath(root.hostPath(name))).isDirectory();
    } catch {
      // Not there: the same.
    }
    if (isDirectory) continue;
    throw new DebmendError(
      'cannot-run-programs',
      `running programs in ${root.path}: its ${name} is no directory`,
      'name the root of a Debian system, with all of its filesystems mounted in their places',
    );
  }
}

/** The root's own name: scripts put it into certificates and configurations. */
function machineName(root: Root): string {
  const found = root.resolve('/etc/hostname');
  const outcome = found.kind === 'found' ? readRegularFile(found.host, 4096) : undefined;
  return outcome?.kind === 'read' ? (/^[A-Za-z0-9.-]{1,64}$/m.exec(outcome.data)?.[0] ?? '') : '';
}

/** The host's resolver in the place of the root's: over its file, or where its link into /run leads. */
function resolver(root: Root): string[][] {
  const found = root.resolveFully(bytesFromText('/etc/resolv.conf'));
  if (found.kind !== 'found') return [];
  const isFresh = found.inside.startsWith('/run/');
  if (!isFresh && readRegularFile(found.host).kind !== 'read') return [];
  return [['/etc/resolv.conf', bufferOf(found.inside).toString('utf8')]];
}
