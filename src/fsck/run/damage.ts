/** What a checker says is wrong, gathered by what it is about. */
import { type Bytes, compareBytes } from '../../system/bytes.ts';

export const DAMAGE_KINDS = [
  /** An inode, its content, or a name that leads to one that is not sound. */
  'file',
  'directory',
  /** What belongs to no file: superblocks, bitmaps, counts, trees. */
  'structure',
  /** An inode that no directory names: a repair moves it to lost+found. */
  'orphan',
  /** Changes in the journal are not in their places yet. */
  'journal',
  /** It was not unmounted. */
  'unclean',
  /** The checker did not come to its end: what else is wrong is not known. */
  'unfinished',
] as const;
export type DamageKind = (typeof DAMAGE_KINDS)[number];

export interface Damage {
  readonly kind: DamageKind;
  /** As the filesystem's tools number it; of btrfs `tree/inode`. */
  readonly inode: string | undefined;
  /** Inside the filesystem, from its top; undefined where no name leads to it. */
  readonly path: Bytes | undefined;
  /** In the checker's words, the first of many. */
  readonly said: readonly string[];
  /** How much more it said of it. */
  readonly more: number;
  /** Whether the next mount or repair puts it right without any loss. */
  readonly harmless: boolean;
}

export interface Subject {
  readonly kind: DamageKind;
  readonly inode?: string | undefined;
  readonly path?: Bytes | undefined;
  readonly harmless?: boolean | undefined;
}

/** Of one subject no more sentences are kept. */
const MAX_SAID = 6;
/** Structures have no subject of their own, and are told apart by what is said of them. */
const MAX_STRUCTURES = 40;
/** A destroyed inode table makes e2fsck talk of every inode; more than these are counted only. */
const MAX_SUBJECTS = 20_000;

interface Entry {
  kind: DamageKind;
  inode: string | undefined;
  path: Bytes | undefined;
  said: string[];
  more: number;
  harmless: boolean;
}

export class DamageList {
  readonly #entries = new Map<string, Entry>();
  #structures = 0;
  /** Damage of subjects that are not kept any more. */
  #beyond = 0;

  /** Says something of a subject; what is known of it already is not replaced. */
  add(subject: Subject, text: string): void {
    const { kind, inode, path, harmless = false } = subject;
    const key = keyOf(subject, text);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const isStructure = kind === 'structure';
      if (isStructure) this.#structures += 1;
      if ((isStructure && this.#structures > MAX_STRUCTURES) || this.#entries.size >= MAX_SUBJECTS) {
        this.#beyond += 1;
        return;
      }
      entry = { kind, inode, path, said: [], more: 0, harmless: true };
      this.#entries.set(key, entry);
    }
    entry.path ??= path;
    if (kind === 'directory') entry.kind = 'directory';
    if (!harmless) entry.harmless = false;
    if (entry.said.includes(text)) return;
    if (entry.said.length < MAX_SAID) entry.said.push(text);
    else entry.more += 1;
  }

  /** Whether an inode was spoken of. */
  has(inode: string): boolean {
    return this.#entries.has(`inode ${inode}`);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Inodes that are files or directories, and of which no name is known. */
  nameless(): string[] {
    return [...this.#entries.values()].flatMap(({ kind, inode, path }) =>
      inode !== undefined && path === undefined && (kind === 'file' || kind === 'directory') ? [inode] : [],
    );
  }

  name(inode: string, path: Bytes, isDirectory: boolean): void {
    const entry = this.#entries.get(`inode ${inode}`);
    if (entry === undefined) return;
    entry.path ??= path;
    if (isDirectory && entry.kind === 'file') entry.kind = 'directory';
  }

  /** All of it; what is said of one path by its name and by its inode is one damage. */
  list(): Damage[] {
    const byPath = new Map<Bytes, Entry>();
    const kept: Entry[] = [];
    for (const entry of this.#entries.values()) {
      const same = entry.path === undefined || entry.kind === 'orphan' ? undefined : byPath.get(entry.path);
      if (same === undefined) {
        if (entry.path !== undefined) byPath.set(entry.path, entry);
        kept.push(entry);
        continue;
      }
      for (const text of entry.said) if (!same.said.includes(text)) same.said.push(text);
      same.more += entry.more;
      same.inode ??= entry.inode;
      if (entry.kind === 'directory') same.kind = 'directory';
      if (!entry.harmless) same.harmless = false;
    }
    if (this.#beyond > 0) {
      const text = `${this.#beyond} further kinds of damage are not listed`;
      kept.push({
        kind: 'structure',
        inode: undefined,
        path: undefined,
        said: [text],
        more: 0,
        harmless: false,
      });
    }
    return kept.sort(
      (a, b) =>
        DAMAGE_KINDS.indexOf(a.kind) - DAMAGE_KINDS.indexOf(b.kind) ||
        compareBytes(a.path ?? '', b.path ?? '') ||
        numberOf(a.inode) - numberOf(b.inode),
    );
  }
}

/** Of `tree/inode` the inode; what is no number comes first. */
function numberOf(inode: string | undefined): number {
  return Number(inode?.split('/').at(-1)) || 0;
}

function keyOf({ kind, inode, path }: Subject, text: string): string {
  // An orphan is no damaged file: the two are told apart, though both are inodes.
  if (kind === 'orphan') return `orphan ${inode ?? text}`;
  if (inode !== undefined) return `inode ${inode}`;
  if (path !== undefined) return `path ${path}`;
  // Numbers are what differs between two sentences of one kind.
  return `${kind} ${text.replace(/\d+/g, '#')}`;
}
