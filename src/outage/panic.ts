/**
 * What the kernel left when it died: pstore(5), in /sys/fs/pstore, or where systemd-pstore.service(8) moved it. A dump
 * begins with its reason, `Panic#1 Part1`; the console's log of the boot before is kept whatever ended it.
 */
import type { Evidence } from '../model/outage.ts';
import { pathToText } from '../model/path-text.ts';
import type { Bytes } from '../system/bytes.ts';
import { type Entry, listDirectory, listInside, readHead } from '../system/inside.ts';
import type { Root } from '../system/root.ts';
import { evidence } from './evidence.ts';

const LIVE = '/sys/fs/pstore';
const ARCHIVE = '/var/lib/systemd/pstore';
const MAX_NAMES = 500;
/** A record is as large as the platform's memory for it: some KiB. */
const HEAD_BYTES = 256 * 1024;
const MAX_TOLD = 3;

/** What a dump says; undefined when it tells of no death. Never throws (I8). */
export function parseDump(
  text: Bytes,
): { readonly kind: 'panic' | 'oops'; readonly line: string } | undefined {
  // The parts of a dump run backwards: the first one has the last lines.
  const panic = /Kernel panic - not syncing[^\n]*/.exec(text)?.[0];
  const reason = /^(?:=+[^\n]*\n)?(Panic|Oops)#\d+ Part\d+/.exec(text)?.[1];
  if (panic !== undefined || reason === 'Panic')
    return { kind: 'panic', line: printable(panic ?? 'a dump of a panic') };
  if (reason === undefined) return undefined;
  const what = /(?:BUG:|Oops:|Unable to handle|general protection)[^\n]*/.exec(text)?.[0];
  return { kind: 'oops', line: printable(what ?? 'a dump of an oops') };
}

/**
 * The dumps of the boot that ended. Older ones stay in the archive for years, so their times decide.
 *
 * @param since when the boot that ended was last known to be alive; undefined: not known
 * @param began when this boot began; undefined for a root that does not run
 */
export function panicEvidence(root: Root, since: Date | undefined, began: Date | undefined): Evidence[] {
  const archive = listInside(root, ARCHIVE, MAX_NAMES);
  const files: Entry[] = [
    ...listInside(root, LIVE, MAX_NAMES),
    ...archive,
    // Dumps of one death are in a directory of their own, and their parts in further ones.
    ...archive.flatMap(below).flatMap((entry) => [entry, ...below(entry)]),
  ];
  const newestFirst = files
    .filter(({ stat }) => stat.isFile() && belongs(stat.mtime, since, began))
    .sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
  const found: Evidence[] = [];
  for (const { host, stat } of newestFirst.slice(0, 50)) {
    const dump = parseDump(readHead(host, HEAD_BYTES) ?? '');
    if (dump === undefined || found.some(({ kind, text }) => kind === dump.kind && text.endsWith(dump.line)))
      continue;
    const at = began !== undefined && stat.mtime >= began ? undefined : stat.mtime; // moved there in this boot
    found.push(evidence(dump.kind, pathToText(host), `the kernel left: ${dump.line}`, { at }));
    if (found.length === MAX_TOLD) break;
  }
  return found;
}

function below({ host, stat }: Entry): Entry[] {
  return stat.isDirectory() ? listDirectory(host, MAX_NAMES) : [];
}

/** Slack for clocks that differ between firmware and kernel, in milliseconds. */
const SLACK_MS = 120_000;

function belongs(time: Date, since: Date | undefined, began: Date | undefined): boolean {
  if (since !== undefined) return time.getTime() >= since.getTime() - SLACK_MS;
  return began === undefined || time >= began;
}

function printable(line: Bytes): string {
  return line
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 200);
}
