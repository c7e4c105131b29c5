/** What the agent has to say. Texts are as model/path-text.ts writes them, so that an event is JSON as it stands. */

/** What is different about a path. */
export type Aspect = 'missing' | 'type' | 'content' | 'mode' | 'owner' | 'target' | 'unreadable';

/** An error that a filesystem counted (fsck/ext4-errors.ts). */
export interface FilesystemError {
  readonly at?: string;
  readonly func?: string;
  readonly line?: number;
  readonly inode?: number;
  readonly block?: number;
  readonly errcode?: string;
}

/** What inotify's limits keep from being watched. */
export type Unwatched =
  /** It is looked at every so many seconds instead. */
  | { readonly what: 'database'; readonly pollSeconds: number }
  /** `directories` of them are not watched at all; `first` is one of those. */
  | { readonly what: 'guarded'; readonly directories: number; readonly first: string };

export type WatchEvent = { readonly at: string } & (
  | {
      readonly kind: 'started';
      readonly root: string;
      readonly heartbeatSeconds: number;
      /** Directories that are watched. */
      readonly directories: number;
    }
  | { readonly kind: 'stopped' }
  /** Without a snapshot no change to a file can be seen. */
  | { readonly kind: 'no-snapshot' }
  | {
      readonly kind: 'transaction-begun';
      readonly transaction: string;
      /** The process that holds dpkg's lock; absent when it let go before it could be seen. */
      readonly pid?: number;
      readonly command: readonly string[];
    }
  | {
      readonly kind: 'transaction-ended';
      readonly transaction: string;
      readonly state: 'open' | 'sealed' | 'interrupted' | 'abandoned';
      /** Every package of the intent came to where it was meant to come, as far as the intent is known. */
      readonly complete: boolean;
      readonly packages: readonly string[];
    }
  /** A transaction could not be written down, or not be sealed. */
  | { readonly kind: 'transaction-failed'; readonly transaction?: string; readonly message: string }
  | ({ readonly kind: 'owned-file-changed' } & FileChange)
  /** A conffile belongs to the administrator: this is information. */
  | ({ readonly kind: 'conffile-changed' } & FileChange)
  /** What was said to be changed is again as it was. */
  | { readonly kind: 'owned-file-restored'; readonly path: string }
  | ({
      readonly kind: 'filesystem-errors';
      readonly errors: number;
      /** Its count before. */
      readonly before: number;
    } & Filesystem)
  | ({
      readonly kind: 'filesystem-warnings';
      readonly warnings: number;
      readonly before: number;
    } & Filesystem)
  /** The count fell: an fsck has wiped it. `last` is what was known before. */
  | ({
      readonly kind: 'filesystem-errors-wiped';
      readonly errors: number;
      readonly before: number;
    } & Filesystem)
  | ({
      readonly kind: 'watching-limited';
      /** The kernel's setting that is too low. */
      readonly sysctl: string;
      readonly errno: string;
    } & Unwatched)
  /** Watching failed for another reason than a limit. */
  | { readonly kind: 'watching-failed'; readonly message: string }
  | { readonly kind: 'heartbeat-failed'; readonly reason: string }
  | { readonly kind: 'heartbeat-late'; readonly seconds: number }
  | { readonly kind: 'store-failed'; readonly message: string }
  /** The store was damaged: a new one is begun, with the transactions but without the snapshots of the old one. */
  | { readonly kind: 'store-set-aside'; readonly reason: string; readonly file: string }
);

export interface FileChange {
  readonly path: string;
  /** The package that owns it; absent when no list names it any more. */
  readonly package?: string;
  readonly changed: readonly Aspect[];
}

export interface Filesystem {
  readonly device: string;
  readonly uuid?: string;
  readonly mountPoints: readonly string[];
  readonly last?: FilesystemError;
}

export type WatchEventKind = WatchEvent['kind'];

/** An event without its time. */
export type Said = WatchEvent extends infer E ? (E extends WatchEvent ? Omit<E, 'at'> : never) : never;

/** Whether an event is kept in the store, for whoever comes later. */
export function isKept(kind: WatchEventKind): boolean {
  switch (kind) {
    case 'started':
    case 'stopped':
    case 'no-snapshot':
    case 'store-failed':
      return false;
    // These have a record of their own.
    case 'transaction-begun':
    case 'transaction-ended':
      return false;
    case 'transaction-failed':
    case 'owned-file-changed':
    case 'conffile-changed':
    case 'owned-file-restored':
    case 'filesystem-errors':
    case 'filesystem-warnings':
    case 'filesystem-errors-wiped':
    case 'watching-limited':
    case 'watching-failed':
    case 'heartbeat-failed':
    case 'heartbeat-late':
    case 'store-set-aside':
      return true;
  }
}

/** The path that an event is about, where it is about one. */
export function pathOf(event: WatchEvent): string | undefined {
  return 'path' in event ? event.path : undefined;
}
