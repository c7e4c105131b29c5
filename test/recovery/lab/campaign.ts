/** A long list of points, tried by several jobs; what has come of each is kept, so that it can be broken off. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { isMended, type Outcome } from './states.ts';

/** What the scripts of campaigns have in common, for parseArgs. */
export const CAMPAIGN_OPTIONS = {
  class: { type: 'string' },
  stride: { type: 'string', default: '1' },
  jobs: { type: 'string', default: '1' },
  again: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
} as const;

/** @returns undefined when one of them is no positive number */
export function countsOf(values: {
  readonly stride: string;
  readonly jobs: string;
}): { readonly stride: number; readonly jobs: number } | undefined {
  const [stride, jobs] = [Number(values.stride), Number(values.jobs)];
  return [stride, jobs].every((one) => Number.isInteger(one) && one > 0) ? { stride, jobs } : undefined;
}

export interface Campaign<P> {
  /** Each is worked through from its start; a job that ends one helps with the next. */
  readonly queues: readonly (readonly P[])[];
  readonly nameOf: (point: P) => string;
  readonly run: (point: P) => Promise<Outcome>;
  /** Jobs at a time. */
  readonly jobs: number;
  /** Where outcomes are kept, a JSON object a line; it belongs to these very sources. */
  readonly file: string;
  /** Also those that are kept already. */
  readonly again: boolean;
  /** Called for each that is kept already, before anything runs. */
  readonly remember?: (outcome: Outcome) => void;
  readonly say: (line: string) => void;
}

export async function runCampaign<P>(campaign: Campaign<P>): Promise<Outcome[]> {
  const { queues, nameOf, run, jobs, file, again, remember, say } = campaign;
  const known = again ? new Map<string, Outcome>() : readOutcomes(file);
  for (const outcome of known.values()) remember?.(outcome);
  const all = queues.reduce((sum, { length }) => sum + length, 0);
  const rests = queues.map((queue) => queue.values());
  const outcomes: Outcome[] = [];
  const begun = performance.now();
  let fresh = 0;
  const work = async (_: unknown, job: number) => {
    const first = job % rests.length;
    for (const point of chained([...rests.slice(first), ...rests.slice(0, first)])) {
      const before = known.get(nameOf(point));
      const outcome = before ?? (await run(point));
      if (before === undefined) {
        appendFileSync(file, `${JSON.stringify(outcome)}\n`);
        fresh += 1;
      }
      outcomes.push(outcome);
      const each = (performance.now() - begun) / 1000 / Math.max(1, fresh);
      const left = Math.round(((all - outcomes.length) * each) / 60);
      const from = before === undefined ? '' : ' (before)';
      const as = outcome.as === undefined ? '' : ` as ${outcome.as}`;
      const seconds = `${outcome.seconds.toFixed(1)} s`;
      say(
        `${outcomes.length}/${all}  ${outcome.point}  ${verdict(outcome)}  ${seconds}${from}${as}  ${left} min left`,
      );
      if (!isMended(outcome)) for (const line of details(outcome)) say(`    ${line}`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return outcomes;
}

function readOutcomes(file: string): Map<string, Outcome> {
  if (!existsSync(file)) return new Map();
  const lines = readFileSync(file, 'utf8').split('\n');
  // A last line that a cut left half is none.
  const outcomes = lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Outcome);
  return new Map(outcomes.map((outcome) => [outcome.point, outcome]));
}

/** All of each in its turn; what another job took meanwhile is gone. */
function* chained<T>(queues: readonly Iterator<T, undefined>[]): Generator<T> {
  for (const queue of queues) {
    for (let next = queue.next(); next.done !== true; next = queue.next()) yield next.value;
  }
}

const verdict = (outcome: Outcome): string =>
  isMended(outcome) ? (outcome.interrupted ? 'mended' : 'was over') : 'NOT MENDED';

const MOST_LINES = 10;

function details({ code, differences, lost, audit, said = '' }: Outcome): string[] {
  const lines = [
    `exit ${code ?? '-'}`,
    ...differences,
    ...lost.map((line) => `lost: ${line}`),
    ...[audit, said].flatMap((text) => (text === '' ? [] : text.trimEnd().split('\n'))),
  ];
  return lines.length > MOST_LINES
    ? [...lines.slice(0, MOST_LINES), `… ${lines.length - MOST_LINES} more`]
    : lines;
}

/** A line for each group of points, and one for all. */
export function table(
  outcomes: readonly Outcome[],
  groupOf: (point: string) => string,
  say: (line: string) => void,
): void {
  const line = (name: string, group: readonly Outcome[]) => {
    const over = group.filter(({ interrupted }) => !interrupted).length;
    const uncut = over > 0 ? `, ${over} never interrupted` : '';
    say(`${name.padEnd(28)} ${group.filter(isMended).length} of ${group.length} mended${uncut}`);
  };
  say('');
  for (const [name, group] of [...Map.groupBy(outcomes, ({ point }) => groupOf(point))].sort())
    line(name, group);
  line('all', outcomes);
}
