/** A recovery killed at every call that changes a disk, and run again, as root; resumable (test/recovery/lab/kills.ts). */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDirectory } from '../test/lab/roots.ts';
import { CAMPAIGN_OPTIONS, countsOf, runCampaign, table } from '../test/recovery/lab/campaign.ts';
import { KillsLab, nameOfKill } from '../test/recovery/lab/kills.ts';
import { isMended } from '../test/recovery/lab/states.ts';

const USAGE = `usage: node scripts/kills.ts [POINT…] [--class CALL] [--stride N] [--jobs N] [--again] [--list]

  POINT      one kill by its name: rename/17
  --stride N every N-th of what the others chose (default 1)
  --jobs N   at a time (default 1)
  --again    also those that were tried already with these sources

Exit codes: 0 all mended, 1 not all, 2 usage`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: CAMPAIGN_OPTIONS,
  });
  const counts = countsOf(values);
  if (counts === undefined) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const { stride, jobs } = counts;
  const lab = await KillsLab.open();
  try {
    const kills = (await lab.kills())
      .filter((kill) => positionals.length === 0 || positionals.includes(nameOfKill(kill)))
      .filter((kill) => values.class === undefined || kill.class === values.class)
      .filter((_, at) => at % stride === 0);
    if (kills.length === 0) {
      process.stderr.write(`no such kill\n${USAGE}\n`);
      return 2;
    }
    if (values.list) {
      for (const kill of kills) say(nameOfKill(kill));
      return 0;
    }
    const outcomes = await runCampaign({
      queues: [kills],
      nameOf: nameOfKill,
      run: (kill) => lab.run(kill),
      jobs,
      file: join(cacheDirectory(), `kills-${lab.sources()}.jsonl`),
      again: values.again,
      say,
    });
    table(outcomes, (point) => point.split('/')[0] ?? '', say);
    return outcomes.every(isMended) ? 0 : 1;
  } finally {
    lab.close();
  }
}

// Overlays are taken away at the end of the process, however it comes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
process.exitCode = await main();
