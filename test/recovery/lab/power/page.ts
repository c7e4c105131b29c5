/** docs/lab.md's tables and drawings, made of results; whoever has the same results gets the same bytes. */

import type { DiskKind } from './cases.ts';
import { CONTESTANTS, type Contestant } from './contestants.ts';
import type { Result } from './results.ts';
import { VERDICTS, type Verdict } from './verdict.ts';

/** Which cut of the table a column is about. */
interface Column {
  readonly title: string;
  readonly by: Contestant;
  readonly disk: DiskKind;
}

const COLUMNS: Readonly<Record<DiskKind, readonly Column[]>> = {
  honest: [
    { title: 'debmend', by: 'debmend', disk: 'honest' },
    { title: 'debmend, cut again', by: 'debmend-cut', disk: 'honest' },
    { title: 'playbook', by: 'playbook', disk: 'honest' },
  ],
  kill: [
    { title: 'debmend', by: 'debmend', disk: 'kill' },
    { title: 'debmend, cut', by: 'debmend-cut', disk: 'kill' },
    { title: 'playbook', by: 'playbook', disk: 'kill' },
  ],
  lying: [
    { title: 'debmend', by: 'debmend', disk: 'lying' },
    { title: 'playbook', by: 'playbook', disk: 'lying' },
  ],
};

const partsOf = ({ case: name }: Result): { workload: string; variant: string; disk: string } => {
  const [workload = '', variant = '', disk = ''] = name.split('/');
  return { workload, variant, disk };
};

/** A row for each workload and filesystem, and one for all: how many cuts, and of each contestant how many ended equal. */
export function tableOf(results: readonly Result[], disk: DiskKind): string {
  const of = results.filter((result) => partsOf(result).disk === disk);
  const columns = COLUMNS[disk];
  const rows = [...Map.groupBy(of, (result) => `${partsOf(result).workload} | ${partsOf(result).variant}`)];
  const line = (name: string, group: readonly Result[]) => {
    const cells = columns.map(({ by }) => shareOf(group.filter((one) => one.by === by)));
    const cuts = new Set(group.map((one) => one.case)).size;
    return `| ${name} | ${cuts} | ${cells.join(' | ')} |`;
  };
  return [
    `| workload | filesystem | cuts | ${columns.map(({ title }) => title).join(' | ')} |`,
    `| --- | --- | ---: | ${columns.map(() => '---').join(' | ')} |`,
    ...rows.map(([name, group]) => line(name, group)),
    line('**all** | ', of),
  ].join('\n');
}

/** `12 of 12`, and what became of the others. */
function shareOf(results: readonly Result[]): string {
  if (results.length === 0) return '–';
  const equal = results.filter(({ verdict }) => verdict === 'equal').length;
  const others = VERDICTS.toReversed().flatMap((verdict) => {
    const { length } = results.filter((one) => one.verdict === verdict);
    return verdict === 'equal' || length === 0 ? [] : [`${length} ${words(verdict, results[0]?.by)}`];
  });
  return [`${equal} of ${results.length}`, ...others].join(', ');
}

function words(verdict: Verdict, by: Contestant | undefined): string {
  switch (verdict) {
    case 'liar':
      return by === 'playbook' ? 'wrong without a word' : '**called sound and is not**';
    case 'lost':
      return 'with something lost';
    case 'failed':
      return 'not ended';
    case 'unnamed':
      return by === 'playbook' ? 'wrong' : 'not all of it named';
    case 'named':
      return 'all of it named';
    case 'cautious':
      return 'equal, and unsure';
    case 'before':
      return 'as before';
    case 'equal':
      return 'equal';
    case 'beyond':
      return 'beyond mending';
  }
}

/** Of a drawing, in pixels. */
const [LEFT, WIDTH, BAR, GAP, GROUP] = [120, 560, 12, 3, 14];
const COLOURS: Readonly<Record<Contestant, string>> = {
  debmend: '#2f7d4f',
  'debmend-cut': '#7fb796',
  playbook: '#c0592b',
};

/** Bars, a group for each workload: of the cuts, the share that ended equal. */
export function drawingOf(results: readonly Result[], disk: DiskKind, title: string): string {
  const of = results.filter((result) => partsOf(result).disk === disk);
  const columns = COLUMNS[disk];
  const groups = [...Map.groupBy(of, (result) => partsOf(result).workload), ['all', of] as const];
  const height = columns.length * (BAR + GAP) + GROUP;
  const body: string[] = [];
  for (const [at, [name, group]] of groups.entries()) {
    const top = 48 + at * height;
    body.push(text(LEFT - 10, top + (height - GROUP) / 2 + 3, name, 'end', name === 'all'));
    for (const [index, { by }] of columns.entries()) {
      const all = group.filter((one) => one.by === by);
      const equal = all.filter(({ verdict }) => verdict === 'equal').length;
      const y = top + index * (BAR + GAP);
      const width = all.length === 0 ? 0 : Math.round(((WIDTH - 170) * equal) / all.length);
      body.push(`<rect class="back" x="${LEFT}" y="${y}" width="${WIDTH - 170}" height="${BAR}"/>`);
      body.push(`<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" fill="${COLOURS[by]}"/>`);
      body.push(text(LEFT + WIDTH - 162, y + BAR - 2, `${equal} of ${all.length}`));
    }
  }
  for (const [index, { title: column, by }] of columns.entries()) {
    const x = LEFT + index * 150;
    body.push(
      `<rect x="${x}" y="28" width="10" height="10" fill="${COLOURS[by]}"/>`,
      text(x + 15, 37, column),
    );
  }
  const whole = 48 + groups.length * height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH}" height="${whole}" viewBox="0 0 ${LEFT + WIDTH} ${whole}" role="img">`,
    `<title>${title}</title>`,
    '<style>text{font:12px sans-serif;fill:#333}.back{fill:#8883}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>',
    text(10, 16, title, 'start', true),
    ...body,
    '</svg>\n',
  ].join('\n');
}

function text(x: number, y: number, words: string, anchor = 'start', bold = false): string {
  const weight = bold ? ' font-weight="bold"' : '';
  return `<text x="${x}" y="${y}" text-anchor="${anchor}"${weight}>${words}</text>`;
}

/** What is published of a result: what the recovery said at length is not. */
export function published(results: Iterable<Result>): Result[] {
  return [...results]
    .map(({ said: _, ...result }) => ({
      ...result,
      differences: result.differences.slice(0, 3),
      lost: result.lost.slice(0, 3),
      audit: result.audit.slice(0, 200),
      wrong: result.wrong.slice(0, 200),
      ...(result.unnamed === undefined ? {} : { unnamed: result.unnamed.slice(0, 3) }),
      ...(result.beyond === undefined ? {} : { beyond: result.beyond.slice(0, 200) }),
    }))
    .sort((one, other) => orderOf(one).localeCompare(orderOf(other), 'en'));
}

/** Cases in the order of their numbers, contestants in theirs. */
function orderOf({ case: name, by }: Result): string {
  const padded = name.replace(/\d+$/, (number) => number.padStart(4, '0'));
  return `${padded} ${CONTESTANTS.indexOf(by)}`;
}

const MARKS = /(<!-- (\w+) -->\n)[\s\S]*?(\n<!-- end -->)/g;

/** The page with what stands between its marks made anew: `<!-- honest -->` … `<!-- end -->`. */
export function withTables(page: string, results: readonly Result[]): string {
  return page.replace(MARKS, (_, begin: string, mark: string, end: string) => {
    if (mark === 'honest' || mark === 'lying' || mark === 'kill') return begin + tableOf(results, mark) + end;
    throw new Error(`docs/lab.md has a mark that nothing is known of: ${mark}`);
  });
}

export const DRAWINGS: Readonly<Record<'honest' | 'lying', string>> = {
  honest: 'Power cuts that ended like an uninterrupted run',
  lying: 'The same, on a disk that lost or tore what it had promised',
};
