/** An action as it is asked for becomes a step as the journal says it: all is looked at, and nothing is changed. */
import { pathToText } from '../../model/path-text.ts';
import type { AttributesRecord, Step, Thing } from '../../model/run.ts';
import type { Bytes } from '../../system/bytes.ts';
import { randomName } from './names.ts';
import {
  choosePlace,
  type Directory,
  holdsStore,
  mountsBelow,
  needsWritable,
  Opened,
  openPlace,
  openTarget,
  type Site,
  type Target,
} from './places.ts';
import { failedAction, refused } from './refusal.ts';
import { type Data, measure, needsRoom } from './temporary.ts';
import { Held, hashOf, lookAt, octal, targetToText } from './things.ts';

/** What belongs to a thing beside its content. */
export interface Attributes {
  /** Permission bits, setuid and the like included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /**
   * When it was changed last, since 1970, in milliseconds as a number or in nanoseconds as a bigint; without it a new
   * file has now, an old one its own.
   */
  readonly mtime?: number | bigint | undefined;
  /** security.capability; empty: there has to be none; without it a new file has none, an old one its own. */
  readonly capability?: Buffer | undefined;
}

/** The few ways in which a recovery changes anything. Paths are absolute, inside the root. */
export type Action =
  /** Leaves its place, by rename: a file, a link, a special file, or a directory with all that is in it. */
  | { readonly kind: 'quarantine'; readonly path: Bytes }
  /** Deleted, for the policy `partialFiles: remove`: hash, size and attributes stay in the journal. Files and links. */
  | { readonly kind: 'remove'; readonly path: Bytes }
  /** A new file; what stands there goes to quarantine. */
  | { readonly kind: 'put'; readonly path: Bytes; readonly data: Data; readonly attributes: Attributes }
  /** A new symbolic link; what stands there goes to quarantine. */
  | {
      readonly kind: 'link';
      readonly path: Bytes;
      readonly target: Bytes;
      readonly attributes: Pick<Attributes, 'uid' | 'gid'>;
    }
  /** A directory that is there gets these attributes; anything else that stands there goes to quarantine. */
  | { readonly kind: 'directory'; readonly path: Bytes; readonly attributes: Attributes }
  | { readonly kind: 'attributes'; readonly path: Bytes; readonly attributes: Attributes }
  /** Never over something that exists. */
  | { readonly kind: 'rename'; readonly from: Bytes; readonly to: Bytes };

/** What an undo and the quarantine's own commands do beside. */
export type OwnAction =
  | Action
  /** Brings a quarantined thing to its place. */
  | {
      readonly kind: 'restore';
      readonly path: Bytes;
      readonly from: string;
      readonly item: string;
      /** Whether something may stand there; it goes to quarantine then. */
      readonly over: boolean;
    }
  /** The only deletion of anything that was quarantined. */
  | {
      readonly kind: 'purge';
      readonly path: Bytes | undefined;
      readonly from: string;
      readonly item: string;
    };

export interface Prepared {
  readonly step: Step;
  readonly before: Thing | null;
  readonly data: Data | undefined;
}

/** Larger files are not read to be removed: they are quarantined, which takes no time however large they are. */
const LARGEST_REMOVED = 1024 ** 3;

/** What is being done, in the words of a message. */
export function describe(action: OwnAction | Step): string {
  switch (action.kind) {
    case 'quarantine':
      return `quarantining ${text(action.path)}`;
    case 'remove':
      return `removing ${text(action.path)}`;
    case 'put':
      return `writing ${text(action.path)}`;
    case 'link':
      return `making the link ${text(action.path)}`;
    case 'directory':
      return `making the directory ${text(action.path)}`;
    case 'attributes':
      return `setting mode and owner of ${text(action.path)}`;
    case 'rename':
      return 'from' in action
        ? `renaming ${text(action.from)} to ${text(action.to)}`
        : `renaming ${text(action.path)} to ${text(action.to)}`;
    case 'restore':
      return `putting ${action.item} back to ${text(action.path)}`;
    case 'purge':
      return `purging ${action.item}`;
  }
}

/** Byte paths and texts alike: a text that is UTF-8 already is left alone. */
function text(path: string): string {
  return /[^\x00-\xff]/.test(path) || path.startsWith('file:') ? path : pathToText(path);
}

/**
 * Looks whether an action can be done, and what stands in its way.
 *
 * @param id RUN/N of the action
 * @throws DebmendError `action-refused`, `disk-full`, `read-only`, `action-failed`
 */
export function prepare(site: Site, action: OwnAction, id: string): Prepared {
  const doing = describe(action);
  try {
    return Opened.with((opened) => prepareIn(opened, site, action, id, doing));
  } catch (error) {
    throw failedAction(error, doing);
  }
}

function prepareIn(opened: Opened, site: Site, action: OwnAction, id: string, doing: string): Prepared {
  if (action.kind === 'purge') {
    const { from, item } = action;
    const path = action.path === undefined ? {} : { path: pathToText(action.path) };
    return { step: { kind: 'purge', from, item, ...path }, before: null, data: undefined };
  }
  const target = openTarget(opened, site, action.kind === 'rename' ? action.from : action.path, doing);
  const before = lookAt(target);
  const path = pathToText(target.inside);
  const place = (): string => choosePlace(site, target, id);
  const done = (step: Step, data?: Data): Prepared => ({ step, before, data });
  needsWritable(target.directory);
  switch (action.kind) {
    case 'quarantine':
      existing(before, doing);
      movable(site, target, doing);
      return done({ kind: 'quarantine', path, place: place() });
    case 'remove': {
      const thing = existing(before, doing);
      movable(site, target, doing);
      if (thing.type === 'link') return done({ kind: 'remove', path, place: place() });
      if (thing.type !== 'file') throw refused(doing, `it is a ${said(thing)}`, 'quarantine it instead');
      if (thing.size > LARGEST_REMOVED) return done({ kind: 'quarantine', path, place: place() });
      const sha256 = Held.with(target, hashOf);
      if (sha256 === undefined) throw refused(doing, 'it becomes shorter while it is read', 'run it again');
      return done({ kind: 'remove', path, place: place(), sha256 });
    }
    case 'put': {
      if (before !== null) movable(site, target, doing);
      const { size, sha256 } = measure(action.data, doing);
      needsRoom(target.directory, size, doing);
      const attributes = recordOf(action.attributes);
      const temporary = randomName();
      return done({ kind: 'put', path, place: place(), temporary, size, sha256, attributes }, action.data);
    }
    case 'link': {
      if (before !== null) movable(site, target, doing);
      const { uid, gid } = action.attributes;
      const wanted = targetToText(action.target);
      return done({ kind: 'link', path, place: place(), temporary: randomName(), target: wanted, uid, gid });
    }
    case 'directory': {
      const attributes = recordOf(action.attributes);
      if (before?.type === 'directory')
        return withCapability(target, before, { kind: 'attributes', path, attributes });
      if (before !== null) movable(site, target, doing);
      return done({ kind: 'directory', path, place: place(), temporary: randomName(), attributes });
    }
    case 'attributes': {
      const thing = existing(before, doing);
      onlyName(thing, target, doing);
      return withCapability(target, thing, {
        kind: 'attributes',
        path,
        attributes: recordOf(action.attributes),
      });
    }
    case 'rename': {
      existing(before, doing);
      movable(site, target, doing);
      const to = openTarget(opened, site, action.to, doing);
      needsWritable(to.directory);
      if (lookAt(to) !== null)
        throw refused(doing, 'something stands there already', 'quarantine it first, if it has to go');
      sameFilesystem(target.directory, to.directory, doing);
      return done({ kind: 'rename', path, to: pathToText(to.inside), place: place() });
    }
    case 'restore': {
      const { from, item, over } = action;
      const spot = openPlace(opened, site, from, false);
      const thing = spot === undefined ? null : lookAt(spot);
      if (thing === null) throw refused(doing, 'it is not in the quarantine any more', 'see the journal');
      if (before !== null && !over)
        throw refused(doing, 'something else stands there', 'move that away first, or leave it as it is');
      if (before !== null) movable(site, target, doing);
      return done({ kind: 'restore', path, place: place(), from, item, thing });
    }
  }
}

/** The old capability is looked at too: setting an owner takes it away, and an undo has to bring it back. */
function withCapability(
  target: Target,
  before: Thing,
  step: Extract<Step, { kind: 'attributes' }>,
): Prepared {
  const executable = before.type === 'file' && (Number.parseInt(before.mode, 8) & 0o111) !== 0;
  const asked = step.attributes.capability !== undefined;
  const owner = before.uid !== step.attributes.uid || before.gid !== step.attributes.gid;
  if (before.type !== 'file' || !(asked || (executable && owner))) return { step, before, data: undefined };
  const capability = Held.with(target, (held) => held.capability())?.toString('hex') ?? '';
  const attributes = { ...step.attributes, capability: step.attributes.capability ?? capability };
  return { step: { ...step, attributes }, before: { ...before, capability }, data: undefined };
}

export function recordOf({ mode, uid, gid, mtime, capability }: Attributes): AttributesRecord {
  return {
    mode: octal(mode),
    uid,
    gid,
    ...(mtime === undefined ? {} : { mtime: nanoseconds(mtime) }),
    ...(capability === undefined ? {} : { capability: capability.toString('hex') }),
  };
}

/** What Node's floating point milliseconds mean, without losing more by multiplying them. */
function nanoseconds(milliseconds: number | bigint): string {
  if (typeof milliseconds === 'bigint') return String(milliseconds);
  const whole = Math.floor(milliseconds);
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((milliseconds - whole) * 1e6)));
}

function existing(thing: Thing | null, doing: string): Thing {
  if (thing === null)
    throw refused(doing, 'nothing stands there', 'look again: it may have been moved meanwhile');
  return thing;
}

/** @throws DebmendError `action-refused` for what can't be moved without moving something that is not meant */
function movable(site: Site, target: Target, doing: string): void {
  const { directory, name } = target;
  if (holdsStore(site, target))
    throw refused(doing, 'debmend keeps its own records in it', 'leave it where it is');
  const host = directory.host === '/' ? `/${name}` : `${directory.host}/${name}`;
  const mounts = mountsBelow(host);
  if (mounts.length === 0) return;
  const where = mounts.map(({ mountPoint }) => pathToText(mountPoint)).join(', ');
  const isOne = mounts.some(({ mountPoint }) => mountPoint === host);
  const why = isOne ? 'it is a mount point' : `a filesystem is mounted in it (${where})`;
  throw refused(doing, why, 'unmount it first');
}

/** Where others can make names, a file with more than one may be any file of theirs to make a name of. */
function onlyName(thing: Thing, { directory }: Target, doing: string): void {
  if (thing.type === 'directory' || thing.links === 1) return;
  const { uid, mode } = Held.with({ directory, name: '.' }, (held) => held.stat);
  if (Number(uid) === process.geteuid?.() && (Number(mode) & 0o022) === 0) return;
  throw refused(
    doing,
    `it has ${thing.links} names, in a directory that others may write to`,
    'find its other names (find -samefile), and see who made them',
  );
}

function sameFilesystem(a: Directory, b: Directory, doing: string): void {
  if (deviceOfDirectory(a) !== deviceOfDirectory(b))
    throw refused(doing, 'the two are on different filesystems', 'write it anew there instead');
}

function deviceOfDirectory(directory: Directory): bigint {
  return Held.with({ directory, name: '.' }, (held) => held.stat.dev);
}

function said({ type }: Thing): string {
  return type.replace('-', ' ');
}
