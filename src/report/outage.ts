/** What is said of an outage: the verdict first, then when, why, and what all that is known from. */

import type { Moment, Outage, OutageReport, OutageVerdict } from '../model/outage.ts';
import { pathToText } from '../model/path-text.ts';
import { SCHEMA_VERSION } from '../model/schema-version.ts';
import { duration } from '../outage/interval.ts';
import type { Root } from '../system/root.ts';
import { toolVersion } from '../system/tool.ts';
import { count, type Paint, padding, painter, printable, wrap } from './human/text.ts';

export interface OutagePageOptions {
  readonly colour: boolean;
  /** Columns of the terminal, or Infinity. */
  readonly width: number;
  /** Every piece of evidence, those that could not be had too. */
  readonly all: boolean;
}

/** The document that `debmend outage --json` prints. @param seconds until the verdict */
export function outageReport(root: Root, outage: Outage, seconds: number): OutageReport {
  return {
    schemaVersion: SCHEMA_VERSION,
    tool: { name: 'debmend', version: toolVersion() },
    root: pathToText(root.path),
    outage,
    seconds: Math.round(seconds * 1000) / 1000,
  };
}

const HEADLINES: Readonly<
  Record<OutageVerdict, { readonly style: Parameters<Paint>[0]; readonly text: string }>
> = {
  clean: { style: 'green', text: 'no outage: the boot before ended cleanly' },
  unclean: { style: 'red', text: 'outage: the boot before did not end cleanly' },
  'forced-reboot': { style: 'yellow', text: 'no outage, but a forced reboot ended the boot before' },
  panic: { style: 'red', text: 'outage: the kernel of the boot before panicked' },
  unknown: { style: 'yellow', text: 'not known: nothing tells how the boot before ended' },
  'not-applicable': { style: 'green', text: 'not applicable: this is no machine of its own' },
};

/** A source that was too slow may have had another verdict to give: it is always told. */
const SLOW = /did not answer within/;
const LABEL = 'last alive'.length;
const WIDEST = 100;

/** The first lines: the verdict, and when it was. They don't change when the late evidence comes in. It ends in a newline. */
export function outageHead(outage: Outage, options: OutagePageOptions): string {
  const paint = painter(options.colour);
  const { style, text } = HEADLINES[outage.verdict];
  const { from, to, clock } = outage.interval;
  return page([
    paint(['bold', style].flat() as Parameters<Paint>[0], text),
    ...row('because', outage.why, options, paint),
    ...(from === undefined ? [] : row('last alive', moment(from), options, paint)),
    ...(to === undefined ? [] : row('back at', moment(to), options, paint)),
    ...(from === undefined || to === undefined || clock !== undefined
      ? []
      : row('between', `${duration(Date.parse(to.at) - Date.parse(from.at))}`, options, paint)),
    ...(clock === undefined ? [] : row('clock', clock, options, paint)),
  ]);
}

/** The rest: the cause, what speaks against the verdict, the timeline and where it is from. */
export function outageBody(outage: Outage, options: OutagePageOptions): string {
  const paint = painter(options.colour);
  const lines: string[] = [];
  if (outage.cause !== undefined) lines.push(...row('cause', outage.cause.text, options, paint));
  outage.contradictions.forEach((text, index) => {
    lines.push(...row(index === 0 ? 'but' : '', text, options, paint));
  });
  if (outage.timeline.length > 0) {
    lines.push('', paint('bold', 'timeline (UTC)'));
    for (const { at, source, text } of outage.timeline)
      lines.push(`  ${seconds(at)}  ${printable(text)} (${printable(source)})`);
  }
  const undated = outage.evidence.filter(
    ({ at, kind, text }) => at === undefined && (options.all || kind !== 'unavailable' || SLOW.test(text)),
  );
  if (undated.length > 0) {
    lines.push('', paint('bold', 'without a time'));
    for (const { source, text } of undated) lines.push(`  ${printable(text)} (${printable(source)})`);
  }
  const unasked = outage.evidence.filter(({ kind }) => kind === 'unavailable');
  if (unasked.some(({ text }) => SLOW.test(text)))
    lines.push('', 'hint: --wait 10 waits longer for slow sources');
  const silent = unasked.length;
  if (silent > 0 && !options.all)
    lines.push('', `${count(silent, 'source')} could not be asked: --all tells which`);
  return page(lines);
}

function page(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function row(label: string, text: string, { width }: OutagePageOptions, paint: Paint): string[] {
  const room = Math.max(20, Math.min(WIDEST, width) - LABEL - 4);
  return wrap(printable(text), room).map((line, index) => {
    const head = index === 0 ? label : '';
    return `  ${paint('bold', head)}${padding(head, LABEL)}  ${line}`;
  });
}

function moment({ at, source }: Moment): string {
  return `${seconds(at)} UTC (${source})`;
}

function seconds(at: string): string {
  return at.slice(0, 19).replace('T', ' ');
}
