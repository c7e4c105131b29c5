/** The small tables of dpkg's database, and the path filters of its configuration, read from a root. */
import { readdirSync } from 'node:fs';
import { type Bytes, bytesOf, compareBytes, fsPath } from '../system/bytes.ts';
import { readRegularFile } from '../system/files.ts';
import type { Root } from '../system/root.ts';
import type { Admindir } from './admindir.ts';
import { type Alternative, parseAlternative } from './alternatives.ts';
import { type Diversion, parseDiversions } from './diversions.ts';
import { isConfigName, type PathFilter, parseDpkgConfig } from './filters.ts';
import { checkedLines } from './lines.ts';
import type { DatabaseProblem } from './problem.ts';
import { parseStatoverride, type StatOverride } from './statoverride.ts';
import { parseExplicitInterest, parseTriggersFile, parseUnincorp } from './triggers.ts';

/** _POSIX2_LINE_MAX, the buffer of dpkg_arch_load_list. */
const ARCH_LINE_LIMIT = 2048;

/** A file that may rightly be missing; anything but a regular file is a problem. */
function readOptional(admindir: Admindir, name: Bytes, problems: DatabaseProblem[]): Bytes | undefined {
  const outcome = admindir.read(name);
  if (outcome.kind === 'read') return outcome.data;
  if (outcome.kind === 'unreadable') {
    problems.push(admindir.unreadable(name, name, outcome.errno, true));
  }
  return undefined;
}

/**
 * A table that is made by its first change. From the second one on its version of before stays beside it, and it is only
 * ever replaced, by one rename (lib/dpkg/atomic-file.c): one that is gone then was lost.
 */
function readTable(
  admindir: Admindir,
  name: 'diversions' | 'statoverride',
  code: DatabaseProblem['code'],
  problems: DatabaseProblem[],
): Bytes | undefined {
  const known = problems.length;
  const data = readOptional(admindir, name, problems);
  if (data !== undefined || problems.length > known || admindir.read(`${name}-old`).kind === 'missing')
    return data;
  problems.push({
    code,
    file: admindir.path(name),
    message: `the ${name} file is gone, and its version of before the last change is there`,
    dpkgMessage: undefined,
    blocksDpkg: false,
    likelyOutage: true,
  });
  return undefined;
}

export function readDiversions(admindir: Admindir, problems: DatabaseProblem[]): readonly Diversion[] {
  const data = readTable(admindir, 'diversions', 'database-diversions-damaged', problems);
  if (data === undefined) return [];
  const file = `${admindir.inside}/diversions`;
  const { diversions, damaged, message } = parseDiversions(data, file);
  if (damaged) {
    problems.push({
      code: 'database-diversions-damaged',
      file,
      message: `the diversions file is damaged; ${diversions.length} diversions can still be read`,
      dpkgMessage: message,
      blocksDpkg: message !== undefined,
      likelyOutage: true,
    });
  }
  return diversions;
}

export function readOverrides(admindir: Admindir, problems: DatabaseProblem[]): readonly StatOverride[] {
  const data = readTable(admindir, 'statoverride', 'database-statoverride-damaged', problems);
  if (data === undefined) return [];
  const { overrides, damaged, message } = parseStatoverride(data);
  if (damaged) {
    problems.push({
      code: 'database-statoverride-damaged',
      file: `${admindir.inside}/statoverride`,
      message: `the statoverride file is damaged; ${overrides.length} overrides can still be read`,
      dpkgMessage: message,
      blocksDpkg: message !== undefined,
      likelyOutage: true,
    });
  }
  return overrides;
}

export function readArchitectures(admindir: Admindir, problems: DatabaseProblem[]): void {
  const data = readOptional(admindir, 'arch', problems);
  if (data === undefined) return;
  const file = `${admindir.inside}/arch`;
  const { message } = checkedLines(data, file, ARCH_LINE_LIMIT);
  if (message === undefined) return;
  problems.push({
    code: 'database-arch-damaged',
    file,
    message: 'the list of architectures is damaged',
    dpkgMessage: message,
    blocksDpkg: true,
    likelyOutage: true,
  });
}

/** Who is interested in what, by the trigger: packages as the files of triggers/ have them. */
export type Interests = ReadonlyMap<Bytes, ReadonlySet<Bytes>>;

/** @returns undefined where one of the files is damaged, and so nobody knows whether an interest is missing */
export function readTriggers(admindir: Admindir, problems: DatabaseProblem[]): Interests | undefined {
  const interests = new Map<Bytes, Set<Bytes>>();
  const add = (trigger: Bytes, name: Bytes): void => {
    const packages = interests.get(trigger) ?? new Set();
    interests.set(trigger, packages.add(name));
  };
  const before = problems.length;
  for (const name of admindir.names('triggers')) {
    if (name === 'Lock' || name.endsWith('-new') || name.endsWith('.new')) continue;
    const data = readOptional(admindir, `triggers/${name}`, problems);
    if (data === undefined) continue;
    const file = `${admindir.inside}/triggers/${name}`;
    const message = ((): string | undefined => {
      if (name === 'Unincorp') return parseUnincorp(data, file).message;
      if (name !== 'File') {
        const explicit = parseExplicitInterest(data, file);
        for (const pkg of explicit.packages) add(name, pkg);
        return explicit.message;
      }
      const parsed = parseTriggersFile(data, file);
      for (const { path, package: pkg } of parsed.triggers) add(path, pkg);
      return parsed.message;
    })();
    if (message === undefined) continue;
    problems.push({
      code: name === 'Unincorp' ? 'database-triggers-unincorp-damaged' : 'database-triggers-file-damaged',
      file,
      message: `the trigger file ${name} is damaged`,
      dpkgMessage: message,
      blocksDpkg: true,
      likelyOutage: true,
    });
  }
  return problems.length === before ? interests : undefined;
}

export function readAlternatives(admindir: Admindir, problems: DatabaseProblem[]): readonly Alternative[] {
  const alternatives: Alternative[] = [];
  for (const name of admindir.names('alternatives')) {
    if (name.includes('.dpkg-')) continue;
    const data = readOptional(admindir, `alternatives/${name}`, problems);
    if (data === undefined) continue;
    const alternative = parseAlternative(data, name);
    if (alternative !== undefined) alternatives.push(alternative);
    else {
      problems.push({
        code: 'database-alternatives-damaged',
        file: `${admindir.inside}/alternatives/${name}`,
        message:
          data === ''
            ? `the alternatives entry ${name} is empty`
            : `the alternatives entry ${name} is damaged`,
        blocksDpkg: false,
        likelyOutage: true,
      });
    }
  }
  return alternatives;
}

/** The path filters in the order in which dpkg reads them: the directory's files first, then dpkg.cfg. */
export function readFilters(root: Root): readonly PathFilter[] {
  const filters: PathFilter[] = [];
  const directory = root.resolveDirectory('/etc/dpkg/dpkg.cfg.d');
  const files = directory.kind === 'found' ? listNames(directory.host).filter(isConfigName) : [];
  for (const path of [...files.map((name) => `/etc/dpkg/dpkg.cfg.d/${name}`), '/etc/dpkg/dpkg.cfg']) {
    // An administrator may keep these as links; they are followed inside the root.
    const found = root.resolveFully(path);
    const outcome = found.kind === 'found' ? readRegularFile(found.host) : undefined;
    if (outcome?.kind === 'read') filters.push(...parseDpkgConfig(outcome.data));
  }
  return filters;
}

/** The names in a directory of this host, sorted; none when it cannot be read. */
function listNames(host: Bytes): Bytes[] {
  try {
    return readdirSync(fsPath(host), { encoding: 'buffer' }).map(bytesOf).sort(compareBytes);
  } catch {
    return [];
  }
}
