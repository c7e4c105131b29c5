/** What the store knows, as plain data for JSON and for people. No content leaves it here. */
import type { InventoryChange, InventoryEntry } from '../model/inventory.ts';
import { pathToText } from '../model/path-text.ts';
import { Kind } from '../scan/work.ts';
import type { Bytes } from '../system/bytes.ts';
import { Entries, type Entry, Flag, Origin } from './entries.ts';
import { sameBytes } from './observe.ts';
import type { Store } from './store.ts';

const TYPES: Readonly<Record<number, InventoryEntry['type']>> = {
  [Kind.file]: 'file',
  [Kind.directory]: 'directory',
  [Kind.link]: 'link',
  [Kind.fifo]: 'fifo',
  [Kind.socket]: 'socket',
  [Kind.characterDevice]: 'character-device',
  [Kind.blockDevice]: 'block-device',
};

export function inventoryEntry(entry: Entry): InventoryEntry {
  const origins = (['owned', 'tracked', 'database', 'intended'] as const).filter(
    (name) => (entry.origin & Origin[name]) !== 0,
  );
  return {
    path: pathToText(entry.path),
    type: TYPES[entry.kind] ?? 'unknown',
    mode: entry.mode.toString(8).padStart(4, '0'),
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    ...(entry.kind === Kind.directory ? {} : { modifiedAt: timeText(entry.mtime) }),
    inode: entry.ino,
    ...(entry.target === null ? {} : { target: pathToText(entry.target) }),
    ...(entry.capability === null ? {} : { capability: entry.capability.toString('hex') }),
    ...(entry.xxh64 === null ? {} : { xxh64: entry.xxh64.toString('hex') }),
    ...(entry.md5 === null ? {} : { sound: (entry.flags & Flag.sound) !== 0 }),
    copied: entry.content !== null,
    origins,
    since: entry.since,
  };
}

/** A file's time may lie outside what a date can say: a damaged inode has any. */
function timeText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) || date.getUTCFullYear() < 0 || date.getUTCFullYear() > 9999
    ? new Date(0).toISOString()
    : date.toISOString();
}

/** What differs between two snapshots, in the order of paths; inode numbers and ctimes are no difference. */
export function diffSnapshots(store: Store, from: number, to: number): InventoryChange[] {
  const [older, newer] = from <= to ? [from, to] : [to, from];
  const entries = new Entries(store);
  const changes: [Bytes, InventoryChange][] = [];
  for (const id of entries.changedBetween(older, newer)) {
    const path = entries.pathOf(id);
    const before = entries.findAt(from, path);
    const after = entries.findAt(to, path);
    const change = changeOf(path, before, after);
    if (change !== undefined) changes.push([path, change]);
  }
  return changes.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, change]) => change);
}

function changeOf(
  path: Bytes,
  before: Entry | undefined,
  after: Entry | undefined,
): InventoryChange | undefined {
  const base = { path: pathToText(path), what: [] };
  if (before === undefined)
    return after === undefined ? undefined : { ...base, change: 'added', after: inventoryEntry(after) };
  if (after === undefined) return { ...base, change: 'removed', before: inventoryEntry(before) };
  const differences: [InventoryChange['what'][number], boolean][] = [
    ['type', before.kind !== after.kind],
    ['content', before.size !== after.size || !sameBytes(before.xxh64, after.xxh64)],
    ['mode', before.mode !== after.mode],
    ['owner', before.uid !== after.uid || before.gid !== after.gid],
    ['target', before.target !== after.target],
    ['capability', !sameBytes(before.capability, after.capability)],
    ['time', before.mtime !== after.mtime],
  ];
  const what = differences.flatMap(([name, differs]) => (differs ? [name] : []));
  if (what.length === 0) return undefined;
  return { ...base, change: 'changed', what, before: inventoryEntry(before), after: inventoryEntry(after) };
}
