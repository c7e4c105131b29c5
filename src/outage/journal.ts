/**
 * What the systemd journal says: which boots there were, how each ended, and what the kernel complained of before.
 * The last entry of a boot that was shut down is `Journal stopped` (measured; facts in docs/outage.md).
 */
import type { Evidence } from '../model/outage.ts';
import { bytesToText, pathToText } from '../model/path-text.ts';
import { type JournalEntry, parseEntries } from '../system/journal-entries.ts';
import type { Root } from '../system/root.ts';
import { run } from '../system/run.ts';
import { dashedId, evidence, fromMicroseconds } from './evidence.ts';
import { type JournalFiles, journalFiles, journalOptions } from './journal-files.ts';

/** systemd's sd-messages.h, SD_MESSAGE_JOURNAL_STOP. */
export const JOURNAL_STOPPED = 'd93fb3c9c24d451a97cea615ce59c00b';
const SOURCE = 'journal';
/** What is taken of one answer; the queries are made so that they are much smaller. */
const MAX_OUTPUT = 1024 * 1024;
/** Boots whose end is looked at, when several lie between the marker's and this one. */
const MAX_BOOTS = 3;
/** journald opens its files when /var is mounted: within this time of a boot's beginning, milliseconds. */
const RENAME_MS = 300_000;

/** One boot of `journalctl --list-boots`, microseconds since 1970. */
export interface ListedBoot {
  readonly boot: string;
  readonly first: number;
  readonly last: number;
}

/** The journal of a root, opened: its files and boots, in order. */
export interface Journal {
  readonly files: JournalFiles;
  readonly options: readonly string[];
  readonly boots: readonly ListedBoot[];
  /** Why it could not be asked. */
  readonly problem: string | undefined;
}

/** Boots in order, from `journalctl --list-boots -o json` (journalctl(1), systemd 252 on). Never throws (I8). */
export function parseBootList(text: string): ListedBoot[] {
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(rows)) return [];
  return rows.flatMap((row: unknown) => {
    if (typeof row !== 'object' || row === null) return [];
    const { boot_id, first_entry, last_entry } = row as Readonly<Record<string, unknown>>;
    if (typeof boot_id !== 'string' || typeof first_entry !== 'number' || typeof last_entry !== 'number')
      return [];
    return [{ boot: dashedId(boot_id), first: first_entry, last: last_entry }];
  });
}

/**
 * Asks the journal which boots it knows. Never throws.
 *
 * @param limit milliseconds
 */
export async function openJournal(root: Root, limit: number): Promise<Journal> {
  const files = journalFiles(root);
  const sound = files.files.filter(({ header }) => header !== undefined);
  if (sound.length === 0) return { files, options: [], boots: [], problem: 'no journal is kept' };
  const options = journalOptions(sound);
  const listed = await ask(options, ['--list-boots', '--output=json'], limit);
  return typeof listed === 'string'
    ? { files, options, boots: [], problem: listed }
    : { files, options, boots: parseBootList(listed.text), problem: undefined };
}

/** @returns what journalctl printed, or why it did not */
async function ask(
  options: readonly string[],
  query: readonly string[],
  limit: number,
): Promise<{ readonly text: string } | string> {
  let text = '';
  const result = await run('journalctl', ['--quiet', '--no-pager', ...options, ...query], {
    timeout: limit,
    onStdout: (chunk) => {
      if (text.length < MAX_OUTPUT) text += chunk.toString('utf8');
    },
  });
  if (result.failure !== undefined) return 'journalctl cannot be started';
  if (result.timedOut) return `journalctl did not answer within ${(limit / 1000).toFixed(1)} s`;
  // It exits with 1 when nothing matches.
  if (result.code !== 0 && result.stderr.trim() !== '')
    return `journalctl: ${bytesToText(result.stderr.trim().split('\n')[0] ?? '')}`;
  return { text };
}

/**
 * The boots whose end is asked for, in order: those from `since` on, or the last one.
 *
 * @param current the boot that runs; undefined for a root that does not run
 */
export function endedBoots(
  boots: readonly ListedBoot[],
  current: string | undefined,
  since: string | undefined,
): ListedBoot[] {
  const own = boots.findIndex(({ boot }) => boot === current);
  const ended = own < 0 ? boots : boots.slice(0, own);
  const from = since === undefined ? -1 : ended.findIndex(({ boot }) => boot === since);
  return from < 0 ? ended.slice(-1) : ended.slice(from).slice(0, MAX_BOOTS);
}

export interface JournalQuery {
  readonly journal: Journal;
  readonly current: string | undefined;
  /** The boot that the marker names. */
  readonly since: string | undefined;
  /** When this boot began. */
  readonly began: Date | undefined;
  /** Milliseconds for each question. */
  readonly limit: number;
}

/** What the journal says of the boots that ended, and of the beginning of this one. Never throws. */
export async function journalEvidence(query: JournalQuery): Promise<Evidence[]> {
  const { journal, current, since, began, limit } = query;
  const found: Evidence[] = [];
  if (journal.problem !== undefined) found.push(evidence('unavailable', SOURCE, journal.problem));
  if (journal.files.odd > 0)
    found.push(
      evidence('unavailable', SOURCE, `${journal.files.odd} names of journals are no regular files`),
    );
  const own = journal.boots.find(({ boot }) => boot === current);
  if (own !== undefined) {
    found.push(
      evidence('boot-first-entry', SOURCE, 'the first entry of this boot', {
        at: fromMicroseconds(own.first),
        boot: own.boot,
      }),
    );
  }
  found.push(...renamedEvidence(journal.files, current, began, own));
  const ended = endedBoots(journal.boots, current, since);
  const answers = await Promise.all(ended.map(async (boot) => await bootEnd(journal.options, boot, limit)));
  const last = ended.at(-1);
  const complaints = last === undefined ? [] : await kernelComplaints(journal.options, last, limit);
  return [...found, ...answers.flat(), ...complaints];
}

async function bootEnd(options: readonly string[], listed: ListedBoot, limit: number): Promise<Evidence[]> {
  const { boot } = listed;
  const answer = await ask(
    options,
    [
      `--boot=${boot.replaceAll('-', '')}`,
      '--lines=1',
      '--output=json',
      '--output-fields=MESSAGE,MESSAGE_ID',
    ],
    limit,
  );
  const entry = typeof answer === 'string' ? undefined : parseEntries(answer.text).at(-1);
  if (entry === undefined) {
    const at = fromMicroseconds(listed.last);
    const reason = typeof answer === 'string' ? answer : 'the last entry cannot be read';
    return [
      evidence('unavailable', SOURCE, reason, { boot }),
      evidence('alive', SOURCE, 'the last entry of that boot', { at, boot }),
    ];
  }
  const stopped = entry.messageId === JOURNAL_STOPPED;
  const when = { at: entry.at, uptime: entry.uptime, boot };
  return stopped
    ? [evidence('journal-stopped', SOURCE, "the last entry of that boot is 'Journal stopped'", when)]
    : [
        evidence(
          'journal-not-stopped',
          SOURCE,
          `the last entry of that boot is not 'Journal stopped': ${quoted(entry.message)}`,
          when,
        ),
      ];
}

/** Errors of disks and filesystems in the boot that ended, the last few. */
async function kernelComplaints(
  options: readonly string[],
  { boot }: ListedBoot,
  limit: number,
): Promise<Evidence[]> {
  const answer = await ask(
    options,
    [
      `--boot=${boot.replaceAll('-', '')}`,
      '_TRANSPORT=kernel',
      '--priority=err',
      '--lines=200',
      '--output=json',
      '--output-fields=MESSAGE',
    ],
    limit,
  );
  if (typeof answer === 'string') return [];
  return parseEntries(answer.text)
    .filter(({ message }) => message !== undefined && DEVICE_ERROR.test(message))
    .slice(-5)
    .map(({ at, uptime, message }) =>
      evidence('io-error', SOURCE, `the kernel said: ${quoted(message)}`, { at, uptime, boot }),
    );
}

/** What the kernel says of a device that fails, or of a filesystem that finds itself damaged. */
export const DEVICE_ERROR =
  /I\/O error|EXT4-fs error|XFS .*(?:metadata I\/O error|[Cc]orruption)|BTRFS (?:error|critical)|failed command|nvme\d.*timeout/;

/**
 * What systemd-fsck printed in this boot of the filesystems that the initramfs does not check, and what the kernel said
 * where its own log no longer holds it.
 */
export async function bootMessages(
  journal: Journal,
  boot: string | undefined,
  query: readonly string[],
  limit: number,
): Promise<JournalEntry[]> {
  if (boot === undefined || !journal.boots.some((listed) => listed.boot === boot)) return [];
  const answer = await ask(
    journal.options,
    [
      `--boot=${boot.replaceAll('-', '')}`,
      ...query,
      '--lines=500',
      '--output=json',
      '--output-fields=MESSAGE',
    ],
    limit,
  );
  return typeof answer === 'string' ? [] : parseEntries(answer.text);
}

/**
 * Files that journald found open at its start, and moved aside. It says so in the kernel's log as well; the names are
 * there longer.
 */
function renamedEvidence(
  { files }: JournalFiles,
  current: string | undefined,
  began: Date | undefined,
  own: ListedBoot | undefined,
): Evidence[] {
  // By the clock of the first entry too: it may have been set since.
  const beginnings = [
    ...(began === undefined ? [] : [began.getTime()]),
    ...(own === undefined ? [] : [own.first / 1000]),
  ];
  // Only at its start: a journald that is killed in mid-boot leaves the same behind.
  const atStart = (time: Date): boolean =>
    beginnings.some((start) => Math.abs(time.getTime() - start) <= RENAME_MS);
  return files.flatMap(({ host, header, renamed }) => {
    const source = pathToText(host);
    const of = header?.boot === undefined ? undefined : dashedId(header.boot);
    const tail = header === undefined || header.tail === 0 ? undefined : fromMicroseconds(header.tail);
    const found: Evidence[] = [];
    // A root that does not run was not booted since its last end: what is renamed there tells of an earlier one.
    if (renamed !== undefined && current !== undefined && of !== current && atStart(renamed)) {
      found.push(
        evidence('journal-renamed', source, 'journald found this file not closed, and moved it aside', {
          at: renamed,
          boot: current,
        }),
      );
      if (tail !== undefined)
        found.push(evidence('alive', source, 'the last entry of that file', { at: tail, boot: of }));
    }
    if (header === undefined)
      found.push(evidence('unavailable', source, 'this journal is damaged, and is left out'));
    return found;
  });
}

function quoted(message: string | undefined): string {
  if (message === undefined) return 'something that is no text';
  const line = message.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
