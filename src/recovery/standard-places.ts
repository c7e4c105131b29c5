/**
 * What every Debian system has, and no manifest and no snapshot knows: the directories and links that base-files makes
 * when it is first installed (its debian/postinst.in), and, where no devtmpfs covers /dev, in a container or a chroot, the
 * few devices and links that every program counts on (the kernel's Documentation/admin-guide/devices.txt).
 */

import { pathToText } from '../model/path-text.ts';
import type { LeftAlone } from '../model/recovery.ts';
import { namesIn } from '../system/files.ts';
import { readMounts } from '../system/mounts.ts';
import type { Root } from '../system/root.ts';
import { isThere } from './redo/effect.ts';

const DIRECTORY = 'install -d -m 755';
const LOCAL = 'install -d -m 2775 -g staff';

/** By path: the command that makes it, less the path. */
const PLACES: Readonly<Record<string, string>> = {
  '/etc/opt': DIRECTORY,
  '/media': DIRECTORY,
  '/mnt': DIRECTORY,
  '/opt': DIRECTORY,
  '/srv': DIRECTORY,
  '/usr/local': LOCAL,
  '/usr/local/bin': LOCAL,
  '/usr/local/etc': LOCAL,
  '/usr/local/games': LOCAL,
  '/usr/local/include': LOCAL,
  '/usr/local/lib': LOCAL,
  '/usr/local/man': 'ln -s share/man',
  '/usr/local/sbin': LOCAL,
  '/usr/local/share': LOCAL,
  '/usr/local/share/man': LOCAL,
  '/usr/local/src': LOCAL,
  '/var/lock': 'ln -s /run/lock',
  '/var/mail': 'install -d -m 2775 -g mail',
  '/var/opt': DIRECTORY,
  '/var/run': 'ln -s /run',
  '/var/spool/mail': 'ln -s ../mail',
};

/** By name: the command that makes one in the directory. */
const DEVICES: Readonly<Record<string, string>> = {
  console: 'mknod -m 600 console c 5 1',
  fd: 'ln -s /proc/self/fd fd',
  full: 'mknod -m 666 full c 1 7',
  null: 'mknod -m 666 null c 1 3',
  ptmx: 'mknod -m 666 ptmx c 5 2',
  random: 'mknod -m 666 random c 1 8',
  stderr: 'ln -s /proc/self/fd/2 stderr',
  stdin: 'ln -s /proc/self/fd/0 stdin',
  stdout: 'ln -s /proc/self/fd/1 stdout',
  tty: 'mknod -m 666 tty c 5 0',
  urandom: 'mknod -m 666 urandom c 1 9',
  zero: 'mknod -m 666 zero c 1 5',
};

/**
 * Those that a disk, or a repair of the filesystem, may have taken. An administrator may have, too, and nothing is made
 * again.
 */
export function standardPlacesGone(root: Root): LeftAlone[] {
  root.forget();
  const places = Object.entries(PLACES).filter(([path]) => !isThere(root, path));
  return [
    ...places.map(([path, command]) => gone(path, `${command} ${path}`)),
    ...devicesGone(root).map(([name, command]) => gone(`/dev/${name}`, `cd /dev && ${command}`)),
  ];
}

function devicesGone(root: Root): [string, string][] {
  const found = root.resolveDirectory('/dev');
  if (found.kind !== 'found' || readMounts().some(({ mountPoint }) => mountPoint === found.host)) return [];
  const there = new Set(namesIn(found.host));
  const standard = Object.entries(DEVICES);
  const missing = standard.filter(([name]) => !there.has(name));
  // An image whose /dev is going to be covered has none of them.
  return missing.length * 2 > standard.length ? [] : missing;
}

function gone(path: string, command: string): LeftAlone {
  return {
    finding: 'filesystem-lost-found',
    path: pathToText(path),
    harmless: false,
    reason: `it is gone, the disk or a repair of the filesystem may be why, and '${command}' makes it again`,
  };
}
