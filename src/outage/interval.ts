/**
 * When: between the last evidence of life and the first of the next boot. Pure.
 *
 * After an outage the clock may be wrong: a battery is empty, a machine has no clock at all and starts with the time that
 * systemd-timesyncd saved. So what names its boot and counts its seconds is ordered by these, and by the clock only among
 * itself; and where the clock contradicts the order, that is said instead of an interval that runs backwards.
 */
import type { Evidence, Moment, Outage } from '../model/outage.ts';

/** Differences that are no contradiction: times of whole seconds, a clock that is being slewed; milliseconds. */
const SLACK_MS = 2000;
/** The journal's first entry comes some seconds after the kernel's start, minutes on a slow machine; milliseconds. */
const FIRST_ENTRY_MS = 300_000;

const LIFE: readonly Evidence['kind'][] = [
  'heartbeat',
  'heartbeat-stopped',
  'alive',
  'journal-stopped',
  'journal-not-stopped',
  'marker-left',
  'marker-removed',
  'wtmp-shutdown',
  'io-error',
];

export function intervalOf(
  evidence: readonly Evidence[],
  current: string | undefined,
  ended: string | undefined,
): Outage['interval'] {
  const to = firstOfBoot(evidence);
  const from = lastOfLife(evidence, current, ended, to);
  const clock = clockDoubts(evidence, from, to);
  return {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(clock === undefined ? {} : { clock }),
  };
}

function momentOf({ at, uptime, boot, source }: Evidence): Moment | undefined {
  if (at === undefined) return undefined;
  return { at, ...(uptime === undefined ? {} : { uptime }), ...(boot === undefined ? {} : { boot }), source };
}

/** The kernel's own count, by the clock of now, is better than the clock of then. */
function firstOfBoot(evidence: readonly Evidence[]): Moment | undefined {
  const began = evidence.find(({ kind, at }) => kind === 'boot-began' && at !== undefined);
  const first = evidence.find(({ kind, at }) => kind === 'boot-first-entry' && at !== undefined);
  const chosen = began ?? first;
  return chosen === undefined ? undefined : momentOf(chosen);
}

function lastOfLife(
  evidence: readonly Evidence[],
  current: string | undefined,
  ended: string | undefined,
  to: Moment | undefined,
): Moment | undefined {
  // What is of a boot before the last, or of this one, tells nothing; what names no boot may be of the one that ended.
  const candidates = evidence
    .filter(
      ({ kind, boot }) =>
        LIFE.includes(kind) &&
        (boot === undefined || (boot !== current && (ended === undefined || boot === ended))),
    )
    .flatMap((item) => momentOf(item) ?? []);
  const counted = candidates.filter(({ boot, uptime }) => boot !== undefined && uptime !== undefined);
  const longest = counted.toSorted((a, b) => (b.uptime ?? 0) - (a.uptime ?? 0)).at(0);
  const rest = candidates
    .filter((moment) => !counted.includes(moment))
    // Without a boot of its own, a time after the beginning of this boot is this boot's.
    .filter(({ at, boot }) => boot !== undefined || to === undefined || time(at) <= time(to.at) + SLACK_MS)
    .toSorted((a, b) => time(b.at) - time(a.at))
    .at(0);
  if (longest === undefined || rest === undefined) return longest ?? rest;
  // Among these only the clock can tell; it was that of the same boot.
  return time(rest.at) > time(longest.at) ? rest : longest;
}

function clockDoubts(
  evidence: readonly Evidence[],
  from: Moment | undefined,
  to: Moment | undefined,
): string | undefined {
  const doubts: string[] = [];
  const first = evidence.find(({ kind, at }) => kind === 'boot-first-entry' && at !== undefined);
  if (first?.at !== undefined && to !== undefined && to.source !== first.source) {
    const early = time(to.at) - time(first.at);
    if (early > SLACK_MS * 15)
      doubts.push(`when this boot began the clock was ${duration(early)} behind what it says now`);
    else if (-early > FIRST_ENTRY_MS)
      doubts.push(
        `this boot's first entry in the journal is ${duration(-early)} after its beginning: the clock was ahead of what it says now, or the beginning is lost`,
      );
  }
  if (from !== undefined && to !== undefined && time(from.at) > time(to.at) + SLACK_MS)
    doubts.push(
      `by the clock the last sign of life (${from.source}) is ${duration(time(from.at) - time(to.at))} after the beginning of this boot, so the clock was wrong in one of the two`,
    );
  return doubts.length === 0 ? undefined : doubts.join('; ');
}

function time(at: string): number {
  return Date.parse(at);
}

/** A length of time for a person: `12 s`, `3 min 5 s`, `2 h 10 min`, `4 days 3 h`. */
export function duration(milliseconds: number): string {
  const seconds = Math.round(Math.abs(milliseconds) / 1000);
  const [minutes, hours, days] = [
    Math.floor(seconds / 60),
    Math.floor(seconds / 3600),
    Math.floor(seconds / 86_400),
  ];
  const and = (rest: number, unit: string): string => (rest === 0 ? '' : ` ${rest} ${unit}`);
  if (days > 0) return `${days} ${days === 1 ? 'day' : 'days'}${and(hours % 24, 'h')}`;
  if (hours > 0) return `${hours} h${and(minutes % 60, 'min')}`;
  if (minutes > 0) return `${minutes} min${and(seconds % 60, 's')}`;
  return `${seconds} s`;
}
