/** How evidence is made: each kind supports one thing, wherever it comes from. */
import type { Evidence, EvidenceKind } from '../model/outage.ts';

const SUPPORTS = {
  'marker-left': 'unclean',
  'marker-removed': 'clean',
  'marker-damaged': 'unclean',
  'journal-stopped': 'clean',
  'journal-not-stopped': 'unclean',
  'journal-renamed': 'unclean',
  'boot-first-entry': 'boot',
  'wtmp-shutdown': 'clean',
  'wtmp-crash': 'unclean',
  'fsck-recovered': 'unclean',
  'fsck-clean': 'clean',
  'filesystem-recovered': 'unclean',
  'filesystem-orphans': 'unclean',
  heartbeat: 'alive',
  'heartbeat-stopped': 'clean',
  alive: 'alive',
  'log-torn': 'unclean',
  'boot-began': 'boot',
  panic: 'panic',
  oops: 'cause',
  watchdog: 'cause',
  'reset-reason': 'cause',
  'power-failed': 'cause',
  'io-error': 'cause',
  ups: 'cause',
  container: 'not-applicable',
  chroot: 'not-applicable',
  'no-disks': 'not-applicable',
  'other-root': 'nothing',
  unavailable: 'nothing',
} as const satisfies Record<EvidenceKind, Evidence['supports']>;

export interface When {
  readonly at?: Date | undefined;
  /** Seconds since the boot began. */
  readonly uptime?: number | undefined;
  readonly boot?: string | undefined;
}

/** The years that an ISO date in a report can have (zod's iso.datetime): what lies outside is no date of a machine. */
const LATEST = Date.UTC(9999, 11, 31);

/** One piece of evidence. A time that is none is left out (I8); a boot's id is written as the kernel writes it. */
export function evidence(kind: EvidenceKind, source: string, text: string, when: When = {}): Evidence {
  const { at, uptime, boot } = when;
  const time = at?.getTime();
  return {
    ...(at !== undefined && time !== undefined && time >= 0 && time <= LATEST
      ? { at: at.toISOString() }
      : {}),
    ...(uptime !== undefined && Number.isFinite(uptime) && uptime >= 0 ? { uptime } : {}),
    ...(boot === undefined ? {} : { boot: dashedId(boot) }),
    source,
    kind,
    text,
    supports: SUPPORTS[kind],
  };
}

/** A boot's id as the kernel writes it: systemd leaves the dashes out. Anything else stays as it is. */
export function dashedId(id: string): string {
  const hex = /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/i.exec(id);
  return hex === null ? id : hex.slice(1).join('-').toLowerCase();
}

/** A date from microseconds since 1970. */
export function fromMicroseconds(microseconds: number): Date {
  return new Date(microseconds / 1000);
}
