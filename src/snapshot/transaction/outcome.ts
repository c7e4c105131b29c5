/** What a transaction did: the package records before it and after it, and what dpkg said in between. */
import { readFileSync } from 'node:fs';
import type { Admindir } from '../../dpkg/admindir.ts';
import type { Package } from '../../dpkg/package.ts';
import { changedRecords, packageOf, recordFiles, stanzasOf } from '../../dpkg/selection.ts';
import { nativeArchitecture, parseStatus } from '../../dpkg/status.ts';
import { parseStatusLog, type StatusEvent } from '../../dpkg/status-logger.ts';
import { bytesToText } from '../../model/path-text.ts';
import type { IntendedPackageRecord, PackageOutcome, Transaction } from '../../model/transaction.ts';
import { type Bytes, bytesFromText, bytesOf } from '../../system/bytes.ts';
import { Contents } from '../contents.ts';
import { Entries } from '../entries.ts';
import type { Store } from '../store.ts';

/** The record files of dpkg's database at one moment, status first. */
export type Records = readonly Bytes[];

/** The records as a snapshot knows them; undefined when it does not. */
export function recordsAt(
  store: Store,
  admindirInside: Bytes,
  snapshot: number | undefined,
): Records | undefined {
  if (snapshot === undefined) return undefined;
  const entries = new Entries(store);
  const contents = new Contents(store);
  const status = entries.findAt(snapshot, `${admindirInside}/status`);
  if (status?.content == null) return undefined;
  const files = [bytesOf(contents.read(status.content))];
  for (const entry of entries.at(snapshot, `${admindirInside}/updates`)) {
    if (entry.content !== null && /\/\d+$/.test(entry.path))
      files.push(bytesOf(contents.read(entry.content)));
  }
  return files;
}

export function recordsNow(admindir: Admindir): Records {
  return recordFiles(admindir).map(([, data]) => data);
}

export interface Outcome {
  /** Packages whose records changed, without an architecture. */
  readonly names: Set<Bytes>;
  readonly packages: PackageOutcome[];
}

/** Every package whose record changed, and how; in the order of names. */
export function compareRecords(before: Records, after: Records): Outcome {
  const names = changedRecords(before, after);
  const old = select(before, names);
  const now = select(after, names);
  const keys = [...new Set([...old.keys(), ...now.keys()])].sort();
  const packages = keys.flatMap((key): PackageOutcome[] => {
    const was = old.get(key);
    const is = now.get(key);
    const [name = key, architecture = ''] = key.split(':', 2);
    const outcome: PackageOutcome = {
      name: bytesToText(name),
      architecture: bytesToText(architecture),
      ...version('oldVersion', was),
      ...version('newVersion', is),
      oldState: was?.state ?? 'not-installed',
      newState: is?.state ?? 'not-installed',
      ...(is?.flag === 'reinstreq' ? { reinstRequired: true } : {}),
    };
    const same =
      outcome.oldState === outcome.newState &&
      outcome.oldVersion === outcome.newVersion &&
      was?.flag === is?.flag &&
      was?.want === is?.want;
    return same ? [] : [outcome];
  });
  return { names, packages };
}

function version<K extends string>(key: K, pkg: Package | undefined): { [key in K]?: string } {
  const known = pkg !== undefined && pkg.version !== '' && pkg.state !== 'not-installed';
  return (known ? { [key]: bytesToText(pkg.version) } : {}) as { [key in K]?: string };
}

/** The packages of some names by `name:architecture`. */
function select(records: Records, names: ReadonlySet<Bytes>): Map<Bytes, Package> {
  const found = new Map<Bytes, Package>();
  for (const data of records) {
    const text = stanzasOf(data)
      .filter((stanza) => names.has(packageOf(stanza) ?? ''))
      .map((stanza) => `${stanza}\n`)
      .join('\n');
    for (const pkg of parseStatus(text, 'status').packages) found.set(`${pkg.name}:${pkg.architecture}`, pkg);
  }
  return found;
}

export interface Steps {
  /** As the transaction's record has them. */
  readonly steps: string[];
  /** Names of the packages that dpkg worked on, without an architecture. */
  readonly names: Set<Bytes>;
}

/** What dpkg said of its work, in order; nothing where its status lines were not taken down. */
export function readSteps(file: string): Steps {
  let data: Bytes;
  try {
    data = bytesOf(readFileSync(file));
  } catch {
    return { steps: [], names: new Set() };
  }
  const names = new Set<Bytes>();
  const steps = parseStatusLog(data).events.flatMap((event) => {
    if (event.kind === 'state' || event.kind === 'processing') names.add(event.package);
    const step = stepOf(event);
    return step === undefined ? [] : [bytesToText(step)];
  });
  return { steps, names };
}

function stepOf(event: StatusEvent): Bytes | undefined {
  switch (event.kind) {
    case 'processing':
      return `${event.stage} ${named(event)}`;
    case 'state':
      return `status ${named(event)} ${event.state}`;
    case 'error':
      return `error ${event.subject}: ${event.message}`;
    case 'conffile-prompt':
      return `conffile-prompt ${event.conffile}`;
    case 'other':
      return undefined;
  }
}

function named(event: { package: Bytes; architecture: Bytes | undefined }): Bytes {
  return event.architecture === undefined ? event.package : `${event.package}:${event.architecture}`;
}

/** Packages of the intent that are not where they were meant to come, as the records now have them. */
export function missedPackages(transaction: Transaction, after: Records): string[] {
  // What a later run of the same transaction says of a package is what counts.
  const last = new Map<string, IntendedPackageRecord>();
  for (const run of transaction.runs) {
    for (const pkg of run.packages) {
      const key = `${pkg.name}:${pkg.architecture}`;
      const before = last.get(key);
      // Configuring is the end of what an unpack began, and keeps its version.
      last.set(key, pkg.action === 'configure' && before !== undefined ? before : pkg);
    }
  }
  const names = new Set([...last.values()].map(({ name }) => bytesFromText(name)));
  const now = [...select(after, names).values()];
  const native = nativeArchitecture(select(after, new Set(['dpkg'])).values());
  return [...last.values()]
    .filter((pkg) => !isReached(pkg, now, native))
    .map(({ name, architecture }) => (architecture === '' ? name : `${name}:${architecture}`));
}

function isReached(pkg: IntendedPackageRecord, now: readonly Package[], native: Bytes): boolean {
  const name = bytesFromText(pkg.name);
  const architecture = bytesFromText(pkg.architecture);
  const instances = now.filter(
    (found) =>
      found.name === name &&
      (architecture === '' ||
        found.architecture === architecture ||
        (architecture === 'all' && found.architecture === native)),
  );
  if (pkg.action === 'remove') {
    return instances.every(({ state }) => state === 'not-installed' || state === 'config-files');
  }
  return instances.some(
    ({ state, version: at, flag }) =>
      flag === 'ok' &&
      (state === 'installed' || state === 'triggers-awaited' || state === 'triggers-pending') &&
      (pkg.newVersion === undefined || at === bytesFromText(pkg.newVersion)),
  );
}
