/** Every point of every workload cut, recovered and judged, as root; resumable (test/recovery/lab/states.ts). */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '../test/lab/roots.ts';
import {
  debmendRecovery,
  isMended,
  nameOf,
  type Outcome,
  type Point,
  playbook,
  StatesLab,
  WORKLOADS,
} from '../test/recovery/lab/states.ts';

const USAGE = `usage: node scripts/states.ts [POINT…] [--workload NAME] [--class CALL|script|time] [--at K]
                              [--boot same|reboot] [--stride N] [--jobs N] [--playbook] [--again] [--list]

  POINT      one point by its name: upgrade/rename/17/reboot
  --stride N every N-th point of what the others chose (default 1)
  --jobs N   points at a time (default 1)
  --playbook the standard recipe instead of debmend
  --again    also those that were tried already with these sources

Exit codes: 0 all mended, 1 not all, 2 usage`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      workload: { type: 'string' },
      class: { type: 'string' },
      at: { type: 'string' },
      boot: { type: 'string' },
      stride: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '1' },
      playbook: { type: 'boolean', default: false },
      again: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const [stride, jobs] = [Number(values.stride), Number(values.jobs)];
  if (!Number.isInteger(stride) || stride < 1 || !Number.isInteger(jobs) || jobs < 1) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const lab = await StatesLab.open();
  try {
    const named = (point: Point) => positionals.length === 0 || positionals.includes(nameOf(point));
    const chosen = (point: Point) =>
      named(point) &&
      [
        [values.class, point.class],
        [values.at, point.at],
        [values.boot, point.boot],
      ].every(([wanted, is]) => wanted === undefined || wanted === is);
    const wanted = WORKLOADS.filter(
      ({ name }) =>
        (values.workload ?? name) === name &&
        (positionals.length === 0 || positionals.some((point) => point.startsWith(`${name}/`))),
    );
    const points: Point[] = [];
    for (const workload of wanted) points.push(...(await lab.points(workload)).filter(chosen));
    const tried = points.filter((_, at) => at % stride === 0);
    if (tried.length === 0) {
      process.stderr.write(`no such point\n${USAGE}\n`);
      return 2;
    }
    if (values.list) {
      for (const point of tried) say(nameOf(point));
      return 0;
    }
    const outcomes = await all(lab, tried, jobs, values.playbook, values.again);
    table(outcomes);
    return outcomes.every(isMended) ? 0 : 1;
  } finally {
    lab.close();
  }
}

async function all(
  lab: StatesLab,
  points: readonly Point[],
  jobs: number,
  byPlaybook: boolean,
  again: boolean,
): Promise<Outcome[]> {
  const file = join(cacheDirectory(), `states-${sourcesOf(lab)}${byPlaybook ? '-playbook' : ''}.jsonl`);
  const known = new Map<string, Outcome>();
  if (existsSync(file) && !again) {
    for (const line of readFileSync(file, 'utf8')
      .split('\n')
      .filter((text) => text.endsWith('}'))) {
      const outcome = JSON.parse(line) as Outcome;
      known.set(outcome.point, outcome);
      lab.remember(outcome);
    }
  }
  const outcomes: Outcome[] = [];
  // A point after a reboot never has the outcome of one without: nobody waits for what another job is at.
  const queues = new Map(
    [...Map.groupBy(points, ({ boot }) => boot)].map(([boot, group]) => [boot, group.values()]),
  );
  const begun = performance.now();
  let fresh = 0;
  const work = async (_: unknown, job: number) => {
    const own = [...queues.values()];
    for (const point of chained([...own.slice(job % own.length), ...own.slice(0, job % own.length)])) {
      const before = known.get(nameOf(point));
      const outcome = before ?? (await lab.run(point, byPlaybook ? playbook : debmendRecovery));
      if (before === undefined) {
        appendFileSync(file, `${JSON.stringify(outcome)}\n`);
        fresh += 1;
      }
      outcomes.push(outcome);
      const each = (performance.now() - begun) / 1000 / Math.max(1, fresh);
      const left = Math.round(((points.length - outcomes.length) * each) / 60);
      say(
        `${outcomes.length}/${points.length}  ${outcome.point}  ${verdict(outcome)}  ${outcome.seconds.toFixed(1)} s` +
          `${before === undefined ? '' : ' (before)'}${outcome.as === undefined ? '' : ` as ${outcome.as}`}  ${left} min left`,
      );
      if (!isMended(outcome)) for (const line of details(outcome)) say(`    ${line}`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return outcomes;
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

/** A line for each workload and class. */
function table(outcomes: readonly Outcome[]): void {
  say('');
  const groups = Map.groupBy(outcomes, ({ point }) => point.split('/').slice(0, 2).join('/'));
  for (const [name, group] of [...groups].sort()) {
    const mended = group.filter(isMended).length;
    const over = group.filter(({ interrupted }) => !interrupted).length;
    const uncut = over > 0 ? `, ${over} never interrupted` : '';
    say(`${name.padEnd(28)} ${mended} of ${group.length} mended${uncut}`);
  }
  say(`${'all'.padEnd(28)} ${outcomes.filter(isMended).length} of ${outcomes.length} mended`);
}

/** What the outcome depends on: debmend as it is installed, the packages, and how they are cut. */
function sourcesOf(lab: StatesLab): string {
  const hash = createHash('sha256');
  for (const [path, { hash: content }] of lab.base(WORKLOADS[0] ?? { base: 'bare' }).entries) {
    if (path.startsWith('/usr/lib/debmend/dist/')) hash.update(`${path} ${content}\n`);
  }
  for (const name of [
    'packages.ts',
    'states.ts',
    'judge.ts',
    'ignored.ts',
    'nothing-lost.ts',
    'records.ts',
  ]) {
    hash.update(readFileSync(join(import.meta.dirname, '../test/recovery/lab', name)));
  }
  return hash.digest('hex').slice(0, 16);
}

process.exitCode = await main();
