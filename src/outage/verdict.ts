/**
 * How a boot ended, from the signs that it left. Pure. The table that was measured (docs/outage.md):
 *
 *     sign at the next boot        power-off   power cut    reboot -f    sync, then sysrq-b
 *     marker                       removed     left         left         left
 *     fsck                         clean       recovered    clean        recovered
 *     last entry of the journal    stopped     another      stopped      another
 *     journald                     -           renamed      -            renamed
 *     wtmp                         shutdown    crash        crash        (another)
 *
 * Absence proves little: an idle XFS that lost power mounts without recovery, and a journal may be kept in memory only.
 * So each sign has three values, and the rules below are asked in order, the first that holds decides.
 */
import type { Evidence, EvidenceKind, OutageVerdict } from '../model/outage.ts';

export interface Signs {
  readonly marker: 'left' | 'damaged' | 'removed' | 'unknown';
  /** Of the boot of the marker and of every one between it and this. */
  readonly journal: 'stopped' | 'not-stopped' | 'unknown';
  /** By fsck, or by the kernel where it replayed the filesystem's journal itself. */
  readonly filesystem: 'recovered' | 'clean' | 'unknown';
  readonly journald: 'renamed' | 'unknown';
  readonly wtmp: 'shutdown' | 'crash' | 'unknown';
  readonly agent: 'stopped' | 'beating' | 'unknown';
  readonly panic: boolean;
  readonly watchdog: boolean;
}

export interface Decision {
  readonly verdict: OutageVerdict;
  readonly why: string;
}

export function signsOf(evidence: readonly Evidence[]): Signs {
  const has = (...kinds: EvidenceKind[]): boolean => evidence.some(({ kind }) => kinds.includes(kind));
  return {
    marker: has('marker-left')
      ? 'left'
      : has('marker-damaged')
        ? 'damaged'
        : has('marker-removed')
          ? 'removed'
          : 'unknown',
    journal: has('journal-not-stopped') ? 'not-stopped' : has('journal-stopped') ? 'stopped' : 'unknown',
    filesystem: has('fsck-recovered', 'filesystem-recovered')
      ? 'recovered'
      : has('fsck-clean')
        ? 'clean'
        : 'unknown',
    journald: has('journal-renamed') ? 'renamed' : 'unknown',
    wtmp: has('wtmp-crash') ? 'crash' : has('wtmp-shutdown') ? 'shutdown' : 'unknown',
    agent: has('heartbeat') ? 'beating' : has('heartbeat-stopped') ? 'stopped' : 'unknown',
    panic: has('panic'),
    watchdog: has('watchdog'),
  };
}

/** Decides by the signs alone. */
export function decide(signs: Signs): Decision {
  const { marker, journal, filesystem, journald, wtmp } = signs;
  if (signs.panic) return { verdict: 'panic', why: 'the kernel left a dump of its own death' };
  switch (marker) {
    case 'left':
    case 'damaged':
      return markerLeft(signs);
    case 'removed':
      if (filesystem === 'recovered' && journal !== 'not-stopped')
        return {
          verdict: 'unclean',
          why: 'the shutdown had begun, and a filesystem was not closed any more',
        };
      if (
        journal === 'not-stopped' &&
        (filesystem === 'recovered' || journald === 'renamed' || wtmp === 'crash')
      )
        return {
          verdict: 'unclean',
          why: 'the journal ends without a stop, although the marker had been taken away',
        };
      if (signs.watchdog && journal !== 'stopped')
        return { verdict: 'unclean', why: 'the watchdog reset the machine' };
      return {
        verdict: 'clean',
        why:
          journal === 'stopped'
            ? 'the marker was taken away, and the journal ends with its stop'
            : 'the marker was taken away when the system was shut down',
      };
    case 'unknown':
      return withoutMarker(signs);
  }
}

function markerLeft({ marker, journal, filesystem, journald }: Signs): Decision {
  const left = marker === 'left' ? 'the marker was left' : 'a marker was left that cannot be read';
  switch (journal) {
    case 'not-stopped':
      return { verdict: 'unclean', why: `${left}, and the journal ends without a stop` };
    case 'stopped':
      return filesystem === 'recovered'
        ? {
            verdict: 'unclean',
            why: `${left}, and a filesystem had to be recovered although the journal had stopped`,
          }
        : { verdict: 'forced-reboot', why: `${left}, but the journal ends with its stop` };
    case 'unknown':
      if (filesystem === 'clean' && journald !== 'renamed')
        return {
          verdict: 'forced-reboot',
          why: `${left}, but its filesystem had been closed; no journal tells more`,
        };
      return {
        verdict: 'unclean',
        why:
          filesystem === 'recovered'
            ? `${left}, and a filesystem had to be recovered`
            : `${left}; no journal tells whether it was a forced reboot`,
      };
  }
}

/** debmend was just installed, or its marker is not in use. */
function withoutMarker({ journal, filesystem, journald, wtmp, watchdog }: Signs): Decision {
  if (filesystem === 'recovered')
    return {
      verdict: 'unclean',
      why:
        journal === 'stopped'
          ? 'a filesystem had to be recovered, although the journal had stopped'
          : 'a filesystem had to be recovered',
    };
  if (watchdog && journal !== 'stopped') return { verdict: 'unclean', why: 'the watchdog reset the machine' };
  switch (journal) {
    case 'stopped':
      return wtmp === 'crash'
        ? { verdict: 'forced-reboot', why: 'the journal ends with its stop, but no shutdown is recorded' }
        : { verdict: 'clean', why: 'the journal ends with its stop' };
    case 'not-stopped':
      if (wtmp === 'shutdown' && journald !== 'renamed')
        return filesystem === 'clean'
          ? { verdict: 'clean', why: 'a shutdown is recorded, and the filesystem was closed' }
          : {
              verdict: 'unknown',
              why: 'a shutdown is recorded, but the journal ends without a stop',
            };
      return { verdict: 'unclean', why: 'the journal ends without a stop' };
    case 'unknown':
      if (journald === 'renamed') return { verdict: 'unclean', why: 'journald found its file not closed' };
      switch (wtmp) {
        case 'shutdown':
          return { verdict: 'clean', why: 'a shutdown is recorded' };
        case 'crash':
          return filesystem === 'clean'
            ? { verdict: 'forced-reboot', why: 'no shutdown is recorded, but the filesystem was closed' }
            : { verdict: 'unclean', why: 'no shutdown is recorded' };
        case 'unknown':
          return filesystem === 'clean'
            ? { verdict: 'clean', why: 'the filesystem was closed; nothing else tells of the end' }
            : { verdict: 'unknown', why: 'nothing tells how the boot before ended' };
      }
  }
}

/** What speaks against a verdict, a line each. */
export function contradictions(verdict: OutageVerdict, evidence: readonly Evidence[]): string[] {
  const against: Readonly<Record<OutageVerdict, readonly EvidenceKind[]>> = {
    clean: [
      'marker-left',
      'marker-damaged',
      'journal-not-stopped',
      'journal-renamed',
      'wtmp-crash',
      'heartbeat',
      'filesystem-orphans',
    ],
    unclean: ['marker-removed', 'journal-stopped', 'wtmp-shutdown', 'fsck-clean', 'heartbeat-stopped'],
    'forced-reboot': ['journal-renamed', 'wtmp-shutdown', 'heartbeat', 'filesystem-orphans'],
    panic: ['marker-removed', 'journal-stopped', 'wtmp-shutdown', 'fsck-clean', 'heartbeat-stopped'],
    unknown: [],
    'not-applicable': [],
  };
  return evidence
    .filter(({ kind }) => against[verdict].includes(kind))
    .map(({ source, text }) => `${source}: ${text}`);
}
