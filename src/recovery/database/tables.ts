/**
 * The small tables: diversions, statoverride, the architectures, the layout of info/, the alternatives. What stands whole
 * in the present file stays; what is lost comes from the best sound copy.
 */
import { readlinkSync } from 'node:fs';
import { readAccounts } from '../../dpkg/accounts.ts';
import { parseAlternative } from '../../dpkg/alternatives.ts';
import { type Diversion, parseDiversions } from '../../dpkg/diversions.ts';
import { checkedLines } from '../../dpkg/lines.ts';
import type { DatabaseProblem } from '../../dpkg/problem.ts';
import { parseStatoverride, type StatOverride } from '../../dpkg/statoverride.ts';
import { type Bytes, bytesOf, fsPath } from '../../system/bytes.ts';
import { groupFromScripts } from './alternatives.ts';
import type { RecordSet } from './record-text.ts';
import type { FileCopy } from './sources.ts';
import type { Workbench } from './workbench.ts';

/** _POSIX2_LINE_MAX, the buffer of dpkg_arch_load_list. */
const ARCH_LINE_LIMIT = 2048;

export async function mendTables(bench: Workbench, records: RecordSet): Promise<void> {
  for (const problem of bench.database.problems) {
    switch (problem.code) {
      case 'database-format-corrupt':
      case 'database-format-missing':
      case 'database-format-unknown':
        mendFormat(bench, problem);
        break;
      case 'database-diversions-damaged':
        await mendDiversions(bench, problem);
        break;
      case 'database-statoverride-damaged':
        await mendOverrides(bench, problem);
        break;
      case 'database-arch-damaged':
        await mendArchitectures(bench, problem, records);
        break;
      case 'database-alternatives-damaged':
        await mendAlternative(bench, problem, records);
        break;
      case 'database-unreadable':
        await mendUnreadable(bench, problem, records);
        break;
      default:
        break;
    }
  }
  await mendOwners(bench);
}

/** A table that cannot be read is as good as one of which nothing is left. */
async function mendUnreadable(bench: Workbench, problem: DatabaseProblem, records: RecordSet): Promise<void> {
  const { admindir } = bench;
  switch (problem.file) {
    case admindir.path('diversions'):
      return await mendDiversions(bench, problem);
    case admindir.path('statoverride'):
      return await mendOverrides(bench, problem);
    case admindir.path('arch'):
      return await mendArchitectures(bench, problem, records);
    case admindir.path('info/format'):
      return mendFormat(bench, problem);
    case admindir.path('info'):
    case admindir.path('updates'):
      return bench.fail(problem, 'a whole directory cannot be read: check the filesystem first');
    default:
      if (problem.file.startsWith(admindir.path('alternatives/')))
        await mendAlternative(bench, problem, records);
  }
}

function mendFormat(bench: Workbench, problem: DatabaseProblem): void {
  const { admindir } = bench;
  const left = admindir.read('info/format-new').kind !== 'missing';
  if (left) {
    const file = admindir.path('info/format-new');
    bench.aside({ ...problem, file }, 'dpkg takes it for an upgrade of its layout that was interrupted');
  }
  const outcome = admindir.read('info/format');
  if (outcome.kind === 'read' && /^[01]\n?$/.test(outcome.data)) return;
  bench.write(problem, '1\n', 'dpkg(1)', 'the one layout that every dpkg since 1.16 writes');
}

interface Best<T> {
  readonly copy: FileCopy;
  readonly entries: readonly T[];
}

async function bestCopy<T>(
  bench: Workbench,
  name: Bytes,
  parse: (data: Bytes) => readonly T[] | undefined,
): Promise<Best<T> | undefined> {
  for (const copy of await bench.copies(name)) {
    const entries = parse(copy.data);
    if (entries !== undefined) return { copy, entries };
  }
  return undefined;
}

async function mendDiversions(bench: Workbench, problem: DatabaseProblem): Promise<void> {
  const sound = bench.database.diversions;
  const best = await bestCopy(bench, 'diversions', (data) => {
    const parsed = parseDiversions(data, problem.file);
    return parsed.damaged ? undefined : parsed.diversions;
  });
  if (best === undefined) {
    const left = sound.length === 0 ? 'none' : String(sound.length);
    bench.fail(
      problem,
      `there is no sound copy, and of the diversions ${left} can still be read; a lost one would let an upgrade overwrite what it protects`,
    );
    return;
  }
  const taken = new Set(best.entries.flatMap(({ from, to }) => [from, to]));
  const more = sound.filter(({ from, to }) => !taken.has(from) && !taken.has(to));
  const lines = ({ from, to, package: owner }: Diversion): Bytes => `${from}\n${to}\n${owner ?? ':'}\n`;
  // Where the copy agrees it is written as it is: dpkg keeps an order of its own.
  const data = more.length === 0 ? best.copy.data : [...best.entries, ...more].map(lines).join('');
  bench.write(problem, data, best.copy.source, keptReason(more.length, 'diversions'));
}

async function mendOverrides(bench: Workbench, problem: DatabaseProblem): Promise<void> {
  const sound = bench.database.overrides;
  const best = await bestCopy(bench, 'statoverride', (data) => {
    const parsed = parseStatoverride(data);
    return parsed.damaged ? undefined : parsed.overrides;
  });
  if (best === undefined) {
    bench.fail(problem, `there is no sound copy; ${sound.length} overrides can still be read`);
    return;
  }
  const known = new Set(best.entries.map(({ path }) => path));
  const more = sound.filter(({ path }) => !known.has(path));
  const data = best.copy.data + more.map(overrideLine).join('');
  bench.write(problem, data, best.copy.source, keptReason(more.length, 'overrides'));
}

function overrideLine({ user, group, mode, path }: StatOverride): Bytes {
  return `${user} ${group} ${mode.toString(8)} ${path}\n`;
}

function keptReason(more: number, what: string): string {
  return more === 0
    ? 'the newest sound copy; it has all that can still be read in the present file'
    : `the newest sound copy, and ${more} ${what} of the present file that it lacks`;
}

/** An override of an account that does not exist stops dpkg; a copy may show that its name was only damaged. */
async function mendOwners(bench: Workbench): Promise<void> {
  const { overrides, problems, admindir } = bench.database;
  if (overrides.length === 0 || problems.some(({ code }) => code === 'database-statoverride-damaged')) return;
  const unknown = await unknownOwners(bench, overrides);
  if (unknown.length === 0) return;
  const problem = {
    code: 'database-statoverride-unknown-owner' as const,
    file: admindir.path('statoverride'),
    message: `the overrides name accounts that do not exist: ${unknown.join(', ')}`,
  };
  for (const copy of await bench.copies('statoverride')) {
    const parsed = parseStatoverride(copy.data);
    const paths = new Set(parsed.overrides.map(({ path }) => path));
    if (parsed.damaged || !overrides.every(({ path }) => paths.has(path))) continue;
    if ((await unknownOwners(bench, parsed.overrides)).length > 0) continue;
    bench.write(problem, copy.data, copy.source, 'the same overrides with accounts that exist');
    return;
  }
  bench.fail(
    problem,
    'no copy has other accounts for them: make the accounts again, or take the overrides back with dpkg-statoverride --remove',
  );
}

async function unknownOwners(bench: Workbench, overrides: readonly StatOverride[]): Promise<Bytes[]> {
  const accounts = await readAccounts(
    bench.root,
    overrides.map(({ user }) => user),
    overrides.map(({ group }) => group),
  );
  return overrides.flatMap(({ user, group }) => [
    ...(accounts.uid(user) === undefined ? [user] : []),
    ...(accounts.gid(group) === undefined ? [group] : []),
  ]);
}

async function mendArchitectures(
  bench: Workbench,
  problem: DatabaseProblem,
  records: RecordSet,
): Promise<void> {
  const outcome = bench.admindir.read('arch');
  const data = outcome.kind === 'read' ? outcome.data : '';
  const sound = linesOf(data).lines.filter((line) => isArchitecture(line));
  const best = await bestCopy(bench, 'arch', (copy) => {
    const parsed = linesOf(copy);
    return parsed.message === undefined && copy !== '' ? parsed.lines : undefined;
  });
  const native = bench.database.native || records.native;
  const used = records.packages
    .map(({ architecture }) => architecture)
    .filter((one) => one !== '' && one !== 'all');
  const needed = new Set([native, ...used]);
  const first = best?.entries ?? [native];
  // A line of the damaged file counts only where a package shows that it is an architecture of this system.
  const lines = [...new Set([...first, ...sound.filter((line) => needed.has(line)), ...[...needed].sort()])];
  if (native === '') return bench.fail(problem, 'no record tells the native architecture');
  bench.write(
    problem,
    lines.map((line) => `${line}\n`).join(''),
    best?.copy.source ?? 'the package records',
    best === undefined
      ? 'the native architecture and those of the installed packages; one that was added and has no package yet has to be added again'
      : 'the newest sound copy, and the architectures of the installed packages',
  );
}

function linesOf(data: Bytes): ReturnType<typeof checkedLines> {
  return checkedLines(data, 'arch', ARCH_LINE_LIMIT);
}

/** lib/dpkg/arch.c, dpkg_arch_name_is_illegal. */
function isArchitecture(line: Bytes): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9-]*$/.test(line);
}

async function mendAlternative(
  bench: Workbench,
  problem: DatabaseProblem,
  records: RecordSet,
): Promise<void> {
  const name = problem.file.slice(problem.file.lastIndexOf('/') + 1);
  const current = linkOf(bench, `/etc/alternatives/${name}`);
  for (const { data, source } of await bench.copies(`alternatives/${name}`)) {
    const parsed = parseAlternative(data, name);
    // A link that points to none of its choices shows that the group changed since.
    if (
      parsed === undefined ||
      (current !== undefined && !parsed.choices.some(({ file }) => file === current))
    )
      continue;
    bench.write(
      problem,
      data,
      source,
      'the newest sound copy; the link in /etc/alternatives points to one of its choices',
    );
    return;
  }
  const scripts = await groupFromScripts(bench, records, name, (link) => linkOf(bench, link));
  if (scripts !== undefined) {
    bench.write(
      problem,
      scripts,
      'the maintainer scripts that made it, and the links in /etc/alternatives',
      'written again from what the installed packages register',
    );
    return;
  }
  bench.aside(
    problem,
    'update-alternatives stops at it; the links stay, and the packages register again when they are reinstalled',
  );
  bench.fail(
    problem,
    `there is no sound copy, and the maintainer scripts don't tell the whole group; ${current === undefined ? 'there is no link' : 'the link stays'} in /etc/alternatives`,
  );
}

/** Where a link inside the root points. */
function linkOf(bench: Workbench, path: Bytes): Bytes | undefined {
  const found = bench.root.resolve(path);
  if (found.kind === 'unreachable') return undefined;
  try {
    return bytesOf(readlinkSync(fsPath(found.host), { encoding: 'buffer' }));
  } catch {
    return undefined;
  }
}
