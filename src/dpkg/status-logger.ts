/**
 * What dpkg writes to --status-fd and to the programs of --status-logger (dpkg(1); lib/dpkg/log.c, statusfd_send). Its
 * five writers: lib/dpkg/dbmodify.c, modstatdb_note; src/main/help.c, log_action; src/main/errors.c,
 * print_error_perpackage and print_error_perarchive; src/main/configure.c, promptconfaction. A newline inside a record
 * is written as a blank, so a line is a record.
 */
import type { Bytes } from '../system/bytes.ts';
import { PACKAGE_STATES, type PackageState } from './package.ts';

export const PROCESSING_STAGES = [
  'install',
  'upgrade',
  'configure',
  'trigproc',
  'disappear',
  'remove',
  'purge',
] as const;
export type ProcessingStage = (typeof PROCESSING_STAGES)[number];

/** A package as dpkg names it here: qualified only where the bare name could mislead (pnaw_nonambig). */
interface Named {
  readonly package: Bytes;
  readonly architecture: Bytes | undefined;
}

export type StatusEvent =
  /** Its state changed: written before the status file is. */
  | ({ readonly kind: 'state'; readonly state: PackageState } & Named)
  /** A stage of its work begins. */
  | ({ readonly kind: 'processing'; readonly stage: ProcessingStage } & Named)
  /** `subject` is a package, or an archive, as the command line named it. */
  | { readonly kind: 'error'; readonly subject: Bytes; readonly message: Bytes }
  /** A person is asked about a conffile; `current` and `offered` are the files that are compared, links followed. */
  | {
      readonly kind: 'conffile-prompt';
      readonly conffile: Bytes;
      readonly current: Bytes;
      readonly offered: Bytes;
      readonly userEdited: boolean;
      readonly distributorEdited: boolean;
    }
  | { readonly kind: 'other'; readonly line: Bytes };

export interface StatusLog {
  readonly events: StatusEvent[];
  /** What stands behind the last newline: a reader of a pipe puts it before what comes next. Empty in a whole file. */
  readonly rest: Bytes;
  /** Whether a line holds NUL bytes, as a power cut leaves them. */
  readonly damaged: boolean;
}

/** Parses what dpkg wrote, or a part of it. Never throws; a line that is not understood is an event `other`. */
export function parseStatusLog(data: Bytes): StatusLog {
  const lines = data.split('\n');
  const rest = lines.pop() ?? '';
  const events: StatusEvent[] = [];
  let damaged = rest.includes('\0');
  for (const line of lines) {
    if (line === '') continue;
    const nul = line.lastIndexOf('\0');
    if (nul < 0) {
      events.push(parseLine(line));
      continue;
    }
    damaged = true;
    // NUL bytes were the end of the file once, and dpkg wrote on behind them: what follows is a line of its own, unless
    // only its end has come through.
    const event = parseLine(line.slice(nul + 1));
    events.push(event.kind === 'other' ? { kind: 'other', line } : event);
  }
  return { events, rest, damaged };
}

const STATUS = 'status: ';
const PROCESSING = 'processing: ';
const ERROR = ' : error : ';
const PROMPT = ' : conffile-prompt : ';

function parseLine(line: Bytes): StatusEvent {
  const event = line.startsWith(STATUS)
    ? parseStatus(line.slice(STATUS.length))
    : line.startsWith(PROCESSING)
      ? parseProcessing(line.slice(PROCESSING.length))
      : undefined;
  return event ?? { kind: 'other', line };
}

function parseStatus(text: Bytes): StatusEvent | undefined {
  // A message may hold either mark too; the subject hardly does.
  const error = text.indexOf(ERROR);
  const prompt = text.indexOf(PROMPT);
  if (error > 0 && (prompt < 0 || error < prompt)) {
    return { kind: 'error', subject: text.slice(0, error), message: text.slice(error + ERROR.length) };
  }
  if (prompt > 0) return parsePrompt(text.slice(0, prompt), text.slice(prompt + PROMPT.length));
  const colon = text.lastIndexOf(': ');
  const state = PACKAGE_STATES.find((known) => known === text.slice(colon + 2));
  const named = parseNamed(text.slice(0, Math.max(0, colon)));
  return state === undefined || named === undefined ? undefined : { kind: 'state', state, ...named };
}

function parsePrompt(conffile: Bytes, text: Bytes): StatusEvent | undefined {
  const tail = /' ([01]) ([01]) ?$/.exec(text.slice(-6));
  const end = text.lastIndexOf("' ");
  // Quotes inside the names are not escaped.
  const middle = text.indexOf("' '");
  if (tail === null || !text.startsWith("'") || middle < 1 || middle + 3 > end) return undefined;
  return {
    kind: 'conffile-prompt',
    conffile,
    current: text.slice(1, middle),
    offered: text.slice(middle + 3, end),
    userEdited: tail[1] === '1',
    distributorEdited: tail[2] === '1',
  };
}

function parseProcessing(text: Bytes): StatusEvent | undefined {
  const colon = text.indexOf(': ');
  const stage = PROCESSING_STAGES.find((known) => known === text.slice(0, colon));
  const named = parseNamed(text.slice(colon + 2));
  return stage === undefined || named === undefined ? undefined : { kind: 'processing', stage, ...named };
}

function parseNamed(text: Bytes): Named | undefined {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const architecture = colon < 0 ? undefined : text.slice(colon + 1);
  if (name === '' || architecture === '' || text.includes(' ')) return undefined;
  return { package: name, architecture };
}
