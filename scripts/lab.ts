/** The power-cut lab, as root (docs/lab.md). */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Case,
  caseNamed,
  casesOf,
  DISKS,
  EVERYTHING,
  nameOfCase,
} from '../test/recovery/lab/power/cases.ts';
import { CONTESTANTS, type Contestant } from '../test/recovery/lab/power/contestants.ts';
import { Lab } from '../test/recovery/lab/power/lab.ts';
import { details, isGood, row, table } from '../test/recovery/lab/power/lines.ts';
import { DRAWINGS, drawingOf, published, withTables } from '../test/recovery/lab/power/page.ts';
import { keyOf, parseResults, type Result, Results } from '../test/recovery/lab/power/results.ts';

const HOME = join(import.meta.dirname, '..');

const USAGE = `usage: node scripts/lab.ts [--only NAME,…] [--cuts N] [--seed N] [--by CONTESTANT,…] [--results DIR] [--again]
       node scripts/lab.ts --case ID [--at SECONDS] [--second-at SECONDS] [--by CONTESTANT,…] [--keep]
       node scripts/lab.ts sound [--only NAME,…]   two uninterrupted runs of each workload, which must not differ
       node scripts/lab.ts report [--results DIR]  docs/lab.md and its drawings made anew, of those results where
                                                   they are named, of docs/lab/results.jsonl where they are not

  --only     workloads, filesystems (${EVERYTHING.variants.map(({ name }) => name).join(', ')}), disks (${DISKS.join(', ')})
  --cuts N   of each workload, filesystem and disk (default 10)
  --seed N   where they lie (default 1)
  --by       ${CONTESTANTS.join(', ')} (default: all; on a lying disk without debmend-cut)
  --results  where results.jsonl is; what it has of these very sources is not done again
  --again    done again all the same
  --case ID  this one case, ${'apt-upgrade/ext4/honest/1.17'}, and what came of it in full
  --keep     leave the images of what is not equal, and say where

Exit codes: 0 debmend ended equal, or named what it could not mend, in all; 1 it did not; 2 usage`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

const KEPT_CASES = 12;
const MOST_LINES = 20;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      cuts: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      by: { type: 'string' },
      results: { type: 'string' },
      again: { type: 'boolean', default: false },
      case: { type: 'string' },
      at: { type: 'string' },
      'second-at': { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  const [cuts, seed] = [Number(values.cuts), Number(values.seed)];
  const [at, secondAt] = [values.at, values['second-at']].map((text) =>
    text === undefined ? undefined : Number(text),
  );
  if (
    !Number.isInteger(cuts) ||
    cuts < 1 ||
    !Number.isInteger(seed) ||
    Number.isNaN(at) ||
    Number.isNaN(secondAt)
  ) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  if (positionals[0] === 'report') return report(values.results);
  const results = new Results(values.results ?? join(HOME, 'node_modules/.cache/debmend-lab'));
  const lab = new Lab({
    suite: 'bookworm',
    say,
    keep: { directory: join(dirname(results.file), 'kept'), most: values.keep ? KEPT_CASES : 0 },
  });
  try {
    const selection = { ...selected(values.only), cuts, seed };
    if (positionals[0] === 'sound') return await sound(lab, selection);
    const known = values.again || values.case !== undefined ? new Map<string, Result>() : results.read();
    const cases = values.case === undefined ? casesOf(selection) : [caseNamed(values.case)];
    const seen: Result[] = [];
    const begun = performance.now();
    let fresh = 0;
    for (const [done, one] of cases.entries()) {
      const contestants = contestantsOf(one, values.by).filter((by) => {
        const before = known.get(keyOf({ case: nameOfCase(one), by }));
        if (before?.sources !== lab.sources) return true;
        seen.push(before);
        return false;
      });
      if (contestants.length === 0) continue;
      const made = await lab.run(one, {
        contestants,
        ...(at === undefined ? {} : { at }),
        ...(secondAt === undefined ? {} : { secondAt }),
      });
      fresh += 1;
      for (const result of made) {
        seen.push(result);
        if (values.case === undefined) results.append(result);
        say(row(result));
        if (!isGood(result) || values.case !== undefined)
          for (const line of details(result)) say(`    ${line}`);
      }
      const each = (performance.now() - begun) / 1000 / fresh;
      say(
        `  ${done + 1} of ${cases.length}, ${each.toFixed(0)} s each, ${Math.round(((cases.length - done - 1) * each) / 60)} min left`,
      );
    }
    table(seen, say);
    return seen.every(isGood) ? 0 : 1;
  } finally {
    lab.close();
  }
}

function selected(only: string | undefined): typeof EVERYTHING {
  const names = only?.split(',') ?? [];
  const of = <T>(all: readonly T[], nameOf: (one: T) => string): readonly T[] => {
    const chosen = all.filter((one) => names.includes(nameOf(one)));
    return chosen.length === 0 ? all : chosen;
  };
  const { workloads, variants, disks } = EVERYTHING;
  const known = [...workloads.map(({ name }) => name), ...variants.map(({ name }) => name), ...disks];
  for (const name of names) {
    if (known.includes(name)) continue;
    throw new Error(`no workload, filesystem or disk ${name}; there are ${known.join(', ')}`);
  }
  return {
    workloads: of(workloads, ({ name }) => name),
    variants: of(variants, ({ name }) => name),
    disks: of(disks, (name) => name),
  };
}

function contestantsOf({ disk }: Case, by: string | undefined): readonly Contestant[] {
  if (by === undefined)
    return disk === 'lying' ? CONTESTANTS.filter((one) => one !== 'debmend-cut') : CONTESTANTS;
  const names = by.split(',');
  const chosen = CONTESTANTS.filter((one) => names.includes(one));
  if (chosen.length < names.length) throw new Error(`--by takes ${CONTESTANTS.join(', ')}`);
  return chosen;
}

async function sound(lab: Lab, { workloads, variants }: typeof EVERYTHING): Promise<number> {
  let differing = 0;
  for (const variant of variants)
    for (const workload of workloads) {
      const differences = await lab.again({ workload, variant });
      say(
        `${workload.name} on ${variant.name}: ${differences.length === 0 ? 'the same twice' : 'not the same twice'}`,
      );
      for (const line of differences.slice(0, MOST_LINES)) say(`    ${line}`);
      differing += differences.length;
    }
  return differing === 0 ? 0 : 1;
}

/** The published results, the page and the drawings. */
function report(directory: string | undefined): number {
  const home = join(HOME, 'docs/lab');
  const file = join(home, 'results.jsonl');
  const read =
    directory === undefined ? parseResults(readFileSync(file, 'utf8')) : new Results(directory).read();
  const results = published(read.values());
  writeFileSync(file, results.map((result) => `${JSON.stringify(result)}\n`).join(''));
  for (const disk of ['honest', 'lying'] as const)
    writeFileSync(join(home, `${disk}.svg`), drawingOf(results, disk, DRAWINGS[disk]));
  const page = join(HOME, 'docs/lab.md');
  writeFileSync(page, withTables(readFileSync(page, 'utf8'), results));
  table(results, say);
  return 0;
}

// Disks are taken away at the end of the process, however it comes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
process.exitCode = await main();
