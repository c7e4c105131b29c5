/** Every point of every workload cut, recovered and judged, as root; resumable (test/recovery/lab/states.ts). */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '../test/lab/roots.ts';
import { CAMPAIGN_OPTIONS, countsOf, runCampaign, table } from '../test/recovery/lab/campaign.ts';
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
      ...CAMPAIGN_OPTIONS,
      workload: { type: 'string' },
      at: { type: 'string' },
      boot: { type: 'string' },
      playbook: { type: 'boolean', default: false },
    },
  });
  const counts = countsOf(values);
  if (counts === undefined) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const { stride, jobs } = counts;
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
    table(outcomes, (point) => point.split('/').slice(0, 2).join('/'), say);
    return outcomes.every(isMended) ? 0 : 1;
  } finally {
    lab.close();
  }
}

/** A point after a reboot never has the outcome of one without: in queues of their own nobody waits for another job. */
async function all(
  lab: StatesLab,
  points: readonly Point[],
  jobs: number,
  byPlaybook: boolean,
  again: boolean,
): Promise<Outcome[]> {
  return await runCampaign({
    queues: [...Map.groupBy(points, ({ boot }) => boot).values()],
    nameOf,
    run: (point) => lab.run(point, byPlaybook ? playbook : debmendRecovery),
    jobs,
    file: join(cacheDirectory(), `states-${lab.sources()}${byPlaybook ? '-playbook' : ''}.jsonl`),
    again,
    remember: (outcome) => lab.remember(outcome),
    say,
  });
}

process.exitCode = await main();
