/** The incident replayed, as root: MySQL being installed, the power cut, `debmend recover --apply`, MySQL answers. */
import { parseArgs } from 'node:util';
import { isReplayed, Replay, type ReplayOutcome } from '../test/recovery/lab/replay.ts';
import { debmendRecovery, playbook } from '../test/recovery/lab/states.ts';

const USAGE = `usage: node scripts/replay.ts [--cuts N] [--seed N] [--at SECONDS] [--suite bookworm|trixie]
                              [--fs ext4|xfs] [--playbook] [--only-playbook] [--keep]

  --cuts N         instants, spread from 1 s after the start until 7 s after the end (default 20)
  --seed N         where in its share of the run each instant lies (default 1)
  --at SECONDS     this one instant
  --playbook       beside debmend: dpkg --configure -a, apt-get -f install, the installation again, on the same images
  --only-playbook  without debmend
  --keep           leave the images of failing cases, and say where

Exit codes: 0 debmend mended all, 1 it did not, 2 usage`;

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
  const [cuts, seed, at] = [values.cuts, values.seed, values.at ?? '1'].map(Number) as [
    number,
    number,
    number,
  ];
  const { suite, fs: type } = values;
  if (
    !(Number.isInteger(cuts) && cuts > 0 && Number.isInteger(seed) && at > 0) ||
    (suite !== 'bookworm' && suite !== 'trixie') ||
    (type !== 'ext4' && type !== 'xfs')
  ) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const only = values['only-playbook'];
  const recoveries = {
    ...(only ? {} : { debmend: debmendRecovery }),
    ...(only || values.playbook ? { playbook } : {}),
  };
  const replay = await Replay.open({ suite, type, keep: values.keep, say });
  const outcomes: ReplayOutcome[] = [];
  try {
    const instants = values.at === undefined ? replay.instants(cuts, seed) : [at];
    for (const instant of instants) {
      for (const outcome of await replay.cut({ at: instant, recoveries })) {
        outcomes.push(outcome);
        say(row(outcome));
        for (const line of details(outcome)) say(`    ${line}`);
      }
    }
  } finally {
    replay.close();
  }
  say('');
  for (const by of Object.keys(recoveries)) {
    const all = outcomes.filter((outcome) => outcome.by === by);
    const mended = all.filter(isReplayed).length;
    const answering = all.filter(({ mariadb, said }) => mariadb === '' && said === undefined).length;
    say(
      `${by}: ${mended} of ${all.length} like an uninterrupted installation; MariaDB sound after ${answering}`,
    );
  }
  return outcomes.every((outcome) => outcome.by !== 'debmend' || isReplayed(outcome)) ? 0 : 1;
}

function row(outcome: ReplayOutcome): string {
  const { at, by, code, seconds, differences, lost, audit, mariadb, phase } = outcome;
  return [
    `${at.toFixed(2)} s`.padStart(8),
    by.padEnd(8),
    (isReplayed(outcome) ? 'mended' : 'NOT').padEnd(6),
    `exit ${code ?? '-'}`.padEnd(8),
    `${seconds.toFixed(0)} s`.padStart(5),
    `${differences.length} differ`.padStart(10),
    `${lost.length} lost`.padStart(8),
    audit === '' ? 'audit empty' : 'audit speaks',
    mariadb === '' ? 'MariaDB sound' : 'MariaDB broken',
    phase,
  ].join('  ');
}

const MOST_LINES = 8;

function details({ differences, lost, audit, mariadb, said }: ReplayOutcome): string[] {
  const few = (lines: readonly string[]) =>
    lines.length > MOST_LINES
      ? [...lines.slice(0, MOST_LINES), `… ${lines.length - MOST_LINES} more`]
      : lines;
  const text = (words: string | undefined) =>
    words === undefined || words === '' ? [] : words.trimEnd().split('\n');
  return [
    ...few(differences),
    ...few(lost.map((line) => `lost: ${line}`)),
    ...few(text(audit)),
    ...few(text(mariadb)),
    ...text(said).slice(-MOST_LINES),
  ];
}

process.exitCode = await main();
