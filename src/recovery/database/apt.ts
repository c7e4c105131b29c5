/** apt's own files: what it can fetch or make anew is moved aside, what only it knows comes from a copy. */
import { aptProblems } from '../../dpkg/apt-state.ts';
import { parseDeb822 } from '../../dpkg/deb822.ts';
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import type { Bytes } from '../../system/bytes.ts';
import { readRegularFile } from '../../system/files.ts';
import type { RecordSet } from './record-text.ts';
import type { Workbench } from './workbench.ts';

export async function mendApt(bench: Workbench, records: RecordSet): Promise<void> {
  for (const problem of aptProblems(bench.root)) {
    switch (problem.code) {
      case 'apt-list-damaged':
        bench.aside(problem, 'apt fetches it anew with the next apt-get update');
        break;
      case 'apt-cache-damaged':
        bench.aside(problem, 'apt makes it again when it needs it');
        break;
      case 'apt-partial':
        bench.aside(problem, 'apt fetches it anew, from its beginning');
        break;
      case 'apt-extended-states-damaged':
        await mendMarks(bench, problem, records);
        break;
      default:
        break;
    }
  }
}

/** Stanzas are merged: the sound ones stay, those of packages that are still there come from the best copy. */
async function mendMarks(bench: Workbench, problem: DatabaseProblem, records: RecordSet): Promise<void> {
  const found = bench.root.resolve(problem.file);
  const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
  const own = marksOf(outcome?.kind === 'read' ? outcome.data : '');
  for (const { data, source } of await bench.copies(problem.file)) {
    const copy = marksOf(data);
    if (copy.damaged || copy.marks.size === 0) continue;
    const lost = [...copy.marks].filter(([key]) => !own.marks.has(key) && isInstalled(records, key));
    const merged = new Map([
      ...[...copy.marks].filter(([key]) => own.marks.has(key) || isInstalled(records, key)),
      ...own.marks,
    ]);
    const text = [...merged.values()].map((stanza) => `${stanza}\n`).join('');
    bench.write(
      problem,
      text,
      source,
      `${own.marks.size} marks can still be read and stay, ${lost.length} come from the copy`,
    );
    return;
  }
  bench.fail(
    problem,
    `there is no sound copy; ${own.marks.size} marks can still be read, and apt forgets the others`,
  );
}

/** Stanzas by package and architecture. */
function marksOf(data: Bytes): { marks: Map<Bytes, Bytes>; damaged: boolean } {
  const { stanzas, problems } = parseDeb822(data);
  const marks = new Map<Bytes, Bytes>();
  let damaged = problems.length > 0;
  for (const { fields, start, end } of stanzas) {
    const text = data.slice(start, end).replace(/\n+$/, '\n');
    const name = fields.get('package') ?? '';
    const sound = /^[a-z0-9][a-z0-9+.-]+$/.test(name) && fields.has('auto-installed') && !text.includes('\0');
    if (sound) marks.set(`${name}:${fields.get('architecture') ?? ''}`, text);
    else damaged = true;
  }
  return { marks, damaged };
}

/** apt marks what is `all` with the native architecture. */
function isInstalled(records: RecordSet, key: Bytes): boolean {
  const [name = key] = key.split(':', 1);
  return records
    .named(name)
    .some(({ package: { state } }) => state !== 'not-installed' && state !== 'config-files');
}
