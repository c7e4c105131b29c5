/**
 * "Nothing is lost": every file, link and special file that was there before a recovery is afterwards
 *
 *   in place       with the same content, mode and owner, or with those that an uninterrupted run gives it;
 *   quarantined    byte for byte, with the mode and owner it had;
 *   of a manifest  what stands in its place is what its package's manifest says, or its own bytes are those of a file
 *                  that a manifest names: such bytes are in a .deb, and nobody's only copy;
 *   transacted     what it was before the transaction, and now what an uninterrupted run makes of it;
 *   wrecked        emptied, or NULs at its end, as neither version of before and after is, because the cut took content
 *                  that nobody had synced; now it is as in an uninterrupted run, or as it was before all;
 *   continued      the beginning of what stands in its place, as in an uninterrupted run: the cut took the rest, or came
 *                  before it was written, and the script that writes it has written it again;
 *   ordinary       one of the few files that programs rewrite as a matter of course (ORDINARY), each with its reason.
 *
 * All else is lost.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parseDiversions } from '../../../src/dpkg/diversions.ts';
import { pathToText } from '../../../src/model/path-text.ts';
import { type Bytes, bytesFromText, fsPath } from '../../../src/system/bytes.ts';
import { leniencyFor } from './ignored.ts';
import type { Entry, RootImage } from './image.ts';

export type Fate =
  | 'in place'
  | 'quarantined'
  | 'of a manifest'
  | 'transacted'
  | 'wrecked'
  | 'continued'
  | 'ordinary'
  | 'lost';

export interface Fates {
  readonly counts: Readonly<Record<Fate, number>>;
  /** Of what is lost, a line for people each. */
  readonly lost: readonly string[];
}

/** What dpkg and its kin rewrite whole, by rename or in place, whenever anything changes. */
export const ORDINARY: readonly { readonly paths: RegExp; readonly reason: string }[] = [
  {
    paths:
      /^\/var\/lib\/dpkg\/(status|available|diversions|statoverride|arch|lock|lock-frontend)(-old|-new)?$/,
    reason: "dpkg's database, which every run writes anew from what it read",
  },
  {
    paths: /\.dpkg-dist$/,
    reason: "a version of the package's, which dpkg replaces whenever it keeps the administrator's conffile",
  },
  {
    paths: /^\/var\/lib\/dpkg\/(updates|tmp\.ci|triggers|parts)\/./,
    reason: "dpkg's journal and scratch, which it merges or clears itself",
  },
  {
    paths: /^\/var\/lib\/dpkg\/info\/[^/]+$/,
    reason: 'control files, which dpkg replaces with those of the .deb it installs',
  },
  {
    paths: /^\/var\/lib\/dpkg\/alternatives\/[^/]+$|^\/etc\/alternatives\/[^/]+$/,
    reason: 'update-alternatives writes it anew from what it read',
  },
  {
    paths: /^\/var\/lib\/apt\/(extended_states|lists\/.*)$|^\/var\/lib\/apt\/periodic\/./,
    reason: "apt's own state, which every run writes anew",
  },
  { paths: /^\/var\/cache\/debconf\//, reason: "debconf's database, which every run writes anew" },
  {
    paths: /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)([-+]|\.lock)?$/,
    reason: 'the account programs write it anew from what they read',
  },
  {
    paths: /^\/etc\/ld\.so\.cache$|^\/var\/cache\/ldconfig\/aux-cache$/,
    reason: 'ldconfig makes it from the libraries',
  },
  {
    paths: /\/__pycache__\/[^/]+\.pyc$/,
    reason: 'Python compiles it anew whenever it does not fit its source',
  },
  {
    paths: /^\/var\/lib\/systemd\/(deb-systemd-helper|catalog)/,
    reason: 'deb-systemd-helper and journalctl make it again',
  },
];

export interface Knowledge {
  /** The root before the transaction, where there was a time before. */
  readonly base: RootImage;
  /** The root after an uninterrupted run. */
  readonly expected: RootImage;
}

/** @param before when the recovery began @param after when it had ended; its directory still has what it had */
export function fatesOf(before: RootImage, after: RootImage, { base, expected }: Knowledge): Fates {
  const counts: Record<Fate, number> = {
    'in place': 0,
    quarantined: 0,
    'of a manifest': 0,
    transacted: 0,
    wrecked: 0,
    continued: 0,
    ordinary: 0,
    lost: 0,
  };
  const lost: string[] = [];
  const quarantine = quarantinedIn(after);
  const manifests = [base, before, after, expected].map(manifestOf);
  const owned = manifestOf(after);
  const isKnown = (entry: Entry) => manifests.some(({ hashes }) => hashes.has(entry.md5));
  for (const [path, entry] of before.entries) {
    if (entry.type === 'directory' || leniencyFor(path, entry.type)?.how === 'anything') continue;
    const now = after.entries.get(path);
    const wanted = expected.entries.get(path);
    const fate = ((): Fate => {
      if (now !== undefined && sameContent(entry, now)) {
        if (sameAttributes(entry, now) || (wanted !== undefined && sameAttributes(wanted, now)))
          return 'in place';
      }
      if (quarantine.has(identityOf(entry))) return 'quarantined';
      if (entry.type === 'file') {
        if (now?.type === 'file' && owned.files.get(path) === now.md5) return 'of a manifest';
        if (isKnown(entry)) return 'of a manifest';
      }
      const once = base.entries.get(path);
      if (once !== undefined && sameContent(once, entry) && sameEntry(wanted, now)) return 'transacted';
      // An end is that of an uninterrupted run, or of one taken back.
      const isAnEnd = [wanted, once].some((end) => sameEntry(end, now));
      if (isWrecked(entry, [once, wanted]) && isAnEnd) return 'wrecked';
      if (sameEntry(wanted, now) && isBeginningOf(entry, now, after.directory, path)) return 'continued';
      // A link has no MD5: as it was, or will be, under its own name or the temporary one that dpkg or its helper gives it.
      if (entry.type === 'link' && isAnEnd) {
        const plain = path.replace(/\.dpkg-(new|tmp|backup|remove)$/, '');
        const shipped = [base, expected].map((image) => image.entries.get(plain));
        if (shipped.some((one) => one !== undefined && sameContent(one, entry))) return 'of a manifest';
      }
      return ORDINARY.some(({ paths }) => paths.test(path)) ? 'ordinary' : 'lost';
    })();
    counts[fate] += 1;
    if (fate === 'lost') lost.push(`${pathToText(path)}: ${describe(entry)}, ${becameOf(now)}`);
  }
  return { counts, lost };
}

const identityOf = ({ type, hash, target, mode, uid, gid, capability }: Entry): string =>
  [type, hash, target, mode, uid, gid, capability].join('\0');

const sameContent = (one: Entry, other: Entry): boolean =>
  one.type === other.type && one.hash === other.hash && one.target === other.target;

const sameAttributes = (one: Entry, other: Entry): boolean =>
  one.mode === other.mode &&
  one.uid === other.uid &&
  one.gid === other.gid &&
  one.capability === other.capability;

const sameEntry = (one: Entry | undefined, other: Entry | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : sameContent(one, other) && sameAttributes(one, other);

/** Whether a file looks like the work of a cut, and none of its other versions looks like it by itself. */
function isWrecked(entry: Entry, others: readonly (Entry | undefined)[]): boolean {
  const isEmpty = ({ type, head }: Entry) => type === 'file' && head.size === 0;
  const endsInNul = ({ type, size, head }: Entry) => type === 'file' && head.size < size;
  return [isEmpty, endsInNul].some(
    (looks) => looks(entry) && others.every((other) => other === undefined || !looks(other)),
  );
}

/** Whether all that a file held, NUL bytes at its end aside, is where it was, and more after it. */
function isBeginningOf(
  { type, head }: Entry,
  now: Entry | undefined,
  directory: string,
  path: Bytes,
): boolean {
  if (type !== 'file' || head.size === 0 || now?.type !== 'file') return false;
  if (now.size <= head.size) return false;
  const fd = openSync(fsPath(bytesFromText(directory) + path), 'r');
  try {
    const beginning = Buffer.alloc(head.size);
    return (
      readSync(fd, beginning, 0, head.size, 0) === head.size &&
      createHash('sha256').update(beginning).digest('hex') === head.hash
    );
  } finally {
    closeSync(fd);
  }
}

/** Everything in quarantine, on the store's filesystem and on others (docs/recovery.md). */
export function quarantinePaths({ entries }: RootImage): Bytes[] {
  return [...entries.keys()].filter((path) =>
    /^\/var\/lib\/debmend\/quarantine\/|\/\.debmend-quarantine\//.test(path),
  );
}

function quarantinedIn(image: RootImage): Set<string> {
  return new Set(
    quarantinePaths(image).flatMap((path) => {
      const entry = image.entries.get(path);
      return entry === undefined ? [] : [identityOf(entry)];
    }),
  );
}

interface Manifest {
  /** By path as it lies on disk: with merged /usr, under /usr. */
  readonly files: ReadonlyMap<Bytes, string>;
  readonly hashes: ReadonlySet<string>;
}

const manifestCache = new WeakMap<RootImage, Manifest>();

function manifestOf(image: RootImage): Manifest {
  const cached = manifestCache.get(image);
  if (cached !== undefined) return cached;
  const files = new Map<Bytes, string>();
  // By themselves: a diversion has two packages name one path.
  const hashes = new Set<string>();
  const merged = (path: Bytes): Bytes => {
    const top = image.entries.get(`/${path.split('/')[1]}`);
    return top?.type === 'link' && top.target.startsWith('usr/') ? `/usr${path}` : path;
  };
  const { diversions } = parseDiversions(image.texts.get('/var/lib/dpkg/diversions') ?? '', 'diversions');
  const diverted = new Map(diversions.map((one) => [one.from, one]));
  for (const [file, text] of image.texts) {
    const [, owner] = /\/([^/:]+)(?::[^/:]+)?\.md5sums$/.exec(file) ?? [];
    if (owner === undefined) continue;
    for (const [, hash = '', path = ''] of text.matchAll(/^([0-9a-f]{32}) {2}(?:\.\/)?(.+)$/gm)) {
      const diversion = diverted.get(`/${path}`);
      const place = diversion === undefined || diversion.package === owner ? `/${path}` : diversion.to;
      files.set(merged(place), hash);
      hashes.add(hash);
    }
  }
  // Conffiles stand in no md5sums, but their hashes in the records.
  const status = image.texts.get('/var/lib/dpkg/status') ?? '';
  for (const [, path = '', hash = ''] of status.matchAll(/^ (\/\S+) ([0-9a-f]{32})(?: .*)?$/gm)) {
    files.set(merged(path), hash);
    hashes.add(hash);
  }
  // An empty file is nobody's content, whatever manifest has one.
  hashes.delete('d41d8cd98f00b204e9800998ecf8427e');
  const manifest = { files, hashes };
  manifestCache.set(image, manifest);
  return manifest;
}

function describe({ type, size, mode }: Entry): string {
  return type === 'file' ? `a file of ${size} bytes, mode ${mode.toString(8)}` : `a ${type}`;
}

function becameOf(now: Entry | undefined): string {
  if (now === undefined) return 'is neither in place nor in quarantine';
  return `is not in quarantine, and ${describe(now)} stands in its place`;
}
