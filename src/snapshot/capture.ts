/**
 * Looks at a set of paths and makes what differs from the newest snapshot a new one. What has the same inode, size,
 * mtime and ctime as before is not read again, unless the store says that a crash may lie between (I10) or the entry
 * was changed at the very moment when it was read.
 *
 * Everything is looked at and read first; then one transaction of the store writes all of it, so that a cut leaves the
 * snapshot whole or none of it (I4).
 */
import { constants as os } from 'node:os';
import type { Pool } from '../scan/pool.ts';
import { type ScanProgress, scan } from '../scan/scan.ts';
import { Kind, Want, type Work } from '../scan/work.ts';
import { loadXxh64 } from '../scan/xxh64.ts';
import type { Bytes } from '../system/bytes.ts';
import { readCapabilities } from '../system/capabilities.ts';
import { Contents } from './contents.ts';
import { type Change, Entries, type Entry, type EntryState, Flag, type Signature } from './entries.ts';
import { isSame, lookedState, readCopy, readTarget, sameBytes, scannedContent } from './observe.ts';
import { followPack } from './pack.ts';
import { finishSnapshot, insertSnapshot, newestSnapshot, type SnapshotHead } from './snapshots.ts';
import type { Store } from './store.ts';
import type { Subjects } from './subjects.ts';

export interface CaptureOptions {
  readonly head: SnapshotHead;
  /**
   * The entries of the newest snapshot that this one is about. Those of them that are no subject any more leave it;
   * those of others stay as they are. Those that subjects were added with need not be among them.
   */
  readonly known: Iterable<Signature>;
  /** Whether what was seen before may be taken for unchanged by its times and size. */
  readonly trusted: boolean;
  /** Files larger than this are not copied, in bytes. */
  readonly copyLimit: number;
  /** Whether it has to be over in a moment: then no threads are started for looking. */
  readonly inline: boolean;
  /** Threads that were started already; they end with the capture. */
  readonly threads?: Pool | undefined;
  /** Done in the transaction that writes the snapshot, and so durable with it. */
  readonly also?: ((snapshot: number, subjects: Subjects) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
}

export interface Captured {
  readonly snapshot: number;
  readonly added: number;
  readonly changed: number;
  readonly gone: number;
  readonly filesRead: number;
  readonly bytesRead: number;
  /** Paths that could not be looked at or read. */
  readonly unreadable: Bytes[];
  /** Paths that were added or changed. */
  readonly touched: Bytes[];
}

/** A path that is not what it was. */
interface Observation {
  readonly path: Bytes;
  readonly host: Bytes;
  readonly before: Entry | undefined;
  state: EntryState;
  /** Present when a copy is to be kept. */
  readonly copy: Buffer | undefined;
}

/**
 * Takes a snapshot.
 *
 * @throws DebmendError `interrupted`, `scan-failed`; an error of SQLite
 */
export async function capture(store: Store, subjects: Subjects, options: CaptureOptions): Promise<Captured> {
  const started = process.hrtime.bigint(); // performance.now() loads a module, for 3 ms
  const lookedAt = Date.now();
  const { list } = subjects;
  const { known } = subjects;
  const left: number[] = [];
  for (const signature of options.known) {
    const index = subjects.find(signature[1]);
    if (index === undefined) left.push(signature[0]);
    else known.set(index, signature);
  }

  const unchanged = new Uint8Array(list.count);
  const scanned = await scan(list, {
    md5: true,
    xxh64: true,
    markers: [],
    inline: options.inline,
    threads: options.threads,
    choose: (work) => {
      for (let index = 0; index < work.count; index += 1) {
        const same = options.trusted && known.isUnchanged(work, index);
        if (same && !expectsOther(subjects, work, index)) unchanged[index] = 1;
        const read = unchanged[index] === 0 && !isCopied(subjects, work, index, options);
        work.want[index] = read
          ? (work.want[index] ?? 0) | Want.content
          : (work.want[index] ?? 0) & ~Want.content;
      }
    },
    signal: options.signal,
    onProgress: options.onProgress,
  });
  const { work } = scanned;

  const entries = new Entries(store);
  const xxh64 = await loadXxh64();
  const observations: Observation[] = [];
  const changes: Change[] = left.map((id) => ({ kind: 'gone', id }));
  const unreadable: Bytes[] = [];
  let filesRead = 0;
  let { bytesRead } = scanned;
  for (let index = 0; index < work.count; index += 1) {
    const id = known.id(index);
    const origin = subjects.originOf(index);
    if (unchanged[index] === 1) {
      if (known.origin(index) !== origin) {
        const entry = entries.byId(id);
        if (entry !== undefined) changes.push({ kind: 'touched', id: entry.id, state: { ...entry, origin } });
      }
      continue;
    }
    if (work.kind[index] === Kind.unknown) {
      if (!isMissing(work.errno[index] ?? 0)) unreadable.push(subjects.pathOf(index));
      else if (id !== 0) changes.push({ kind: 'gone', id });
      continue;
    }
    const before = id === 0 ? undefined : entries.byId(id);
    const expected = list.expects(index)
      ? Buffer.from(work.expected.subarray(index * 16, index * 16 + 16))
      : null;
    const md5 = subjects.isManifestKnown(index) ? expected : (expected ?? before?.md5 ?? null);
    const host = list.path(index);
    let state: EntryState = { ...lookedState(work, index, lookedAt), origin, md5 };
    let copy: Buffer | undefined;
    if (state.kind === Kind.file) {
      let read: Partial<EntryState> | undefined;
      if (isCopied(subjects, work, index, options)) {
        const copied = readCopy(host, options.copyLimit, state.ctime, md5, xxh64);
        copy = copied?.data;
        read = copied?.state;
        bytesRead += copy?.length ?? 0;
      } else read = scannedContent(work, index, md5);
      if (read === undefined) {
        unreadable.push(subjects.pathOf(index));
        read = { flags: Flag.unread };
      } else filesRead += 1;
      state = { ...state, ...read, flags: state.flags | (read.flags ?? 0) };
    } else if (state.kind === Kind.link) state = { ...state, target: readTarget(host) };
    observations.push({ path: subjects.pathOf(index), host, before, state, copy });
  }
  await addCapabilities(observations);

  const contents = new Contents(store);
  const touched: Bytes[] = [];
  const counts = { added: 0, changed: 0, gone: 0, touched: 0 };
  const write = store.db.transaction((): number => {
    store.changed.clear();
    const entriesBefore = newestSnapshot(store)?.entries ?? 0;
    const snapshot = insertSnapshot(store, options.head);
    for (const { path, before, state, copy } of observations) {
      const kept = copy === undefined ? null : keep(contents, copy, before, state);
      const now = { ...state, content: kept };
      if (before === undefined) changes.push({ kind: 'added', path, state: now });
      else changes.push({ kind: isSame(before, now) ? 'touched' : 'changed', id: before.id, state: now });
      if (before === undefined || !isSame(before, now)) touched.push(path);
    }
    for (const change of changes) {
      entries.apply(snapshot, change);
      counts[change.kind] += 1;
    }
    finishSnapshot(store, snapshot, {
      entries: entriesBefore + counts.added - counts.gone,
      changed: counts.added + counts.changed + counts.gone,
      filesRead,
      bytesRead,
      seconds: Number(process.hrtime.bigint() - started) / 1e9,
    });
    options.also?.(snapshot, subjects);
    followPack(store, snapshot, store.changed);
    return snapshot;
  });
  const snapshot = write.immediate();
  const { added, changed, gone } = counts;
  return { snapshot, added, changed, gone, filesRead, bytesRead, unreadable, touched };
}

/** Whether the content is copied, and so read here and not by the scan. */
function isCopied(subjects: Subjects, work: Work, index: number, options: CaptureOptions): boolean {
  return (
    subjects.isCopied(index) && work.kind[index] === Kind.file && (work.size[index] ?? 0) <= options.copyLimit
  );
}

/** Whether the manifest now expects another content than the one that the entry was held against. */
function expectsOther(subjects: Subjects, work: Work, index: number): boolean {
  if (!subjects.isManifestKnown(index) || subjects.known.kind(index) !== Kind.file) return false;
  const expected = subjects.list.expects(index)
    ? Buffer.from(work.expected.buffer, work.expected.byteOffset + index * 16, 16)
    : null;
  return !sameBytes(subjects.known.md5(index), expected);
}

function isMissing(errno: number): boolean {
  return errno === os.errno.ENOENT || errno === os.errno.ENOTDIR;
}

function keep(contents: Contents, copy: Buffer, before: Entry | undefined, state: EntryState): number {
  if (before !== undefined && before.content !== null && sameBytes(before.xxh64, state.xxh64))
    return before.content;
  return contents.keep(copy, before?.content ?? undefined);
}

/** Only what can be executed is asked for: a capability on anything else has no effect. */
async function addCapabilities(observations: Observation[]): Promise<void> {
  const executable = observations.filter(
    ({ state }) => state.kind === Kind.file && (state.mode & 0o111) !== 0,
  );
  const found = await readCapabilities(executable.map(({ host }) => host));
  executable.forEach((observation, at) => {
    const capability = found?.get(at);
    if (capability !== undefined) observation.state = { ...observation.state, capability };
  });
}
