/**
 * The journal's files, and what their headers say (systemd.io/JOURNAL_FILE_FORMAT, the struct Header). journalctl gives
 * up all files when one of those it is named cannot be opened, so those that an outage cut off are sorted out before;
 * and what is no regular file inside the root is never handed to it (I7).
 */
import { join } from 'node:path/posix';
import { type Bytes, bufferOf } from '../system/bytes.ts';
import { type Entry, listDirectory, listInside, readHead } from '../system/inside.ts';
import type { Root } from '../system/root.ts';

/** journald.conf(5), Storage=: what is kept, and what is kept in memory. */
const DIRECTORIES = ['/var/log/journal', '/run/log/journal'] as const;
/** The newest files are looked at, and no more: a host that keeps years has thousands. */
const MAX_FILES = 10;
const MAX_NAMES = 2000;
/** Up to tail_entry_monotonic; later systemd only added to it. */
const HEADER_BYTES = 208;
const STATES = ['offline', 'online', 'archived'] as const;

export interface JournalHeader {
  readonly state: (typeof STATES)[number] | 'unknown';
  /** Of the last entry (systemd 254), or of the boot that wrote last; 32 hex digits. */
  readonly boot: string;
  /** Bytes that the file has to have. */
  readonly size: number;
  readonly entries: number;
  /** Microseconds since 1970; 0: there is none. */
  readonly head: number;
  readonly tail: number;
}

/** The header of a journal file's first bytes; undefined when it is none. Never throws (I8). */
export function parseJournalHeader(data: Bytes): JournalHeader | undefined {
  const bytes = bufferOf(data.slice(0, HEADER_BYTES));
  if (bytes.length < HEADER_BYTES || !data.startsWith('LPKSHHRH')) return undefined;
  const number = (at: number): number => Number(bytes.readBigUInt64LE(at));
  return {
    state: STATES[bytes[16] ?? -1] ?? 'unknown',
    boot: bytes.toString('hex', 56, 72),
    size: number(88) + number(96),
    entries: number(152),
    head: number(184),
    tail: number(192),
  };
}

export interface JournalFile {
  readonly host: Bytes;
  readonly name: Bytes;
  /** Undefined: it is damaged, and journalctl would not open it. */
  readonly header: JournalHeader | undefined;
  /** When journald found that it had not been closed, and renamed it; undefined for any other. */
  readonly renamed: Date | undefined;
}

export interface JournalFiles {
  readonly files: JournalFile[];
  /** There were more, older ones. */
  readonly more: number;
  /** Names that are no regular files, and are left alone. */
  readonly odd: number;
}

/** The system's journal files of a root, the newest first. Never throws. */
export function journalFiles(root: Root): JournalFiles {
  const found: Entry[] = [];
  let odd = 0;
  for (const directory of DIRECTORIES) {
    for (const machine of listInside(root, directory, 100)) {
      if (!machine.stat.isDirectory()) continue;
      for (const entry of listDirectory(machine.host, MAX_NAMES)) {
        if (!/^system(?:@[^/]*)?\.journal~?$/.test(entry.name)) continue;
        if (entry.stat.isFile()) found.push(entry);
        else odd += 1;
      }
    }
  }
  found.sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
  const files = found.slice(0, MAX_FILES).map(({ name, host, stat }): JournalFile => {
    const header = parseJournalHeader(readHead(host, HEADER_BYTES) ?? '');
    return {
      host,
      name,
      header: header !== undefined && header.size <= stat.size ? header : undefined,
      renamed: renamedAt(name),
    };
  });
  return { files, more: Math.max(0, found.length - MAX_FILES), odd };
}

/** `system@0006610120ff2742-101320b0f789122b.journal~`: microseconds since 1970 in hex, and a random number. */
function renamedAt(name: Bytes): Date | undefined {
  const hex = /^system@([0-9a-f]{16})-[0-9a-f]{16}\.journal~$/.exec(name)?.[1];
  return hex === undefined ? undefined : new Date(Number.parseInt(hex, 16) / 1000);
}

/** Options that make journalctl(1) read these files and nothing else. */
export function journalOptions(files: readonly JournalFile[]): string[] {
  return files.filter(({ header }) => header !== undefined).map(({ host }) => `--file=${hostText(host)}`);
}

function hostText(host: Bytes): string {
  // A path that is not UTF-8 cannot be an argument of Node's; journalctl then says that it is not there.
  return join('/', bufferOf(host).toString('utf8'));
}
