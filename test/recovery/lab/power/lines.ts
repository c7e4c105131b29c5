/** What the lab says on a terminal: a line a result, all of one that is not as it should be, and the table at the end. */
import { CONTESTANTS } from './contestants.ts';
import { keyOf, type Result } from './results.ts';
import { VERDICTS } from './verdict.ts';

/** Outcomes of debmend's that a campaign may have. */
export const isGood = ({ by, verdict, case: name }: Result): boolean =>
  by === 'playbook' ||
  verdict === 'equal' ||
  (name.includes('/lying/') && ['cautious', 'named', 'before', 'beyond'].includes(verdict));

const MOST_LINES = 20;

export function row({
  case: name,
  by,
  verdict,
  at,
  seconds,
  differs,
  secondCut,
  begun,
  phase,
}: Result): string {
  return [
    name.padEnd(40),
    by.padEnd(11),
    verdict.toUpperCase() === 'EQUAL' ? 'equal   ' : verdict.toUpperCase().padEnd(8),
    (typeof at === 'number' ? `${at.toFixed(2)} s` : at).padStart(9),
    `${seconds.toFixed(1)} s`.padStart(7),
    differs > 0 ? `${differs} differ` : '',
    secondCut === undefined ? '' : `cut again at ${secondCut.toFixed(2)} s`,
    begun ? phase : 'nothing begun',
  ].join('  ');
}

export function details(result: Result): string[] {
  const {
    differences,
    unnamed,
    lost,
    audit,
    wrong,
    said,
    at,
    secondCut,
    case: name,
    by,
    lie,
    beyond,
  } = result;
  const text = (words: string | undefined) =>
    words === undefined || words === '' ? [] : words.trimEnd().split('\n');
  const again = [
    `npm run lab -- --case ${name} --by ${by}`,
    typeof at === 'number' ? ` --at ${at}` : '',
    secondCut === undefined ? '' : ` --second-at ${secondCut}`,
  ].join('');
  return [
    ...(lie === undefined ? [] : [`lie: ${JSON.stringify(lie)}`]),
    ...text(beyond),
    ...differences.slice(0, MOST_LINES),
    ...(unnamed ?? []).map((line) => `unnamed: ${line}`),
    ...lost.map((line) => `lost: ${line}`),
    ...text(audit),
    ...text(wrong),
    ...text(said).slice(-MOST_LINES),
    `again: ${again}`,
  ];
}

/** The worst first, then a line for each workload, filesystem, disk and contestant. */
export function table(results: readonly Result[], say: (line: string) => void): void {
  say('');
  for (const verdict of VERDICTS.filter((one) => !['equal', 'named', 'before', 'beyond'].includes(one)))
    for (const result of results.filter((one) => one.by !== 'playbook' && one.verdict === verdict))
      say(`${verdict.toUpperCase()}  ${keyOf(result)}  ${result.differences[0] ?? result.said ?? ''}`);
  const groups = Map.groupBy(
    results,
    ({ case: name, by }) => `${name.split('/').slice(0, 3).join('/')} ${by}`,
  );
  for (const [name, group] of groups) say(`${name.padEnd(56)} ${tally(group)}`);
  for (const by of CONTESTANTS) {
    const all = results.filter((one) => one.by === by);
    if (all.length > 0) say(`${by.padEnd(56)} ${tally(all)}`);
  }
}

function tally(results: readonly Result[]): string {
  const counts = VERDICTS.toReversed().flatMap((verdict) => {
    const { length } = results.filter((one) => one.verdict === verdict);
    return length === 0 ? [] : [`${length} ${verdict}`];
  });
  return `${results.length} cuts: ${counts.join(', ')}`;
}
