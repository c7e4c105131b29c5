/**
 * The journal of one run: a file of JSON lines that only grows. Each line is synced before its writer goes on, so what
 * stands in it was decided before anything else happened, and bears a checksum, so that a line which a cut tore is known
 * for what it is: not written.
 *
 *     {"sum":"<first 16 hex digits of the record's SHA-256>","record":{"n":3,"kind":"intent",…}}
 *
 * A torn line stays where it is, and the next one begins after it: nothing is ever rewritten. Records are numbered from
 * 0, and a torn one's number is given again; so a number that is missing is a line that was on disk and is lost.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type JournalRecord, journalRecordSchema } from '../model/run.ts';
import { bytesFromText } from '../system/bytes.ts';
import { syncDirectory } from '../system/durable.ts';
import { DebmendError, errnoOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import { failedAction } from './actions/refusal.ts';

/** All that a run needs to know of the store (snapshot/store.ts): where it is, as a path of this host. */
export interface RunStore {
  readonly directory: string;
}

const RUNS = 'runs';
const JOURNAL = 'journal';
/** `2026-11-24T075800Z` without its signs, and a number where one second saw several. */
const RUN_ID = /^\d{8}T\d{6}Z(?:-\d+)?$/;
/** What has to be free before an action begins, so that its end can be written down too. */
const JOURNAL_ROOM = 256 * 1024;
/** What a person or a program says in a record is cut to this many characters. */
export const MAX_OUTPUT = 64 * 1024;

type WithoutPosition<T> = T extends unknown ? Omit<T, 'n' | 'at'> : never;
/** A record before it gets its number and its time. */
export type NewRecord = WithoutPosition<JournalRecord>;

export interface JournalContent {
  readonly records: readonly JournalRecord[];
  /** Why it is not whole, other than by a torn line; undefined when it is. */
  readonly damage: string | undefined;
}

/** The directory of a run, as a path of this host. */
export function runDirectory(store: RunStore, id: string): string {
  return join(store.directory, RUNS, id);
}

export function isRunId(text: string): boolean {
  return RUN_ID.test(text);
}

/** The names of all runs, the oldest first. */
export function runIds(store: RunStore): string[] {
  try {
    return readdirSync(join(store.directory, RUNS)).filter(isRunId).sort(byAge);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw failedAction(error, `reading the runs in ${store.directory}`);
  }
}

/** `…Z-10` comes after `…Z-9`. */
function byAge(a: string, b: string): number {
  const [stampA = '', moreA = '1'] = a.split('-');
  const [stampB = '', moreB = '1'] = b.split('-');
  return stampA < stampB ? -1 : stampA > stampB ? 1 : Number(moreA) - Number(moreB);
}

export class Journal {
  readonly id: string;
  readonly directory: string;
  #fd: number;
  #next: number;
  /** Whether the last thing in the file may be half a line. */
  #torn: boolean;

  private constructor(id: string, directory: string, fd: number, next: number, torn: boolean) {
    this.id = id;
    this.directory = directory;
    this.#fd = fd;
    this.#next = next;
    this.#torn = torn;
  }

  /** Makes a run's directory and its journal, durably. @throws DebmendError when it cannot be written */
  static create(store: RunStore, now: Date): Journal {
    const runs = join(store.directory, RUNS);
    const stamp = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
    try {
      makeRuns(store, runs);
      for (let more = 1; ; more += 1) {
        const id = more === 1 ? stamp : `${stamp}-${more}`;
        const directory = join(runs, id);
        try {
          mkdirSync(directory, { mode: 0o700 });
        } catch (error) {
          if (errnoOf(error) === 'EEXIST') continue;
          throw error;
        }
        const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL } = constants;
        const fd = openSync(join(directory, JOURNAL), O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0o600);
        syncDirectory(directory);
        syncDirectory(runs);
        return new Journal(id, directory, fd, 0, false);
      }
    } catch (error) {
      throw failedAction(error, `beginning a run in ${store.directory}`);
    }
  }

  /** Opens the journal of an earlier run to add to it. @throws DebmendError `unknown-run` */
  static open(store: RunStore, id: string): { journal: Journal; content: JournalContent } {
    const content = readJournal(store, id);
    const directory = runDirectory(store, id);
    try {
      const file = join(directory, JOURNAL);
      const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
      // A cut may have come between the directory and its journal.
      const fd = openSync(file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
      if (content.records.length === 0) syncDirectory(directory);
      const { size } = fstatSync(fd);
      const last = Buffer.alloc(1);
      if (size > 0) readSync(fd, last, 0, 1, size - 1);
      const next = (content.records.at(-1)?.n ?? -1) + 1;
      return { journal: new Journal(id, directory, fd, next, size > 0 && last[0] !== 0x0a), content };
    } catch (error) {
      throw failedAction(error, `opening the journal of run ${id}`);
    }
  }

  /**
   * Adds a record; it is on disk when this returns.
   *
   * @throws DebmendError `disk-full`, `read-only` or `action-failed`; the record then counts as not written
   */
  append(record: NewRecord): void {
    const text = JSON.stringify({ n: this.#next, at: new Date().toISOString(), ...record });
    const line = Buffer.from(`${this.#torn ? '\n' : ''}{"sum":"${sumOf(text)}","record":${text}}\n`, 'utf8');
    try {
      this.#torn = true;
      for (let written = 0; written < line.length; )
        written += writeSync(this.#fd, line, written, line.length - written);
      fsyncSync(this.#fd);
      this.#torn = false;
      this.#next += 1;
    } catch (error) {
      throw failedAction(error, `writing the journal of run ${this.id}`);
    }
  }

  /** @throws DebmendError `disk-full` when an action's records would perhaps not fit any more */
  needsRoom(): void {
    const { bfree, bsize } = statfsSync(this.directory);
    if (bfree * bsize >= JOURNAL_ROOM) return;
    throw failedAction(
      Object.assign(new Error('no room'), { code: 'ENOSPC' }),
      `writing the journal of run ${this.id}`,
    );
  }

  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Without `recursive`, which says ENOENT of a read-only filesystem. */
function makeRuns(store: RunStore, runs: string): void {
  try {
    mkdirSync(runs, { mode: 0o700 });
    syncDirectory(store.directory);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/**
 * Reads a run's journal as far as it is whole.
 *
 * @throws DebmendError `unknown-run` when there is no such run, `action-failed` when it cannot be read
 */
export function readJournal(store: RunStore, id: string): JournalContent {
  const file = join(runDirectory(store, id), JOURNAL);
  if (!isRunId(id) || !existsSync(runDirectory(store, id))) {
    throw new DebmendError(
      'unknown-run',
      `looking for run ${id}: there is none`,
      `the runs are the directories in ${join(store.directory, RUNS)}`,
    );
  }
  const read = readRegularFile(bytesFromText(file));
  switch (read.kind) {
    case 'missing':
      return { records: [], damage: undefined }; // cut before it was begun
    case 'unreadable':
      throw failedAction(
        Object.assign(new Error(read.errno), { code: read.errno }),
        `reading the journal of run ${id}`,
      );
    case 'read':
      return parseJournal(Buffer.from(read.data, 'latin1').toString('utf8'));
  }
}

/** Never throws: a line that is none is passed over, and what is missing between the others is damage. */
export function parseJournal(text: string): JournalContent {
  const records: JournalRecord[] = [];
  let damage: string | undefined;
  for (const line of text.split('\n')) {
    const record = parseLine(line);
    if (record === undefined) continue;
    const expected = (records.at(-1)?.n ?? -1) + 1;
    if (record.n !== expected) damage ??= `record ${expected} is missing before record ${record.n}`;
    records.push(record);
  }
  return { records, damage };
}

const LINE = /^\0*\{"sum":"([0-9a-f]{16})","record":(\{.*\})\}$/s;

function parseLine(line: string): JournalRecord | undefined {
  const [, sum, text] = LINE.exec(line) ?? [];
  if (text === undefined || sumOf(text) !== sum) return undefined;
  try {
    return journalRecordSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // a newer debmend wrote it: its number is missing then, and that is said
  }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
