/**
 * What is known of a package since a copy of its record was taken: dpkg's log (dpkg(1), --log; lib/dpkg/log.c) and the
 * status lines that the hooks synced. Both name every change of state in its order. Their clocks are not asked: a copy
 * is placed among the events by the state that it shows.
 */
import { PACKAGE_STATES, type Package, type PackageState } from '../../dpkg/package.ts';
import { parseStatusLog } from '../../dpkg/status-logger.ts';
import type { Transaction } from '../../model/transaction.ts';
import { type Bytes, bytesFromText } from '../../system/bytes.ts';

export interface PackageEvent {
  readonly name: Bytes;
  /** Empty where the log does not name it. */
  readonly architecture: Bytes;
  readonly version: Bytes;
  /** The state that it came to; undefined for the beginning of work on it. */
  readonly state: PackageState | undefined;
  /** For the beginning of work: the version that was there before; empty for none. */
  readonly from: Bytes | undefined;
  readonly source: string;
}

/**
 * Parses dpkg.log. A line with NUL bytes, and the last one without its newline, are left out: an outage leaves such ends,
 * and what came after them is lost.
 *
 * @param source where it was read, for a reason given to a person
 */
export function parseDpkgLog(data: Bytes, source: string): PackageEvent[] {
  const events: PackageEvent[] = [];
  const lines = data.split('\n');
  lines.pop();
  for (const line of lines) {
    if (line.includes('\0')) continue;
    const [date = '', , kind, first = '', second = '', third = ''] = line.split(' ');
    if (!/^\d{4}-\d\d-\d\d$/.test(date) || third === '') continue;
    switch (kind) {
      case 'status': {
        const state = PACKAGE_STATES.find((known) => known === first);
        if (state !== undefined)
          events.push({ ...named(second), version: none(third), state, from: undefined, source });
        break;
      }
      case 'install':
      case 'upgrade':
      case 'remove':
      case 'purge':
        events.push({ ...named(first), version: none(third), state: undefined, from: none(second), source });
        break;
    }
  }
  return events;
}

function named(word: Bytes): Pick<PackageEvent, 'name' | 'architecture'> {
  const [name = word, architecture = ''] = word.split(':', 2);
  return { name, architecture };
}

function none(version: Bytes): Bytes {
  return version === '<none>' ? '' : version;
}

/** The last known state of a package. */
export interface Known {
  readonly version: Bytes;
  readonly state: PackageState;
  readonly source: string;
}

/** The events of one package, in their order. */
export function eventsOf(
  events: readonly PackageEvent[],
  pkg: Pick<Package, 'name' | 'architecture'>,
): PackageEvent[] {
  return events.filter(
    ({ name, architecture }) =>
      name === pkg.name &&
      (architecture === '' ||
        pkg.architecture === '' ||
        architecture === pkg.architecture ||
        architecture === 'all'),
  );
}

export function lastKnown(events: readonly PackageEvent[]): Known | undefined {
  const last = events.findLast(({ state }) => state !== undefined);
  return last?.state === undefined
    ? undefined
    : { version: last.version, state: last.state, source: last.source };
}

/**
 * Whether events tell more than a copy of a record does.
 *
 * - `agrees`: the last of them is what the copy shows
 * - `newer`: the copy shows what was before their last
 * - `older`: they say nothing of what the copy shows, because their end is lost
 * - `silent`: they don't name the package
 * - `unrelated`: they and the copy have nothing in common
 */
export function compareWithEvents(
  copy: Pick<Package, 'version' | 'state'>,
  events: readonly PackageEvent[],
): 'agrees' | 'newer' | 'older' | 'silent' | 'unrelated' {
  const last = lastKnown(events);
  if (last === undefined) return 'silent';
  const states = events.filter(({ state }) => state !== undefined);
  const at = states.findLastIndex(({ version, state }) => version === copy.version && state === copy.state);
  if (at === states.length - 1) return 'agrees';
  if (at >= 0) return 'newer';
  if (
    events.some(
      ({ state, from, version }) => state === undefined && from === copy.version && version !== copy.version,
    )
  )
    return 'newer';
  return last.version === copy.version ? 'older' : 'unrelated';
}

/**
 * What the status lines of an open transaction say (dpkg(1), --status-logger), with the versions of its intent: until a
 * package was half-installed the state is that of the old version, behind it of the new one.
 */
export function transactionEvents(transaction: Transaction, log: Bytes): PackageEvent[] {
  const source = `the status log of transaction ${transaction.id}`;
  const intended = transaction.runs.flatMap(({ packages }) => packages);
  const begun = new Set<string>();
  return parseStatusLog(log).events.flatMap((event): PackageEvent[] => {
    if (event.kind !== 'state') return [];
    const { package: name, state, architecture = '' } = event;
    const pkg = intended.findLast(
      (one) =>
        bytesFromText(one.name) === name &&
        (architecture === '' || bytesFromText(one.architecture) === architecture),
    );
    if (pkg === undefined) return [];
    const key = `${name}:${pkg.architecture}`;
    const old = bytesFromText(pkg.oldVersion ?? '');
    const next = bytesFromText(pkg.newVersion ?? '');
    if (state === 'half-installed') begun.add(key);
    // While it is half-installed the record has the old version, or of a new package the new one.
    const isNew = old === '' || (next !== '' && begun.has(key) && state !== 'half-installed');
    const version = isNew ? next : old;
    return [{ name, architecture: bytesFromText(pkg.architecture), version, state, from: undefined, source }];
  });
}

/**
 * Adds what a second log knows beyond the first. dpkg.log is not synced, and the status log is: after an outage the end of
 * the one may be lost, and the other goes on.
 */
export function appendLogged(events: PackageEvent[], more: readonly PackageEvent[]): void {
  const key = ({ version, state }: PackageEvent): string => `${version} ${state}`;
  const packages = new Map<string, PackageEvent[]>();
  for (const event of more) {
    const name = `${event.name}:${event.architecture}`;
    packages.set(name, [...(packages.get(name) ?? []), event]);
  }
  for (const own of packages.values()) {
    const [first] = own;
    const end = own.at(-1);
    if (first === undefined || end === undefined) continue;
    const logged = eventsOf(events, first).filter(({ state }) => state !== undefined);
    const last = logged.at(-1);
    const at = last === undefined ? -1 : own.findLastIndex((event) => key(event) === key(last));
    if (at < 0 && logged.some((event) => key(event) === key(end))) continue;
    events.push(...own.slice(at + 1));
  }
}
