/**
 * triggers/: who is interested in what is written down again from the packages' own triggers files (deb-triggers(5);
 * lib/dpkg/triglib.c, trig_file_interests_update and trk_explicit_interest_change). What was activated, and is not yet in
 * any record, only Unincorp itself knows.
 */

import type { DatabaseProblem } from '../../dpkg/problem.ts';
import { type Interest, interestsOf, parseUnincorp } from '../../dpkg/triggers.ts';
import type { RecordSet } from './record-text.ts';
import type { Workbench } from './workbench.ts';

/** After the control files: what they will hold decides. */
export async function mendTriggers(bench: Workbench, records: RecordSet): Promise<void> {
  const directory = bench.admindir.path('triggers/');
  const problems = bench.database.problems.filter(({ file }) => file.startsWith(directory));
  if (problems.length === 0) return;
  const interests = await allInterests(bench, records);
  // Several packages may be missing in one file.
  const each = new Map(problems.map((problem) => [problem.file, problem]));
  for (const problem of each.values()) {
    if (problem.file === `${directory}Unincorp`) mendUnincorp(bench, problem);
    else await mendInterests(bench, problem, interests);
  }
}

async function allInterests(bench: Workbench, records: RecordSet): Promise<Interest[]> {
  const { info } = bench.database;
  const interests: Interest[] = [];
  for (const { package: pkg } of records.all()) {
    if (pkg.state === 'not-installed' || pkg.state === 'config-files') continue;
    const text = await bench.contentOf(`info/${info.stemOf(pkg)}.triggers`);
    if (text !== undefined) interests.push(...interestsOf(text, pkg));
  }
  return interests;
}

async function mendInterests(
  bench: Workbench,
  problem: DatabaseProblem,
  interests: readonly Interest[],
): Promise<void> {
  const name = problem.file.slice(problem.file.lastIndexOf('/') + 1);
  const isFile = name === 'File';
  const wanted = interests
    .filter(({ trigger }) => (isFile ? trigger.startsWith('/') : trigger === name))
    .map(({ trigger, word }) => (isFile ? `${trigger} ${word}` : word));
  if (wanted.length === 0 && !isFile) {
    bench.aside(problem, 'no package that is installed is interested in this trigger');
    return;
  }
  // dpkg has them in the order in which they came; what stands in the old file or a copy keeps its place.
  const old = (await bench.contentOf(`triggers/${name}`)) ?? '';
  const copies = (await bench.copies(`triggers/${name}`)).map(({ data }) => data);
  // A sound file that lacks one keeps what it has.
  const isSound = problem.code === 'database-triggers-interest-missing';
  const known = (isSound ? [old] : [old, ...copies]).map((data) =>
    [...new Set(data.split('\n'))].filter((line) => (isSound ? line !== '' : wanted.includes(line))),
  );
  const best = known.reduce((most, next) => (next.length > most.length ? next : most), []);
  const lines = [...best, ...wanted.filter((line) => !best.includes(line))];
  bench.write(
    problem,
    [...new Set(lines)].map((line) => `${line}\n`).join(''),
    'info/*.triggers',
    'written again from what the installed packages declare',
  );
}

function mendUnincorp(bench: Workbench, problem: DatabaseProblem): void {
  const outcome = bench.admindir.read('triggers/Unincorp');
  const data = outcome.kind === 'read' ? outcome.data : '';
  const { activations } = parseUnincorp(data, problem.file);
  const text = activations.map(({ trigger, packages }) => `${[trigger, ...packages].join(' ')}\n`).join('');
  bench.write(
    problem,
    text,
    'its own sound lines',
    `${activations.length} activations can still be read and stay; a lost one is made good by processing that trigger, or by reinstalling the package that activated it`,
  );
}
