/** Damage to dpkg's database as findings, and the names that dpkg left in it. */
import type { Database } from '../dpkg/database.ts';
import type { DatabaseProblem } from '../dpkg/problem.ts';
import type { FindingCode } from '../model/codes.ts';
import type { Finding, KnownBy } from '../model/finding.ts';
import type { Severity } from '../model/severity.ts';
import type { Bytes } from '../system/bytes.ts';
import { finding } from './finding.ts';

/** Silent damage: dpkg goes on, with less than it should know. */
const GRAVE: ReadonlySet<FindingCode> = new Set<FindingCode>([
  'database-status-missing',
  'database-status-empty',
  'database-status-nul',
  'database-script-empty',
  'database-script-nul',
]);

export function problemFinding(problem: DatabaseProblem): Finding {
  const severity: Severity =
    problem.blocksDpkg || GRAVE.has(problem.code) ? 'critical' : severityOf(problem.code);
  return finding({
    code: problem.code,
    severity,
    package: problem.package,
    path: problem.file,
    message: problem.message,
    knownBy: knownBy(problem.code),
    likelyOutage: problem.likelyOutage,
    reason: problem.likelyOutage
      ? 'an interrupted or unsynced write leaves a file like this'
      : 'this is not how an interrupted write looks',
    dpkgMessage: problem.dpkgMessage,
  });
}

function severityOf(code: FindingCode): Severity {
  return code.startsWith('apt-') ? 'warning' : 'error';
}

function knownBy(code: FindingCode): KnownBy {
  if (code.startsWith('apt-')) return 'apt';
  if (code.startsWith('database-update')) return 'updates';
  if (code.startsWith('database-status')) return 'status';
  if (code.startsWith('database-triggers')) return 'triggers';
  if (code.startsWith('database-statoverride')) return 'statoverride';
  if (code.startsWith('database-diversions')) return 'diversions';
  if (code.startsWith('database-alternatives')) return 'alternatives';
  return 'info';
}

/**
 * Temporary names of dpkg's own files: `-new` of lib/dpkg/atomic-file.c, `tmp.i` of dbmodify.c, `tmp.ci` of
 * src/main/unpack.c, `Unincorp.new` of trigdeferred.c. And what keeps dpkg from writing them.
 */
export function judgeDatabaseLeftovers(database: Database): Finding[] {
  const { admindir } = database;
  const found: Bytes[] = [];
  const names = (directory: Bytes): Bytes[] => admindir.names(directory);
  for (const name of names('.')) {
    if (/^(?:status|available|diversions|statoverride|arch)-new$/.test(name)) found.push(name);
  }
  // Empty it may stay; a file of that name is what a disk made of it.
  const control = admindir.list('tmp.ci');
  const isFile = control.kind === 'unreadable' && control.errno === 'ENOTDIR';
  if (isFile || (control.kind === 'listed' && control.names.length > 0)) found.push('tmp.ci');
  for (const name of names('updates')) if (name === 'tmp.i') found.push('updates/tmp.i');
  for (const name of names('info')) if (/-new$|\.dpkg-(?:new|tmp)$/.test(name)) found.push(`info/${name}`);
  for (const name of names('triggers')) if (/-new$|\.new$/.test(name)) found.push(`triggers/${name}`);
  for (const name of names('alternatives'))
    if (name.endsWith('.dpkg-tmp')) found.push(`alternatives/${name}`);
  const temporary = found.sort().map((name) =>
    finding({
      code: 'database-leftover',
      severity: 'warning',
      path: `${admindir.inside}/${name}`,
      message:
        name === 'tmp.ci'
          ? 'the control files of a package whose unpacking was interrupted'
          : 'a new version of a database file that was not put in place',
      knownBy: 'file-name',
      likelyOutage: true,
      reason: 'dpkg takes this name away before it ends',
    }),
  );
  // It links the version before to that name, and takes away what stands there first (lib/dpkg/atomic-file.c).
  const inTheWay = names('.')
    .filter((name) => /^(?:status|available|diversions|statoverride)-old$/.test(name))
    .filter((name) => admindir.list(name).kind === 'listed')
    .map((name) =>
      finding({
        code: 'database-leftover',
        severity: 'error',
        path: `${admindir.inside}/${name}`,
        message: 'a directory stands where dpkg keeps the version before, and dpkg can write no new one',
        knownBy: 'file-name',
        likelyOutage: true,
        reason: 'nothing makes a directory of that name',
      }),
    );
  return [...temporary, ...inTheWay];
}
