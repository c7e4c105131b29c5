/**
 * Samples of ext4's error counters, each held against the one before, which the store keeps: so a rise is seen that
 * happened while no agent ran, and an fsck that wiped the counters does not wipe what they said.
 */
import { type Ext4Counters, type Ext4Error, readExt4Counters } from '../fsck/ext4-errors.ts';
import { pathToText } from '../model/path-text.ts';
import type { Mount } from '../system/mounts.ts';
import { readMounts } from '../system/mounts.ts';
import type { Filesystem, FilesystemError, Said } from './events.ts';
import type { StoreHandle } from './store-handle.ts';

/** The key in the store's meta table. */
const KEY = 'ext4-errors';
/** Filesystems that are remembered, mounted or not. */
const LIMIT = 256;

/** What is remembered of a filesystem. */
export interface Sample extends Filesystem {
  readonly at: string;
  readonly boot?: string;
  readonly errors: number;
  readonly warnings: number;
}

/** By UUID, or where that is not known by device. */
export type Samples = Readonly<Record<string, Sample>>;

/** What new counters say beside the samples before, and what is to be remembered; undefined: nothing is new. */
export function holdAgainst(
  before: Samples,
  counters: readonly Ext4Counters[],
  at: string,
  boot: string | undefined,
): { events: Said[]; samples: Samples } | undefined {
  const events: Said[] = [];
  const samples: Record<string, Sample> = { ...before };
  let changed = false;
  for (const found of counters) {
    const key = found.uuid ?? found.device;
    const known = before[key];
    const now: Sample = {
      at,
      ...(boot === undefined ? {} : { boot }),
      ...filesystem(found),
      errors: found.errors,
      warnings: found.warnings,
    };
    if (
      known?.errors === now.errors &&
      known.warnings === now.warnings &&
      known.boot === now.boot &&
      known.device === now.device
    )
      continue;
    changed = true;
    samples[key] = now;
    const { at: _at, boot: _boot, errors, warnings, ...about } = now;
    const { last, ...place } = about;
    const count = known?.errors ?? 0;
    if (errors > count) events.push({ kind: 'filesystem-errors', ...about, errors, before: count });
    if (errors < count) {
      // What is known of the last error is gone from the disk: it is said once more.
      const kept = known?.last;
      events.push({
        kind: 'filesystem-errors-wiped',
        ...place,
        ...(kept === undefined ? {} : { last: kept }),
        errors,
        before: count,
      });
    }
    // The kernel counts warnings anew with every mount.
    const warned = known?.boot === boot ? (known?.warnings ?? 0) : 0;
    if (warnings > warned) events.push({ kind: 'filesystem-warnings', ...place, warnings, before: warned });
  }
  if (!changed) return undefined;
  const newest = Object.entries(samples).sort(([, a], [, b]) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
  return { events, samples: Object.fromEntries(newest.slice(0, LIMIT)) };
}

function filesystem({ device, uuid, mountPoints, last }: Ext4Counters): Filesystem {
  const error = last === undefined ? undefined : errorText(last);
  return {
    device,
    ...(uuid === undefined ? {} : { uuid }),
    mountPoints: mountPoints.map(pathToText),
    ...(error === undefined ? {} : { last: error }),
  };
}

function errorText({ at, ...rest }: Ext4Error): FilesystemError {
  return { ...(at === undefined ? {} : { at: at.toISOString() }), ...rest };
}

export class Sampling {
  readonly #store: StoreHandle;
  readonly #boot: string | undefined;
  readonly #say: (event: Said) => void;
  readonly #mounts: () => readonly Mount[];
  #samples: Samples | undefined;

  constructor(
    store: StoreHandle,
    boot: string | undefined,
    say: (event: Said) => void,
    mounts: () => readonly Mount[] = readMounts,
  ) {
    this.#store = store;
    this.#boot = boot;
    this.#say = say;
    this.#mounts = mounts;
  }

  /**
   * Takes a sample. The store is opened the first time, and then only when something is new.
   *
   * @throws DebmendError of opening the store; an error of SQLite
   */
  async sample(): Promise<void> {
    const counters = readExt4Counters(this.#mounts());
    const before = this.#samples ?? (await this.#store.use((store) => parseSamples(store.get(KEY))));
    this.#samples = before;
    const held = holdAgainst(before, counters, new Date().toISOString(), this.#boot);
    if (held === undefined) return;
    await this.#store.use((store) => store.set(KEY, JSON.stringify(held.samples)));
    this.#samples = held.samples;
    for (const event of held.events) this.#say(event);
  }
}

/** What the store remembers; nothing when it is not what was written there. */
export function parseSamples(text: string | undefined): Samples {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Samples) : {};
  } catch {
    return {};
  }
}
