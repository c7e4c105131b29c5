/** Why: the most telling of what the hardware, the kernel and the logs say. Pure. */
import type { Evidence, OutageCause, OutageVerdict } from '../model/outage.ts';

export function causeOf(verdict: OutageVerdict, evidence: readonly Evidence[]): OutageCause | undefined {
  const first = (kind: Evidence['kind']): Evidence | undefined => evidence.find((item) => item.kind === kind);
  const said = ({ source, text }: Evidence): string => `${text} (${source})`;
  switch (verdict) {
    case 'clean':
    case 'not-applicable':
    case 'unknown':
      return undefined;
    case 'forced-reboot':
      return {
        kind: 'forced-reboot',
        text: 'services were killed and filesystems closed, without an orderly shutdown (as reboot -f does)',
      };
    case 'panic': {
      const panic = first('panic');
      return { kind: 'panic', text: panic === undefined ? 'the kernel panicked' : said(panic) };
    }
    case 'unclean':
      break;
  }
  const watchdog = first('watchdog');
  if (watchdog !== undefined) return { kind: 'watchdog', text: said(watchdog) };
  const power = first('power-failed');
  if (power !== undefined) return { kind: 'power-loss', text: said(power) };
  for (const reset of evidence.filter(({ kind }) => kind === 'reset-reason')) {
    const kind = resetKind(reset.text);
    if (kind !== undefined) return { kind, text: said(reset) };
  }
  const ups = first('ups');
  if (ups !== undefined) return { kind: 'power-loss', text: said(ups) };
  const stopped = first('journal-stopped') ?? first('marker-removed');
  if (stopped !== undefined)
    return {
      kind: 'shutdown-cut-short',
      text: 'a shutdown was under way, and did not come to its end: power was lost, or the machine reset, in its last moments',
    };
  const hints = [
    ...(first('oops') === undefined ? [] : ['the kernel had reported an oops before']),
    ...(first('io-error') === undefined ? [] : ['the kernel reported errors of a disk']),
  ];
  return {
    kind: 'unknown',
    text: `power was lost, or the machine was reset or hung: no source tells which${hints.map((hint) => `; ${hint}`).join('')}`,
  };
}

/** Words of arch/x86/kernel/cpu/amd.c (Linux 6.16), of watchdogs and of management controllers. */
function resetKind(text: string): OutageCause['kind'] | undefined {
  if (/watchdog/i.test(text)) return 'watchdog';
  if (/therm|overheat|temperature/i.test(text)) return 'overheating';
  if (/power button/i.test(text)) return 'power-button';
  if (/voltage|power supply|overload|ac-failed/i.test(text)) return 'power-loss';
  return /reset|shutdown|flood|error/i.test(text.replace('Previous system reset reason', ''))
    ? 'reset'
    : undefined;
}
