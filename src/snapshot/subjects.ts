/** The paths that a snapshot is about. */
import { Want, type WorkList } from '../scan/work.ts';
import type { Bytes } from '../system/bytes.ts';
import type { Root } from '../system/root.ts';
import type { Signature } from './entries.ts';
import { Known } from './known.ts';

/**
 * Of which packages the manifests were read: without them, what the store knows that a manifest expects holds on.
 */
export type ManifestsRead = 'all' | 'some' | 'none';

/** A list of work for the scan, and for each entry why it is there and whether a copy is kept of its content. */
export class Subjects {
  readonly list: WorkList;
  readonly #root: Root;
  readonly #manifestsRead: ManifestsRead;
  /** The entries that the manifests gave. */
  readonly #fromManifests: number;
  readonly #origins: number[] = [];
  readonly #copied = new Set<number>();
  /** What the newest snapshot says of the entries, as far as it was asked for. */
  readonly known: Known;

  /**
   * @param list may hold paths already, which are then of the origin that is given
   * @param known what is known of them
   */
  constructor(root: Root, list: WorkList, manifestsRead: ManifestsRead, origin = 0, known = new Known()) {
    this.known = known;
    this.#root = root;
    this.list = list;
    this.#manifestsRead = manifestsRead;
    this.#fromManifests = list.count;
    for (let index = 0; index < list.count; index += 1) this.#origins[index] = origin;
  }

  /**
   * @param path resolved inside the root
   * @param origin bits of Origin
   */
  add(path: Bytes, origin: number, copy: boolean): number {
    const index = this.list.add(this.#root.hostPath(path), Want.content);
    this.#origins[index] = (this.#origins[index] ?? 0) | origin;
    if (copy) this.#copied.add(index);
    return index;
  }

  /** A path of this host as it is called inside the root. */
  insidePath(host: Bytes): Bytes {
    return host.slice(this.#root.prefix.length) || '/';
  }

  /** Adds the path of an entry that is known, which spares looking it up again. */
  addKnown(signature: Signature, origin: number, copy: boolean): number {
    const index = this.add(signature[1], origin, copy);
    this.known.set(index, signature);
    return index;
  }

  /** Says whether a copy is kept of an entry's content. */
  setCopied(index: number, copy: boolean): void {
    if (copy) this.#copied.add(index);
    else this.#copied.delete(index);
  }

  find(path: Bytes): number | undefined {
    return this.list.find(this.#root.hostPath(path));
  }

  originOf(index: number): number {
    return this.#origins[index] ?? 0;
  }

  /** Whether `list` says what the manifests expect of a path, if they expect anything. */
  isManifestKnown(index: number): boolean {
    switch (this.#manifestsRead) {
      case 'all':
        return true;
      case 'some':
        return index < this.#fromManifests;
      case 'none':
        return false;
    }
  }

  isCopied(index: number): boolean {
    return this.#copied.has(index);
  }

  pathOf(index: number): Bytes {
    return this.insidePath(this.list.path(index));
  }
}
