/** The measured table, column by column, and what becomes of it when signs are missing or contradict each other. */
import { describe, expect, it } from 'vitest';
import {
  EVIDENCE_KINDS,
  type Evidence,
  type EvidenceKind,
  type OutageVerdict,
  outageSchema,
} from '../../src/model/outage.ts';
import { evidence, type When } from '../../src/outage/evidence.ts';
import { mergeEvidence } from '../../src/outage/merge.ts';

const BEFORE = '11111111-1111-4111-8111-111111111111';
const NOW = '22222222-2222-4222-8222-222222222222';
const at = (time: string): Date => new Date(`2026-01-31T${time}Z`);

const began = evidence('boot-began', '/proc/uptime', 'this boot began', {
  at: at('09:30:00'),
  uptime: 0,
  boot: NOW,
});
/** Signs as they come from the boot before; those of fsck and the kernel are seen in this one. */
function signs(...kinds: EvidenceKind[]): Evidence[] {
  const here: readonly EvidenceKind[] = [
    'fsck-recovered',
    'fsck-clean',
    'filesystem-recovered',
    'journal-renamed',
  ];
  return [
    began,
    ...kinds.map((kind) =>
      evidence(kind, kind, `${kind} it is`, { boot: here.includes(kind) ? NOW : BEFORE }),
    ),
  ];
}
const verdict = (...kinds: EvidenceKind[]): OutageVerdict => mergeEvidence(signs(...kinds)).verdict;

describe('the table', () => {
  const COLUMNS: Readonly<
    Record<string, { readonly signs: readonly EvidenceKind[]; readonly verdict: OutageVerdict }>
  > = {
    'power-off': {
      signs: ['marker-removed', 'fsck-clean', 'journal-stopped', 'wtmp-shutdown'],
      verdict: 'clean',
    },
    'power cut': {
      signs: ['marker-left', 'fsck-recovered', 'journal-not-stopped', 'journal-renamed', 'wtmp-crash'],
      verdict: 'unclean',
    },
    'reboot -f': {
      signs: ['marker-left', 'fsck-clean', 'journal-stopped', 'wtmp-crash'],
      verdict: 'forced-reboot',
    },
    'sync, then sysrq-b': {
      signs: ['marker-left', 'fsck-recovered', 'journal-not-stopped', 'journal-renamed'],
      verdict: 'unclean',
    },
  };

  it.each(Object.entries(COLUMNS))('%s', (_, column) => {
    const outage = mergeEvidence(signs(...column.signs));
    expect(outage).toMatchObject({ verdict: column.verdict, boot: BEFORE });
    expect(outageSchema.parse(outage)).toEqual(outage);
  });

  it.each(Object.entries(COLUMNS))('%s is seen without debmend’s marker, from the rest', (_, column) => {
    expect(verdict(...column.signs.filter((kind) => !kind.startsWith('marker')))).toBe(column.verdict);
  });

  it.each(Object.entries(COLUMNS))(
    '%s is the same, whatever sign but the marker and the journal is missing',
    (_, column) => {
      for (const missing of column.signs.filter((kind) => !/^(?:marker|journal-(?:not-)?stopped)/.test(kind)))
        expect({ missing, verdict: verdict(...column.signs.filter((kind) => kind !== missing)) }).toEqual({
          missing,
          verdict: column.verdict,
        });
    },
  );

  it('has no contradictions in any column', () => {
    for (const column of Object.values(COLUMNS))
      expect(
        mergeEvidence(signs(...column.signs)).contradictions.filter((text) => !text.startsWith('fsck')),
      ).toEqual([]);
  });
});

describe('the rule: the marker, another boot, and no Journal stopped', () => {
  it.each<[EvidenceKind[], OutageVerdict]>([
    [['marker-left', 'journal-not-stopped'], 'unclean'],
    [['marker-left'], 'unclean'],
    [['marker-damaged'], 'unclean'],
    [['marker-damaged', 'journal-stopped'], 'forced-reboot'],
    [['marker-left', 'journal-stopped'], 'forced-reboot'],
    [['marker-left', 'fsck-clean'], 'forced-reboot'],
    [['marker-left', 'fsck-clean', 'journal-renamed'], 'unclean'],
    [['marker-left', 'filesystem-recovered'], 'unclean'],
    // Cut in the last moments of a forced reboot.
    [['marker-left', 'journal-stopped', 'fsck-recovered'], 'unclean'],
    [['marker-removed'], 'clean'],
    [['marker-removed', 'journal-not-stopped'], 'clean'],
  ])('%j → %s', (kinds, expected) => expect(verdict(...kinds)).toBe(expected));

  it('a cut in the last moments of a shutdown is an outage, and is said to be that', () => {
    const outage = mergeEvidence(signs('marker-removed', 'journal-stopped', 'fsck-recovered'));
    expect(outage).toMatchObject({ verdict: 'unclean', cause: { kind: 'shutdown-cut-short' } });
  });

  it('a marker that someone took away by hand does not hide a cut', () => {
    expect(verdict('marker-removed', 'journal-not-stopped', 'journal-renamed')).toBe('unclean');
    expect(verdict('marker-removed', 'journal-not-stopped', 'wtmp-crash')).toBe('unclean');
  });
});

describe('without a marker', () => {
  it.each<[EvidenceKind[], OutageVerdict]>([
    [[], 'unknown'],
    [['heartbeat'], 'unknown'],
    [['heartbeat-stopped'], 'unknown'],
    [['log-torn'], 'unknown'],
    [['io-error'], 'unknown'],
    [['journal-stopped'], 'clean'],
    [['journal-not-stopped'], 'unclean'],
    [['journal-stopped', 'wtmp-crash'], 'forced-reboot'],
    [['journal-not-stopped', 'wtmp-shutdown'], 'unknown'],
    [['journal-not-stopped', 'wtmp-shutdown', 'fsck-clean'], 'clean'],
    [['journal-renamed'], 'unclean'],
    [['wtmp-shutdown'], 'clean'],
    [['wtmp-crash'], 'unclean'],
    [['wtmp-crash', 'fsck-clean'], 'forced-reboot'],
    [['fsck-clean'], 'clean'],
    [['fsck-recovered'], 'unclean'],
    [['fsck-clean', 'fsck-recovered'], 'unclean'],
    [['filesystem-recovered'], 'unclean'],
    [['watchdog'], 'unclean'],
    // Deleted files that were open at an orderly end are orphans as well.
    [['journal-stopped', 'filesystem-orphans'], 'clean'],
  ])('%j → %s', (kinds, expected) => expect(verdict(...kinds)).toBe(expected));
});

describe('a panic', () => {
  it.each<EvidenceKind[][]>([
    [['panic']],
    [['panic', 'marker-left', 'journal-not-stopped']],
    [['panic', 'marker-left', 'journal-stopped', 'fsck-clean']],
  ])('is one, with %j', (kinds) => {
    expect(mergeEvidence(signs(...kinds))).toMatchObject({ verdict: 'panic', cause: { kind: 'panic' } });
  });

  it('is none when the kernel only had an oops', () => {
    expect(mergeEvidence(signs('oops', 'journal-not-stopped'))).toMatchObject({
      verdict: 'unclean',
      cause: { kind: 'unknown', text: expect.stringContaining('oops') },
    });
  });
});

describe('where the question makes no sense', () => {
  it.each<EvidenceKind>(['container', 'chroot', 'no-disks'])(
    '%s: no alarm, whatever else there is',
    (kind) => {
      expect(mergeEvidence(signs('marker-left', 'journal-not-stopped', 'panic', kind))).toMatchObject({
        verdict: 'not-applicable',
        interval: {},
      });
    },
  );
});

describe('several boots', () => {
  const boot = (n: number): string => `${String(n).repeat(8)}-0000-4000-8000-000000000000`;
  const of = (kind: EvidenceKind, n: number, when: When = {}): Evidence =>
    evidence(kind, kind, 'so', { boot: boot(n), ...when });

  it('one bad end after the marker’s boot is an outage', () => {
    const outage = mergeEvidence([
      began,
      of('marker-left', 4),
      of('journal-stopped', 4),
      of('journal-not-stopped', 5),
    ]);
    expect(outage).toMatchObject({ verdict: 'unclean', boot: boot(5) });
  });

  it('the signs of a boot that is not the one that ended neither explain nor contradict', () => {
    const outage = mergeEvidence([
      began,
      of('marker-left', 4),
      of('journal-not-stopped', 4),
      of('journal-stopped', 5),
    ]);
    expect(outage).toMatchObject({ verdict: 'unclean', boot: boot(4), cause: { kind: 'unknown' } });
    expect(outage.contradictions).toEqual([]);
  });
});

describe('the cause', () => {
  const cut = signs('marker-left', 'journal-not-stopped');
  const said = (kind: EvidenceKind, text: string) => mergeEvidence([...cut, evidence(kind, 'x', text)]).cause;
  const REASON = 'the kernel said: x86/amd: Previous system reset reason [0x08000800]: ';

  it.each([
    ['watchdog', 'watchdog', 'the watchdog reset the machine'],
    ['power-loss', 'power-failed', 'the mains failed'],
    ['power-loss', 'ups', 'the battery was exhausted'],
    ['watchdog', 'reset-reason', `${REASON}hardware watchdog timer expired`],
    ['overheating', 'reset-reason', `${REASON}thermal pin BP_THERMTRIP_L was tripped`],
    ['power-button', 'reset-reason', `${REASON}power button was pressed for 4 seconds`],
    ['reset', 'reset-reason', `${REASON}software wrote 0x6 to reset control register 0xCF9`],
    ['unknown', 'io-error', 'I/O error, dev sda, sector 5'],
  ] as const)('is %s with %s %s', (cause, kind, text) => expect(said(kind, text)?.kind).toBe(cause));

  it('is not hinted at by a disk that fails now', () => {
    const now = evidence('io-error', 'kernel log', 'I/O error, dev sda, sector 5', { boot: NOW });
    expect(mergeEvidence([...cut, now]).cause?.text).not.toContain('disk');
    const then = evidence('io-error', 'journal', 'I/O error, dev sda, sector 5', { boot: BEFORE });
    expect(mergeEvidence([...cut, then]).cause?.text).toContain('errors of a disk');
  });

  it('names no reason without a source for it', () => {
    expect(mergeEvidence(cut).cause).toMatchObject({
      kind: 'unknown',
      text: expect.stringContaining('no source tells which'),
    });
  });

  it('of a clean end there is none', () => {
    expect(mergeEvidence(signs('marker-removed')).cause).toBeUndefined();
  });
});

it('the order of the evidence changes no verdict, and every kind can be merged', () => {
  const all = signs(
    ...EVIDENCE_KINDS.filter((kind) => !['container', 'chroot', 'no-disks', 'boot-began'].includes(kind)),
  );
  const outage = mergeEvidence(all);
  expect(outageSchema.safeParse(outage).error).toBeUndefined();
  expect(mergeEvidence(all.toReversed())).toMatchObject({ verdict: outage.verdict, boot: outage.boot });
});
