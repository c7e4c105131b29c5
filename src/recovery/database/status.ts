/**
 * The package records: stanzas are merged, not files. Every sound stanza of the present status file and of its journal
 * stays byte for byte; a package whose stanza is damaged or lost gets that of the best copy, corrected by what is known
 * of it since (lost.ts). What can't be decided is said.
 */
import { type Package, qualifiedName } from '../../dpkg/package.ts';
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import type { FindingCode } from '../../model/codes.ts';
import type { Bytes } from '../../system/bytes.ts';
import { compareWithEvents, eventsOf } from './evidence.ts';
import { type Candidate, Resolver } from './lost.ts';
import { mergeRecordFiles, type RecordFile, type RecordSet, readRecordFile } from './record-text.ts';
import { FILE_MODE, type Workbench } from './workbench.ts';

const EMPTY: RecordFile = { records: [], remains: [], damaged: true };

interface Journal {
  /** Names of its entries, in their order. */
  readonly names: readonly Bytes[];
  readonly files: readonly RecordFile[];
  /** Of an entry nothing can be read: what it said is lost, and so is of whom. */
  readonly lossy: boolean;
  readonly damaged: ReadonlySet<Bytes>;
}

/** Plans the mends of status and updates/. @returns the records as they will be */
export async function mendRecords(bench: Workbench): Promise<RecordSet> {
  const { database, admindir } = bench;
  const about = (code: string): DatabaseProblem[] => database.problems.filter((p) => p.code.startsWith(code));
  const unreadable = about('database-unreadable');
  const lostStatus = [
    ...about('database-status'),
    ...unreadable.filter(({ file }) => file === admindir.path('status')),
  ];
  const journalProblems = [
    ...about('database-update'),
    ...unreadable.filter(({ file }) => file.startsWith(admindir.path('updates/'))),
  ];
  const orphans = about('database-orphan');

  const outcome = admindir.read('status');
  const before = outcome.kind === 'read' ? outcome.data : '';
  const status = outcome.kind === 'read' ? readRecordFile(before, 'status', database.native) : EMPTY;
  const journal = readJournal(bench, database.native);
  const records = mergeRecordFiles([status, ...journal.files]);
  if (lostStatus.length + journalProblems.length + orphans.length === 0) return records;

  const resolver = new Resolver(bench, records);
  const sources = new Set<string>();
  if (lostStatus.length > 0 || orphans.length > 0) {
    const remains = [status, ...journal.files].flatMap((file) => file.remains);
    const copies = (await bench.copies('status')).map((copy) => ({
      copy,
      file: readRecordFile(copy.data, 'status', database.native),
    }));
    // A package that the newest whole copy lacks was removed before; of older copies only what info/ vouches for.
    const whole = copies.findIndex(({ file }) => !file.damaged && file.records.length > 0);
    for (const [at, { copy, file }] of copies.entries()) {
      for (const record of file.records) {
        if (resolver.knows(record.package)) continue;
        if (whole >= 0 && at > whole && !resolver.isInInfo(record.package)) continue;
        // With the status file whole, what it does not name was removed.
        if (lostStatus.length === 0 && !resolver.isInInfo(record.package)) continue;
        const candidate: Candidate = { record, copy, remains: remainsFor(remains, record.package) };
        if (await resolver.decide(candidate)) sources.add(copy.source);
      }
    }
    await resolver.decideOrphans(orphans);
    // dpkg ends each record with an empty line; without one the file was cut, at the end of a line by chance.
    const end = status.records.at(-1);
    if (end !== undefined && before.endsWith('\n') && !before.endsWith('\n\n')) {
      const copied = copies.flatMap(({ file, copy }) => file.records.map((record) => ({ record, copy })));
      const from = await resolver.complete(end, copied);
      if (from !== undefined) sources.add(from);
    }
  }
  if (journal.lossy) await correct(bench, records, resolver);

  const after = records.toString();
  const merged = [...journal.files].some((file, at) => {
    const name = journal.names[at] ?? '';
    return file.records.length > 0 && journal.damaged.has(name);
  });
  const writes = after !== '' && (lostStatus.length > 0 || merged || resolver.changed);
  if (writes) {
    const found = new Set(
      records.packages.map((pkg) => database.info.path(database.info.stemOf(pkg), 'list')),
    );
    const adopted = orphans.filter(({ file }) => found.has(file));
    const codes = new Set<FindingCode>([...lostStatus, ...adopted].map(({ code }) => code));
    if (codes.size === 0) for (const { code } of journalProblems) codes.add(code);
    const kept = records.packages.length - resolver.taken;
    bench.mends.push({
      file: admindir.path('status'),
      action: { kind: 'write', data: after, mode: FILE_MODE },
      codes: [...codes],
      source:
        [...sources, ...resolver.sources].filter((one, at, all) => all.indexOf(one) === at).join(', ') ||
        'the sound records themselves',
      reason: `${kept} records are sound and stay; ${resolver.taken} come from copies and archives, corrected by what is known since`,
      details: resolver.details,
    });
  } else if (lostStatus.length > 0) {
    for (const problem of lostStatus)
      bench.fail(
        problem,
        'no record is left, and no copy of the status file and no archive tells of any package',
      );
  }
  for (const name of journal.names) {
    const file = admindir.path(`updates/${name}`);
    const problem = journalProblems.find((one) => one.file === file);
    if (problem !== undefined) {
      bench.aside(
        problem,
        journal.files[journal.names.indexOf(name)]?.records.length === 0
          ? 'no record can be read in it, and dpkg stops at it or silently loses what it said'
          : 'its sound records stand in the status file now',
      );
    } else if (writes) {
      bench.mends.push({
        file,
        action: { kind: 'aside' },
        codes: [],
        source: 'none',
        reason: 'its records stand in the status file now, and are not to be replayed over newer ones',
      });
    }
  }
  return records;
}

function readJournal(bench: Workbench, native: Bytes): Journal {
  const { admindir } = bench;
  const names = admindir.names('updates').filter((name) => /^\d+$/.test(name));
  const damaged = new Set<Bytes>();
  let lossy = false;
  const files = names.map((name): RecordFile => {
    const outcome = admindir.read(`updates/${name}`);
    const file = outcome.kind === 'read' ? readRecordFile(outcome.data, `updates/${name}`, native) : EMPTY;
    if (file.damaged || file.records.length === 0) damaged.add(name);
    if (file.records.length === 0) lossy = true;
    return file;
  });
  return { names, files, lossy, damaged };
}

function remainsFor(remains: RecordFile['remains'], pkg: Package): RecordFile['remains'][number] | undefined {
  return remains.findLast(
    ({ name, architecture }) =>
      name === pkg.name &&
      (architecture === '' || pkg.architecture === '' || architecture === pkg.architecture),
  );
}

/** After the loss of a journal entry: records that the log knows to be behind. */
async function correct(bench: Workbench, records: RecordSet, resolver: Resolver): Promise<void> {
  const events = await bench.sources.events();
  for (const record of records.all()) {
    if (resolver.wasDecided(qualifiedName(record.package))) continue;
    const own = eventsOf(events, record.package);
    const { version, state } = record.package;
    if (state === 'unknown' || compareWithEvents({ version, state }, own) !== 'newer') continue;
    await resolver.decide({ record, copy: undefined, remains: undefined });
  }
}
