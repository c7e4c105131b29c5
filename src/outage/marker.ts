/**
 * The marker: a file that is there while a boot lasts. A unit makes it early, and takes it away when the system is shut
 * down (bin/debmend-marker, which needs nothing but a shell; `debmend marker set|clear` does the same by hand). Where it
 * is found from another boot, that boot did not end so.
 *
 *     running          boot=ID at=TIME uptime=SECONDS              of the boot that runs
 *     unclean-ends     the same of boots whose marker was left, and found=ID: the boot that found it
 *     clean-ends       the same of boots whose marker was taken away
 *
 * The next boot's marker takes the place of the one that was left before anyone can have looked at it: so `set` keeps
 * what it finds. Of the lists the last lines count. The shell's `clear` writes no list, because it has to be the simplest
 * thing at the end of a boot; then the heartbeat of a boot whose marker is not there tells that it was taken away.
 */
import { mkdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Evidence } from '../model/outage.ts';
import { type Bytes, bufferOf, bytesFromText } from '../system/bytes.ts';
import { syncDirectory, writeDurably } from '../system/durable.ts';
import { DebmendError, errnoOf, messageOf } from '../system/errors.ts';
import { readRegularFile } from '../system/files.ts';
import { dashedId, evidence } from './evidence.ts';
import { HEARTBEAT_FILE, type Heartbeat, LAST_HEARTBEAT_FILE, readHeartbeat } from './heartbeat.ts';

/** Names in the store's directory. */
export const MARKER_FILE = 'running';
export const UNCLEAN_FILE = 'unclean-ends';
export const CLEAN_FILE = 'clean-ends';
const LIMIT = 64 * 1024;
/** A marker that is set later in a boot is not set by the unit at its start, in seconds. */
const EARLY_SECONDS = 300;
/** Lines of a list that are kept; older ends stand in the reports. */
const KEPT = 50;
const LINE = /^boot=(\S+) at=(\S+) uptime=(\S+)$/;

/** One instant of one boot. */
export interface Instant {
  readonly boot: string | undefined;
  readonly at: Date | undefined;
  /** Seconds of that boot (CLOCK_BOOTTIME). */
  readonly uptime: number | undefined;
}

/** The line of a marker. */
export function formatMarker({ boot, at, uptime }: Instant): string {
  return `boot=${boot ?? '-'} at=${at?.toISOString() ?? '-'} uptime=${uptime ?? '-'}`;
}

/** Reads the line of a marker; undefined when it is none. Never throws (I8). */
export function parseMarker(line: Bytes): Instant | undefined {
  const match = LINE.exec(line);
  if (match === null) return undefined;
  const [, boot = '-', at = '-', uptime = '-'] = match;
  const date = new Date(at);
  const seconds = Number(uptime);
  return {
    boot: boot === '-' ? undefined : dashedId(boot),
    at: Number.isNaN(date.getTime()) ? undefined : date,
    uptime: uptime !== '-' && Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined,
  };
}

type Reading =
  | { kind: 'marker'; marker: Instant; line: Bytes }
  | { kind: 'missing' }
  | { kind: 'damaged'; line: Bytes };

function readMarker(directory: string): Reading {
  const outcome = readRegularFile(bytesFromText(join(directory, MARKER_FILE)), LIMIT);
  switch (outcome.kind) {
    case 'missing':
      return { kind: 'missing' };
    case 'unreadable':
      // For want of rights it is not known whether there is one: no evidence of anything.
      return outcome.errno === 'EACCES' || outcome.errno === 'ENOTDIR'
        ? { kind: 'missing' }
        : { kind: 'damaged', line: '' };
    case 'read': {
      const line = outcome.data.replace(/\n$/, '');
      const marker = parseMarker(line);
      return marker?.boot === undefined ? { kind: 'damaged', line } : { kind: 'marker', marker, line };
    }
  }
}

function readLines(directory: string, name: string): Bytes[] {
  const outcome = readRegularFile(bytesFromText(join(directory, name)), LIMIT);
  return outcome.kind === 'read' ? outcome.data.split('\n').filter((line) => line !== '') : [];
}

/**
 * Says that this boot is running. A second call in the same boot changes nothing.
 *
 * @param directory the store's, as a path of this host; made where it is missing
 * @throws DebmendError `store-unusable`
 */
export function setMarker(directory: string, now: Instant): void {
  const running = readMarker(directory);
  if (running.kind === 'marker' && running.marker.boot === now.boot) return;
  writing(directory, () => {
    mkdirSync(directory, { recursive: true, mode: 0o700 }); // the store's own mode (snapshot/store.ts)
    if (running.kind !== 'missing') {
      const left = running.line.replaceAll(/[^\x20-\x7e]/g, '').slice(0, 200) || formatMarker(NOTHING);
      append(directory, UNCLEAN_FILE, `${left} found=${now.boot ?? '-'}`);
    }
    writeDurably(join(directory, MARKER_FILE), `${formatMarker(now)}\n`, 0o600);
  });
}

const NOTHING: Instant = { boot: undefined, at: undefined, uptime: undefined };

/**
 * Says that this boot ends as it should. What cannot be written leaves the marker: an end that nobody wrote down is no
 * clean one.
 *
 * @returns whether there was a marker
 * @throws DebmendError `store-unusable`
 */
export function clearMarker(directory: string, now: Instant): boolean {
  if (readMarker(directory).kind === 'missing') return false;
  writing(directory, () => {
    append(directory, CLEAN_FILE, formatMarker(now));
    unlinkSync(join(directory, MARKER_FILE));
    syncDirectory(directory);
  });
  return true;
}

function append(directory: string, name: string, line: Bytes): void {
  const lines = [...readLines(directory, name).slice(1 - KEPT), line];
  writeDurably(join(directory, name), bufferOf(lines.map((text) => `${text}\n`).join('')), 0o600);
}

function writing(directory: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw new DebmendError(
      'store-unusable',
      `writing the marker in ${directory}: ${errnoOf(error) ?? messageOf(error)}`,
      'is the disk full or mounted read-only; the marker needs root',
      error,
    );
  }
}

/**
 * What the marker says of the boot before, with that boot's last heartbeat. Never throws.
 *
 * @param directory the store's, as a path of this host
 * @param boot the id of this boot; undefined for a root that does not run: there every marker was left
 */
export function markerEvidence(directory: string, boot: string | undefined): Evidence[] {
  return [...endEvidence(directory, boot), ...heartbeatEvidence(directory, boot)];
}

function endEvidence(directory: string, boot: string | undefined): Evidence[] {
  const running = readMarker(directory);
  const file = join(directory, MARKER_FILE);
  if (running.kind === 'marker' && running.marker.boot !== boot) return [left(file, running.marker)];
  if (running.kind === 'damaged') return [damaged(file)];
  // The lines of a list are whole, or the list is as it was before: only what stood in a marker can be anything.
  const found = readLines(directory, UNCLEAN_FILE)
    .map((line) => /^(.*) found=(\S+)$/s.exec(line) ?? [])
    .findLast(([, , finder]) => boot !== undefined && finder !== undefined && dashedId(finder) === boot);
  if (found !== undefined) {
    const marker = parseMarker(found[1] ?? '');
    const list = join(directory, UNCLEAN_FILE);
    return [marker?.boot === undefined ? damaged(list) : left(list, marker)];
  }
  const ended = readLines(directory, CLEAN_FILE)
    .map((line) => parseMarker(line))
    .findLast((marker) => marker?.boot !== undefined && marker.boot !== boot);
  if (ended !== undefined) {
    const text = 'the marker was taken away when the system was shut down';
    return [evidence('marker-removed', join(directory, CLEAN_FILE), text, ended)];
  }
  return boot === undefined ? [] : removedSilently(directory, running, boot);
}

/**
 * This boot's marker was set by the unit at its beginning, it found none, and the boot before had the agent, which comes
 * with the unit.
 */
function removedSilently(directory: string, running: Reading, boot: string): Evidence[] {
  if (running.kind !== 'marker' || (running.marker.uptime ?? EARLY_SECONDS) >= EARLY_SECONDS) return [];
  const before = lastBeat(directory, boot)?.beat.boot;
  if (before === undefined) return [];
  const text = 'the marker of that boot, which had the agent, was not there any more when this one began';
  return [evidence('marker-removed', join(directory, MARKER_FILE), text, { boot: before })];
}

function left(source: string, { boot, at, uptime }: Instant): Evidence {
  return evidence('marker-left', source, 'the marker of that boot, set at this time, was never taken away', {
    boot,
    at,
    uptime,
  });
}

function damaged(source: string): Evidence {
  return evidence('marker-damaged', source, 'a marker was left, and cannot be read');
}

function beatOf(directory: string, name: string): Heartbeat | undefined {
  const reading = readHeartbeat(join(directory, name));
  return reading.kind === 'beat' ? reading.beat : undefined;
}

/** The newest beat of another boot than this; the sequence counts on over boots. */
function lastBeat(
  directory: string,
  boot: string | undefined,
): { readonly name: string; readonly beat: Heartbeat } | undefined {
  return [HEARTBEAT_FILE, LAST_HEARTBEAT_FILE]
    .flatMap((name) => {
      const beat = beatOf(directory, name);
      return beat === undefined || (boot !== undefined && beat.boot === boot) ? [] : [{ name, beat }];
    })
    .toSorted((a, b) => b.beat.sequence - a.beat.sequence)
    .at(0);
}

function heartbeatEvidence(directory: string, boot: string | undefined): Evidence[] {
  const last = lastBeat(directory, boot);
  if (last !== undefined) {
    const file = join(directory, last.name);
    const { stopped, at, boot: of, uptime, every } = last.beat;
    const when = { at, boot: of, uptime };
    return [
      stopped
        ? evidence('heartbeat-stopped', file, 'the agent was told to stop, and beat for the last time', when)
        : evidence('heartbeat', file, `the last heartbeat; the next was due ${every} s later`, when),
    ];
  }
  const file = join(directory, HEARTBEAT_FILE);
  const reading = readHeartbeat(file);
  switch (reading.kind) {
    case 'damaged':
      return [evidence('unavailable', file, 'the heartbeat is damaged')];
    case 'unreadable':
      return [evidence('unavailable', file, `the heartbeat cannot be read: ${reading.errno}`)];
    case 'missing':
    case 'beat':
      return [];
  }
}
