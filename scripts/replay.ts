/** The incident replayed, as root: MySQL being installed, the power cut, `debmend recover --apply`, MySQL answers. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Contestant } from '../test/recovery/lab/power/contestants.ts';
import { Lab } from '../test/recovery/lab/power/lab.ts';
import { details, row, table } from '../test/recovery/lab/power/lines.ts';
import type { Result } from '../test/recovery/lab/power/results.ts';
import { VARIANTS, variantNamed } from '../test/recovery/lab/power/variants.ts';
import { powerWorkloadNamed } from '../test/recovery/lab/power/workloads.ts';

const NAMES = VARIANTS.map(({ name }) => name);

const USAGE = `usage: node scripts/replay.ts [--cuts N] [--seed N] [--at SECONDS] [--suite bookworm|trixie]
                              [--fs NAME] [--playbook] [--only-playbook] [--keep]

  --cuts N         instants, from before dpkg begins until 7 s after the end (default 20)
  --seed N         where they lie (default 1)
  --at SECONDS     this one instant, from the start of the installation
  --fs NAME        ${NAMES.join(', ')} (default ext4)
  --playbook       beside debmend: dpkg --configure -a, apt-get -f install, the installation again, on the same images
  --only-playbook  without debmend
  --keep           leave the images of failing cases, and say where

Exit codes: 0 debmend mended all, 1 it did not, 2 usage
The same and more, with results that are kept: npm run lab (docs/lab.md).`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cuts: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      at: { type: 'string' },
      suite: { type: 'string', default: 'bookworm' },
      fs: { type: 'string', default: 'ext4' },
      playbook: { type: 'boolean', default: false },
      'only-playbook': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
    },
  });
  const [cuts, seed, at] = [Number(values.cuts), Number(values.seed), Number(values.at ?? 1)];
  const { suite, fs } = values;
  const numbers = [Number.isInteger(cuts) && cuts > 0, Number.isInteger(seed) && seed >= 0, at > 0];
  if (numbers.includes(false) || (suite !== 'bookworm' && suite !== 'trixie') || !NAMES.includes(fs)) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const contestants: Contestant[] = [
    ...(values['only-playbook'] ? [] : (['debmend'] as const)),
    ...(values['only-playbook'] || values.playbook ? (['playbook'] as const) : []),
  ];
  const one = {
    workload: powerWorkloadNamed('mysql'),
    variant: variantNamed(fs),
    disk: 'honest' as const,
    seed,
  };
  const lab = new Lab({
    suite,
    say,
    ...(values.keep ? { keep: { directory: join(tmpdir(), 'debmend-replay-kept'), most: cuts } } : {}),
  });
  const results: Result[] = [];
  try {
    for (let number = 1; number <= (values.at === undefined ? cuts : 1); number += 1) {
      const options = { contestants, ...(values.at === undefined ? {} : { at }) };
      for (const result of await lab.run({ ...one, number }, options)) {
        results.push(result);
        say(row(result));
        if (result.verdict !== 'equal') for (const line of details(result)) say(`    ${line}`);
      }
    }
  } finally {
    lab.close();
  }
  table(results, say);
  return results.every(({ by, verdict }) => by === 'playbook' || verdict === 'equal') ? 0 : 1;
}

// Disks are taken away at the end of the process, however it comes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
process.exitCode = await main();
