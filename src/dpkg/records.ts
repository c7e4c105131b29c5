/**
 * The package records: `status`, and over it the journal in `updates/` (lib/dpkg/dbmodify.c, cleanupdates), merged as
 * dpkg merges them. Damage in one file or one stanza leaves all the others readable.
 */
import type { Bytes } from '../system/bytes.ts';
import type { Admindir } from './admindir.ts';
import { type Package, qualifiedName } from './package.ts';
import { type DatabaseProblem, isNulFilled } from './problem.ts';
import { nativeArchitecture, type ParseProblem, parseStatus } from './status.ts';

export interface Records {
  readonly packages: Map<Bytes, Package>;
  /** The architecture of the root's own dpkg; empty when no record is left. */
  readonly native: Bytes;
  /** Stanzas were lost: packages may exist that no record tells of. */
  readonly incomplete: boolean;
}

/** `#padding` until dpkg 1.22, `#padded` since. */
const PADDING = /^#padd(?:ing|ed)\n/;
/** IMPORTANTMAXLEN of lib/dpkg/dbmodify.c. */
const MAX_UPDATE_NAME = 10;

/** Reads status and updates/; what is wrong goes to `problems`. Never throws. */
export function readRecords(admindir: Admindir, problems: DatabaseProblem[]): Records {
  const packages = new Map<Bytes, Package>();
  const { incomplete, native } = readStatus(admindir, packages, problems);
  mergeUpdates(admindir, packages, native, problems);
  return { packages, native: native || nativeArchitecture(packages.values()), incomplete };
}

function readStatus(
  admindir: Admindir,
  packages: Map<Bytes, Package>,
  problems: DatabaseProblem[],
): Pick<Records, 'incomplete' | 'native'> {
  const file = `${admindir.inside}/status`;
  const outcome = admindir.read('status');
  const lost = { file, blocksDpkg: false, likelyOutage: true };
  switch (outcome.kind) {
    case 'missing':
      problems.push({
        ...lost,
        code: 'database-status-missing',
        message: 'the status file is missing: dpkg sees no packages',
      });
      return { incomplete: true, native: '' };
    case 'unreadable':
      problems.push(admindir.unreadable('status', 'the status file', outcome.errno, true));
      return { incomplete: true, native: '' };
    case 'read':
      break;
  }
  if (outcome.data === '') {
    problems.push({
      ...lost,
      code: 'database-status-empty',
      message: 'the status file is empty: dpkg silently sees no packages',
    });
    return { incomplete: true, native: '' };
  }
  const parsed = parseStatus(outcome.data, 'status');
  for (const pkg of parsed.packages) packages.set(qualifiedName(pkg), pkg);
  const fatal = parsed.problems.filter((problem) => problem.fatal);
  if (outcome.data.includes('\0')) {
    const first = fatal[0];
    problems.push({
      code: 'database-status-nul',
      file,
      message: isNulFilled(outcome.data)
        ? 'the status file consists of NUL bytes: no package record is left in it'
        : `the status file holds NUL bytes: ${packages.size} package records can still be read`,
      dpkgMessage: first === undefined ? undefined : asDpkgSays(first, file),
      blocksDpkg: first !== undefined,
      likelyOutage: true,
    });
  } else {
    for (const problem of fatal) {
      const whose = problem.package === undefined ? 'a record' : `the record of ${problem.package}`;
      problems.push({
        code: 'database-status-unparsable',
        file,
        package: problem.package,
        message: `${whose} in the status file cannot be parsed (bytes ${problem.start} to ${problem.end})`,
        dpkgMessage: asDpkgSays(problem, file),
        blocksDpkg: true,
        likelyOutage: true,
      });
    }
  }
  return { incomplete: fatal.length > 0, native: parsed.native };
}

/** A parse problem in dpkg's own words (lib/dpkg/parsehelp.c, parse_error_msg). */
function asDpkgSays(problem: ParseProblem, file: Bytes): Bytes {
  const where = problem.package === undefined ? '' : ` package '${problem.package}'`;
  return `parsing file '${file}' near line ${problem.line}${where}:\n ${problem.message}`;
}

function mergeUpdates(
  admindir: Admindir,
  packages: Map<Bytes, Package>,
  native: Bytes,
  problems: DatabaseProblem[],
): void {
  const directory = `${admindir.inside}/updates`;
  const listing = admindir.list('updates');
  if (listing.kind === 'missing') return; // dpkg makes it
  if (listing.kind === 'unreadable') {
    problems.push(admindir.unreadable('updates', "the journal's directory", listing.errno, true));
    return;
  }
  const entries = listing.names.filter((name) => /^\d+$/.test(name)).sort();
  const length = entries[0]?.length;
  for (const name of entries) {
    const file = `${directory}/${name}`;
    if (name.length > MAX_UPDATE_NAME) {
      problems.push({
        code: 'database-update-name',
        file,
        message: 'the journal holds a name that is too long, which dpkg refuses',
        dpkgMessage: `updates directory contains file '${name.slice(0, 250)}' whose name is too long (length=${name.length}, max=${MAX_UPDATE_NAME})`,
        blocksDpkg: true,
        likelyOutage: false,
      });
    } else if (name.length !== length) {
      problems.push({
        code: 'database-update-name',
        file,
        message: 'the journal holds names of different lengths, which dpkg refuses',
        // Which length it names first depends on the directory's order on disk.
        dpkgMessage: 'updates directory contains files with different length names',
        blocksDpkg: true,
        likelyOutage: false,
      });
    }
    mergeUpdate(admindir, name, packages, native, problems);
  }
}

function mergeUpdate(
  admindir: Admindir,
  name: Bytes,
  packages: Map<Bytes, Package>,
  native: Bytes,
  problems: DatabaseProblem[],
): void {
  const file = `${admindir.inside}/updates/${name}`;
  const outcome = admindir.read(`updates/${name}`);
  if (outcome.kind !== 'read') {
    const errno = outcome.kind === 'missing' ? 'ENOENT' : outcome.errno;
    problems.push(admindir.unreadable(`updates/${name}`, 'the journal entry', errno, true));
    return;
  }
  const { data } = outcome;
  if (data === '') {
    problems.push({
      code: 'database-update-empty',
      file,
      message: 'the journal entry is empty: the state that it recorded is lost, and dpkg does not say so',
      blocksDpkg: false,
      likelyOutage: true,
    });
    return;
  }
  const parsed = parseStatus(data, `updates/${name}`, native);
  for (const pkg of parsed.packages) {
    packages.delete(slotOf(packages, pkg));
    packages.set(qualifiedName(pkg), pkg);
  }
  const first = parsed.problems.find((problem) => problem.fatal);
  const nul = data.includes('\0');
  if (first === undefined && !nul) return;
  const padding = PADDING.test(data);
  problems.push({
    code: nul ? 'database-update-nul' : padding ? 'database-update-padding' : 'database-update-unparsable',
    file,
    package: first?.package,
    message: nul
      ? 'the journal entry holds NUL bytes'
      : padding
        ? 'the journal entry still holds its padding instead of a record'
        : 'the journal entry cannot be parsed',
    dpkgMessage: first === undefined ? undefined : asDpkgSays(first, file),
    blocksDpkg: first !== undefined,
    likelyOutage: true,
  });
}

/**
 * The key whose record an update replaces. The only instance of a package is replaced whatever its architecture, unless
 * both can be installed beside others (lib/dpkg/parse.c, parse_find_pkg_slot).
 */
export function slotOf(packages: ReadonlyMap<Bytes, Package>, update: Package): Bytes {
  const key = qualifiedName(update);
  const instances = [...packages].filter(
    ([, pkg]) => pkg.name === update.name && pkg.state !== 'not-installed',
  );
  const [only] = instances;
  if (only === undefined || instances.length > 1) return key;
  return only[1].multiArch === 'same' && update.multiArch === 'same' ? key : only[0];
}
