/** What is said of a filesystem's check and repair, and of what lies in lost+found. */
import type { Finding } from '../model/finding.ts';
import type { FsckCheck, FsckRun } from '../model/fsck-run.ts';
import type { LostFound, LostReturn, LostUnknown } from '../model/lost-found.ts';
import { pathForTerminal } from '../model/path-text.ts';
import { count, oneLine, type Paint, painter, printable, size } from './human/text.ts';

export interface FsckPageOptions {
  readonly colour: boolean;
  readonly all: boolean;
}

/** Of one kind more are only counted. */
const LISTED = 12;

/** The text ends in a newline. */
export function fsckRunPage(run: FsckRun, options: FsckPageOptions): string {
  const paint = painter(options.colour);
  const { target, packages, check, repair, after, lostFound } = run;
  const last = after ?? check;
  const name = `${target.type} on ${pathForTerminal(target.file)}${target.uuid === undefined ? '' : ` (${target.uuid})`}`;
  const blocks: string[][] = [
    [headline(last, repair !== undefined, paint), `  ${name}`, ...owners(packages)],
    repair === undefined ? [] : repairLines(repair, paint),
    findingLines(last.findings, options, paint),
    last.notes.map((note) => `  ${oneLine(note)}`),
  ];
  return `${joined(blocks)}${lostFound === undefined ? '' : `\n${lostFoundPage(lostFound, options)}`}${joined([next(run, paint)], true)}`;
}

function headline({ state, findings }: FsckCheck, repaired: boolean, paint: Paint): string {
  const worth = findings.filter(({ severity }) => severity !== 'info').length;
  switch (state) {
    case 'sound':
      return worth === 0
        ? paint(
            ['bold', 'green'],
            repaired ? 'sound: repaired, and checked again' : 'sound: its checker finds nothing',
          )
        : paint(['bold', 'yellow'], `sound, with ${count(worth, 'remark')}`);
    case 'damaged':
      return paint(
        ['bold', 'red'],
        `damaged: ${count(worth, 'finding')}${repaired ? ' left after the repair' : ''}`,
      );
    case 'unfinished':
      return paint(['bold', 'red'], 'not known: the check could not be done to its end');
  }
}

function owners({ source, root, mountPoint, why }: FsckRun['packages']): string[] {
  switch (source) {
    case 'itself':
      return ['  packages: by its own dpkg database'];
    case 'root':
      return [
        `  packages: by the dpkg database of ${pathForTerminal(root ?? '/')}, where it is ${pathForTerminal(mountPoint ?? '/')}`,
      ];
    case 'none':
      return [`  packages are not named: ${oneLine(why ?? 'no dpkg database is known')}`];
  }
}

function findingLines(findings: readonly Finding[], { all }: FsckPageOptions, paint: Paint): string[] {
  const wanted = all ? findings : findings.filter(({ severity }) => severity !== 'info');
  const shown = all ? wanted : wanted.slice(0, LISTED);
  return [
    ...shown.flatMap(({ severity, path, package: pkg, message }) => {
      const subject = path === undefined ? '' : ` ${pathForTerminal(path)}`;
      const owner = pkg === undefined ? '' : ` (${printable(pkg)})`;
      const style =
        severity === 'critical' || severity === 'error' ? 'red' : severity === 'warning' ? 'yellow' : 'dim';
      return [`  ${paint(style, severity)}${subject}${owner}`, `      ${oneLine(message)}`];
    }),
    ...(wanted.length > shown.length
      ? [`  and ${wanted.length - shown.length} more: --all or --json tells all`]
      : []),
  ];
}

function repairLines(
  { program, args, code, meanings }: NonNullable<FsckRun['repair']>,
  paint: Paint,
): string[] {
  return [
    paint('bold', 'repair'),
    `  ${printable([program, ...args].join(' '))}`,
    `  it ended with ${code ?? 'a signal'}: ${meanings.join('; ')}`,
  ];
}

function next({ target, check, repair, after }: FsckRun, paint: Paint): string[] {
  const rows: string[] = [];
  const file = pathForTerminal(target.file);
  const last = after ?? check;
  if (last.state !== 'sound' && target.type === 'btrfs')
    rows.push(...command('mount it, then: btrfs scrub start -B DIR', 'mends what another copy has'));
  else if (last.state === 'damaged' && repair === undefined)
    rows.push(
      ...command(`debmend fsck run --repair ${file}`, 'mends what can be mended unasked'),
      ...command(
        `debmend fsck run --repair=all ${file}`,
        'mends all; what has no name goes to lost+found, from where it can return',
      ),
    );
  if (last.state === 'damaged' && repair?.args.includes('-p') === true)
    rows.push(
      ...command(`debmend fsck run --repair=all ${file}`, 'mends what this one would not decide unasked'),
    );
  if (repair?.wayBack !== undefined)
    rows.push(
      ...command(
        repair.wayBack.command.join(' '),
        'takes the repair back, as long as nothing else was written since',
      ),
    );
  if (repair !== undefined)
    rows.push(
      ...command(
        'debmend fsck return --root DIR',
        'once it is mounted on DIR: what lies in lost+found goes back',
      ),
      ...command('debmend recover --root DIR', 'and what the repair had to delete comes from its package'),
    );
  return rows.length === 0 ? [] : [paint('bold', 'next'), ...rows];
}

function command(text: string, what: string): string[] {
  return [`  ${printable(text)}`, `      ${what}`];
}

/** What lies in lost+found, and where it belongs. The text ends in a newline. */
export function lostFoundPage(found: LostFound, options: FsckPageOptions): string {
  const paint = painter(options.colour);
  const { directories, applied, run, returns, stays, problems } = found;
  const failed = returns.filter(({ outcome }) => outcome === 'failed').length;
  const total = returns.length + stays.length;
  const head =
    directories.length === 0
      ? 'there is no lost+found'
      : total === 0
        ? `${directories.map(pathForTerminal).join(', ')}: empty`
        : applied
          ? `${count(returns.length - failed, 'thing')} returned to where they belong, ${failed} failed, ${stays.length} stay`
          : `${count(returns.length, 'thing')} in lost+found can go back to where they belong, ${stays.length} stay`;
  const shown = options.all ? returns : returns.slice(0, LISTED);
  const kept = options.all ? stays : stays.slice(0, LISTED);
  const more = (all: number, some: number): string[] =>
    all > some ? [`  and ${all - some} more: --all or --json tells all`] : [];
  return joined([
    [paint('bold', head)],
    [...shown.flatMap(returnLines), ...more(returns.length, shown.length)],
    stays.length === 0
      ? []
      : [paint('bold', 'stays'), ...kept.flatMap(stayLines), ...more(stays.length, kept.length)],
    problems.map((problem) => `  ${oneLine(problem)}`),
    run === undefined ? [] : command(`debmend undo ${run}`, 'takes it back'),
  ]);
}

function returnLines({
  from,
  to,
  package: pkg,
  reason,
  source,
  replaces,
  others,
  outcome,
  problem,
}: LostReturn): string[] {
  const verb = { proposed: 'would go back', returned: 'is back', failed: 'failed' }[outcome];
  return [
    `  ${pathForTerminal(from)} -> ${pathForTerminal(to)}${pkg === undefined ? '' : ` (${printable(pkg)})`}: ${verb}`,
    `      ${oneLine(problem ?? reason)}; by ${source}${replaces ? '; what stands there is damaged, and goes to quarantine' : ''}`,
    ...(others.length === 0
      ? []
      : [`      the same content is missing at ${others.map(pathForTerminal).join(', ')}`]),
  ];
}

function stayLines({
  path,
  looksLike,
  size: bytes,
  mode,
  uid,
  gid,
  modifiedAt,
  reason,
  hints,
}: LostUnknown): string[] {
  const when = modifiedAt === undefined ? '' : `, changed ${modifiedAt.slice(0, 19).replace('T', ' ')}`;
  return [
    `  ${pathForTerminal(path)}: ${looksLike}, ${size(bytes)}, mode ${mode}, owner ${uid}:${gid}${when}`,
    `      ${oneLine(reason)}${hints.length === 0 ? '' : `; perhaps ${hints.map(pathForTerminal).join(', ')}`}`,
  ];
}

function joined(blocks: readonly (readonly string[])[], gap = false): string {
  const text = blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => `${lines.join('\n')}\n`)
    .join('\n');
  return gap && text !== '' ? `\n${text}` : text;
}
