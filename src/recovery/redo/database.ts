/**
 * dpkg's and apt's own files, as they were for the packages of an interrupted transaction: their stanzas, their control
 * files, their automatic marks. What others did meanwhile stays as it is.
 */
import { lstatSync } from 'node:fs';
import type { Database } from '../../dpkg/database.ts';
import { changedRecords, packageOf, stanzasOf } from '../../dpkg/selection.ts';
import { isControlFileOf } from '../../snapshot/control-files.ts';
import { recordsNow } from '../../snapshot/transaction/outcome.ts';
import { type Bytes, bufferOf, bytesFromText, bytesOf, fsPath } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { Root } from '../../system/root.ts';
import type { Before } from './before.ts';
import type { Decision } from './decide.ts';
import { aside, type Effect } from './effect.ts';
import { merged, rewindRecords } from './rewind.ts';
import { beginningOf } from './state.ts';

/** Where apt keeps its automatic marks (apt-mark(8); apt's apt-pkg/depcache.cc). */
export const EXTENDED_STATES = '/var/lib/apt/extended_states';

/** dpkg's own files, as they were for these packages. */
export function rewindEffects(
  root: Root,
  database: Database,
  before: Before,
  admindir: Bytes,
  decision: Decision,
  names: ReadonlySet<Bytes>,
  records: readonly Bytes[],
): Effect[] {
  const effects: Effect[] = [];
  const now = recordsNow(database.admindir);
  // Across a crash also what it did to others: triggers that it made pending, and whatever was processed of them.
  const others = decision.crashed
    ? [...disturbed(database, records, now), ...garbled(database, before, records, now)]
    : [];
  const rewound = new Set([...names, ...others]);
  for (const name of database.admindir.names('updates')) {
    if (/^\d+$|^tmp\.i$/.test(name))
      effects.push(
        aside(`${admindir}/updates/${name}`, 'what dpkg had noted there is merged into the status file'),
      );
  }
  const reason = 'dpkg’s records of the interrupted installation’s packages, as they were before it';
  const status = rewindRecords(records, now, rewound);
  if (status !== now[0] || effects.length > 0)
    effects.unshift({
      action: { kind: 'put', path: `${admindir}/status`, data: bufferOf(status), attributes: OWNED_BY_ROOT },
      why: { reason, source: 'snapshot' },
      comesBack: false,
    });
  effects.push(...controlFileEffects(root, database, before, admindir, decision));
  if (database.admindir.names('.').includes('tmp.ci'))
    effects.push(aside(`${admindir}/tmp.ci`, 'a control archive that dpkg was unpacking'));
  effects.push(...markEffects(root, before, names));
  return effects;
}

/** Packages that stand at their version of before, and wait for triggers or are in the middle of processing some. */
function disturbed(database: Database, before: readonly Bytes[], now: readonly Bytes[]): Bytes[] {
  const old = new Map([...merged(before)].map(([key, stanza]) => [key, versionOf(stanza)]));
  const changed = changedRecords(before, now);
  return database.packages
    .filter(({ name, architecture, version, state }) => {
      const wasInstalled = old.get(`${name} ${architecture}`) === version;
      return changed.has(name) && wasInstalled && state !== 'installed' && state !== 'config-files';
    })
    .map(({ name }) => name);
}

/**
 * Packages that the transaction has nothing to do with and that nobody unpacked or removed since, which would have
 * written their control files, and of whose record more has changed than what is wanted of them (dpkg(1),
 * --set-selections): a block of the status file that a disk lost may still parse.
 */
function garbled(
  { packages, admindir, info }: Database,
  before: Before,
  records: readonly Bytes[],
  now: readonly Bytes[],
): Bytes[] {
  const changed = changedRecords(records, now);
  const ours = new Set(
    before.transaction.runs.flatMap((run) => run.packages.map(({ name }) => bytesFromText(name))),
  );
  const suspects = packages.filter(({ name }) => changed.has(name) && !ours.has(name));
  if (suspects.length === 0) return [];
  const old = merged(records);
  const present = merged(now);
  const since = beginningOf(before);
  return suspects
    .filter((pkg) => {
      const key = `${pkg.name} ${pkg.architecture}`;
      const then = withoutWant(old.get(key));
      if (then === undefined || !/^Status: ok installed$/m.test(then)) return false;
      const stem = info.stemOf(pkg);
      return (
        then !== withoutWant(present.get(key)) &&
        [...info.kindsOf(stem)].every(
          (kind) => !isChangedSince(`${admindir.host}/info/${stem}.${kind}`, since),
        )
      );
    })
    .map(({ name }) => name);
}

function withoutWant(stanza: Bytes | undefined): Bytes | undefined {
  return stanza?.replace(/^Status: \S+ /m, 'Status: ');
}

function isChangedSince(host: Bytes, since: number): boolean {
  const stat = lstatSync(fsPath(host), { throwIfNoEntry: false });
  return stat !== undefined && stat.ctimeMs >= since;
}

function versionOf(stanza: Bytes): Bytes | undefined {
  return /^Status: \S+ ok installed$/m.test(stanza) ? /^Version: (\S+)$/m.exec(stanza)?.[1] : undefined;
}

const OWNED_BY_ROOT = { mode: 0o644, uid: 0, gid: 0 };

function controlFileEffects(
  root: Root,
  database: Database,
  before: Before,
  admindir: Bytes,
  decision: Decision,
): Effect[] {
  const effects: Effect[] = [];
  const info = `${admindir}/info`;
  const present = database.admindir.names('info');
  const done = new Set<string>();
  for (const { record, run } of decision.packages) {
    if (done.has(record.name)) continue;
    done.add(record.name);
    const name = bytesFromText(record.name);
    const files = before.controlFiles(info, name, run);
    for (const file of present) {
      if (isControlFileOf(file, name) && !files.has(file))
        effects.push(
          aside(`${info}/${file}`, 'the interrupted installation brought it, and brings it once more'),
        );
    }
    for (const [file, entry] of files) {
      const data = before.contentOf(entry);
      if (data === undefined) continue;
      const now = readRegularFile(root.hostPath(entry.path));
      if (now.kind === 'read' && bufferOf(now.data).equals(data)) continue;
      const { mode, uid, gid, mtime } = entry;
      effects.push({
        action: { kind: 'put', path: `${info}/${file}`, data, attributes: { mode, uid, gid, mtime } },
        why: { reason: 'the control file as it was before the interrupted installation', source: 'snapshot' },
        comesBack: false,
      });
    }
  }
  return effects;
}

/** apt's automatic marks of these packages, as they were; what anybody else marked since stays. */
function markEffects(root: Root, before: Before, names: ReadonlySet<Bytes>): Effect[] {
  const entry = before.find(EXTENDED_STATES);
  const old = entry === undefined ? undefined : before.contentOf(entry);
  const found = root.resolve(EXTENDED_STATES);
  const now = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  const stanzas = now?.kind === 'read' ? stanzasOf(now.data).map(trimmed) : [];
  const isOurs = (stanza: Bytes): boolean => names.has(packageOf(stanza) ?? '');
  const earlier = stanzasOf(old === undefined ? '' : bytesOf(old)).map(trimmed);
  const kept = stanzas.filter((stanza) => !isOurs(stanza));
  // An empty file after a cut says nothing of anybody's marks.
  const marks = stanzas.length === 0 ? earlier : [...kept, ...earlier.filter(isOurs)];
  if (sorted(marks) === sorted(stanzas)) return [];
  const data = marks.map((stanza) => `${stanza}\n\n`).join('');
  if (data === '')
    return [aside(EXTENDED_STATES, 'automatic marks of packages that did not stand there before')];
  const { mode, uid, gid } = entry ?? OWNED_BY_ROOT;
  return [
    {
      action: { kind: 'put', path: EXTENDED_STATES, data: bufferOf(data), attributes: { mode, uid, gid } },
      why: { reason: 'automatic marks as they were before the interrupted installation', source: 'snapshot' },
      comesBack: false,
    },
  ];
}

function trimmed(stanza: Bytes): Bytes {
  return stanza.trimEnd();
}

function sorted(stanzas: readonly Bytes[]): Bytes {
  return [...stanzas].sort().join('\n\n');
}
