/**
 * Where good copies lie on a Debian system: debmend's own snapshots, the `-old` that dpkg keeps beside some files, the
 * rotated copies in /var/backups (dpkg's dpkg-db-backup, apt's cron.daily), and dpkg's log. All of it is read only.
 */
import { lstatSync, readdirSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { TarParser } from '../../dpkg/deb.ts';
import { Contents } from '../../snapshot/contents.ts';
import { Entries } from '../../snapshot/entries.ts';
import { listSnapshots } from '../../snapshot/snapshots.ts';
import type { Store } from '../../snapshot/store.ts';
import { recordsAt } from '../../snapshot/transaction/outcome.ts';
import { listTransactions } from '../../snapshot/transaction/record.ts';
import { type Bytes, bufferOf, bytesOf, fsPath } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import { ArchiveFinder } from './archive-finder.ts';
import { appendLogged, type PackageEvent, parseDpkgLog, transactionEvents } from './evidence.ts';
import { mergeRecordFiles, readRecordFile } from './record-text.ts';
import type { DatabaseSources, FileCopy } from './sources.ts';

const BACKUPS = '/var/backups';
const LOGS = ['/var/log/dpkg.log.1', '/var/log/dpkg.log'] as const;
const EXTENDED_STATES = '/var/lib/apt/extended_states';
/** No file of the database unpacks to more, in bytes. */
const MAX_UNPACKED = 512 * 1024 * 1024;
/** Of these dpkg keeps the version before (lib/dpkg/dump.c, src/divert/main.c, src/statoverride/main.c). */
const KEPT_OLD: ReadonlySet<Bytes> = new Set(['status', 'diversions', 'statoverride']);

export interface SourceOptions {
  /** The database's directory inside the root. */
  readonly admindir: Bytes;
  /** Directories with .debs, as paths of this host, beside those of the root itself. */
  readonly archives?: readonly string[];
}

export interface StandardSources extends DatabaseSources {
  /** Closes the index of archives. */
  close(): void;
}

/** @param store the root's own; without it the snapshots and what transactions kept are not asked */
export function standardSources(
  root: Root,
  store: Store | undefined,
  options: SourceOptions,
): StandardSources {
  const finder = new ArchiveFinder(root, store, options.archives ?? []);
  let events: readonly PackageEvent[] | undefined;
  return {
    copies: async (name) =>
      byTime([
        ...(store === undefined ? [] : snapshotCopies(root, store, options.admindir, name)),
        ...oldCopy(root, options.admindir, name),
        ...backupCopies(root, name),
      ]),
    archive: (name, version, architecture) => finder.find(name, version, architecture),
    versions: async (name) => finder.versions(name),
    events: async () => {
      events ??= readEvents(root, store);
      return events;
    },
    close: () => finder.close(),
  };
}

/** The newest first; a copy without a time after those with one, and equals in the order in which they came. */
function byTime(copies: readonly FileCopy[]): FileCopy[] {
  const time = ({ at }: FileCopy): number => at?.getTime() ?? Number.NEGATIVE_INFINITY;
  return [...copies].sort((a, b) => (time(a) === time(b) ? 0 : time(b) - time(a)));
}

function snapshotCopies(root: Root, store: Store, admindir: Bytes, name: Bytes): FileCopy[] {
  const isAbsolute = name.startsWith('/');
  const directory = root.resolveDirectory(
    isAbsolute ? name.slice(0, name.lastIndexOf('/')) || '/' : admindir,
  );
  if (directory.kind === 'unreachable') return [];
  const path = isAbsolute
    ? `${directory.inside}${name.slice(name.lastIndexOf('/'))}`
    : `${directory.inside}/${name}`;
  const entries = new Entries(store);
  const contents = new Contents(store);
  const read = new Map<number, Bytes | undefined>();
  const contentOf = (id: number): Bytes | undefined => {
    if (!read.has(id)) read.set(id, contents.isWhole(id) ? bytesOf(contents.read(id)) : undefined);
    return read.get(id);
  };
  return listSnapshots(store)
    .reverse()
    .flatMap(({ id, takenAt }) => {
      const content = entries.findAt(id, path)?.content;
      const plain = content == null ? undefined : contentOf(content);
      const data = plain !== undefined && name === 'status' ? mergedAt(store, directory.inside, id) : plain;
      return data === undefined ? [] : [{ data, source: `snapshot ${id}`, at: new Date(takenAt) }];
    });
}

/** The records of a snapshot, its journal merged; undefined when a part of them is damaged. */
function mergedAt(store: Store, inside: Bytes, snapshot: number): Bytes | undefined {
  try {
    const [status = '', ...updates] = recordsAt(store, inside, snapshot) ?? [];
    if (updates.length === 0) return status;
    return mergeRecordFiles([status, ...updates].map((data) => readRecordFile(data, 'status'))).toString();
  } catch {
    return undefined;
  }
}

function oldCopy(root: Root, admindir: Bytes, name: Bytes): FileCopy[] {
  return KEPT_OLD.has(name) ? fileCopy(root, `${admindir}/${name}-old`, `${name}-old`) : [];
}

function backupCopies(root: Root, name: Bytes): FileCopy[] {
  const directory = root.resolveDirectory(BACKUPS);
  if (directory.kind === 'unreachable') return [];
  const alternative = name.startsWith('alternatives/') ? name : undefined;
  const stem =
    alternative !== undefined
      ? 'alternatives.tar'
      : name === EXTENDED_STATES
        ? 'apt.extended_states'
        : `dpkg.${name}`;
  let names: Bytes[];
  try {
    names = readdirSync(fsPath(directory.host), { encoding: 'buffer' }).map(bytesOf);
  } catch {
    return [];
  }
  return names
    .filter((file) => file.startsWith(`${stem}.`) && /^\d+(?:\.gz)?$/.test(file.slice(stem.length + 1)))
    .sort((a, b) => numberOf(a, stem) - numberOf(b, stem))
    .flatMap((file) => fileCopy(root, `${BACKUPS}/${file}`, `${BACKUPS}/${file}`))
    .flatMap((copy) => (alternative === undefined ? [copy] : memberOf(copy, alternative)));
}

function numberOf(file: Bytes, stem: Bytes): number {
  return Number.parseInt(file.slice(stem.length + 1), 10);
}

/** A member of a backup that is a tar archive. */
function memberOf(copy: FileCopy, name: Bytes): FileCopy[] {
  const parser = new TarParser(({ path, size }) => path.endsWith(`/${name}`) && size < MAX_UNPACKED);
  parser.push(bufferOf(copy.data));
  const [data] = parser.contents.values();
  return data === undefined || !parser.ended ? [] : [{ ...copy, data }];
}

function fileCopy(root: Root, path: Bytes, source: string): FileCopy[] {
  const found = root.resolve(path);
  if (found.kind === 'unreachable') return [];
  const outcome = readRegularFile(found.host);
  if (outcome.kind !== 'read') return [];
  try {
    const at = lstatSync(fsPath(found.host)).mtime;
    const data = path.endsWith('.gz')
      ? bytesOf(gunzipSync(bufferOf(outcome.data), { maxOutputLength: MAX_UNPACKED }))
      : outcome.data;
    return [{ data, source, at }];
  } catch {
    return []; // a damaged backup is no copy
  }
}

function readEvents(root: Root, store: Store | undefined): PackageEvent[] {
  const events = LOGS.flatMap((path) => {
    const found = root.resolve(path);
    const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
    return outcome?.kind === 'read' ? parseDpkgLog(outcome.data, path) : [];
  });
  if (store === undefined) return events;
  for (const transaction of listTransactions(store, 'open', 'interrupted')) {
    const outcome = readRegularFile(`${store.directory}/transactions/${transaction.id}/status.log`);
    if (outcome.kind === 'read') appendLogged(events, transactionEvents(transaction, outcome.data));
  }
  return events;
}
