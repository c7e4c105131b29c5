/** The long form of test/snapshot/cuts.integration.test.ts: power cuts around the hooks, as root. */
import { parseArgs } from 'node:util';
import { type MariadbCut, mariadbCut, preCuts } from '../test/snapshot/cuts.ts';

const USAGE = `usage: node scripts/cuts.ts pre [--cuts N]   cut right after the pre hook returned (default 50)
       node scripts/cuts.ts mariadb [--hooks with|without]   cut 7 s after MariaDB was installed; default: both`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { cuts: { type: 'string', default: '50' }, hooks: { type: 'string' } },
  });
  const cuts = Number(values.cuts);
  if (positionals.length !== 1 || !Number.isInteger(cuts) || cuts < 1) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  switch (positionals[0]) {
    case 'pre': {
      const { total, failures } = await preCuts(cuts, say);
      say(`whole: ${total - failures.length} of ${total}`);
      return failures.length === 0 ? 0 : 1;
    }
    case 'mariadb': {
      for (const hooks of ['without', 'with']) {
        if (values.hooks !== undefined && values.hooks !== hooks) continue;
        say(`${hooks} the hooks`);
        print(await mariadbCut(hooks === 'with', say));
      }
      return 0;
    }
    default:
      process.stderr.write(`${USAGE}\n`);
      return 2;
  }
}

function print({ seconds, written, lost, lostOfManifests, seal, writtenAfterSeal }: MariadbCut): void {
  say(`installed in ${seconds.toFixed(1)} s; ${written} files written outside any manifest`);
  if (seal !== undefined) {
    const { at, complete, synced, sync } = seal;
    say(`seal: ${at} complete ${complete} synced ${synced} in ${sync?.seconds} s`);
    say(`written after the seal: ${writtenAfterSeal.join(' ') || 'nothing'}`);
  }
  for (const [where, files] of Object.entries({
    'outside any manifest': lost,
    'of manifests': lostOfManifests,
  })) {
    const kinds = Map.groupBy(files, ({ what }) => what);
    const counts = [...kinds].map(([what, { length }]) => `${length} ${what}`).join(', ');
    say(`${where}: ${files.length === 0 ? 'nothing lost' : counts}`);
    for (const { path, what, size, afterEnd, afterSeal } of files) {
      const seal = afterSeal === undefined ? '' : `, ${afterSeal.toFixed(1)} s from the seal`;
      say(`  ${what}  ${path}  (${size} bytes, written ${afterEnd.toFixed(1)} s from the end${seal})`);
    }
  }
}

process.exitCode = await main();
