/**
 * wtmp: when the system was booted and shut down (utmp(5)). Records have a fixed length, 384 bytes where glibc keeps
 * 32-bit times for compatibility (x86, ppc64, s390x), 400 elsewhere (arm64). A shutdown is a record of the type RUN_LVL
 * with the user `shutdown`, as systemd-update-utmp writes it; its absence before a boot is what last(1) calls `crash`.
 */
import type { Evidence } from '../model/outage.ts';
import { type Bytes, bufferOf } from '../system/bytes.ts';
import { readInside, readTail } from '../system/inside.ts';
import type { Root } from '../system/root.ts';
import { evidence } from './evidence.ts';

const FILE = '/var/log/wtmp';
/** The end of the file: thousands of records. */
const TAIL_BYTES = 1536 * 1024;
/** A multiple of both lengths: where a record begins, whichever it is. */
const ALIGNMENT = 9600;
const LAYOUTS = [
  { length: 384, seconds: (b: Buffer, at: number) => b.readUInt32LE(at + 340) },
  { length: 400, seconds: (b: Buffer, at: number) => Number(b.readBigInt64LE(at + 344)) },
] as const;
/** utmp(5). */
const RUN_LVL = 1;
const BOOT_TIME = 2;
const LAST_TYPE = 9;
/** A machine's records are not from before this; 2000-01-01, in seconds. */
const EARLIEST = 946_684_800;
/** How far the record of a boot may be from when the boot began; milliseconds. */
const SAME_BOOT_MS = 120_000;

export interface WtmpRecord {
  readonly kind: 'boot' | 'shutdown' | 'other';
  readonly at: Date;
}

/**
 * The records of a file, or of its end: damaged and empty ones are left out, and a torn last one. Never throws (I8).
 *
 * @param data must begin at the beginning of a record
 */
export function parseWtmp(data: Bytes): WtmpRecord[] {
  const bytes = bufferOf(data);
  const [compat, wide] = LAYOUTS.map((layout) => records(bytes, layout));
  if (compat === undefined || wide === undefined) return [];
  return wide.length > compat.length ? wide : compat;
}

function records(bytes: Buffer, { length, seconds }: (typeof LAYOUTS)[number]): WtmpRecord[] {
  const found: WtmpRecord[] = [];
  for (let at = 0; at + length <= bytes.length; at += length) {
    const type = bytes.readInt16LE(at);
    const time = seconds(bytes, at);
    // Two bytes of padding after the type are always 0: what has something there is no record.
    if (type < 1 || type > LAST_TYPE || bytes.readInt16LE(at + 2) !== 0) continue;
    if (time < EARLIEST || time > EARLIEST * 5) continue;
    const user = bytes.toString('latin1', at + 44, at + 76).replace(/\0.*$/s, '');
    const kind = type === BOOT_TIME ? 'boot' : type === RUN_LVL && user === 'shutdown' ? 'shutdown' : 'other';
    found.push({ kind, at: new Date(time * 1000) });
  }
  return found;
}

/** When this boot began: by its uptime, and by the clock of its first moments, which may have been set since. */
export interface Beginning {
  readonly times: readonly Date[];
  /** Seconds that it has lasted. */
  readonly uptime: number;
}

/**
 * What the records say of the end of the boot before this one.
 *
 * @param beginning undefined for a root that does not run: then of the newest boot in the file
 */
export function wtmpEvidence(
  records: readonly WtmpRecord[],
  beginning: Beginning | undefined,
  source: string,
): Evidence[] {
  let end = records.length;
  const last = records.findLastIndex(({ kind }) => kind === 'boot');
  if (last < 0) return [];
  if (beginning !== undefined) {
    const own = records[last];
    const same =
      own !== undefined &&
      beginning.times.some((time) => Math.abs(time.getTime() - own.at.getTime()) <= SAME_BOOT_MS);
    if (same) end = last;
    else if (beginning.uptime * 1000 > SAME_BOOT_MS)
      return [
        evidence('unavailable', source, 'no record is of this boot, so that none tells of the one before'),
      ];
  }
  const before = records.slice(0, end);
  const booted = before.findLastIndex(({ kind }) => kind === 'boot');
  if (booted < 0) return [];
  const since = before.slice(booted);
  const shutdown = since.find(({ kind }) => kind === 'shutdown');
  if (shutdown !== undefined)
    return [evidence('wtmp-shutdown', source, 'a shutdown is recorded after that boot', { at: shutdown.at })];
  const alive = since.at(-1);
  return [
    evidence('wtmp-crash', source, 'no shutdown is recorded after that boot'),
    ...(alive === undefined
      ? []
      : [evidence('alive', source, 'the last record of that boot', { at: alive.at })]),
  ];
}

/** Reads a root's wtmp. Never throws. */
export function wtmpFile(root: Root, beginning: Beginning | undefined): Evidence[] {
  const whole = readInside(root, FILE, TAIL_BYTES);
  switch (whole.kind) {
    case 'missing':
      return [];
    case 'read':
      return wtmpEvidence(parseWtmp(whole.data), beginning, FILE);
    case 'unreadable': {
      // Too large: its end, from the beginning of a record.
      const tail = whole.errno === 'EFBIG' ? readTail(root, FILE, TAIL_BYTES, ALIGNMENT) : undefined;
      return tail === undefined
        ? [evidence('unavailable', FILE, `wtmp cannot be read: ${whole.errno}`)]
        : wtmpEvidence(parseWtmp(tail), beginning, FILE);
    }
  }
}
