/** A root as the judge sees it: every path with all that recovery answers for, read once and kept. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { loadXxh64, type Xxh64, xxh64Of } from '../../../src/scan/xxh64.ts';
import { type Bytes, bytesFromText, bytesOf, compareBytes, fsPath } from '../../../src/system/bytes.ts';
import { readCapabilities } from '../../../src/system/capabilities.ts';

export type EntryType =
  | 'file'
  | 'directory'
  | 'link'
  | 'fifo'
  | 'socket'
  | 'character device'
  | 'block device';

export interface Entry {
  readonly type: EntryType;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; of regular files only. */
  readonly size: number;
  /** SHA-256, hexadecimal; of regular files only. */
  readonly hash: string;
  /** MD5, hexadecimal, which is what manifests have. */
  readonly md5: string;
  /** Its size and hash without NUL bytes at its end, which are what a cut leaves where content was. */
  readonly head: { readonly size: number; readonly hash: string };
  /** A symbolic link's target; a device's numbers. */
  readonly target: Bytes;
  /** `security.capability`, hexadecimal, or nothing. */
  readonly capability: string;
  /** The same for all names of one file, and for no other file; empty where there is one name only. */
  readonly inode: string;
}

export interface RootImage {
  readonly directory: string;
  /** By absolute path inside the root; `/` is among them. */
  readonly entries: ReadonlyMap<Bytes, Entry>;
  /** A file of the root. Read with the image, because the root may be gone when it is asked for. */
  readonly texts: ReadonlyMap<Bytes, Bytes>;
  readonly contents: ReadonlyMap<string, Content>;
}

/** What of a file needs to be read; by inode, size and both times in nanoseconds. */
type Content = Pick<Entry, 'hash' | 'md5' | 'head' | 'capability'>;

/** What is compared or looked up by its meaning. */
const TEXTS = [
  /^\/var\/lib\/dpkg\/(status|updates\/\d+|available|diversions|statoverride|triggers\/[^/]+|info\/[^/]+\.(md5sums|list))$/,
  /^\/var\/lib\/apt\/extended_states$/,
  /^\/etc\/shadow$/,
  /^\/var\/cache\/debconf\/[^/]+\.dat$/,
];

/**
 * @param lower the image of the root that this one is an overlay of. What it read is not read again: an overlay shows an
 * untouched file with the inode and the change time of the lower one, which nobody can set, and a touched one with a
 * later time. After a power cut this does not hold (I10), so a disk's image gets none.
 */
export async function readImage(directory: string, lower?: RootImage): Promise<RootImage> {
  const prefix = bytesFromText(directory);
  const entries = new Map<Bytes, Entry>();
  const texts = new Map<Bytes, Bytes>();
  const contents = new Map<string, Content>();
  const unread: { path: Bytes; key: string; entry: Entry }[] = [];
  const visit = (path: Bytes): void => {
    const host = fsPath(path === '/' ? prefix : prefix + path);
    const stat = lstatSync(host, { bigint: true });
    const type = typeOf(stat);
    const target =
      type === 'link'
        ? bytesOf(readlinkSync(host, { encoding: 'buffer' }))
        : type.endsWith('device')
          ? `${stat.rdev}`
          : '';
    const isFile = type === 'file';
    const entry: Entry = {
      type,
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: isFile ? Number(stat.size) : 0,
      hash: '',
      md5: '',
      head: { size: 0, hash: '' },
      target,
      capability: '',
      inode: type !== 'directory' && stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : '',
    };
    entries.set(path, entry);
    if (isFile) {
      const key = `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
      const known = lower?.contents.get(key);
      if (known === undefined) unread.push({ path, key, entry });
      else entries.set(path, { ...entry, ...known });
      if (TEXTS.some((pattern) => pattern.test(path))) texts.set(path, bytesOf(readFileSync(host)));
    }
    if (type !== 'directory') return;
    const names = readdirSync(host, { encoding: 'buffer' }).map(bytesOf).sort(compareBytes);
    for (const name of names) visit(path === '/' ? `/${name}` : `${path}/${name}`);
  };
  visit('/');
  const capabilities = await readCapabilities(unread.map(({ path }) => prefix + path));
  if (capabilities === undefined) throw new Error('capabilities cannot be read on this host');
  const xxh64 = await loadXxh64();
  for (const [at, { path, key, entry }] of unread.entries()) {
    const digests = digestsOf(readFileSync(fsPath(prefix + path)), xxh64);
    const content: Content = { ...digests, capability: capabilities.get(at)?.toString('hex') ?? '' };
    contents.set(key, content);
    entries.set(path, { ...entry, ...content });
  }
  return { directory, entries, texts, contents };
}

type Digests = Omit<Content, 'capability'>;

/**
 * Every image is read whole, and nearly all of it is what another image had: a quick hash says which, and the slow ones
 * are not made again. By that hash and the length.
 */
const known = new Map<string, Digests>();

function digestsOf(data: Buffer, xxh64: Xxh64): Digests {
  const key = `${xxh64Of(xxh64, data).toString('hex')} ${data.length}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const hash = digest('sha256', data);
  const size = data.findLastIndex((byte) => byte !== 0) + 1;
  const head =
    size === data.length ? { size, hash } : { size, hash: digest('sha256', data.subarray(0, size)) };
  const digests = { hash, md5: digest('md5', data), head };
  known.set(key, digests);
  return digests;
}

function digest(algorithm: 'sha256' | 'md5', data: Buffer): string {
  return createHash(algorithm).update(data).digest('hex');
}

function typeOf(stat: ReturnType<typeof lstatSync>): EntryType {
  if (stat === undefined) throw new Error('it was there a moment ago');
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isFIFO()) return 'fifo';
  if (stat.isSocket()) return 'socket';
  return stat.isCharacterDevice() ? 'character device' : 'block device';
}
