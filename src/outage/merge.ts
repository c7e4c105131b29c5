/** All evidence → one outage. Pure: the same evidence in any order of sources gives the same verdict. */
import type { Evidence, Outage, Timeline } from '../model/outage.ts';
import { causeOf } from './cause.ts';
import { intervalOf } from './interval.ts';
import { contradictions, decide, signsOf } from './verdict.ts';

export function mergeEvidence(evidence: readonly Evidence[]): Outage {
  const place = evidence.find(({ supports }) => supports === 'not-applicable');
  if (place !== undefined) {
    return {
      verdict: 'not-applicable',
      why: `${place.text} (${place.source}): it shares the boot of its host, and an outage is the host's`,
      interval: {},
      contradictions: [],
      evidence: [...evidence],
      timeline: [],
    };
  }
  const current = evidence.find(({ kind }) => kind === 'boot-began')?.boot;
  const boot = endedBoot(evidence, current);
  const { verdict, why } = decide(signsOf(evidence));
  // Another boot's signs neither explain this end nor speak against it; nor do the errors of disks of this boot.
  const own = evidence.filter(
    (item) =>
      item.boot === undefined || item.boot === boot || (item.boot === current && item.kind !== 'io-error'),
  );
  const cause = causeOf(verdict, own);
  const interval = intervalOf(evidence, current, boot);
  return {
    verdict,
    ...(boot === undefined ? {} : { boot }),
    why,
    interval,
    ...(cause === undefined ? {} : { cause }),
    contradictions: contradictions(verdict, own),
    evidence: [...evidence],
    timeline: timelineOf(evidence, current),
  };
}

/** The boot that ended: the first that the journal knows to have ended badly, the marker's, the journal's last. */
function endedBoot(evidence: readonly Evidence[], current: string | undefined): string | undefined {
  const of = (kind: Evidence['kind']): string | undefined =>
    evidence.find((item) => item.kind === kind && item.boot !== undefined && item.boot !== current)?.boot;
  return (
    of('journal-not-stopped') ??
    of('marker-left') ??
    of('marker-removed') ??
    of('journal-stopped') ??
    of('heartbeat') ??
    of('heartbeat-stopped')
  );
}

/** What happened, in order: of earlier boots before this one's, by the seconds of a boot where they are known. */
function timelineOf(evidence: readonly Evidence[], current: string | undefined): Timeline {
  const events = evidence.flatMap(({ at, uptime, boot, source, text }) =>
    at === undefined
      ? []
      : [
          {
            at,
            ...(uptime === undefined ? {} : { uptime }),
            ...(boot === undefined ? {} : { boot }),
            source,
            text,
          },
        ],
  );
  // What names no boot was taken for evidence because it is of an earlier one.
  const rank = ({ boot }: Timeline[number]): number => (boot !== undefined && boot === current ? 1 : 0);
  const place = placesOf(events);
  return events.toSorted(
    (a, b) =>
      rank(a) - rank(b) || (place.get(a) ?? 0) - (place.get(b) ?? 0) || (a.uptime ?? 0) - (b.uptime ?? 0),
  );
}

/**
 * Where on the clock each event stands. Nothing comes after what has more seconds of the same boot: a clock that was
 * ahead, and set back later, is taken at what it was set to.
 */
function placesOf(events: Timeline): Map<Timeline[number], number> {
  const places = new Map(events.map((event) => [event, Date.parse(event.at)]));
  const bound = new Map<string, number>();
  for (const event of events.toSorted((a, b) => (b.uptime ?? 0) - (a.uptime ?? 0))) {
    const { boot, uptime, at } = event;
    if (boot === undefined || uptime === undefined) continue;
    const place = Math.min(Date.parse(at), bound.get(boot) ?? Number.POSITIVE_INFINITY);
    places.set(event, place);
    bound.set(boot, place);
  }
  return places;
}
