/** What is said of a plan and of a recovery: the outcome first, then what was or would be done, then what is left. */

import { pathForTerminal } from '../model/path-text.ts';
import type { LeftAlone, Phase, Plan, Recovery, Step } from '../model/recovery.ts';
import type { Report } from '../model/report.ts';
import { count, type Paint, painter, printable } from './human/text.ts';

export interface RecoveryPageOptions {
  readonly colour: boolean;
  /** Every step and everything that was left alone, also what needs no hand. */
  readonly all: boolean;
}

/** Of one kind more are only counted. */
const LISTED = 8;

const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  database: "dpkg's and apt's databases",
  tools: 'what every maintainer script counts on',
  boot: 'what the next boot needs',
  transaction: 'the interrupted installation',
  packages: 'unfinished packages',
  files: 'files',
  generated: 'files that programs make',
  leftovers: 'leftovers',
};

/** The text ends in a newline. */
export function renderRecovery(report: Report, options: RecoveryPageOptions): string {
  const { recovery, plan } = report;
  if (recovery === undefined || plan === undefined) return '';
  const paint = painter(options.colour);
  const blocks = [
    headline(recovery, plan, paint),
    ...(recovery.outcome === 'planned' ? steps(plan.steps, options, paint) : []),
    ...remains(recovery, plan, options, paint),
    next(recovery, paint),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

function headline(recovery: Recovery, plan: Plan, paint: Paint): string[] {
  const { outcome, mended, unmended, transaction } = recovery;
  const lines: string[] = [];
  switch (outcome) {
    case 'nothing-to-do':
      lines.push(paint(['bold', 'green'], 'sound: nothing has to be mended'));
      break;
    case 'planned':
      lines.push(
        paint(['bold', 'yellow'], `${count(plan.steps.length, 'step')} would mend it; nothing was changed`),
      );
      break;
    case 'mended':
      lines.push(
        paint(['bold', 'green'], `mended: ${count(mended, 'finding')}, and everything was read again`),
      );
      break;
    case 'incomplete':
      lines.push(
        paint(['bold', 'red'], `incomplete: ${count(mended, 'finding')} mended, ${unmended.length} not`),
      );
      break;
  }
  if (transaction !== undefined) lines.push(`  the installation ${transaction.id}: ${ENDS[transaction.end]}`);
  return lines;
}

const ENDS: Readonly<Record<NonNullable<Recovery['transaction']>['end'], string>> = {
  finished: 'brought to its end',
  'taken-back': 'taken back',
  open: 'still interrupted',
};

function steps(all: readonly Step[], { all: everything }: RecoveryPageOptions, paint: Paint): string[][] {
  const phases = [...new Set(all.map(({ phase }) => phase))];
  return phases.map((phase) => {
    const ours = all.filter((step) => step.phase === phase);
    const shown = everything ? ours : ours.slice(0, LISTED);
    return [
      paint('bold', PHASE_NAMES[phase]),
      ...shown.flatMap(stepLines),
      ...(ours.length > shown.length ? [`  and ${ours.length - shown.length} more: --json tells all`] : []),
    ];
  });
}

function stepLines({
  what,
  path,
  package: name,
  version,
  reason,
  source,
  command,
  needsNetwork,
}: Step): string[] {
  const subject = path === undefined ? [name, version].filter(Boolean).join(' ') : pathForTerminal(path);
  return [
    `  ${what.replaceAll('-', ' ')}${subject === '' ? '' : ` ${subject}`}${needsNetwork ? ' (needs the network)' : ''}`,
    `      ${printable(reason)}${source === undefined ? '' : `; from ${printable(source)}`}`,
    ...(command === undefined ? [] : [`      ${printable(command.join(' '))}`]),
  ];
}

function remains(recovery: Recovery, plan: Plan, { all }: RecoveryPageOptions, paint: Paint): string[][] {
  const open =
    recovery.outcome === 'planned' ? plan.leftAlone.filter(({ harmless }) => !harmless) : recovery.unmended;
  const harmless = plan.leftAlone.filter((one) => one.harmless);
  return [
    open.length === 0 ? [] : [paint(['bold', 'red'], 'not mended'), ...lines(open, all)],
    recovery.problems.length === 0
      ? []
      : [
          paint('bold', 'what went wrong on the way'),
          ...recovery.problems.map((text) => `  ${printable(text)}`),
        ],
    !all || harmless.length === 0 ? [] : [paint('bold', 'left alone'), ...lines(harmless, all)],
  ];
}

function lines(left: readonly LeftAlone[], all: boolean): string[] {
  const shown = all ? left : left.slice(0, LISTED);
  return [
    ...shown.map(({ finding, path, package: name, reason }) => {
      const subject = path === undefined ? (name ?? '') : pathForTerminal(path);
      return `  ${finding}${subject === '' ? '' : ` ${subject}`}: ${printable(reason)}`;
    }),
    ...(left.length > shown.length ? [`  and ${left.length - shown.length} more: --json tells all`] : []),
  ];
}

function next({ outcome, run, retry }: Recovery, paint: Paint): string[] {
  const rows: string[] = [];
  if (outcome === 'planned')
    rows.push('  debmend recover --apply     does it; every action can be taken back');
  if (run !== undefined) {
    rows.push(`${`  debmend undo ${run}`.padEnd(42)}takes it back`);
    rows.push(`${'  debmend quarantine list'.padEnd(42)}what was moved aside`);
  }
  if (retry) rows.push('  something waits for the network: run it again, or let debmend-retry.timer do it');
  return rows.length === 0 ? [] : [paint('bold', 'next'), ...rows];
}
