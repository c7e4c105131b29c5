/**
 * What two sound installations differ in by themselves, each with its reason. The judge compares nothing else less than
 * whole, so whatever stands here is something that no test proves.
 */
import type { Bytes } from '../../../src/system/bytes.ts';
import type { EntryType } from './image.ts';

export interface Leniency {
  readonly paths: RegExp;
  /** `anything`: not looked at. `shape`: it exists, of the same type, mode and owner, and is empty or not as the other. */
  readonly how: 'anything' | 'shape';
  /** Default: all types. */
  readonly types?: readonly EntryType[];
  readonly reason: string;
}

export const LENIENCIES: readonly Leniency[] = [
  {
    paths: /^\/var\/log\/./,
    types: ['file'],
    how: 'anything',
    reason: 'logs tell of each run by itself, with its times; their directories are compared',
  },
  {
    paths: /^\/var\/lib\/debmend\/.|^(\/.*)?\/\.debmend-quarantine($|\/)/,
    how: 'anything',
    reason: "debmend's own store and quarantine",
  },
  {
    paths: /^\/usr\/lib\/debmend\/.|^\/usr\/bin\/debmend$/,
    how: 'anything',
    reason: "the lab copies debmend there file by file; whoever installs it has a package's manifest for it",
  },
  {
    paths: /^\/(proc|sys|run|tmp|dev\/pts|dev\/shm)\/./,
    how: 'anything',
    reason: 'the kernel makes it, or a boot empties it',
  },
  {
    paths: /^\/var\/cache\/apt\/(src)?pkgcache\.bin(\.[A-Za-z0-9]{6})?$/,
    how: 'anything',
    reason:
      "apt's binary caches, which it makes again when it wants them; half-written ones have a name of mkstemp's",
  },
  {
    paths: /^\/var\/lib\/apt\/extended_states\.[A-Za-z0-9]{6}$/,
    how: 'anything',
    reason: "apt's marks, half-written under a name of mkstemp's, which nothing ever reads",
  },
  {
    paths: /^\/var\/cache\/apt\/archives\/./,
    how: 'anything',
    reason: 'what apt has downloaded; how much of it is kept is no state of the system',
  },
  {
    paths: /^\/var\/cache\/ldconfig\/aux-cache$/,
    how: 'shape',
    reason: 'it holds inode numbers and change times of the libraries',
  },
  {
    paths:
      /^\/var\/lib\/dpkg\/[^/]+-old$|^\/var\/cache\/debconf\/[^/]+-old$|^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$/,
    how: 'anything',
    reason: 'the version before the last change, which a second run changes once more often',
  },
  {
    paths: /^\/var\/backups\/./,
    how: 'anything',
    reason: 'copies that a cron job or a maintainer script takes at its time',
  },
  {
    paths: /^\/etc\/machine-id$|^\/var\/lib\/dbus\/machine-id$|^\/var\/lib\/systemd\/random-seed$/,
    types: ['file'],
    how: 'shape',
    reason: 'random, of each machine by itself',
  },
  {
    paths:
      /^\/etc\/ssh\/ssh_host_[^/]*$|^\/etc\/ssl\/(certs|private)\/ssl-cert-snakeoil\.(pem|key)$|^\/etc\/mysql\/debian\.cnf$/,
    types: ['file'],
    how: 'shape',
    reason: 'keys and passwords of this machine alone',
  },
  {
    paths: /^\/lost\+found(\/|$)/,
    how: 'anything',
    reason: "what the filesystem's own check found without a name, in a directory that XFS has only then",
  },
  {
    paths: /^\/boot\/initrd\.img-[^/]*$|^\/var\/lib\/initramfs-tools\/./,
    types: ['file'],
    how: 'shape',
    reason:
      'an archive with the times at which it was made, and its checksum; the lab compares what it lists',
  },
  {
    paths: /^\/var\/lib\/mysql\/./,
    types: ['file'],
    how: 'shape',
    reason: "a database server's files have times, identifiers and passwords in them",
  },
];

export function leniencyFor(path: Bytes, type: EntryType): Leniency | undefined {
  return LENIENCIES.find(
    ({ paths, types }) => paths.test(path) && (types === undefined || types.includes(type)),
  );
}
